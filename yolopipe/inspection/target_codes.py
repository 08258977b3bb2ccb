"""What the network must output at a cell and anchor for a box, and the box that such an output means.

The two functions are written apart: a mistake in either shows as a difference between a box and what it decodes to.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

__all__ = ["decode_box", "encode_boxes"]


def encode_boxes(
    boxes_xyxy: npt.ArrayLike, cells_yx: npt.ArrayLike, strides: npt.ArrayLike, anchors_wh: npt.ArrayLike
) -> npt.NDArray[np.float64]:
    """The codes of boxes, each at one cell and anchor (docs/formulas.md, "Decoding").

    Args:
        boxes_xyxy: (P, 4) pixels of the network input.
        cells_yx: (P, 2) rows and columns.
        strides: (P,) pixels per cell.
        anchors_wh: (P, 2) pixels.

    Returns:
        (P, 4) tx, ty: the centre within the cell, 0 to 1 (the value of the sigmoid); tw, th: the logarithm of the
        box's size over the anchor's (the argument of the exponential).

    >>> encode_boxes([[64, 32, 80, 64]], [[1, 2]], [32], [[16, 32]]).tolist()
    [[0.25, 0.5, 0.0, 0.0]]
    """
    boxes = np.asarray(boxes_xyxy, np.float64).reshape(-1, 4)
    origin_xy = np.asarray(cells_yx).reshape(-1, 2)[:, ::-1]
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2 / np.asarray(strides)[:, np.newaxis] - origin_xy
    size = np.log((boxes[:, 2:] - boxes[:, :2]) / np.asarray(anchors_wh, np.float64).reshape(-1, 2))
    return np.concatenate([centre, size], axis=1)


def decode_box(
    cell_yx: tuple[int, int],
    anchor_wh: tuple[float, float],
    offset_xy: tuple[float, float],
    log_wh: tuple[float, float],
    stride: int,
) -> tuple[float, float, float, float]:
    """The box that codes mean: ``(sigmoid(t_xy) + cell) * stride`` and ``exp(t_wh) * anchor``.

    The formula is that of docs/formulas.md, "Decoding".

    >>> decode_box((1, 2), (10.0, 20.0), (0.5, 0.25), (0.0, 0.0), 8)
    (15.0, 0.0, 25.0, 20.0)
    """
    centre_x, centre_y = (offset_xy[0] + cell_yx[1]) * stride, (offset_xy[1] + cell_yx[0]) * stride
    half_w, half_h = (math.exp(log) * side / 2 for log, side in zip(log_wh, anchor_wh, strict=True))
    return centre_x - half_w, centre_y - half_h, centre_x + half_w, centre_y + half_h
