"""Pruning of the cache to its bound: the entries used longest ago are removed first.

Only the holder of the folder's lock removes or rewrites packs, and never one that a process is appending to.  Where
some entries of a pack are kept, they are copied with their checksums to a new pack before the old one is removed: a
kill in the middle leaves some entries twice, never an incomplete pack.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from yolopipe.cache.packs import ENTRY, RECORD_HEAD, Pack, PackWriter, in_use, load_packs
from yolopipe.cache.settings import CacheRun
from yolopipe.locks import locked_file

__all__ = ["PACK_BYTES", "CacheSize", "cache_size", "make_room", "prune"]

PACK_BYTES = 128 * 10**6
"""A pack is closed at this size: few files, and little to copy when one is rewritten."""

MANY_SMALL_PACKS = 32
"""More small packs than this (below an eighth of a full one; each run adds one for each worker) are merged."""


class CacheSize(NamedTuple):
    """Contents of a folder; ``bytes`` counts packs and indexes."""

    entries: int
    bytes: int
    packs: int


def cache_size(directory: Path) -> CacheSize:
    """Entries that can be read, bytes on disk, packs."""
    packs = load_packs(directory)
    entries = sum(int(np.count_nonzero(pack.entries["length"])) for pack in packs)
    return CacheSize(entries, sum(pack.bytes for pack in packs), len(packs))


def make_room(run: CacheRun, needed: int) -> str:
    """Make room for a new pack, by removing entries that this run has not used.

    Args:
        run: with the bound, and the free space to leave.
        needed: bytes.

    Returns:
        ``""``, or the reason why there is no room.
    """
    if shutil.disk_usage(run.directory).free - needed < run.reserve_bytes:
        return "the disk is nearly full"
    if _bytes_on_disk(run.directory) + needed <= run.max_bytes:
        return ""
    prune(run.directory, max(0, round(0.9 * run.max_bytes) - needed), before=run.stamp, wait=False)
    return "" if _bytes_on_disk(run.directory) + needed <= run.max_bytes else "the cache is full"


def _bytes_on_disk(directory: Path) -> int:
    with os.scandir(directory) as files:
        return sum(_size(file) for file in files if file.name.endswith((".pack", ".index")))


def _size(file: os.DirEntry[str]) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def prune(directory: Path, max_bytes: int, *, before: int | None = None, wait: bool = True) -> None:
    """Evict until the folder holds at most ``max_bytes``; also remove duplicates, dead entries and leftovers.

    Args:
        directory: the cache; it need not exist.
        max_bytes: 0 empties it.
        before: keep entries used at this stamp or later, whatever the size.
        wait: for another process that is pruning; otherwise return at once.
    """
    if not directory.is_dir():
        return
    with locked_file(directory / "lock", wait=wait) as lock:
        if lock is None:
            return
        _remove_leftovers(directory)
        packs = [pack for pack in load_packs(directory) if not in_use(pack.path)]
        others = _bytes_on_disk(directory) - sum(pack.bytes for pack in packs)
        kept = _kept(packs, max(0, max_bytes - others), before)
        _rewrite([(pack, keep) for pack, keep in zip(packs, kept, strict=True) if not keep.all()])
        _merge_small(directory, min(PACK_BYTES, max_bytes // 64) // 8)


def _remove_leftovers(directory: Path) -> None:
    """Remove packs without an index, and the reverse, which processes killed in the middle leave."""
    for path in [*directory.glob("*.pack"), *directory.glob("*.index")]:
        other = path.with_suffix(".index" if path.suffix == ".pack" else ".pack")
        if not other.exists() and (path.suffix == ".index" or not in_use(path)):
            path.unlink(missing_ok=True)


def _kept(packs: list[Pack], max_bytes: int, before: int | None) -> list[npt.NDArray[np.bool_]]:
    """Masks of the entries of each pack to keep: the most recently used, as many as fit, each key once."""
    entries = np.concatenate([np.zeros(0, ENTRY), *(pack.entries for pack in packs)])
    order = np.argsort(-entries["used"].astype(np.int64), kind="stable")
    ranked = entries[order]
    keys = np.ascontiguousarray(ranked.view(np.uint8).reshape(-1, ENTRY.itemsize)[:, :32]).view("S32").ravel()
    useful = np.zeros(len(ranked), np.bool_)
    alive = np.flatnonzero(ranked["length"])
    useful[alive[np.unique(keys[alive], return_index=True)[1]]] = True
    sizes = np.where(useful, ranked["length"].astype(np.int64) + RECORD_HEAD + ENTRY.itemsize, 0)
    fits = np.cumsum(sizes) <= max_bytes
    if before is not None:
        fits |= ranked["used"] >= before
    keep = np.zeros(len(entries), np.bool_)
    keep[order] = useful & fits
    return np.split(keep, np.cumsum([len(pack.entries) for pack in packs])[:-1]) if packs else []


def _rewrite(packs: list[tuple[Pack, npt.NDArray[np.bool_]]]) -> None:
    """Copy the kept entries into new packs, then remove the old ones."""
    writer: PackWriter | None = None
    try:
        for pack, keep in packs:
            if keep.any():
                if writer is None or writer.bytes >= PACK_BYTES:
                    _close(writer)
                    writer = PackWriter(pack.path.parent)
                _copy(pack, keep, writer)
            pack.index_path.unlink(missing_ok=True)
            pack.path.unlink(missing_ok=True)
    finally:
        _close(writer)


def _close(writer: PackWriter | None) -> None:
    if writer is not None:
        writer.close()


def _copy(pack: Pack, keep: npt.NDArray[np.bool_], writer: PackWriter) -> None:
    handle = os.open(pack.path, os.O_RDONLY)
    try:
        size = os.fstat(handle).st_size
        for entry in pack.entries[keep]:
            offset, length = int(entry["offset"]), int(entry["length"]) + RECORD_HEAD
            if offset + length <= size:
                key = int(entry["head"]).to_bytes(8, "little") + entry["rest"].tobytes()
                writer.append_record(key, os.pread(handle, length, offset), int(entry["used"]))
    finally:
        os.close(handle)


def _merge_small(directory: Path, small_bytes: int) -> None:
    small = [pack for pack in load_packs(directory) if pack.bytes < small_bytes and not in_use(pack.path)]
    if len(small) > MANY_SMALL_PACKS:
        _rewrite([(pack, pack.entries["length"] > 0) for pack in small])
