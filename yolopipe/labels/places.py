"""The nine places where each box could be taught, numbered over all images; and the slots of the box lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from yolopipe.labels.collisions import last_of_key

__all__ = ["ANCHORS_PER_SCALE", "Places"]

ANCHORS_PER_SCALE = 3

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Places:
    """The nine places of every box, whoever learns there: what other collision rules choose from.

    Args:
        row: (M,) image of each box.
        first_cell: (M, scales) flat index of anchor 0 in the cell of its centre.
        ious: (M, scales, 3) with the anchors there.
        grids: cells per side of each scale.
        list_length: of each scale's box list.
    """

    row: Ints
    first_cell: Ints
    ious: Floats
    grids: tuple[int, ...]
    list_length: int

    def cells(self, scale: Ints | int, box: Ints, anchor: Ints) -> Ints:
        """Flat indices within each scale."""
        return np.asarray(self.first_cell[box, scale] + anchor)

    def keys(self, scale: Ints | int, box: Ints, cell: Ints) -> Ints:
        """Numbers that tell all places of all images apart, small stride first."""
        per_image = np.square(self.grids)[scale] * ANCHORS_PER_SCALE
        images = int(self.row[-1]) + 1 if len(self.row) else 0
        offset = np.asarray(scale) * (images * max(self.grids) ** 2 * ANCHORS_PER_SCALE)
        return np.asarray(offset + self.row[box] * per_image + cell)

    def slots(self, listed: Ints) -> tuple[Ints, Mask]:
        """Slots of boxes in order of arrival, and which boxes keep theirs."""
        rows = self.row[listed]
        arrival = _count_within(rows)
        if arrival.max(initial=0) < self.list_length:
            return arrival, np.ones(len(listed), bool)
        slot = arrival % self.list_length
        return slot, last_of_key(rows * self.list_length + slot)


def _count_within(rows: Ints) -> Ints:
    """0, 1, 2, ... restarting at each new row.

    >>> _count_within(np.array([3, 3, 5, 5, 5])).tolist()
    [0, 1, 0, 1, 2]
    """
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    lengths = np.diff(starts, append=len(rows))
    return np.arange(len(rows)) - np.repeat(starts, lengths)
