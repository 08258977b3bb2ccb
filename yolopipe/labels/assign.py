"""Assigning boxes to cells and anchors, for any number of images in one vectorised call (notes 1.1).

The notes walk box by box; here the same comparisons are made for all boxes at once, in the same order of
floating-point operations, so that the outcome is equal bit for bit.  What the notes' rule loses is returned, not
hidden: boxes overwritten by a later one, boxes forced onto their best anchor, boxes past the end of the list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from yolopipe.config import STRIDES
from yolopipe.labels.boxes import xyxy_to_xywh

__all__ = ["Assignment", "Candidates", "assign"]

ANCHORS_PER_SCALE = 3

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Candidates:
    """Every (box, cell, anchor) of one scale that the rule calls positive, in the order the notes write them.

    Args:
        box: (K,) index into the boxes given to :func:`assign`.
        cell: (K,) flat index ``(y * grid + x) * 3 + anchor``.
        iou: (K,) IoU of box and anchor.
        forced: (K,) bool; no anchor of any scale passed the threshold, this is the best of all nine.
        wins: (K,) bool; no later box of the same image took the same cell and anchor.
        slot_box: (L,) the boxes of this scale's list, in order of arrival.
        slot: (L,) their slot; it wraps at ``max_bbox_per_scale``.
        slot_wins: (L,) bool; not overwritten by a box that came a lap later.
    """

    box: Ints
    cell: Ints
    iou: Floats
    forced: Mask
    wins: Mask
    slot_box: Ints
    slot: Ints
    slot_wins: Mask


@dataclass(frozen=True)
class Assignment:
    """What :func:`assign` found.

    Args:
        scales: :class:`Candidates` per stride, small stride first.
        positives: (M,) how many cell-and-anchor places each box won.
        wanted: (M,) how many it was a candidate for; ``positives < wanted`` means overwritten.
        forced: (M,) bool.
    """

    scales: tuple[Candidates, ...]
    positives: Ints
    wanted: Ints
    forced: Mask

    def counts(self) -> dict[str, int]:
        """What the rule did to the boxes, in numbers.

        Returns:
            ``overwritten`` boxes with no place left, ``partly_overwritten`` boxes that lost some, ``forced`` boxes,
            ``past_list_end`` boxes pushed out of a scale's list.
        """
        lost = self.positives == 0
        return {
            "overwritten": int(lost.sum()),
            "partly_overwritten": int(((self.positives < self.wanted) & ~lost).sum()),
            "forced": int(self.forced.sum()),
            "past_list_end": int(sum((~scale.slot_wins).sum() for scale in self.scales)),
        }


def assign(
    boxes_xyxy: npt.ArrayLike,
    row_of_box: npt.ArrayLike,
    *,
    input_size: int,
    anchors: npt.ArrayLike,
    strides: tuple[int, ...] = STRIDES,
    iou_threshold: float = 0.3,
    max_bbox_per_scale: int = 150,
) -> Assignment:
    """Assign all boxes of many images at once.

    Args:
        boxes_xyxy: (M, 4) pixels of the network input; the order within an image is the notes' order of writing.
        row_of_box: (M,) which image each box is of; non-decreasing.
        input_size: side of the square network input in pixels.
        anchors: (scales, 3, 2) width and height in units of the stride.
        strides: pixels per cell.
        iou_threshold: an anchor is positive above this.
        max_bbox_per_scale: length of a scale's box list; box number n goes to slot ``n % length``.

    Returns:
        The assignment; about 10 us an image.

    Raises:
        ValueError: when a box centre is outside the input (a centre on the right or bottom edge belongs to the
            last cell; the notes raise an IndexError there, and wrap to the far side for a negative one).

    >>> anchors = np.array([[[2, 2], [4, 8], [4, 3]], [[2, 4], [4, 3], [4, 7]], [[4, 3], [5, 6], [12, 10]]])
    >>> found = assign([[60, 60, 120, 120]], [0], input_size=416, anchors=anchors)
    >>> [scale.cell.tolist() for scale in found.scales], found.counts()["overwritten"]
    ([[1750], [405, 406, 407], []], 0)
    """
    boxes = np.asarray(boxes_xyxy).reshape(-1, 4)
    rows = np.asarray(row_of_box, np.int64).reshape(-1)
    anchors_wh = np.asarray(anchors, np.float64)
    boxes_xywh = xyxy_to_xywh(boxes)
    _check_centres(boxes_xywh, input_size)

    cells_xy, ious = _match_anchors(boxes_xywh, anchors_wh, strides, input_size)
    passed = ious > iou_threshold  # (M, scales, 3)
    forced: Mask = np.logical_not(passed.any(axis=(1, 2)))
    flat = (len(boxes), len(strides) * ANCHORS_PER_SCALE)
    best = ious.reshape(flat).argmax(axis=1)
    passed.reshape(flat)[np.flatnonzero(forced), best[forced]] = True  # a view: writes into passed

    scales = tuple(
        _candidates(rows, cells_xy[:, i], ious[:, i], passed[:, i], forced, input_size // stride, max_bbox_per_scale)
        for i, stride in enumerate(strides)
    )
    positives = sum(
        (np.bincount(s.box[s.wins], minlength=len(boxes)) for s in scales), np.zeros(len(boxes), np.int64)
    )
    return Assignment(scales, positives, passed.sum(axis=(1, 2)), forced)


def _check_centres(boxes_xywh: Floats, input_size: int) -> None:
    centres = boxes_xywh[:, :2]
    wrong = np.flatnonzero(~((centres >= 0) & (centres <= input_size)).all(axis=1))
    if len(wrong):
        x, y = centres[wrong[0]].tolist()
        raise ValueError(
            f"box {wrong[0]} has its centre at ({x:g}, {y:g}), outside the {input_size} px network input; "
            f"{len(wrong)} such boxes"
        )


def _match_anchors(
    boxes_xywh: Floats, anchors_wh: Floats, strides: tuple[int, ...], input_size: int
) -> tuple[Ints, Floats]:
    """Cells (M, scales, 2) x y, and IoU (M, scales, 3) of each box with the anchors centred on its cell.

    The same operations in the same order as :func:`yolopipe.labels.boxes.bbox_iou`, on one coordinate at a time:
    (M, 3) arrays that stay in the cache are five times faster than (M, scales, 3, 4) ones.
    """
    cells_xy = np.empty((len(boxes_xywh), len(strides), 2), np.int64)
    ious = np.empty((len(boxes_xywh), len(strides), ANCHORS_PER_SCALE))
    for i, stride in enumerate(strides):
        scaled = 1.0 * boxes_xywh / np.int64(stride)
        overlap: Floats = np.ones((len(boxes_xywh), ANCHORS_PER_SCALE))
        for axis in (0, 1):
            centre, side = scaled[:, axis, np.newaxis], scaled[:, axis + 2, np.newaxis]
            cell = np.minimum(np.floor(centre).astype(np.int64), input_size // stride - 1)
            half, anchor_half = side * 0.5, anchors_wh[i, :, axis] * 0.5
            high = np.minimum(centre + half, cell + 0.5 + anchor_half)
            low = np.maximum(centre - half, cell + 0.5 - anchor_half)
            overlap *= np.maximum(high - low, 0.0)
            cells_xy[:, i, axis] = cell[:, 0]
        areas = (scaled[:, 2] * scaled[:, 3])[:, np.newaxis] + anchors_wh[i, :, 0] * anchors_wh[i, :, 1]
        ious[:, i] = overlap / (areas - overlap)
    return cells_xy, ious


def _candidates(
    rows: Ints,
    cells_xy: Ints,
    ious: Floats,
    positive: Mask,
    forced: Mask,
    grid: int,
    list_length: int,
) -> Candidates:
    box, anchor = np.nonzero(positive)  # row-major: the order of boxes, as the notes write
    cell = (cells_xy[box, 1] * grid + cells_xy[box, 0]) * ANCHORS_PER_SCALE + anchor
    listed = np.flatnonzero(positive.any(axis=1))
    arrival = _count_within(rows[listed])
    slot = arrival % list_length
    return Candidates(
        box=box,
        cell=cell,
        iou=ious[box, anchor],
        forced=forced[box],
        wins=_is_last(rows[box] * (grid * grid * ANCHORS_PER_SCALE) + cell),
        slot_box=listed,
        slot=slot,
        slot_wins=_is_last(rows[listed] * list_length + slot),
    )


def _count_within(rows: Ints) -> Ints:
    """0, 1, 2, ... restarting at each new row.

    >>> _count_within(np.array([3, 3, 5, 5, 5])).tolist()
    [0, 1, 0, 1, 2]
    """
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    lengths = np.diff(starts, append=len(rows))
    return np.arange(len(rows)) - np.repeat(starts, lengths)


def _is_last(keys: Ints) -> Mask:
    """Which entries are the last of their key: the later box overwrites the earlier.

    >>> _is_last(np.array([7, 9, 7])).tolist()
    [False, True, True]
    """
    _, first_in_reverse = np.unique(keys[::-1], return_index=True)
    last = np.zeros(len(keys), bool)
    last[len(keys) - 1 - first_in_reverse] = True
    return last
