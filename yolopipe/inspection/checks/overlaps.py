"""Overlapping boxes of the same image, in NumPy over many images at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from yolopipe.arrays import AnyFloats, Ints
from yolopipe.labels.boxes import bbox_iou, xyxy_to_xywh

__all__ = ["Overlaps", "overlaps"]


PAIRS_AT_ONCE = 2**18
"""Pairs compared in one call: some 40 MB, however many boxes an image has."""


class Overlaps(NamedTuple):
    """Boxes that overlap an earlier box of their image.

    Args:
        box: (K,) index of the later box, ascending, each once.
        first: (K,) the earlier box that it overlaps most; of equal ones the first.
        iou: (K,) of the two.
    """

    box: Ints
    first: Ints
    iou: AnyFloats


def overlaps(
    boxes_xyxy: npt.ArrayLike, classes: npt.ArrayLike, row_of_box: npt.ArrayLike, *, above: float, same_class: bool
) -> Overlaps:
    """Find the boxes that overlap an earlier box of the same image.

    Args:
        boxes_xyxy: (M, 4), any unit; flips, crops and scaling change no IoU.
        classes: (M,) class numbers.
        row_of_box: (M,) image of each box; non-decreasing.
        above: the IoU that two boxes must exceed.
        same_class: look at pairs of one class, or at pairs of two.

    Returns:
        Every box that has such an earlier box.

    >>> boxes = [[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 10]]
    >>> overlaps(boxes, [1, 1, 2], [0, 0, 0], above=0.7, same_class=True).box.tolist()
    [1]
    >>> overlaps(boxes, [1, 1, 2], [0, 0, 0], above=0.7, same_class=False).first.tolist()
    [0]
    """
    boxes_xywh = xyxy_to_xywh(np.asarray(boxes_xyxy, np.float64).reshape(-1, 4))
    labels = np.asarray(classes).reshape(-1)
    found = [np.zeros((0, 2), np.int64)]
    ious: list[AnyFloats] = [np.zeros(0)]
    for first, later in _pairs(np.asarray(row_of_box, np.int64).reshape(-1)):
        kind = (labels[first] == labels[later]) == same_class
        first, later = first[kind], later[kind]
        iou = bbox_iou(boxes_xywh[first], boxes_xywh[later])
        on = iou > above
        found.append(np.stack([first[on], later[on]], axis=1))
        ious.append(iou[on])
    return _best_of_each(np.concatenate(found), np.concatenate(ious))


def _pairs(row_of_box: Ints) -> Iterator[tuple[Ints, Ints]]:
    """All pairs (earlier, later) of boxes of one image, some at a time."""
    numbers = np.arange(len(row_of_box))
    followers = np.searchsorted(row_of_box, row_of_box, side="right") - numbers - 1
    start = 0
    ends = np.cumsum(followers)
    while start < len(numbers):
        done = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + PAIRS_AT_ONCE, side="right")))
        some = followers[start:stop]
        first = np.repeat(numbers[start:stop], some)
        nth = np.arange(len(first)) - np.repeat(np.cumsum(some) - some, some)
        yield first, first + 1 + nth
        start = stop


def _best_of_each(pairs: Ints, ious: AnyFloats) -> Overlaps:
    order = np.lexsort((pairs[:, 0], -ious, pairs[:, 1]))
    pairs, ious = pairs[order], ious[order]
    leads = np.flatnonzero(np.diff(pairs[:, 1], prepend=-1))
    return Overlaps(pairs[leads, 1], pairs[leads, 0], ious[leads])
