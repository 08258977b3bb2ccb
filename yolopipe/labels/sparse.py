"""Sparse labels, and the reference's dense label arrays: from boxes to either, and back (docs/formulas.md, "Labels").

Only :func:`preprocess_true_boxes` and ``inspect-labels`` build dense labels: at 80 classes they are 3.6 MB an image,
the sparse form some tens of bytes a box.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from yolopipe.arrays import Ints
from yolopipe.config.params import ANCHORS_PER_SCALE, STRIDES
from yolopipe.labels.assign import Assignment, Candidates, Places, assign
from yolopipe.labels.boxes import xyxy_to_xywh
from yolopipe.labels.scale_label import Labels, ScaleLabel

__all__ = ["DenseLabels", "decode_sparse", "encode_dense", "encode_sparse", "preprocess_true_boxes"]

Float32 = npt.NDArray[np.float32]


class DenseLabels(NamedTuple):
    """The six label arrays of an image, small stride first, float32.

    ``label_*bbox`` are (grid, grid, 3, 5 + classes): centre x, centre y, width, height in pixels of the network
    input, objectness, smoothed one-hot class.  ``*bboxes`` are (max_bbox_per_scale, 4) xywh pixels.
    """

    label_sbbox: Float32
    label_mbbox: Float32
    label_lbbox: Float32
    sbboxes: Float32
    mbboxes: Float32
    lbboxes: Float32


def encode_sparse(
    assignment: Assignment,
    row_of_box: npt.ArrayLike,
    num_rows: int,
    ignored: npt.ArrayLike | None = None,
) -> list[Labels]:
    """The sparse labels of many images from one assignment.

    Boxes to be ignored hold no cell.  They follow the other boxes of their image, in number and in the list of every
    scale, so that predictions on them are not penalised as background; they overwrite no box of the list.

    Args:
        assignment: of all their boxes.
        row_of_box: (M,) which image each box is of; non-decreasing.
        num_rows: number of images, those without boxes counted.
        ignored: (num_rows,) number of boxes to be ignored in each image; None for none.

    Returns:
        Per image, one :class:`ScaleLabel` per scale; box numbers count from the image's first box.  Boxes to be
        ignored for which a list of ``max_bbox_per_scale`` has no room are not in it.

    >>> found = assign([[60, 60, 120, 120]], [1], input_size=416, anchors=np.full((3, 3, 2), 4.0))
    >>> [len(label.cell) for label in encode_sparse(found, [1], 2)[1]]
    [0, 3, 0]
    >>> [label.slots.tolist() for label in encode_sparse(found, [1], 2, ignored=[0, 2])[1]]
    [[1, 2], [0, 1, 2], [1, 2]]
    """
    rows = np.asarray(row_of_box, np.int64).reshape(-1)
    first_box = np.searchsorted(rows, np.arange(num_rows + 1))
    scales = [_encode_scale(scale, rows, first_box) for scale in assignment.scales]
    if ignored is not None and np.any(ignored):
        scales = [_with_ignored(scale, first_box, np.asarray(ignored), assignment.places) for scale in scales]
    small, middle, large = scales
    return list(zip(small, middle, large, strict=True))


def _with_ignored(scale: list[ScaleLabel], first_box: Ints, ignored: Ints, places: Places) -> list[ScaleLabel]:
    """The labels of one scale with boxes to be ignored at the end of their lists."""
    result, boxes = list(scale), np.diff(first_box)
    for row in np.flatnonzero(ignored).tolist():
        more = np.arange(boxes[row], boxes[row] + ignored[row], dtype=np.uint16)
        slots = np.concatenate([scale[row].slots, more])[: places.list_length]
        result[row] = scale[row]._replace(slots=slots)
    return result


def _encode_scale(scale: Candidates, rows: Ints, first_box: Ints) -> list[ScaleLabel]:
    box, cell = scale.box[scale.wins], scale.cell[scale.wins]
    order = np.lexsort((cell, rows[box]))
    box, cell = box[order], cell[order]
    slot_box, slot = scale.slot_box[scale.slot_wins], scale.slot[scale.slot_wins]
    slot_box = slot_box[np.lexsort((slot, rows[slot_box]))]
    numbers = np.arange(len(first_box))
    cuts = np.searchsorted(rows[box], numbers)
    slot_cuts = np.searchsorted(rows[slot_box], numbers)
    cells = cell.astype(np.int32)
    local = (box - first_box[rows[box]]).astype(np.uint16)
    local_slot = (slot_box - first_box[rows[slot_box]]).astype(np.uint16)
    return [
        ScaleLabel(cells[a:b], local[a:b], local_slot[c:d])
        for a, b, c, d in zip(cuts[:-1], cuts[1:], slot_cuts[:-1], slot_cuts[1:], strict=True)
    ]


def encode_dense(
    label: ScaleLabel,
    boxes_xyxy: npt.ArrayLike,
    classes: npt.ArrayLike,
    *,
    grid: int,
    num_classes: int,
    max_bbox_per_scale: int = 150,
    label_smoothing: float = 0.01,
) -> tuple[Float32, Float32]:
    """One scale's sparse label as two dense arrays.

    Args:
        label: the sparse label.
        boxes_xyxy: (N, 4) pixels of the network input; those to be ignored follow the others.
        classes: (N,) class numbers.
        grid: cells per side.
        num_classes: length of the one-hot part.
        max_bbox_per_scale: length of the box list.
        label_smoothing: δ in ``onehot * (1 - δ) + δ / num_classes``.

    Returns:
        (grid, grid, 3, 5 + num_classes) and (max_bbox_per_scale, 4), float32.
    """
    boxes_xywh = xyxy_to_xywh(np.asarray(boxes_xyxy).reshape(-1, 4))
    onehot = np.eye(num_classes)[np.asarray(classes, np.int64).reshape(-1)[label.box]]
    uniform = np.full(num_classes, 1.0 / num_classes)
    dense = np.zeros((grid * grid * ANCHORS_PER_SCALE, 5 + num_classes), np.float32)
    dense[label.cell, :4] = boxes_xywh[label.box]
    dense[label.cell, 4] = 1.0
    dense[label.cell, 5:] = onehot * (1 - label_smoothing) + label_smoothing * uniform
    slots = np.zeros((max_bbox_per_scale, 4), np.float32)
    slots[: len(label.slots)] = boxes_xywh[label.slots]
    return dense.reshape(grid, grid, ANCHORS_PER_SCALE, -1), slots


class Decoded(NamedTuple):
    """The positives of a dense label, ordered by flat cell index."""

    cell: npt.NDArray[np.int32]
    boxes_xywh: Float32
    classes: Ints


def decode_sparse(dense: npt.ArrayLike) -> Decoded:
    """The positives of one dense label: the inverse of :func:`encode_dense`.

    Args:
        dense: (grid, grid, 3, 5 + num_classes).

    Returns:
        Flat cells, boxes (P, 4) xywh pixels, class numbers.

    >>> label = ScaleLabel(np.array([7], np.int32), np.array([0], np.uint16), np.array([0], np.uint16))
    >>> dense, _ = encode_dense(label, [[1, 2, 5, 8]], [2], grid=2, num_classes=3)
    >>> [part.tolist() for part in decode_sparse(dense)]
    [[7], [[3.0, 5.0, 4.0, 6.0]], [2]]
    """
    array = np.asarray(dense, np.float32)
    flat = array.reshape(-1, array.shape[-1])
    cell = np.flatnonzero(flat[:, 4] > 0)
    return Decoded(cell.astype(np.int32), flat[cell, :4], flat[cell, 5:].argmax(axis=-1))


def preprocess_true_boxes(
    bboxes: npt.ArrayLike,
    *,
    input_size: int,
    anchors: npt.ArrayLike,
    num_classes: int,
    strides: tuple[int, ...] = STRIDES,
    iou_threshold: float = 0.3,
    max_bbox_per_scale: int = 150,
    label_smoothing: float = 0.01,
    collisions: str = "notes",
) -> DenseLabels:
    """The six label arrays of one image, equal bit for bit to the reference's (docs/formulas.md, "Labels").

    Args:
        bboxes: (N, 5) x1 y1 x2 y2 class, pixels of the network input; N may be 0.  (N, 6) with a last column that is
            not 0 for boxes to be ignored, as :func:`yolopipe.parse_annotation` returns it: they hold no cell and
            stand at the end of the three box lists.
        input_size: side of the square network input in pixels.
        anchors: (3, 3, 2) width and height in units of the stride, small stride first.
        num_classes: classes of the one-hot part.
        strides: pixels per cell, small first.
        iou_threshold: an anchor is positive above this IoU; if none is, the best of all nine is.
        max_bbox_per_scale: length of a scale's box list; it wraps.
        label_smoothing: δ of the smoothed one-hot class.
        collisions: which box a place gets that several are candidates for; see :func:`yolopipe.assign`.

    Returns:
        ``label_sbbox, label_mbbox, label_lbbox, sbboxes, mbboxes, lbboxes``.

    Raises:
        ValueError: wrong shape, an unknown rule, a class out of range, or a box centre outside the input.

    >>> anchors = np.array([[[2, 2], [4, 8], [4, 3]], [[2, 4], [4, 3], [4, 7]], [[4, 3], [5, 6], [12, 10]]])
    >>> labels = preprocess_true_boxes([[60, 60, 120, 120, 1]], input_size=416, anchors=anchors, num_classes=2)
    >>> labels.label_mbbox.shape, np.argwhere(labels.label_mbbox[..., 4]).tolist()
    ((26, 26, 3, 7), [[5, 5, 0], [5, 5, 1], [5, 5, 2]])
    >>> print(labels.label_mbbox[5, 5, 0])
    [9.00e+01 9.00e+01 6.00e+01 6.00e+01 1.00e+00 5.00e-03 9.95e-01]
    """
    table = np.asarray(bboxes)
    table = table.reshape(0, 5) if table.size == 0 else table
    if table.ndim != 2 or table.shape[1] not in (5, 6):
        raise ValueError(f"bboxes must be (N, 5): x1 y1 x2 y2 class; got shape {np.shape(bboxes)}")
    ignore = table[:, 5:].any(axis=1)
    boxes, classes = table[~ignore, :4], _checked_classes(table[~ignore, 4], num_classes)
    found = assign(
        boxes,
        np.zeros(len(boxes), np.int64),
        input_size=input_size,
        anchors=anchors,
        strides=strides,
        iou_threshold=iou_threshold,
        max_bbox_per_scale=max_bbox_per_scale,
        collisions=collisions,
    )
    (labels,) = encode_sparse(found, np.zeros(len(boxes), np.int64), 1, [ignore.sum()])
    every = np.concatenate([boxes, table[ignore, :4]])
    dense = [
        encode_dense(
            label,
            every,
            classes,
            grid=input_size // stride,
            num_classes=num_classes,
            max_bbox_per_scale=max_bbox_per_scale,
            label_smoothing=label_smoothing,
        )
        for label, stride in zip(labels, strides, strict=True)
    ]
    return DenseLabels(*(array for array, _ in dense), *(slots for _, slots in dense))


def _checked_classes(column: npt.NDArray[Any], num_classes: int) -> Ints:
    classes = column.astype(np.int64)
    wrong = np.flatnonzero((classes != column) | (classes < 0) | (classes >= num_classes))
    if len(wrong):
        raise ValueError(
            f"box {wrong[0]} has class {column[wrong[0]]:g}; expected a whole number from 0 to {num_classes - 1}"
        )
    return classes
