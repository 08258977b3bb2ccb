"""Near duplicates among many images, found without comparing every pair.

Each image has two 64-bit difference hashes: whether each of 8 x 8 areas is brighter than its neighbour to the left,
and above.  Hashes at most 7 bits apart have one of their eight bytes in common, so only images that share a byte are
compared.  Pairs with near hashes are then compared by the correlation of 16 x 16 thumbnails: dark scenes with a few
bright spots have nearly equal hashes, but different thumbnails.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from yolopipe.arrays import Ints
from yolopipe.inspection.checks.rules import MOST_BITS_ACROSS, MOST_BITS_DOWN, THUMBNAIL_CORRELATION

__all__ = ["NearDuplicates", "Prints", "empty_prints", "find_near_duplicates"]

Bits = npt.NDArray[np.uint64]

FEW = 4096
"""Up to here every pair is compared: cheaper than sorting."""

ROWS, COLUMNS = 128, 1024
"""Hashes compared in one call, so that they stay in the processor's cache."""

MOST_COMPARISONS = 6_000_000_000
"""Upper bound of hash comparisons, so that a set of many similar images takes seconds, not hours."""

CANDIDATE_COST = 16
"""Cost of a pair with near first hashes, in comparisons."""

MOST_LOOKS = 3_000_000
"""Upper bound of thumbnail comparisons."""

LOOKS_AT_ONCE = 4096


class Prints(NamedTuple):
    """Fingerprints of N images.

    Args:
        digest: (N,) uint64 of the file's bytes.
        across: (N,) uint64, difference hash from left to right.
        down: (N,) uint64, from top to bottom.
        thumb: (N, 256) uint8, 16 x 16 grey.
    """

    digest: Bits
    across: Bits
    down: Bits
    thumb: npt.NDArray[np.uint8]


def empty_prints(count: int) -> Prints:
    """Zeros for ``count`` images, to be filled in."""
    digest, across, down = (np.zeros(count, np.uint64) for _ in range(3))
    return Prints(digest, across, down, np.zeros((count, 256), np.uint8))


@dataclass
class NearDuplicates:
    """For each image an earlier near duplicate; -1 where there is none.

    Args:
        same: (N,) among those of the same group.
        other: (N,) among those of earlier groups.
        skipped: pairs that were not compared because there were too many.
    """

    same: Ints
    other: Ints
    skipped: int = 0


def find_near_duplicates(
    prints: Prints, group: npt.NDArray[np.integer[Any]], wanted: npt.NDArray[np.bool_]
) -> NearDuplicates:
    """Find images that nearly, but not byte by byte, equal an earlier one.

    Args:
        prints: of N images.
        group: (N,) the split of each, as a number; non-decreasing.
        wanted: (N,) False excludes an image: unread, or of one uniform colour.

    Returns:
        The earlier partner of each image, in its group and in earlier groups.
    """
    search = _Search(prints, group)
    members = np.flatnonzero(wanted)
    if len(members) <= FEW:
        search.compare(members, members, band=-1)
    else:
        for band, bucket in _buckets(prints.across, members):
            search.compare(bucket, bucket, band=band)
    return search.found


def _buckets(across: Bits, members: Ints) -> Iterator[tuple[int, Ints]]:
    """Images whose hashes share a byte, for each byte; small buckets first: the bounds cut only large ones."""
    buckets: list[tuple[int, Ints]] = []
    for band in range(8):
        values = _byte(across[members], band)
        order = np.argsort(values, kind="stable")
        cuts = np.flatnonzero(np.diff(values[order])) + 1
        buckets += [(band, bucket) for bucket in np.split(members[order], cuts) if len(bucket) > 1]
    yield from sorted(buckets, key=lambda item: len(item[1]))


def _byte(hashes: Bits, band: int) -> Bits:
    return hashes >> np.uint64(8 * band) & np.uint64(255)


class _Search:
    """Comparisons so far, and what they found."""

    def __init__(self, prints: Prints, group: npt.NDArray[np.integer[Any]]) -> None:
        self.prints, self.group = prints, np.asarray(group)
        none = np.full(len(self.group), -1, np.int64)
        self.found = NearDuplicates(none, none.copy())
        self._comparisons = self._looks = 0
        self._mean = prints.thumb.mean(axis=1, dtype=np.float32)
        power = np.einsum("nk,nk->n", prints.thumb, prints.thumb, dtype=np.float32)
        self._norm = np.sqrt(np.maximum(power - 256 * self._mean**2, 1e-3))

    def compare(self, earlier: Ints, later: Ints, *, band: int) -> None:
        """Compare the members of a bucket with those after them, except images that have a partner already."""
        for start in range(0, len(earlier), ROWS):
            block = earlier[start : start + ROWS]
            open_ = later[(later > block[0]) & self._open(later, block)]
            if self._comparisons + len(block) * len(open_) > MOST_COMPARISONS:
                self.found.skipped += len(block) * len(open_)
                continue
            self._comparisons += len(block) * len(open_)
            for at in range(0, len(open_), COLUMNS):
                self._settle(*self._near(block, open_[at : at + COLUMNS], band))

    def _open(self, later: Ints, block: Ints) -> npt.NDArray[np.bool_]:
        """Images that could still get a partner from this block."""
        lacks_same = (self.found.same[later] < 0) & np.isin(self.group[later], self.group[block])
        lacks_other = (self.found.other[later] < 0) & (self.group[later] > self.group[block].min())
        return np.asarray(lacks_same | lacks_other)

    def _near(self, block: Ints, later: Ints, band: int) -> tuple[Ints, Ints]:
        across, down = self.prints.across, self.prints.down
        apart = np.bitwise_count(across[block][:, np.newaxis] ^ across[later])
        near = np.flatnonzero(apart <= MOST_BITS_ACROSS)
        self._comparisons += CANDIDATE_COST * len(near)
        a, b = block[near // len(later)], later[near % len(later)]
        keep = (a < b) & (np.bitwise_count(down[a] ^ down[b]) <= MOST_BITS_DOWN)
        keep &= self.prints.digest[a] != self.prints.digest[b]
        for earlier_band in range(max(0, band)):  # such a pair was met there
            keep[keep] &= _byte(across[a[keep]] ^ across[b[keep]], earlier_band) != 0
        return a[keep], b[keep]

    def _settle(self, a: Ints, b: Ints) -> None:
        for start in range(0, len(a), LOOKS_AT_ONCE):
            one, two = a[start : start + LOOKS_AT_ONCE], b[start : start + LOOKS_AT_ONCE]
            same = self.group[one] == self.group[two]
            free = np.where(same, self.found.same[two], self.found.other[two]) < 0  # others have a partner by now
            room = MOST_LOOKS - self._looks
            self.found.skipped += max(0, int(free.sum()) - room)
            one, two, same = one[free][:room], two[free][:room], same[free][:room]
            self._looks += len(one)
            alike = self._correlation(one, two) > THUMBNAIL_CORRELATION
            for partner, kind in ((self.found.same, alike & same), (self.found.other, alike & ~same)):
                partner[two[kind][::-1]] = one[kind][::-1]  # written last, the earliest stays

    def _correlation(self, a: Ints, b: Ints) -> npt.NDArray[np.float32]:
        thumb, mean, norm = self.prints.thumb, self._mean, self._norm
        dot = np.einsum("nk,nk->n", thumb[a].astype(np.float32), thumb[b].astype(np.float32))
        return np.asarray((dot - 256 * mean[a] * mean[b]) / (norm[a] * norm[b]), np.float32)
