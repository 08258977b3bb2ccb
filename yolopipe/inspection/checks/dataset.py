"""What the checks keep of a data set: some thirty bytes a box, and no pixels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from yolopipe.arrays import Ints
from yolopipe.inspection.checks.overlaps import Overlaps, overlaps
from yolopipe.inspection.checks.rules import CONFLICT_IOU, DOUBLE_IOU
from yolopipe.inspection.ignored_boxes import ignored_boxes
from yolopipe.labels.assign import Assignment
from yolopipe.labels.collisions import COLLISION_RULES
from yolopipe.shards.manifest import Manifest
from yolopipe.shards.schema import Row
from yolopipe.shards.targets import AssignedRows

__all__ = ["FORCED", "OVERWRITTEN", "PARTLY", "UNLISTED", "Dataset", "DatasetBuilder"]

OVERWRITTEN, PARTLY, FORCED, UNLISTED = 1, 2, 4, 8
"""Bits of :attr:`Dataset.state`."""


@dataclass(frozen=True)
class Dataset:
    """Copy 0 of all splits: N images in order of split and annotation line, M boxes in theirs.

    Args:
        manifest: of the shards.
        split_names: by number.
        split: (N,) uint8 number of each image's split.
        paths: N paths as in the annotation text.
        lines: (N,) int32 1-based line of the annotation text; 0 where unknown.
        files: annotation file by split, where known.
        source_wh: (N, 2) int32 pixels of the source image.
        offsets: (N + 1,) image n has boxes ``offsets[n]:offsets[n + 1]``.
        sizes_wh: (M, 2) float32; of the boxes in the network input, had the image not been augmented.
        classes: (M,) int32.
        origins: (M, 2) int32 line and column of the annotation text.
        state: (M,) uint8 bits of what the assignment did to each box.
        doubles: boxes that overlap an earlier one of their class.
        conflicts: boxes that overlap an earlier one of another class.
        overwriters: (L, 2) box not assigned to any anchor, and the box that took its best one.
        without_positive: boxes not assigned to any anchor under each collision rule.
        ignored: (N,) boxes to be ignored of each image; they are not among the M.
        unlisted: (K, 4) of these, the ones that a scale's list has no room for: image, number there, line and
            column of the annotation text.
    """

    manifest: Manifest
    split_names: tuple[str, ...]
    split: npt.NDArray[np.uint8]
    paths: list[str]
    lines: npt.NDArray[np.int32]
    files: Mapping[str, str]
    source_wh: npt.NDArray[np.int32]
    offsets: Ints
    sizes_wh: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int32]
    origins: npt.NDArray[np.int32]
    state: npt.NDArray[np.uint8]
    doubles: Overlaps
    conflicts: Overlaps
    overwriters: Ints
    without_positive: Mapping[str, int]
    ignored: Ints
    unlisted: Ints

    def image_of(self, box: npt.NDArray[np.integer]) -> Ints:
        """The images that boxes are of."""
        return np.asarray(np.searchsorted(self.offsets, box, side="right") - 1, np.int64)

    def number_of(self, box: int) -> tuple[int, int]:
        """Image of a box, and its number there."""
        image = int(np.searchsorted(self.offsets, box, side="right") - 1)
        return image, int(box - self.offsets[image])

    def boxes_of_split(self, name: str) -> slice:
        """The boxes of a split, as a slice; empty where there is no such split."""
        number = self.split_names.index(name) if name in self.split_names else len(self.split_names)
        first, last = np.searchsorted(self.split, [number, number + 1])
        return slice(int(self.offsets[first]), int(self.offsets[last]))


@dataclass
class DatasetBuilder:
    """The columns of a :class:`Dataset` while batches of rows come in, in shard order."""

    manifest: Manifest
    _split: list[int] = field(default_factory=list)
    _paths: list[str] = field(default_factory=list)
    _counts: list[int] = field(default_factory=list)
    _source_wh: list[npt.NDArray[np.int32]] = field(default_factory=lambda: [np.zeros((0, 2), np.int32)])
    _sizes_wh: list[npt.NDArray[np.float32]] = field(default_factory=lambda: [np.zeros((0, 2), np.float32)])
    _classes: list[npt.NDArray[np.int32]] = field(default_factory=lambda: [np.zeros(0, np.int32)])
    _origins: list[npt.NDArray[np.int32]] = field(default_factory=lambda: [np.zeros((0, 2), np.int32)])
    _state: list[npt.NDArray[np.uint8]] = field(default_factory=lambda: [np.zeros(0, np.uint8)])
    _doubles: list[Overlaps] = field(default_factory=list)
    _conflicts: list[Overlaps] = field(default_factory=list)
    _overwriters: list[Ints] = field(default_factory=lambda: [np.zeros((0, 2), np.int64)])
    _without_positive: Counter[str] = field(
        default_factory=lambda: Counter(dict.fromkeys(map(str, COLLISION_RULES), 0))
    )
    _ignored: list[int] = field(default_factory=list)
    _unlisted: list[Ints] = field(default_factory=lambda: [np.zeros((0, 4), np.int64)])
    _boxes: int = 0

    def add(self, split: str, copy: int, batch: AssignedRows) -> None:
        """Take up rows of copy 0; other copies are of the same images."""
        if copy != 0:
            return
        rows, row_of_box, found = batch.rows, batch.row_of_box, batch.assignment
        boxes_xyxy = np.concatenate([row.boxes_xyxy for row in rows])
        classes = np.concatenate([row.classes for row in rows])
        for target, above, same in ((self._doubles, DOUBLE_IOU, True), (self._conflicts, CONFLICT_IOU, False)):
            some = overlaps(boxes_xyxy, classes, row_of_box, above=above, same_class=same)
            target.append(Overlaps(some.box + self._boxes, some.first + self._boxes, some.iou))
        self._overwriters.append(_overwriters(found) + self._boxes)
        self._split += [list(self.manifest.splits).index(split)] * len(rows)
        self._unlisted.append(_unlisted(rows, self.manifest, len(self._paths)))
        self._paths += [row.path for row in rows]
        self._counts += [len(row.classes) for row in rows]
        self._source_wh.append(np.array([row.source_wh for row in rows], np.int32))
        self._sizes_wh.append(_plain_sizes(rows, boxes_xyxy, row_of_box, self.manifest.input_size))
        self._classes.append(classes)
        self._origins.append(np.concatenate([row.boxes.origins for row in rows]))
        self._state.append(_state(found))
        self._without_positive.update(found.without_positive())
        self._ignored += [len(row.ignored.classes) for row in rows]
        self._boxes += len(classes)

    def dataset(self, lines: Mapping[str, Mapping[str, int]], files: Mapping[str, str]) -> Dataset:
        """All rows so far: images by split and line (by path where no line is known), boxes with them.

        Args:
            lines: annotation line of each image, by split; empty where unknown.
            files: annotation file by split.
        """
        names = tuple(self.manifest.splits)
        line_of = [lines.get(names[s], {}).get(path, 0) for s, path in zip(self._split, self._paths, strict=True)]
        order = sorted(range(len(self._paths)), key=lambda n: (self._split[n], line_of[n], self._paths[n]))
        counts = np.array(self._counts, np.int64)
        starts = np.cumsum(counts) - counts
        offsets = np.concatenate([[0], np.cumsum(counts[order])]).astype(np.int64)
        old = np.repeat(starts[order] - offsets[:-1], counts[order]) + np.arange(offsets[-1])
        new = np.empty_like(old)
        new[old] = np.arange(len(old))
        overwriters = new[np.concatenate(self._overwriters)]
        unlisted = np.concatenate(self._unlisted)
        unlisted[:, 0] = np.argsort(order)[unlisted[:, 0]]
        return Dataset(
            manifest=self.manifest,
            split_names=names,
            split=np.array(self._split, np.uint8)[order],
            paths=[self._paths[n] for n in order],
            lines=np.array(line_of, np.int32)[order],
            files=files,
            source_wh=np.concatenate(self._source_wh)[order],
            offsets=offsets,
            sizes_wh=np.concatenate(self._sizes_wh)[old],
            classes=np.concatenate(self._classes)[old],
            origins=np.concatenate(self._origins)[old],
            state=np.concatenate(self._state)[old],
            doubles=_renumbered(self._doubles, new),
            conflicts=_renumbered(self._conflicts, new),
            overwriters=overwriters[np.argsort(overwriters[:, 0])],
            without_positive=self._without_positive,
            ignored=np.array(self._ignored, np.int64)[order],
            unlisted=unlisted[np.lexsort((unlisted[:, 1], unlisted[:, 0]))],
        )


def _plain_sizes(
    batch: Sequence[Row], boxes_xyxy: npt.NDArray[np.float32], row_of_box: Ints, input_size: int
) -> npt.NDArray[np.float32]:
    """(M, 2) sizes as if the image were only scaled to the input: crops enlarge, differently in each copy.

    To a thousandth of a pixel, which removes the rounding of the two conversions.
    """
    stored = np.array([row.matrix[[0, 1], [0, 1]] for row in batch])
    plain = input_size / np.array([max(row.source_wh) for row in batch], np.float64)
    factor = plain[:, np.newaxis] / np.abs(stored)
    sizes = (boxes_xyxy[:, 2:].astype(np.float64) - boxes_xyxy[:, :2]) * factor[row_of_box]
    return np.asarray(np.round(sizes, 3), np.float32)


def _unlisted(rows: Sequence[Row], manifest: Manifest, first: int) -> Ints:
    """(K, 4) the boxes to be ignored missing from a list: row (counted from ``first``), number, line, column."""
    found = [
        (row, box.number, *box.origin)
        for row, content in enumerate(rows, first)
        for box in ignored_boxes(content, manifest.strides)
        if box.unlisted
    ]
    return np.array(found, np.int64).reshape(-1, 4)


def _state(found: Assignment) -> npt.NDArray[np.uint8]:
    state = np.zeros(len(found.positives), np.uint8)
    state[found.positives == 0] |= OVERWRITTEN
    state[found.partly_overwritten] |= PARTLY
    state[found.forced] |= FORCED
    for scale in found.scales:
        state[scale.slot_box[~scale.slot_wins]] |= UNLISTED
    return state


def _overwriters(found: Assignment) -> Ints:
    """(L, 2) each box not assigned to any anchor, and the box that took the anchor which fitted it best."""
    gone = found.positives == 0
    pairs: list[tuple[int, float, int]] = []
    for index, scale in enumerate(found.scales if gone.any() else ()):
        keys = found.places.keys(index, scale.box, scale.cell)
        wanted = np.flatnonzero(gone[scale.box])
        held = np.flatnonzero(scale.wins & np.isin(keys, keys[wanted]))
        holder = dict(zip(keys[held].tolist(), scale.box[held].tolist(), strict=True))
        pairs += [(int(scale.box[k]), -float(scale.iou[k]), holder[int(keys[k])]) for k in wanted]
    best = {box: winner for box, _, winner in sorted(pairs, reverse=True)}
    return np.array(sorted(best.items()), np.int64).reshape(-1, 2)


def _renumbered(found: Sequence[Overlaps], new: Ints) -> Overlaps:
    box, first = (
        new[np.concatenate([np.zeros(0, np.int64), *(getattr(f, name) for f in found)])] for name in ("box", "first")
    )
    iou = np.concatenate([np.zeros(0), *(some.iou for some in found)])
    order = np.argsort(box)
    return Overlaps(box[order], first[order], iou[order])
