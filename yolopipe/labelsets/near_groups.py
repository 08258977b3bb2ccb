"""Pairs of equal or nearly equal pictures in different splits: what the checks ``leak`` and ``leak-near`` find."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from yolopipe import console
from yolopipe.arrays import Ints
from yolopipe.inspection.checks.fingerprints import fingerprint_images
from yolopipe.inspection.checks.near_duplicates import Prints, find_near_duplicates
from yolopipe.workers.pool import Workers

__all__ = ["NearPairs", "near_duplicate_pairs"]


class NearPairs(NamedTuple):
    """A search over the fingerprints of M images.

    Args:
        across: from the split of each image, (M,), to pairs of equal or nearly equal images in
            different splits.
        rows: lines for the summary: pictures that could not be compared.
    """

    across: Callable[[Ints], tuple[Ints, Ints]]
    rows: dict[str, object]


def near_duplicate_pairs(image_paths: Sequence[str], *, workers: Workers = 1) -> NearPairs:
    """Read all pictures once and prepare the search.

    Args:
        image_paths: as in the annotation text.
        workers: processes; changes nothing but the time.
    """
    with console.progress("fingerprints", len(image_paths), unit="images") as advance:
        found = fingerprint_images(image_paths, Path(), workers=workers, advance=advance)
    readable = np.ones(len(image_paths), bool)
    readable[[number for number, *_ in found.unreadable]] = False
    rows: dict[str, object] = {}
    if found.unreadable:
        _, rule, message = found.unreadable[0]
        rows["not compared"] = f"{len(found.unreadable):,} pictures that cannot be read, first {rule}: {message}"
    flat = int((readable & ~found.usable).sum())
    if flat:
        rows["compared byte by byte only"] = f"{flat:,} pictures of one colour"

    def across(split: Ints) -> tuple[Ints, Ints]:
        order = np.argsort(split, kind="stable")
        digest, across_hash, down, thumb = found.prints
        prints = Prints(digest[order], across_hash[order], down[order], thumb[order])
        near = find_near_duplicates(prints, split[order], found.usable[order]).other
        later = np.flatnonzero(near >= 0)
        one, two = order[near[later]], order[later]
        equal = _equal_across(found.prints.digest, split, readable)
        return np.concatenate([one, equal[0]]), np.concatenate([two, equal[1]])

    return NearPairs(across, rows)


def _equal_across(digest: npt.NDArray[np.uint64], split: Ints, readable: npt.NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Each image with the first of equal bytes, where that one lies in another split."""
    rows = np.flatnonzero(readable)
    _, first, which = np.unique(digest[rows], return_index=True, return_inverse=True)
    firsts = rows[first[which.reshape(-1)]]
    apart = split[firsts] != split[rows]
    return firsts[apart], rows[apart]
