"""Where each stored box is taught, and where it lost its place: arrays in, plain facts out.

The stored labels are compared with a fresh assignment of the stored boxes, so that what is shown is what will be
trained on and a wrong shard cannot look right.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import numpy.typing as npt

from yolopipe.config.params import ANCHORS_PER_SCALE
from yolopipe.errors import ShardError
from yolopipe.labels.assign import Assignment, Candidates, assign
from yolopipe.labels.collisions import COLLISION_RULES
from yolopipe.labels.scale_label import ScaleLabel
from yolopipe.labels.sparse import encode_sparse
from yolopipe.shards.label_info import LabelInfo, count_labels, sum_labels
from yolopipe.shards.manifest import Manifest
from yolopipe.shards.schema import Row, boxes_at_size

__all__ = [
    "ROWS_AT_ONCE",
    "BoxTargets",
    "Place",
    "Totals",
    "Trouble",
    "batch_targets",
    "box_targets",
    "checked_assignment",
    "split_cell",
    "split_totals",
]

ROWS_AT_ONCE = 256
"""Rows assigned in one vectorised call."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Place:
    """One cell and anchor that the rule gives a box.

    Args:
        stride: pixels per cell.
        cell_yx: row and column of the cell, from 0.
        anchor: 0 to 2.
        anchor_wh: the anchor's size in pixels of the network input.
        iou: of box and anchor, the anchor centred on the cell.
        forced: no anchor of any scale passed the threshold; this is the best of all nine.
        taken_by: the box of the image that is taught here instead; None when the box itself is.
        rescued: a free place, given because others took all that the box wanted (rule ``next-anchor``).
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
        places: taught and lost ones.
        unlisted: strides whose box list was too short: the ignore mask does not know the box there.
    """

    number: int
    class_id: int
    box_xyxy: tuple[float, float, float, float]
    places: tuple[Place, ...]
    unlisted: tuple[int, ...] = ()

    @property
    def taught(self) -> tuple[Place, ...]:
        """The places where the network learns this box."""
        return tuple(place for place in self.places if place.taken_by is None)

    @property
    def lost(self) -> tuple[Place, ...]:
        """The places that another box took."""
        return tuple(place for place in self.places if place.taken_by is not None)

    @property
    def forced(self) -> bool:
        """Whether no anchor passed the threshold."""
        return any(place.forced for place in self.places)


@dataclass(frozen=True)
class Trouble:
    """What one row lost."""

    path: str
    copy: int
    boxes: int
    overwritten: int
    partly_overwritten: int
    forced: int
    past_list_end: int

    @property
    def weight(self) -> tuple[int, int, int, int]:
        """Worst first: boxes the network never sees, then what only weakens them."""
        return (self.overwritten, self.past_list_end, self.partly_overwritten, self.forced)


@dataclass
class Totals:
    """What a split teaches.

    Args:
        images: rows that were read.
        boxes: boxes in them.
        backgrounds: rows without boxes.
        positives: (3, 3) per stride and anchor.
        listed: (3,) boxes in each scale's list.
        overwritten: boxes taught nowhere.
        partly_overwritten: boxes that lost some of their places.
        forced: boxes that no anchor fits above the threshold.
        past_list_end: boxes that a scale's list had no room for.
        without_positive: boxes taught nowhere under each collision rule, in force or not.
        smaller: what the labels of each smaller input size teach and lose.
        troubles: rows that lost something.
    """

    images: int = 0
    boxes: int = 0
    backgrounds: int = 0
    positives: Ints = field(default_factory=lambda: np.zeros((3, ANCHORS_PER_SCALE), np.int64))
    listed: Ints = field(default_factory=lambda: np.zeros(3, np.int64))
    overwritten: int = 0
    partly_overwritten: int = 0
    forced: int = 0
    past_list_end: int = 0
    without_positive: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COLLISION_RULES, 0))
    smaller: dict[int, LabelInfo] = field(default_factory=dict)
    troubles: list[Trouble] = field(default_factory=list)

    def worst(self, count: int) -> list[Trouble]:
        """The rows that lost most; equal ones in shard order."""
        return sorted(self.troubles, key=lambda trouble: trouble.weight, reverse=True)[:count]


