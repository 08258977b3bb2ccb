"""Which boxes to compare with which: pairs of the same class, or image, as index arrays; no loop over boxes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["equal_pairs", "expand_ranges", "pair_iou", "pair_share"]

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
    shared = _shared(first_xyxy, second_xyxy, extra_px)
    return _ratio(shared, _area(first_xyxy, extra_px) + _area(second_xyxy, extra_px) - shared)


def pair_share(first_xyxy: Floats, second_xyxy: Floats) -> Floats:
    """Share of the first box that lies inside the second, for each pair.

    Args:
        first_xyxy: (P, 4).
        second_xyxy: (P, 4).

    Returns:
        (P,) values in [0, 1]; 0, not NaN, where the first box has no area.

    >>> pair_share(np.array([[0.0, 0, 10, 10]]), np.array([[5.0, 0, 100, 100]])).tolist()
    [0.5]
    """
    return _ratio(_shared(first_xyxy, second_xyxy, 0.0), _area(first_xyxy, 0.0))


def _area(boxes_xyxy: Floats, extra_px: float) -> Floats:
    return np.asarray((boxes_xyxy[:, 2:] - boxes_xyxy[:, :2] + extra_px).prod(axis=1))


def _shared(first_xyxy: Floats, second_xyxy: Floats, extra_px: float) -> Floats:
    left_up = np.maximum(first_xyxy[:, :2], second_xyxy[:, :2])
    right_down = np.minimum(first_xyxy[:, 2:], second_xyxy[:, 2:])
    return np.asarray(np.maximum(right_down - left_up + extra_px, 0.0).prod(axis=1))


def _ratio(part: Floats, whole: Floats) -> Floats:
    ratio: Floats = np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)
    return ratio
