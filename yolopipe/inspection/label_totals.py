"""What the labels of a split hold, in numbers, and the images that the assignment served worst."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from yolopipe.arrays import Ints
from yolopipe.config.params import ANCHORS_PER_SCALE
from yolopipe.errors import ShardError
from yolopipe.labels.collisions import COLLISION_RULES
from yolopipe.shards.label_info import LabelInfo, count_labels, sum_labels
from yolopipe.shards.manifest import Manifest
from yolopipe.shards.targets import AssignedRows

__all__ = ["MOST_TALLIES", "ImageTally", "SplitTotals"]

MOST_TALLIES = 10
"""Images that are named; memory does not grow with the data."""


@dataclass(frozen=True, slots=True)
class ImageTally:
    """Boxes of one row that are overwritten, forced or not listed (those to be ignored too)."""

    path: str
    copy: int
    boxes: int
    ignored: int
    overwritten: int
    partly_overwritten: int
    forced: int
    past_list_end: int

    @property
    def weight(self) -> tuple[int, int, int, int]:
        """Largest first: boxes without any anchor, then boxes whose labels are only weaker."""
        return (self.overwritten, self.past_list_end, self.partly_overwritten, self.forced)


@dataclass
class SplitTotals:
    """What the labels of a split hold.

    Args:
        split: whose rows are counted.
        copy: which augmented copy; None for all.
        images: rows that were read.
        boxes: boxes in them.
        backgrounds: rows without boxes.
        ignored: boxes to be ignored; they are in none of the other numbers but ``past_list_end``.
        positives: (3, 3) per stride and anchor.
        listed: (3,) boxes in each scale's list.
        overwritten: boxes not assigned to any anchor.
        partly_overwritten: boxes that other boxes overwrote at some of their places.
        forced: boxes that no anchor fits above the threshold.
        past_list_end: boxes, also those to be ignored, that a scale's list had no room for.
        without_positive: boxes not assigned to any anchor under each collision rule, in force or not.
        smaller: the labels of each smaller input size.
        worst: at most :data:`MOST_TALLIES` rows, worst first; of equal ones the first read.
    """

    split: str
    copy: int | None = None
    images: int = 0
    boxes: int = 0
    backgrounds: int = 0
    ignored: int = 0
    positives: Ints = field(default_factory=lambda: np.zeros((3, ANCHORS_PER_SCALE), np.int64))
    listed: Ints = field(default_factory=lambda: np.zeros(3, np.int64))
    overwritten: int = 0
    partly_overwritten: int = 0
    forced: int = 0
    past_list_end: int = 0
    without_positive: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COLLISION_RULES, 0))
    smaller: dict[int, LabelInfo] = field(default_factory=dict)
    worst: list[ImageTally] = field(default_factory=list)

    def add(self, split: str, copy: int, batch: AssignedRows) -> None:
        """Count the rows of a batch, if they are of this split and copy."""
        if split != self.split or self.copy not in (None, copy):
            return
        found = batch.assignment
        self.images += len(batch.rows)
        self.boxes += len(batch.row_of_box)
        self.backgrounds += sum(len(row.classes) == 0 for row in batch.rows)
        self.ignored += sum(len(row.ignored.classes) for row in batch.rows)
        for index, scale in enumerate(found.scales):
            anchors = scale.cell[scale.wins] % ANCHORS_PER_SCALE
            self.positives[index] += np.bincount(anchors, minlength=ANCHORS_PER_SCALE)
            self.listed[index] += int(scale.slot_wins.sum())
        for rule, count in found.without_positive().items():
            self.without_positive[rule] += count
        for size in batch.manifest.smaller_sizes:
            labels = count_labels(batch.assignments[size], sum(row.unlisted_at(size) for row in batch.rows))
            self.smaller[size] = sum_labels([self.smaller[size], labels]) if size in self.smaller else labels
        self._add_tallies(list(_tallies(batch)))

    def _add_tallies(self, tallies: list[ImageTally]) -> None:
        for tally in tallies:
            self.overwritten += tally.overwritten
            self.partly_overwritten += tally.partly_overwritten
            self.forced += tally.forced
            self.past_list_end += tally.past_list_end
        ranked = sorted([*self.worst, *tallies], key=lambda tally: tally.weight, reverse=True)
        self.worst = ranked[:MOST_TALLIES]

    def compare(self, manifest: Manifest) -> None:
        """Compare the counts of all copies with those of the manifest.

        Raises:
            ShardError: where they differ.
        """
        info = manifest.splits[self.split]
        positives = {str(s): tuple(self.positives[i].tolist()) for i, s in enumerate(manifest.strides)}
        counts = {
            "boxes": (self.boxes, info.boxes),
            "backgrounds": (self.backgrounds, info.backgrounds),
            "ignored": (self.ignored, info.ignored),
            "overwritten": (self.overwritten, info.overwritten),
            "partly_overwritten": (self.partly_overwritten, info.partly_overwritten),
            "forced": (self.forced, info.forced),
            "past_list_end": (self.past_list_end, info.past_list_end),
            "without_positive": (self.without_positive, dict(info.without_positive)),
            "positives": (positives, dict(info.positives)),
            "smaller": ({str(size): labels for size, labels in self.smaller.items()}, dict(info.smaller)),
        }
        for name, (found, written) in counts.items():
            if found != written:
                raise ShardError(
                    f"{self.split}: {name} is {found} in the shards, the manifest says {written}",
                    hint="regenerate the shards: dvc repro -f precompute",
                )


def _tallies(batch: AssignedRows) -> Iterator[ImageTally]:
    found, rows = batch.assignment, batch.rows
    unlisted = np.concatenate([scale.slot_box[~scale.slot_wins] for scale in found.scales])
    masks = (found.positives == 0, found.partly_overwritten, found.forced, unlisted)
    counts = [np.bincount(batch.row_of_box[chosen], minlength=len(rows)) for chosen in masks]
    counts[-1] += [row.unlisted_at(batch.manifest.input_size) for row in rows]
    for number in np.flatnonzero(np.sum(counts, axis=0)).tolist():
        row = rows[number]
        boxes = len(row.classes), len(row.ignored.classes)
        yield ImageTally(row.path, row.copy, *boxes, *(int(count[number]) for count in counts))
