"""Boxes as arrays: corner form, centre form and intersection over union."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from yolopipe.arrays import AnyFloats

__all__ = ["bbox_iou", "pairwise_iou", "xywh_to_xyxy", "xyxy_to_xywh"]


def xyxy_to_xywh(boxes_xyxy: npt.ArrayLike) -> AnyFloats:
    """Corners to centre and size, in the reference's order of operations (docs/formulas.md, "Boxes").

    Args:
        boxes_xyxy: (..., 4) x1 y1 x2 y2.

    Returns:
        (..., 4) centre x, centre y, width, height; float32 stays float32, integers become float64.

    >>> xyxy_to_xywh([79, 537, 107, 574]).tolist()
    [93.0, 555.5, 28.0, 37.0]
    """
    boxes = np.asarray(boxes_xyxy)
    return np.concatenate([(boxes[..., 2:] + boxes[..., :2]) * 0.5, boxes[..., 2:] - boxes[..., :2]], axis=-1)


def xywh_to_xyxy(boxes_xywh: npt.ArrayLike) -> AnyFloats:
    """Centre and size to corners.

    Args:
        boxes_xywh: (..., 4) centre x, centre y, width, height.

    Returns:
        (..., 4) x1 y1 x2 y2.

    >>> xywh_to_xyxy([93.0, 555.5, 28.0, 37.0]).tolist()
    [79.0, 537.0, 107.0, 574.0]
    """
    boxes = np.asarray(boxes_xywh)
    half = boxes[..., 2:] * 0.5
    return np.concatenate([boxes[..., :2] - half, boxes[..., :2] + half], axis=-1)


def bbox_iou(boxes1: npt.ArrayLike, boxes2: npt.ArrayLike) -> AnyFloats:
    """Intersection over union of boxes given by centre and size (docs/formulas.md, "IoU and GIoU").

    Args:
        boxes1: (..., 4) xywh, any unit.
        boxes2: (..., 4) xywh, same unit; leading axes broadcast against ``boxes1``.

    Returns:
        (...) values in [0, 1]; 0, not NaN, where both boxes have no area.

    >>> bbox_iou([[0.5, 0.5, 1, 1]], [[0.5, 0.5, 1, 1], [1.0, 0.5, 1, 1], [5, 5, 0, 0]]).round(4).tolist()
    [1.0, 0.3333, 0.0]
    """
    first, second = np.asarray(boxes1), np.asarray(boxes2)
    area1, area2 = first[..., 2] * first[..., 3], second[..., 2] * second[..., 3]
    corners1, corners2 = xywh_to_xyxy(first), xywh_to_xyxy(second)
    left_up = np.maximum(corners1[..., :2], corners2[..., :2])
    right_down = np.minimum(corners1[..., 2:], corners2[..., 2:])
    inter_wh = np.maximum(right_down - left_up, 0.0)
    inter = inter_wh[..., 0] * inter_wh[..., 1]
    union = area1 + area2 - inter
    iou: AnyFloats = np.zeros(np.shape(union), np.result_type(union, 0.0))
    np.divide(inter, union, out=iou, where=union > 0)
    return iou


def pairwise_iou(boxes1_xyxy: npt.ArrayLike, boxes2_xyxy: npt.ArrayLike) -> AnyFloats:
    """Intersection over union of every pair of corner-form boxes.

    Args:
        boxes1_xyxy: (N, 4) x1 y1 x2 y2.
        boxes2_xyxy: (M, 4).

    Returns:
        (N, M) values in [0, 1].

    >>> pairwise_iou([[0, 0, 2, 2]], [[0, 0, 2, 2], [1, 0, 3, 2]]).round(4).tolist()
    [[1.0, 0.3333]]
    """
    first, second = xyxy_to_xywh(boxes1_xyxy), xyxy_to_xywh(boxes2_xyxy)
    return bbox_iou(first[:, np.newaxis, :], second[np.newaxis, :, :])
