"""Raw outputs to boxes, confidence and class probabilities (``docs/formulas.md``, "Decoding")."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from keras import config, ops

from yolopipe.config.params import ANCHORS_PER_SCALE
from yolopipe.model.limits import EXP_LIMIT

__all__ = ["cell_origins_xy", "decode", "size_factor"]


def size_factor(raw_wh: Any) -> Any:
    """``exp(raw_wh)``, its argument limited to :data:`~yolopipe.model.limits.EXP_LIMIT`; beyond, the gradient is 0.

    >>> [round(float(factor)) for factor in size_factor(ops.array([0.0, 1000.0]))]
    [1, 22026]
    """
    return ops.exp(ops.minimum(raw_wh, EXP_LIMIT))


def cell_origins_xy(rows: Any, columns: Any) -> Any:
    """The upper left corners of all cells: (rows, columns, 2) float32 x and y in units of the stride.

    >>> ops.convert_to_numpy(cell_origins_xy(1, 3)).tolist()
    [[[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]]]
    """
    x, y = (ops.arange(count, dtype=config.floatx()) for count in (columns, rows))
    return ops.stack(ops.meshgrid(x, y), axis=-1)


def decode(conv_output: Any, anchors: npt.ArrayLike, stride: int) -> Any:
    """Boxes, confidence and class probabilities of a raw output (``docs/formulas.md``, "Decoding").

    Args:
        conv_output: (B, g, g, 3 * (5 + C)) raw output of one scale, any float type.
        anchors: (3, 2) width and height in units of the stride.
        stride: pixels per cell.

    Returns:
        (B, g, g, 3, 5 + C) float32: box centre x, y and width, height in pixels of the network input, confidence,
        class probabilities.

    >>> raw = np.zeros((1, 2, 2, 3 * 6), np.float32)
    >>> boxes = ops.convert_to_numpy(decode(raw, [[1, 2], [2, 1], [4, 4]], 8))
    >>> boxes[0, 0, 1, 0].tolist()
    [12.0, 4.0, 8.0, 16.0, 0.5, 0.5]
    """
    _, rows, columns, channels = ops.shape(conv_output)
    shape = (-1, rows, columns, ANCHORS_PER_SCALE, channels // ANCHORS_PER_SCALE)
    conv = ops.reshape(ops.cast(conv_output, config.floatx()), shape)
    anchors_px = np.asarray(anchors, config.floatx()) * np.asarray(stride, config.floatx())
    centre = (ops.sigmoid(conv[..., 0:2]) + cell_origins_xy(rows, columns)[:, :, None, :]) * stride
    size_wh = size_factor(conv[..., 2:4]) * anchors_px
    return ops.concatenate([centre, size_wh, ops.sigmoid(conv[..., 4:])], axis=-1)
