"""The cells and anchors that each stored box is assigned to, and those that other boxes took.

The stored labels are compared with a fresh assignment of the stored boxes: what is shown is what training reads, and
a shard with wrong labels raises an error instead of being shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from yolopipe.arrays import Ints
from yolopipe.config.params import ANCHORS_PER_SCALE
from yolopipe.errors import ShardError
from yolopipe.labels.assign import Assignment, Candidates, assign
from yolopipe.labels.scale_label import ScaleLabel
from yolopipe.labels.sparse import encode_sparse
from yolopipe.shards.manifest import Manifest
from yolopipe.shards.schema import Row, boxes_at_size

__all__ = [
    "AssignedRows",
    "BoxTargets",
    "TargetPlace",
    "assign_rows",
    "assigned_batches",
    "box_targets",
    "flat_cell",
    "split_cell",
]

ROWS_AT_ONCE = 256
"""Rows assigned in one vectorised call."""


_REGENERATE = "regenerate the shards: dvc repro -f precompute"


@dataclass(frozen=True)
class TargetPlace:
    """One cell and anchor that a box matches.

    Args:
        stride: pixels per cell.
        cell_yx: row and column of the cell, from 0.
        anchor: 0 to 2.
        anchor_wh: the anchor's size in pixels of the network input.
        iou: of box and anchor, the anchor centred on the cell.
        forced: no anchor of any scale passed the threshold; this is the best of all nine.
        taken_by: number of the box that is assigned here instead; None when this box is.
        rescued: a free place that the box did not match, assigned because it had no other (rule ``next-anchor``).
    """

    stride: int
    cell_yx: tuple[int, int]
    anchor: int
    anchor_wh: tuple[float, float]
    iou: float
    forced: bool
    taken_by: int | None
    rescued: bool = False


@dataclass(frozen=True)
class BoxTargets:
    """One box and its places, small stride first.

    Args:
        number: within the image, from 0.
        class_id: from 0.
        box_xyxy: pixels of the network input.
        places: those assigned to the box, and those that another box overwrote.
        unlisted: strides whose box list has no room for the box: the ignore mask does not cover it there.
    """

    number: int
    class_id: int
    box_xyxy: tuple[float, float, float, float]
    places: tuple[TargetPlace, ...]
    unlisted: tuple[int, ...] = ()

    @property
    def assigned(self) -> tuple[TargetPlace, ...]:
        """The places assigned to this box."""
        return tuple(place for place in self.places if place.taken_by is None)

    @property
    def overwritten(self) -> tuple[TargetPlace, ...]:
        """The places that another box took."""
        return tuple(place for place in self.places if place.taken_by is not None)

    @property
    def forced(self) -> bool:
        """Whether no anchor passed the threshold."""
        return any(place.forced for place in self.places)


def flat_cell(cell_yx: tuple[int, int], anchor: int, grid: int) -> int:
    """Flat index of a cell and anchor, ``(y * grid + x) * 3 + anchor``.

    >>> flat_cell((5, 7), 2, 26), split_cell(413, 26)
    (413, (5, 7, 2))
    """
    return (cell_yx[0] * grid + cell_yx[1]) * ANCHORS_PER_SCALE + anchor


def split_cell(cell: int, grid: int) -> tuple[int, int, int]:
    """Row, column and anchor of a flat index."""
    place, anchor = divmod(int(cell), ANCHORS_PER_SCALE)
    y, x = divmod(place, grid)
    return y, x, anchor


@dataclass(frozen=True)
class AssignedRows:
    """Some rows of the shards and the assignment of their boxes, equal to their stored labels.

    Args:
        rows: N rows.
        row_of_box: (M,) which of the rows each box is of; non-decreasing.
        assignments: of the M boxes, by input size.
        manifest: of the shards.
    """

    rows: Sequence[Row]
    row_of_box: Ints
    assignments: Mapping[int, Assignment]
    manifest: Manifest

    @property
    def assignment(self) -> Assignment:
        """The assignment at the size of the stored pixels."""
        return self.assignments[self.manifest.input_size]

    def targets(self) -> list[tuple[BoxTargets, ...]]:
        """Every box with its places: one tuple a row, one :class:`BoxTargets` a box, in stored order."""
        first = np.cumsum([0, *(len(row.classes) for row in self.rows)]).tolist()
        places: list[list[TargetPlace]] = [[] for _ in self.row_of_box]
        unlisted: list[list[int]] = [[] for _ in self.row_of_box]
        for index, scale in enumerate(self.assignment.scales):
            for box, place in _scale_places(scale, self.manifest, index, self.row_of_box.tolist(), first):
                places[box].append(place)
            for box in scale.slot_box[~scale.slot_wins].tolist():
                unlisted[box].append(self.manifest.strides[index])
        return [
            tuple(
                BoxTargets(number, int(class_id), (x1, y1, x2, y2), tuple(places[start + number]), tuple(lists))
                for number, (class_id, (x1, y1, x2, y2), lists) in enumerate(
                    zip(row.classes, row.boxes_xyxy.tolist(), unlisted[start : start + len(row.classes)], strict=True)
                )
            )
            for row, start in zip(self.rows, first[:-1], strict=True)
        ]


def _scale_places(
    scale: Candidates, manifest: Manifest, index: int, row_of_box: Sequence[int], first: Sequence[int]
) -> Iterator[tuple[int, TargetPlace]]:
    """Box of the batch, and place; the box that took a place is numbered within its row."""
    stride, anchors = manifest.strides[index], manifest.anchors[index]
    columns = [
        column.tolist() for column in (scale.box, scale.cell, scale.iou, scale.forced, scale.wins, scale.rescued)
    ]
    winner = {(row_of_box[box], cell): box for box, cell, _, _, wins, _ in zip(*columns, strict=True) if wins}
    for box, cell, iou, forced, wins, rescued in zip(*columns, strict=True):
        y, x, anchor = split_cell(cell, manifest.input_size // stride)
        row = row_of_box[box]
        taken_by = None if wins else winner[row, cell] - first[row]
        yield box, TargetPlace(stride, (y, x), anchor, anchors[anchor], iou, forced, taken_by, rescued)


def assigned_batches(rows: Iterable[Row], manifest: Manifest, at_once: int = ROWS_AT_ONCE) -> Iterator[AssignedRows]:
    """Rows in batches, each assigned in one vectorised call.

    Args:
        rows: from the shards, any number.
        manifest: of the same shards.
        at_once: rows of a batch; all of them are in memory together.

    Raises:
        ShardError: when a stored label is not what the rule gives for the stored boxes, at any input size.
    """
    stream = iter(rows)
    while batch := list(islice(stream, at_once)):
        yield assign_rows(batch, manifest)


def assign_rows(rows: Sequence[Row], manifest: Manifest) -> AssignedRows:
    """A fresh assignment of the stored boxes at every input size, compared with the stored labels.

    Raises:
        ShardError: as :func:`assigned_batches`.
    """
    row_of_box = np.repeat(np.arange(len(rows)), [len(row.classes) for row in rows])
    sizes = (manifest.input_size, *manifest.smaller_sizes)
    assignments = {size: _checked_assignment(rows, row_of_box, manifest, size) for size in sizes}
    return AssignedRows(rows, row_of_box, assignments, manifest)


def box_targets(row: Row, manifest: Manifest) -> tuple[BoxTargets, ...]:
    """Every box of one row with its places, in stored order.

    Raises:
        ShardError: as :func:`assigned_batches`.
    """
    return assign_rows([row], manifest).targets()[0]


def _checked_assignment(rows: Sequence[Row], row_of_box: Ints, manifest: Manifest, size: int) -> Assignment:
    try:
        found = assign(
            boxes_at_size(np.concatenate([row.boxes_xyxy for row in rows]), size, manifest.input_size),
            row_of_box,
            input_size=size,
            anchors=manifest.anchors_in_strides,
            strides=manifest.strides,
            iou_threshold=manifest.iou_threshold,
            max_bbox_per_scale=manifest.max_bbox_per_scale,
            collisions=manifest.collisions,
        )
    except ValueError as error:
        raise ShardError(
            f"the shards hold a box that no cell can be assigned to: {error}", hint=_REGENERATE
        ) from None
    ignored = [len(row.ignored.classes) for row in rows]
    for row, labels in zip(rows, encode_sparse(found, row_of_box, len(rows), ignored), strict=True):
        at_size = "" if size == manifest.input_size else f", at {size} px"
        for stride, stored, fresh in zip(manifest.strides, row.labels_at(size), labels, strict=True):
            _compare(f"{row.path} (copy {row.copy}){at_size}, stride {stride}", stored, fresh, size // stride)
    return found


def _compare(where: str, stored: ScaleLabel, fresh: ScaleLabel, grid: int) -> None:
    equal = (np.array_equal(getattr(stored, part), getattr(fresh, part)) for part in ScaleLabel._fields)
    if all(equal):
        return
    raise ShardError(
        f"{where}: the stored label differs from an assignment of the stored boxes: "
        f"{_first_difference(stored, fresh, grid)}",
        hint=_REGENERATE,
    )


def _first_difference(stored: ScaleLabel, fresh: ScaleLabel, grid: int) -> str:
    found = set(zip(stored.cell.tolist(), stored.box.tolist(), strict=True))
    expected = set(zip(fresh.cell.tolist(), fresh.box.tolist(), strict=True))
    for cell, box in sorted(expected ^ found):
        y, x, anchor = split_cell(cell, grid)
        verb = "is missing" if (cell, box) in expected else "should not be there"
        return f"box {box} at cell ({y}, {x}) anchor {anchor} {verb}"
    return f"its box list is {stored.slots.tolist()}, expected {fresh.slots.tolist()}"