def split_cell(cell: int, grid: int) -> tuple[int, int, int]:
    """Row, column and anchor of a flat cell index.

    >>> split_cell((5 * 26 + 7) * 3 + 2, 26)
    (5, 7, 2)
    """
    place, anchor = divmod(int(cell), ANCHORS_PER_SCALE)
    y, x = divmod(place, grid)
    return y, x, anchor


def box_targets(row: Row, manifest: Manifest) -> tuple[BoxTargets, ...]:
    """Every box of a row with its places.

    Args:
        row: from the shards.
        manifest: of the same shards.

    Returns:
        One :class:`BoxTargets` per box, in stored order.

    Raises:
        ShardError: when the stored labels are not what the rule gives for the stored boxes.
    """
    return batch_targets([row], manifest)[0]


def batch_targets(rows: Sequence[Row], manifest: Manifest) -> list[tuple[BoxTargets, ...]]:
    """:func:`box_targets` of several rows in one vectorised call: a third of the time a row.

    Args:
        rows: from the shards.
        manifest: of the same shards.

    Raises:
        ShardError: when the stored labels are not what the rule gives for the stored boxes.
    """
    if not rows:
        return []
    found, row_of_box = checked_assignment(rows, manifest, manifest.input_size)
    for size in manifest.smaller_sizes:
        checked_assignment(rows, manifest, size)
    first = np.cumsum([0, *(len(row.classes) for row in rows)]).tolist()
    places: list[list[Place]] = [[] for _ in row_of_box]
    unlisted: list[list[int]] = [[] for _ in row_of_box]
    for index, scale in enumerate(found.scales):
        for box, place in _scale_places(scale, manifest, index, row_of_box.tolist(), first):
            places[box].append(place)
        for box in scale.slot_box[~scale.slot_wins].tolist():
            unlisted[box].append(manifest.strides[index])
    return [
        tuple(
            BoxTargets(number, int(class_id), (x1, y1, x2, y2), tuple(places[start + number]), tuple(lists))
            for number, (class_id, (x1, y1, x2, y2), lists) in enumerate(
                zip(row.classes, row.boxes_xyxy.tolist(), unlisted[start : start + len(row.classes)], strict=True)
            )
        )
        for row, start in zip(rows, first[:-1], strict=True)
    ]


