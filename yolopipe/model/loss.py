"""The YOLOv3 loss, computed from sparse targets (``docs/formulas.md``, "Loss").

Same value as the dense loss of the reference formulas.  Two of its three terms exist at positives only, so they are
gathered there: the dense label (3.6 MB an image at 80 classes) is never built, and no cell without an object can make
a NaN.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from keras import config, ops

from yolopipe.config.params import ANCHORS_PER_SCALE
from yolopipe.model.decode import cell_origins_xy, size_factor

__all__ = ["ScaleTarget", "bbox_giou", "compute_loss"]

DEGENERATE = 1e-12
"""Areas up to this count as 0: 1e-6 pixels squared is below float32's resolution of a coordinate anywhere but at
the origin, and a quotient by it would be rounding error enlarged a million million times."""

BOXES_AT_ONCE = 16
"""Boxes compared with all predictions at a time for the ignore mask.  Two temporaries of (B, 16, g * g * 3) floats
live at once (33 MB for 8 images of 416 pixels at stride 8), whatever the number of boxes."""


class ScaleTarget(NamedTuple):
    """Positives and ignored neighbourhoods at one scale; padding is -1 in ``cell`` and ``slots``.

    Args:
        cell: (B, P) int32 flat cell index, ``(y * g + x) * 3 + anchor``; no cell twice.
        box: (B, P) int32 number of the box that is assigned to the cell.
        slots: (B, T) int32 numbers of the boxes whose neighbourhood is not background; one of class -1 stands for
            objects of any class and number, so that whatever lies inside of it is not background.
    """

    cell: Any
    box: Any
    slots: Any


class _Scale(NamedTuple):
    """Shape and units of one scale: ``anchors_px`` is a (3, 2) float32 tensor of pixels."""

    rows: Any
    columns: Any
    stride: int
    anchors_px: Any

    @property
    def cells(self) -> Any:
        return self.rows * self.columns * ANCHORS_PER_SCALE


def _quotient(numerator: Any, area: Any) -> Any:
    """``numerator / area``, 0 where the area is 0.  The divisor is replaced too: ``where`` passes NaN gradients."""
    some = area > DEGENERATE
    return ops.where(some, numerator, 0.0) / ops.where(some, area, 1.0)


def _area(size_wh: Any) -> Any:
    return size_wh[..., 0] * size_wh[..., 1]


def _giou(low1: Any, high1: Any, low2: Any, high2: Any) -> Any:
    """Generalised IoU of boxes given by their upper left and lower right corners."""
    inter = _area(ops.maximum(ops.minimum(high1, high2) - ops.maximum(low1, low2), 0.0))
    union = _area(high1 - low1) + _area(high2 - low2) - inter
    enclose = _area(ops.maximum(high1, high2) - ops.minimum(low1, low2))
    return _quotient(inter, union) - _quotient(enclose - union, enclose)


def bbox_giou(boxes1: Any, boxes2: Any) -> Any:
    """Generalised IoU (``docs/formulas.md``, "IoU and GIoU"; Rezatofighi et al. 2019).

    Args:
        boxes1: (..., 4) float centre x, y, width, height; negative sizes count as positive.
        boxes2: the same, broadcast against ``boxes1``.

    Returns:
        (...) in -1..1, never NaN: quotients by an area of 0 count as 0.

    >>> ops.convert_to_numpy(bbox_giou(ops.array([[1.0, 1, 2, 2]]), ops.array([[1.0, 1, 2, 2], [5, 1, 2, 2]])))
    array([ 1.        , -0.33333334], dtype=float32)
    """
    boxes1, boxes2 = ops.convert_to_tensor(boxes1), ops.convert_to_tensor(boxes2)
    half1, half2 = ops.absolute(boxes1[..., 2:]) * 0.5, ops.absolute(boxes2[..., 2:]) * 0.5
    centre1, centre2 = boxes1[..., :2], boxes2[..., :2]
    return _giou(centre1 - half1, centre1 + half1, centre2 - half2, centre2 + half2)


def _rows_taken(table: Any, index: Any) -> Any:
    """(B, N, ...) and (B, K) to (B, K, ...): row ``index[b, k]`` of ``table[b]``."""
    shape = ops.shape(table)
    batch, rows = shape[0], shape[1]
    flat = ops.reshape(table, (-1, *shape[2:]))
    return ops.take(flat, index + ops.arange(batch, dtype="int32")[:, None] * rows, axis=0)


def _max_iou(boxes: Any, truths_xyxy: Any, any_class: Any) -> Any:
    """Largest IoU of each box with any truth: (4, B, N) x1, y1, x2, y2 and (B, T, 4) give (B, N), at least 0.

    Where ``any_class`` (B, T) is true, the share of the box that lies inside the truth takes the place of the IoU.
    """
    x1, y1, x2, y2 = (boxes[i][:, None, :] for i in range(4))
    tx1, ty1, tx2, ty2 = (truths_xyxy[..., i, None] for i in range(4))
    inter = ops.maximum(ops.minimum(x2, tx2) - ops.maximum(x1, tx1), 0.0)
    inter = inter * ops.maximum(ops.minimum(y2, ty2) - ops.maximum(y1, ty1), 0.0)
    area = (x2 - x1) * (y2 - y1)
    union = (area + (tx2 - tx1) * (ty2 - ty1)) - inter
    return ops.max(inter / ops.maximum(ops.where(any_class[..., None], area, union), DEGENERATE), axis=1)


def _best_iou(boxes: Any, truths_xyxy: Any, any_class: Any) -> Any:
    """:func:`_max_iou`, a few truths at a time."""
    count = ops.shape(truths_xyxy)[1]

    def step(start: Any, best: Any) -> tuple[Any, Any]:
        chosen = ops.minimum(start + ops.arange(BOXES_AT_ONCE, dtype="int32"), count - 1)
        some = _max_iou(boxes, ops.take(truths_xyxy, chosen, axis=1), ops.take(any_class, chosen, axis=1))
        return start + BOXES_AT_ONCE, ops.maximum(best, some)

    first = (ops.zeros((), "int32"), ops.zeros_like(boxes[0]))
    return ops.while_loop(lambda start, _: start < count, step, first)[1]


def _predicted_corners(conv: Any, scale: _Scale) -> Any:
    """(4, B, N) x1, y1, x2, y2 in pixels of all predictions of (B, g, g, 3, 5 + C) raw output."""
    origin = cell_origins_xy(scale.rows, scale.columns)[:, :, None, :]
    centre = (ops.sigmoid(conv[..., 0:2]) + origin) * scale.stride
    half = size_factor(conv[..., 2:4]) * (scale.anchors_px * 0.5)
    corners = ops.concatenate([centre - half, centre + half], axis=-1)
    return ops.transpose(ops.reshape(corners, (-1, scale.cells, 4)), (2, 0, 1))


def _assigned(cell: Any, cells: Any) -> Any:
    """(B, cells) float: 1 where a box is assigned."""
    row = ops.broadcast_to(ops.arange(ops.shape(cell)[0], dtype="int32")[:, None], ops.shape(cell))
    index = ops.stack([row, ops.maximum(cell, 0)], axis=-1)
    return ops.scatter(index, ops.cast(cell >= 0, config.floatx()), (ops.shape(cell)[0], cells))


def _background(
    conv: Any, target: ScaleTarget, boxes_xyxy: Any, classes: Any, scale: _Scale, ignore_threshold: float
) -> Any:
    """(B, N) float: 1 where no box is assigned and none of the scale has the threshold IoU with the prediction."""
    used, listed = (target.slots >= 0)[..., None], ops.maximum(target.slots, 0)
    truths = ops.where(used, _rows_taken(boxes_xyxy, listed), 0.0)
    best = _best_iou(_predicted_corners(conv, scale), truths, _rows_taken(classes, listed) < 0)
    return ops.cast(best < ignore_threshold, config.floatx()) * (1.0 - _assigned(target.cell, ops.shape(best)[1]))


def _giou_term(raw: Any, truth_xyxy: Any, cell: Any, scale: _Scale) -> Any:
    """(B, P) box loss of positives.

    Geometry is relative to the cell's corner: coordinates of a few cells, not of a whole image, keep float32's
    last digits for the difference that matters.
    """
    place = cell // ANCHORS_PER_SCALE
    origin_cells = ops.stack([place % scale.columns, place // scale.columns], axis=-1)
    origin_px = ops.cast(origin_cells * scale.stride, config.floatx())
    centre = ops.sigmoid(raw[..., 0:2]) * scale.stride
    half = size_factor(raw[..., 2:4]) * ops.take(scale.anchors_px * 0.5, cell % ANCHORS_PER_SCALE, axis=0)
    low, high = truth_xyxy[..., 0:2] - origin_px, truth_xyxy[..., 2:4] - origin_px
    giou = _giou(centre - half, centre + half, low, high)
    image_px = ops.cast(scale.rows * scale.columns * scale.stride**2, config.floatx())
    return (2.0 - _area(high - low) / image_px) * (1.0 - giou)


def _object_term(logit: Any) -> Any:
    """Focal cross entropy of a confidence that should be 1; of one that should be 0 it is the same of ``-logit``."""
    return ops.sigmoid(-logit) ** 2 * ops.softplus(-logit)


def _class_term(logits: Any, classes: Any, label_smoothing: float) -> Any:
    """(B, P) binary cross entropy of all classes against the smoothed one-hot class."""
    count = logits.shape[-1]
    smooth = ops.one_hot(classes, count) * (1.0 - label_smoothing) + label_smoothing / count
    return ops.sum(ops.softplus(logits) - logits * smooth, axis=-1)


def compute_loss(
    conv: Any,
    target: ScaleTarget,
    boxes_xyxy: Any,
    classes: Any,
    *,
    anchors: npt.ArrayLike,
    stride: int,
    ignore_threshold: float = 0.5,
    label_smoothing: float = 0.01,
    class_weights: npt.ArrayLike | None = None,
) -> tuple[Any, Any, Any]:
    """The loss of one scale (``docs/formulas.md``, "Loss").

    Args:
        conv: (B, g, g, 3 * (5 + C)) raw output.
        target: which boxes are assigned to which cells.
        boxes_xyxy: (B, N, 4) float32 pixels of the network input; padding may hold anything.
        classes: (B, N) int32; -1 for any class, of boxes to be ignored.
        anchors: (3, 2) width and height in units of the stride.
        stride: pixels per cell.
        ignore_threshold: a prediction that overlaps a box of its scale this much, or of which this share lies in a
            box of any class, is not penalised as background.
        label_smoothing: share of the class label that is spread evenly.
        class_weights: (C,) factors on the class term of a positive, by the class of its box; None for none.

    Returns:
        ``giou_loss``, ``conf_loss``, ``prob_loss``: float32 scalars, each the sum over an image, mean over the batch.

    >>> raw = np.zeros((1, 4, 4, 3 * 6), np.float32)
    >>> target = ScaleTarget(*(np.array(x, np.int32) for x in ([[0, -1]], [[0, 0]], [[0]])))
    >>> box, size = np.array([[[0, 0, 8, 8]]], np.float32), [[1, 1], [2, 2], [4, 4]]
    >>> terms = compute_loss(raw, target, box, np.array([[0]]), anchors=size, stride=8, label_smoothing=0.0)
    >>> [round(float(term), 4) for term in terms]
    [0.0, 8.3178, 0.6931]
    """
    _, rows, columns, channels = ops.shape(conv)
    anchors_px = ops.convert_to_tensor(np.asarray(anchors, config.floatx()) * np.asarray(stride, config.floatx()))
    scale = _Scale(rows, columns, stride, anchors_px)
    depth = channels // ANCHORS_PER_SCALE
    conv = ops.reshape(ops.cast(conv, config.floatx()), (-1, rows, columns, ANCHORS_PER_SCALE, depth))
    flat = ops.reshape(conv, (-1, scale.cells, depth))
    boxes_xyxy = ops.cast(boxes_xyxy, config.floatx())

    background = _background(ops.stop_gradient(conv), target, boxes_xyxy, classes, scale, ignore_threshold)
    conf_background = ops.stop_gradient(background) * _object_term(-flat[..., 4])

    # Padding computes a real cell against a real box and is dropped by ``where``: finite, so its gradient is 0.
    valid, cell = target.cell >= 0, ops.maximum(target.cell, 0)
    positives = _rows_taken(flat, cell)
    giou = _giou_term(positives, _rows_taken(boxes_xyxy, target.box), cell, scale)
    box_classes = _rows_taken(classes, target.box)
    prob = _class_term(positives[..., 5:], box_classes, label_smoothing)
    if class_weights is not None:
        prob = prob * ops.take(ops.convert_to_tensor(np.asarray(class_weights, config.floatx())), box_classes)

    def total(per_positive: Any) -> Any:
        return ops.sum(ops.where(valid, per_positive, 0.0), axis=1)

    conf = total(_object_term(positives[..., 4])) + ops.sum(conf_background, axis=1)
    return ops.mean(total(giou)), ops.mean(conf), ops.mean(total(prob))
