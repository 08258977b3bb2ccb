"""The store of encoded pictures, by key: one for each process, for the length of a run.

Any number of processes and runs may share a folder: each appends to a pack of its own and reads the packs that were
there when it started.  Whatever goes wrong with the cache (no space, no permission, damage, an eviction by another
run), the only effect is that a picture is encoded again.

Memory: 32 bytes an entry.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from yolopipe.cache.packs import ENTRY, RECORD_HEAD, PackWriter, load_packs, read_record
from yolopipe.cache.pruning import PACK_BYTES, make_room
from yolopipe.cache.settings import CacheRun

__all__ = ["PixelStore", "cached", "close_store", "trouble"]

MOST_OPEN = 64
"""Packs kept open for reading; two file handles each."""

_USED_OFFSET, _LENGTH_OFFSET = (ENTRY.fields[name][1] for name in ("used", "length"))  # type: ignore[index]


class PixelStore:
    """Encoded pictures by key.

    Args:
        run: the folder and its bound.
    """

    def __init__(self, run: CacheRun) -> None:
        self.run = run
        self.trouble = ""
        self._writer: PackWriter | None = None
        self._open: OrderedDict[int, tuple[int, int]] = OrderedDict()
        packs = load_packs(run.directory)
        self._paths = [pack.path for pack in packs]
        entries = np.concatenate([np.zeros(0, ENTRY), *(pack.entries for pack in packs)])
        counts = [len(pack.entries) for pack in packs]
        order = np.argsort(entries["head"], kind="stable")
        self._head, self._offset = entries["head"][order], entries["offset"][order]
        self._length, self._used = entries["length"][order], entries["used"][order]
        self._pack = np.repeat(np.arange(len(packs), dtype=np.int32), counts)[order]
        self._number = np.concatenate([np.zeros(0, np.int32), *(np.arange(n, dtype=np.int32) for n in counts)])[order]

    def get(self, key: bytes) -> bytes | None:
        """The payload, its checksum compared, or None.  A damaged record is marked dead."""
        head = np.uint64(int.from_bytes(key[:8], "little"))
        at = int(np.searchsorted(self._head, head))
        while at < len(self._head) and self._head[at] == head:
            payload = self._read(at, key)
            if payload is not None:
                return payload
            at += 1
        return None

    def _read(self, at: int, key: bytes) -> bytes | None:
        length = int(self._length[at])
        handles = self._handles(int(self._pack[at])) if length else None
        if handles is None:
            return None
        payload = read_record(handles[0], int(self._offset[at]), length, key)
        if payload is None:
            self._length[at] = 0
            self._write_field(handles[1], at, _LENGTH_OFFSET, 0)
        elif self._used[at] < self.run.stamp:
            self._write_field(handles[1], at, _USED_OFFSET, self.run.stamp)
        return payload

    def _write_field(self, handle: int, at: int, offset: int, value: int) -> None:
        """Overwrite four bytes of an index entry; where that fails, only the order of use is lost."""
        with suppress(OSError):
            os.pwrite(handle, value.to_bytes(4, "little"), int(self._number[at]) * ENTRY.itemsize + offset)

    def _handles(self, pack: int) -> tuple[int, int] | None:
        """Pack and index, open; None when another run has evicted them."""
        if pack not in self._open:
            if len(self._open) >= MOST_OPEN:
                self._close(*self._open.popitem(last=False)[1])
            opened = _open_pair(self._paths[pack])
            if opened is None:
                return None
            self._open[pack] = opened
        self._open.move_to_end(pack)
        return self._open[pack]

    @staticmethod
    def _close(*handles: int) -> None:
        for handle in set(handles):
            os.close(handle)

    def put(self, key: bytes, payload: bytes) -> None:
        """Keep a payload, if there is room; otherwise :attr:`trouble` is the reason, for the rest of the run."""
        if self.trouble or not payload:
            return
        try:
            self._append(key, payload)
        except OSError as error:
            self._stop(error.strerror or str(error))

    def _append(self, key: bytes, payload: bytes) -> None:
        size = RECORD_HEAD + len(payload) + ENTRY.itemsize
        most = min(PACK_BYTES, self.run.max_bytes // 64)
        if self._writer is None or self._writer.bytes + size > most:
            self.run.directory.mkdir(parents=True, exist_ok=True)
            refusal = make_room(self.run, max(most, size))
            if refusal:
                self._stop(refusal)
                return
            self._close_writer()
            self._writer = PackWriter(self.run.directory)
        self._writer.append(key, payload, self.run.stamp)

    def _stop(self, reason: str) -> None:
        self.trouble = reason
        self._close_writer()

    def _close_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer = None

    def close(self) -> None:
        """Close all files."""
        self._close_writer()
        while self._open:
            self._close(*self._open.popitem()[1])


def _open_pair(pack: Path) -> tuple[int, int] | None:
    try:
        handle = os.open(pack, os.O_RDONLY)
    except OSError:
        return None
    try:
        return handle, os.open(pack.with_suffix(".index"), os.O_WRONLY)
    except OSError:  # a read-only cache can be read; dates of use are then not written
        return handle, handle


_stores: dict[str, PixelStore] = {}
"""This process's store, at most one, by token of the run."""


def _store_of(run: CacheRun) -> PixelStore:
    if run.token not in _stores:
        close_store()
        _stores[run.token] = PixelStore(run)
    return _stores[run.token]


def close_store() -> None:
    """Close this process's store, if there is one."""
    while _stores:
        _stores.popitem()[1].close()


def trouble(run: CacheRun | None) -> str:
    """Why this process stopped adding to the cache in this run, or ``""``."""
    return _stores[run.token].trouble if run is not None and run.token in _stores else ""


def cached(run: CacheRun | None, key: bytes, make: Callable[[], bytes], *, keep: bool = True) -> tuple[bytes, bool]:
    """The result of ``make()``, from the cache where it has one.

    Args:
        run: None always calls ``make``.
        key: from :func:`yolopipe.cache.keys.picture_key`.
        make: a pure function of what the key is a hash of.
        keep: add a new result to the cache.

    Returns:
        The bytes, and whether they come from the cache.

    >>> cached(None, b"key", lambda: b"pixels")
    (b'pixels', False)
    """
    if run is None:
        return make(), False
    store = _store_of(run)
    found = store.get(key)
    if found is not None:
        return found, True
    made = make()
    if keep:
        store.put(key, made)
    return made, False
