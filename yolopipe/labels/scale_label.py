"""The sparse label of one image: the box assigned to each cell and anchor, by scale."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Labels", "ScaleLabel", "count_unlisted"]


class ScaleLabel(NamedTuple):
    """The sparse label of one image at one scale.

    Args:
        cell: (P,) int32, ascending; ``(y * grid + x) * 3 + anchor``.
        box: (P,) uint16; the box assigned to that cell and anchor.
        slots: (T,) uint16; the boxes of this scale's list, slot 0 first; at most ``max_bbox_per_scale``.  Boxes to be
            ignored are in the list of every scale and come last; they are numbered behind the other boxes.
    """

    cell: npt.NDArray[np.int32]
    box: npt.NDArray[np.uint16]
    slots: npt.NDArray[np.uint16]


Labels = tuple[ScaleLabel, ScaleLabel, ScaleLabel]
"""Small stride first."""


def count_unlisted(labels: Labels, boxes: int, ignored: int) -> int:
    """How often a box to be ignored is not in the list of a scale, which is full.

    Args:
        labels: of one image.
        boxes: how many of its boxes are to be found.
        ignored: how many are to be ignored; they are numbered behind the others.

    >>> full = ScaleLabel(np.zeros(0, np.int32), np.zeros(0, np.uint16), np.array([0, 1], np.uint16))
    >>> count_unlisted((full, full, full), boxes=1, ignored=2)
    3
    """
    return sum(ignored - int((label.slots >= boxes).sum()) for label in labels)
