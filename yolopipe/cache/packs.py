"""Pack files: many encoded pictures in one file, and an index beside it.

``NAME.pack`` is records end to end: key (32 bytes), CRC-32C of key and payload (4), payload.  ``NAME.index`` is one
:data:`ENTRY` a record, appended after the record: a process killed in between loses that record and nothing else.
Nothing is synced to disk and nothing needs to be: the checksum is compared when a record is read, and the key is a
hash of everything that decides the picture.  Only the date of last use is written in place; it decides what is
evicted, never what is read.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import google_crc32c
import numpy as np
import numpy.typing as npt

from yolopipe.locks import is_locked, try_lock

__all__ = ["ENTRY", "RECORD_HEAD", "Entries", "Pack", "PackWriter", "in_use", "load_packs", "read_record"]

ENTRY = np.dtype([("head", "<u8"), ("rest", "V24"), ("offset", "<u8"), ("length", "<u4"), ("used", "<u4")])
"""48 bytes: the key (8 bytes as a number, then 24), offset of its record, payload length (0: dead), last use."""

RECORD_HEAD = 36

Entries = npt.NDArray[np.void]


@dataclass(frozen=True)
class Pack:
    """A pack and its index at the time of listing.

    Args:
        path: the ``.pack`` file.
        entries: (N,) of :data:`ENTRY`.
        bytes: of both files.
    """

    path: Path
    entries: Entries
    bytes: int

    @property
    def index_path(self) -> Path:
        """The ``.index`` file beside the pack."""
        return self.path.with_suffix(".index")


def load_packs(directory: Path) -> list[Pack]:
    """Every pack of a folder, in order of name; an incomplete last entry (of a killed process) is left out."""
    packs = []
    for index in sorted(directory.glob("*.index")):
        path = index.with_suffix(".pack")
        try:
            content, size = index.read_bytes(), path.stat().st_size
        except FileNotFoundError:  # evicted by another run between the listing and now
            continue
        whole = len(content) // ENTRY.itemsize
        packs.append(Pack(path, np.frombuffer(content, ENTRY, whole), size + len(content)))
    return packs


def _checksum(key: bytes, payload: bytes) -> bytes:
    checksum: int = google_crc32c.extend(google_crc32c.value(key), payload)
    return checksum.to_bytes(4, "little")


def read_record(handle: int, offset: int, length: int, key: bytes) -> bytes | None:
    """The payload at ``offset`` of an open pack, or None unless key and checksum are right."""
    if offset + RECORD_HEAD + length > os.fstat(handle).st_size:  # a damaged entry may name any length
        return None
    try:
        record = os.pread(handle, RECORD_HEAD + length, offset)
    except OSError:
        return None
    payload = record[RECORD_HEAD:]
    whole = record[:32] == key and len(payload) == length and record[32:RECORD_HEAD] == _checksum(key, payload)
    return payload if whole else None


class PackWriter:
    """A new pack, open for appending, and locked until it is closed or this process ends.

    Args:
        directory: of the pack; its name is random, so that no two processes use the same.
    """

    def __init__(self, directory: Path) -> None:
        path = directory / f"{os.urandom(8).hex()}.pack"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        self.bytes = 0
        self._handles = [os.open(path, flags, 0o644)]
        try_lock(self._handles[0])  # free, for no other process knows the name yet
        self._handles.append(os.open(path.with_suffix(".index"), flags, 0o644))

    def append(self, key: bytes, payload: bytes, used: int) -> None:
        """Add one record, then its entry in the index.

        Raises:
            OSError: no space, or a limit on the file's size; the record is then not in the index.
        """
        self.append_record(key, b"".join((key, _checksum(key, payload), payload)), used)

    def append_record(self, key: bytes, record: bytes, used: int) -> None:
        """The same for a complete record (from another pack)."""
        entry = np.zeros(1, ENTRY)
        entry["head"], entry["rest"] = int.from_bytes(key[:8], "little"), np.void(key[8:])
        entry["offset"], entry["length"], entry["used"] = self.bytes, len(record) - RECORD_HEAD, used
        _write_all(self._handles[0], record)
        _write_all(self._handles[1], entry.tobytes())
        self.bytes += len(record)

    def close(self) -> None:
        """Close the files, which releases the lock."""
        while self._handles:
            os.close(self._handles.pop())


def _write_all(handle: int, content: bytes) -> None:
    while content:  # on a full disk a part is written and the next call fails; no entry points to that part
        content = content[os.write(handle, content) :]


def in_use(path: Path) -> bool:
    """Whether a process is appending to a pack, or the pack is gone; pruning leaves those alone."""
    try:
        return is_locked(path)
    except FileNotFoundError:
        return True