def _scale_places(
    scale: Candidates, manifest: Manifest, index: int, row_of_box: Sequence[int], first: Sequence[int]
) -> Iterator[tuple[int, Place]]:
    """Box of the batch and place; who took it is numbered within its row."""
    stride, anchors = manifest.strides[index], manifest.anchors[index]
    columns = [
        column.tolist() for column in (scale.box, scale.cell, scale.iou, scale.forced, scale.wins, scale.rescued)
    ]
    winner = {(row_of_box[box], cell): box for box, cell, _, _, wins, _ in zip(*columns, strict=True) if wins}
    for box, cell, iou, forced, wins, rescued in zip(*columns, strict=True):
        y, x, anchor = split_cell(cell, manifest.input_size // stride)
        row = row_of_box[box]
        taken_by = None if wins else winner[row, cell] - first[row]
        yield box, Place(stride, (y, x), anchor, anchors[anchor], iou, forced, taken_by, rescued)


def split_totals(rows: Iterable[Row], manifest: Manifest) -> Totals:
    """Totals over many rows; every stored label is compared with a fresh assignment.

    Args:
        rows: from the shards, any number; they are taken a few hundred at a time.
        manifest: of the same shards.

    Raises:
        ShardError: when a stored label is not what the rule gives for the stored boxes.
    """
    totals, stream = Totals(), iter(rows)
    while batch := list(islice(stream, ROWS_AT_ONCE)):
        found, row_of_box = checked_assignment(batch, manifest, manifest.input_size)
        _add(totals, batch, found, row_of_box)
        for size in manifest.smaller_sizes:
            labels = count_labels(checked_assignment(batch, manifest, size)[0])
            totals.smaller[size] = sum_labels([*([totals.smaller[size]] if size in totals.smaller else []), labels])
    return totals


def _add(totals: Totals, batch: Sequence[Row], found: Assignment, row_of_box: Ints) -> None:
    totals.images += len(batch)
    totals.boxes += len(row_of_box)
    totals.backgrounds += sum(len(row.classes) == 0 for row in batch)
    for index, scale in enumerate(found.scales):
        anchors = scale.cell[scale.wins] % ANCHORS_PER_SCALE
        totals.positives[index] += np.bincount(anchors, minlength=ANCHORS_PER_SCALE)
        totals.listed[index] += int(scale.slot_wins.sum())
    for rule, count in found.without_positive().items():
        totals.without_positive[rule] += count
    for trouble in _troubles(batch, found, row_of_box):
        totals.overwritten += trouble.overwritten
        totals.partly_overwritten += trouble.partly_overwritten
        totals.forced += trouble.forced
        totals.past_list_end += trouble.past_list_end
        totals.troubles.append(trouble)


def _troubles(batch: Sequence[Row], found: Assignment, row_of_box: Ints) -> Iterator[Trouble]:
    gone = found.positives == 0
    past = np.concatenate([scale.slot_box[~scale.slot_wins] for scale in found.scales])
    masks = (gone, found.partly_overwritten, found.forced, past)
    counts = [np.bincount(row_of_box[chosen], minlength=len(batch)) for chosen in masks]
    for number in np.flatnonzero(np.sum(counts, axis=0)).tolist():
        row = batch[number]
        yield Trouble(row.path, row.copy, len(row.classes), *(int(count[number]) for count in counts))


def checked_assignment(rows: Sequence[Row], manifest: Manifest, size: int) -> tuple[Assignment, Ints]:
    """A fresh assignment of the stored boxes, compared with the stored labels.

    Args:
        rows: from the shards; one vectorised call for all of them.
        manifest: of the same shards.
        size: one of the manifest's input sizes.

    Returns:
        The assignment, and which row each box is of.

    Raises:
        ShardError: when a stored label is not what the rule gives for the stored boxes.
    """
    row_of_box = np.repeat(np.arange(len(rows)), [len(row.classes) for row in rows])
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
        raise ShardError(f"the shards hold a box that cannot be taught: {error}", hint=_AGAIN) from None
    for row, labels in zip(rows, encode_sparse(found, row_of_box, len(rows)), strict=True):
        at_size = "" if size == manifest.input_size else f", at {size} px"
        for stride, stored, fresh in zip(manifest.strides, row.labels_at(size), labels, strict=True):
            _compare(f"{row.path} (copy {row.copy}){at_size}, stride {stride}", stored, fresh, size // stride)
    return found, row_of_box


_AGAIN = "make the shards again: dvc repro -f precompute"


def _compare(where: str, stored: ScaleLabel, fresh: ScaleLabel, grid: int) -> None:
    equal = (np.array_equal(getattr(stored, part), getattr(fresh, part)) for part in ScaleLabel._fields)
    if all(equal):
        return
    raise ShardError(
        f"{where}: the stored label is not what the rule gives for the stored boxes: "
        f"{_first_difference(stored, fresh, grid)}",
        hint=_AGAIN,
    )


def _first_difference(stored: ScaleLabel, fresh: ScaleLabel, grid: int) -> str:
    taught = set(zip(stored.cell.tolist(), stored.box.tolist(), strict=True))
    expected = set(zip(fresh.cell.tolist(), fresh.box.tolist(), strict=True))
    for cell, box in sorted(expected ^ taught):
        y, x, anchor = split_cell(cell, grid)
        verb = "is missing" if (cell, box) in expected else "should not be there"
        return f"box {box} at cell ({y}, {x}) anchor {anchor} {verb}"
    return f"its box list is {stored.slots.tolist()}, expected {fresh.slots.tolist()}"
