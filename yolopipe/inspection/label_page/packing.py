"""One image's boxes and targets as one short text: little-endian columns, exact float32, in base64.

What the page draws and decodes is read back from these bytes by ``unpack`` in ``model.js``; 24 characters a box and
39 a target, where JSON numbers of the same precision take two to three times as many.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from yolopipe.config.params import ANCHORS_PER_SCALE
from yolopipe.shards.targets import BoxTargets

__all__ = ["FORCED", "RESCUED", "encode_places", "pack"]

FORCED = 4
"""Bit of ``kind``: no anchor passed the threshold."""

RESCUED = 8
"""Bit of ``kind``: a free place was given."""


def encode_places(
    boxes_xyxy: npt.ArrayLike, cells_yx: npt.ArrayLike, strides: npt.ArrayLike, anchors_wh: npt.ArrayLike
) -> npt.NDArray[np.float64]:
    """What the network must say at each place to predict its box.

    Args:
        boxes_xyxy: (P, 4) pixels of the network input.
        cells_yx: (P, 2) rows and columns.
        strides: (P,) pixels per cell.
        anchors_wh: (P, 2) pixels.

    Returns:
        (P, 4) tx, ty: the centre within the cell, 0 to 1 (what the sigmoid must give); tw, th: the logarithm of the
        box's size over the anchor's (what the exponential is given).

    >>> encode_places([[64, 32, 80, 64]], [[1, 2]], [32], [[16, 32]]).tolist()
    [[0.25, 0.5, 0.0, 0.0]]
    """
    boxes = np.asarray(boxes_xyxy, np.float64)
    origin_xy = np.asarray(cells_yx)[:, ::-1]
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2 / np.asarray(strides)[:, np.newaxis] - origin_xy
    size = np.log((boxes[:, 2:] - boxes[:, :2]) / np.asarray(anchors_wh, np.float64))
    return np.concatenate([centre, size], axis=1)


def pack(targets: Sequence[BoxTargets], *, strides: Sequence[int], input_size: int) -> str:
    """Boxes and places of one image.

    Args:
        targets: of one row.
        strides: of the scales.
        input_size: side of the network input.

    Returns:
        Base64 of, in this order: number of boxes N and of places P (int32); boxes xyxy (N, 4) float32; tx ty tw th
        (P, 4) float32; IoU with the anchor (P) float32; flat cell (P) int32; class (N), box (P), box that took the
        place plus one, 0 for none (P) uint16; scale with the bits :data:`FORCED` and :data:`RESCUED` (P) uint8.
    """
    places = [(box, place) for box in targets for place in box.places]
    scale_of = {stride: index for index, stride in enumerate(strides)}
    codes = encode_places(
        np.reshape([box.box_xyxy for box, _ in places], (-1, 4)),
        np.reshape([place.cell_yx for _, place in places], (-1, 2)),
        [place.stride for _, place in places],
        np.reshape([place.anchor_wh for _, place in places], (-1, 2)),
    )
    cells = [
        (p.cell_yx[0] * (input_size // p.stride) + p.cell_yx[1]) * ANCHORS_PER_SCALE + p.anchor for _, p in places
    ]
    kinds = [scale_of[p.stride] + FORCED * p.forced + RESCUED * p.rescued for _, p in places]
    columns: list[npt.NDArray[np.generic]] = [
        np.array([len(targets), len(places)], "<i4"),
        np.array([box.box_xyxy for box in targets], "<f4"),
        codes.astype("<f4"),
        np.array([place.iou for _, place in places], "<f4"),
        np.array(cells, "<i4"),
        np.array([box.class_id for box in targets], "<u2"),
        np.array([box.number for box, _ in places], "<u2"),
        np.array([0 if p.taken_by is None else p.taken_by + 1 for _, p in places], "<u2"),
        np.array(kinds, "u1"),
    ]
    return base64.b64encode(b"".join(column.tobytes() for column in columns)).decode("ascii")
