"""Groups dealt to splits such that every class comes near its share in each: greedy, then improved move by move."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from yolopipe.arrays import Floats, Ints

__all__ = ["deal_groups", "group_counts", "joined_groups"]


MOST_PASSES = 8
"""Rounds of single moves after the greedy one; most sets stand still after three."""


def deal_groups(counts: Floats, shares: Sequence[float], keys: npt.NDArray[np.uint64]) -> Ints:
    """Choose a split for each group.

    The cost is the sum, over splits and columns, of the squared difference between the part of the column's total
    that the split holds and the split's share.  Large groups and groups of rare columns choose first.

    Args:
        counts: (G, F) what each group holds: images, boxes of each class, ...; a column of zeros counts nothing.
        shares: (S,) part of the whole that each split is to hold; positive, sum 1.
        keys: (G,) decide between groups that count the same, e.g. hashes of a seed and the group's name.

    Returns:
        (G,) int64 split of each group; the same for any order of the groups.

    >>> counts = np.array([[4.0, 1], [4, 1], [1, 0], [1, 0]])
    >>> deal_groups(counts, [0.8, 0.2], np.arange(4, dtype=np.uint64)).tolist()
    [0, 0, 1, 1]
    """
    share = np.asarray(shares, np.float64)
    total = counts.sum(axis=0)
    part = np.divide(counts, total, out=np.zeros_like(counts, dtype=np.float64), where=total > 0)
    order = np.lexsort([keys, -part.max(axis=1, initial=0.0)])
    excess = np.repeat(-share[:, np.newaxis], counts.shape[1], axis=1)  # (S, F)
    chosen = np.full(len(counts), -1, np.int64)
    for group in order.tolist():
        chosen[group] = int(np.argmin(excess @ part[group]))
        excess[chosen[group]] += part[group]
    weight = (part**2).sum(axis=1)
    for _ in range(MOST_PASSES):
        moved = False
        for group in order.tolist():
            own = chosen[group]
            slope = excess @ part[group]
            best = int(np.argmin(slope))
            # Moving changes the cost by 2 (slope[best] - slope[own]) + 2 weight; rounding must not move for ever.
            if slope[best] + weight[group] < slope[own] - 1e-12:
                excess[own] -= part[group]
                excess[best] += part[group]
                chosen[group], moved = best, True
        if not moved:
            break
    return chosen


def group_counts(group: Ints, columns: Sequence[tuple[Ints, Ints]], count: int) -> Floats:
    """What each group holds, for :func:`deal_groups`.

    Args:
        group: (M,) group of each image, 0 to G-1.
        columns: (image, column) index pairs, each counted once.
        count: number of columns.

    Returns:
        (G, F) float64.

    >>> group_counts(np.array([0, 0, 1]), [(np.array([0, 1, 2]), np.array([0, 0, 1]))], 2).tolist()
    [[2.0, 0.0], [0.0, 1.0]]
    """
    groups = int(group.max(initial=-1)) + 1
    flat = np.concatenate([group[image] * count + column for image, column in columns])
    return np.bincount(flat, minlength=groups * count).reshape(groups, count).astype(np.float64)


def joined_groups(group: Ints, first: Ints, second: Ints) -> Ints:
    """Groups after pairs of images have been put into one group.

    Args:
        group: (M,) group of each image, any numbers.
        first: (P,) images.
        second: (P,) the images that must lie in the same group.

    Returns:
        (M,) groups numbered 0 to G-1 in the order of their first image.

    >>> joined_groups(np.array([5, 5, 6, 7]), np.array([1]), np.array([3])).tolist()
    [0, 0, 1, 0]
    """
    names, compact = np.unique(group, return_inverse=True)
    parent = np.arange(len(names))

    def root(of: int) -> int:
        while parent[of] != of:
            parent[of] = parent[parent[of]]
            of = int(parent[of])
        return of

    for one, two in zip(compact[first].tolist(), compact[second].tolist(), strict=True):
        a, b = root(one), root(two)
        parent[max(a, b)] = min(a, b)
    roots = np.array([root(number) for number in range(len(names))], np.int64)[compact]
    _, start, which = np.unique(roots, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(start))
    return np.asarray(rank[which], np.int64)
