"""Which boxes to compare with which: pairs of the same class, or image, as index arrays; no loop over boxes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["equal_pairs", "expand_ranges", "pair_iou"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def expand_ranges(start: npt.NDArray[np.integer[Any]], stop: npt.NDArray[np.integer[Any]]) -> tuple[Ints, Ints]:
    """All pairs (i, j) with ``start[i] <= j < stop[i]``.

    Args:
        start: (N,).
        stop: (N,), none below its ``start``.

    Returns:
        i, rising, and j, rising for each i.

    >>> [part.tolist() for part in expand_ranges(np.array([5, 0, 1]), np.array([5, 2, 2]))]
    [[1, 1, 2], [0, 1, 1]]
    """
    count = stop - start
    first = np.repeat(np.arange(len(count)), count)
    run_start = np.repeat(np.cumsum(count) - count - start, count)
    return first, np.arange(len(first)) - run_start


def equal_pairs(first: Ints, second: Ints) -> tuple[Ints, Ints]:
    """All pairs (i, j) with ``first[i] == second[j]``.

    Args:
        first: (N,) integers.
        second: (M,) integers.

    Returns:
        i, rising, and j, rising for each i.

    >>> [part.tolist() for part in equal_pairs(np.array([7, 8, 7]), np.array([9, 7, 7]))]
    [[0, 0, 2, 2], [1, 2, 1, 2]]
    """
    order = np.argsort(second, kind="stable")
    start, stop = (np.searchsorted(second[order], first, side=side) for side in ("left", "right"))
    i, position = expand_ranges(start, stop)
    return i, order[position]


def pair_iou(first_xyxy: Floats, second_xyxy: Floats, *, extra_px: float = 0.0) -> Floats:
    """Intersection over union of each pair of boxes.

    Args:
        first_xyxy: (P, 4).
        second_xyxy: (P, 4).
        extra_px: added to every width and height: 1 where corners are pixels that belong to the box (the VOC devkit).

    Returns:
        (P,) values in [0, 1]; 0, not NaN, where both boxes have no area.

    >>> pair_iou(np.array([[0.0, 0, 10, 10]]), np.array([[5.0, 0, 15, 10]])).round(4).tolist()
    [0.3333]
    """
    first_wh, second_wh = (boxes[:, 2:] - boxes[:, :2] + extra_px for boxes in (first_xyxy, second_xyxy))
    left_up = np.maximum(first_xyxy[:, :2], second_xyxy[:, :2])
    right_down = np.minimum(first_xyxy[:, 2:], second_xyxy[:, 2:])
    shared = np.maximum(right_down - left_up + extra_px, 0.0).prod(axis=1)
    union = first_wh.prod(axis=1) + second_wh.prod(axis=1) - shared
    iou: Floats = np.divide(shared, union, out=np.zeros(len(union)), where=union > 0)
    return iou
