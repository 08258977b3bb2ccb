"""One image's boxes and targets as one short text: little-endian columns, exact float32, in base64.

What the page draws and decodes is read back from these bytes by ``unpack`` in ``model.js``; 24 characters a box and
39 a target, where JSON numbers of the same precision take two to three times as many.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from yolopipe.inspection.target_codes import encode_boxes
from yolopipe.shards.targets import BoxTargets, flat_cell

__all__ = ["FORCED", "RESCUED", "pack"]

FORCED = 4
"""Bit of ``kind``: no anchor passed the threshold."""

RESCUED = 8
"""Bit of ``kind``: a free place, assigned by the rule ``next-anchor``."""


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
    codes = encode_boxes(
        [box.box_xyxy for box, _ in places],
        [place.cell_yx for _, place in places],
        [place.stride for _, place in places],
        [place.anchor_wh for _, place in places],
    )
    cells = [flat_cell(place.cell_yx, place.anchor, input_size // place.stride) for _, place in places]
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
