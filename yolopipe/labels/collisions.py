"""Collision rules: which box a cell and anchor gets that several boxes of an image are candidates for.

``notes``: the later box, the reference's rule (docs/formulas.md, "Labels").  ``keep-best-iou``: the box with the
highest IoU, of equal ones the later.  ``next-anchor``: as that, and a box left without a place takes the best free
one of its nine.  Only contested places are looked at, a few percent of all.
"""

from __future__ import annotations

from typing import get_args

import numpy as np

from yolopipe.arrays import AnyFloats, Ints, Mask
from yolopipe.config.params import CollisionRule

__all__ = ["COLLISION_RULES", "best_of_key", "first_come_pairs", "last_of_key", "near"]

COLLISION_RULES: tuple[CollisionRule, ...] = get_args(CollisionRule)

_TABLE = 2**18
_HASH = _TABLE - 1


def last_of_key(keys: Ints) -> Mask:
    """Which entries are the last of their key: the later box overwrites the earlier (``notes``).

    Each entry writes its number into a small table at its key's hash, later over earlier.  An entry that finds its
    own number there is the last of its key, one that finds another of the same key is not; the few that find an entry
    of another key are sorted.

    >>> last_of_key(np.array([7, 9, 7])).tolist()
    [False, True, True]
    """
    numbers, hashes = np.arange(len(keys)), keys & _HASH
    table = np.empty(_TABLE, np.int64)
    table[hashes] = numbers
    found = table[hashes]
    last: Mask = np.equal(found, numbers)
    unclear = np.flatnonzero(keys[found] != keys)
    _, first_in_reverse = np.unique(keys[unclear][::-1], return_index=True)
    last[unclear[len(unclear) - 1 - first_in_reverse]] = True
    return last


def best_of_key(keys: Ints, scores: AnyFloats, last: Mask) -> Mask:
    """Which entries have the highest score of their key, of equal ones the last (``keep-best-iou``).

    Args:
        keys: (K,) any order.
        scores: (K,).
        last: (K,) what :func:`last_of_key` says of these keys; where a key occurs once, that is the answer.

    >>> keys = np.array([7, 9, 7, 8, 8])
    >>> best_of_key(keys, np.array([0.6, 0.1, 0.5, 0.2, 0.2]), last_of_key(keys)).tolist()
    [True, True, False, False, True]
    """
    contested = np.flatnonzero(near(keys, keys[~last]))
    best = last.copy()
    if len(contested):
        ranked = contested[np.lexsort((contested, scores[contested], keys[contested]))]
        best[ranked] = np.diff(keys[ranked], append=-1) != 0  # the end of each run of equal keys
    return best


def near(keys: Ints, wanted: Ints) -> Mask:
    """Which keys may be among ``wanted``: all that are, and few others; without sorting, unlike ``np.isin``.

    >>> near(np.array([7, 9, 7]), np.array([7])).tolist()
    [True, False, True]
    """
    table = np.zeros(_TABLE, bool)
    table[wanted & _HASH] = True
    return np.asarray(table[keys & _HASH])


def first_come_pairs(takers: Ints, places: Ints, scores: AnyFloats) -> Ints:
    """Give each taker at most one place and each place at most one taker, the highest score first (``next-anchor``).

    Of equal scores the later taker is served first, and each the place that comes first: the outcome does not depend
    on the order of the pairs.  Every round settles all pairs that come first for both their taker and their place.

    Args:
        takers: (K,) box numbers.
        places: (K,) places that are free, any numbering in which a smaller number is preferred of equal scores.
        scores: (K,).

    Returns:
        Indices of the pairs that were chosen, ascending.

    >>> first_come_pairs(np.array([0, 0, 1, 1]), np.array([5, 6, 5, 6]), np.array([0.9, 0.3, 0.8, 0.1])).tolist()
    [0, 3]
    """
    waiting = np.lexsort((places, -takers, -scores))
    chosen = [np.zeros(0, np.int64)]
    while len(waiting):
        of_taker = np.unique(takers[waiting], return_index=True)[1]
        of_place = np.unique(places[waiting], return_index=True)[1]
        settled = waiting[np.intersect1d(of_taker, of_place, assume_unique=True)]
        chosen.append(settled)
        over = np.isin(takers[waiting], takers[settled]) | np.isin(places[waiting], places[settled])
        waiting = waiting[~over]
    return np.sort(np.concatenate(chosen))
