"""Pack files: many encoded pictures in one file, and an index beside it.

``NAME.pack`` is records end to end: key (32 bytes), CRC-32C of key and payload (4), payload.  ``NAME.index`` is one
:data:`ENTRY` a record, appended after the record: a process killed in between loses that record and nothing else.
Nothing is synced to disk and nothing needs to be: whatever a power cut leaves is proved by the checksum when it is
read (what a picture is the picture of is proved by the key; a SHA-256 here too took a tenth of a re-run).  Only the
date of last use is ever written in place; it decides what is evicted, never what is read.
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
"""48 bytes: the key (8 of it as a number, then 24), where its record is, payload length (0: dead), last use."""

RECORD_HEAD = 36

Entries = npt.NDArray[np.void]


@dataclass(frozen=True)
class Pack:
    """A pack and its index as they were when they were listed.

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
    """Every pack of a folder, in order of name; half a last entry (of a killed process) is left out."""
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
    if offset + RECORD_HEAD + length > os.fstat(handle).st_size:  # a damaged entry must not ask for gigabytes
        return None
    try:
        record = os.pread(handle, RECORD_HEAD + length, offset)
    except OSError:
        return None
    payload = record[RECORD_HEAD:]
    whole = record[:32] == key and len(payload) == length and record[32:RECORD_HEAD] == _checksum(key, payload)
    return payload if whole else None


class PackWriter:
    """A new pack, open for appending and locked for as long as this process lives or until it is closed.

    Args:
        directory: where the pack goes; its name is drawn at random, so that no two processes can meet.
    """

    def __init__(self, directory: Path) -> None:
        path = directory / f"{os.urandom(8).hex()}.pack"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        self.bytes = 0
        self._handles = [os.open(path, flags, 0o644)]
        try_lock(self._handles[0])  # free, for no other process knows the name yet
        self._handles.append(os.open(path.with_suffix(".index"), flags, 0o644))

    def append(self, key: bytes, payload: bytes, used: int) -> None:
        """Add one record and make it known.

        Raises:
            OSError: no space, or a limit on the file's size; the record is then not in the index.
        """
        self.append_record(key, b"".join((key, _checksum(key, payload), payload)), used)

    def append_record(self, key: bytes, record: bytes, used: int) -> None:
        """The same for a record that is whole already (from another pack)."""
        entry = np.zeros(1, ENTRY)
        entry["head"], entry["rest"] = int.from_bytes(key[:8], "little"), np.void(key[8:])
        entry["offset"], entry["length"], entry["used"] = self.bytes, len(record) - RECORD_HEAD, used
        _write_all(self._handles[0], record)
        _write_all(self._handles[1], entry.tobytes())
        self.bytes += len(record)

    def close(self) -> None:
        """Give up the files and the lock."""
        while self._handles:
            os.close(self._handles.pop())


def _write_all(handle: int, content: bytes) -> None:
    while content:  # a full disk takes a part and says why at the next call; that part is a gap no entry points to
        content = content[os.write(handle, content) :]


def in_use(path: Path) -> bool:
    """Whether a process is appending to a pack, or the pack is gone; pruning leaves those alone."""
    try:
        return is_locked(path)
    except FileNotFoundError:
        return True
