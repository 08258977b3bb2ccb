"""What the checks keep of a data set: some twenty bytes a box, gathered from the shards without their pixels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from yolopipe.inspection.checks.overlaps import Overlaps, overlaps
from yolopipe.inspection.checks.rules import CONFLICT_IOU, DOUBLE_IOU
from yolopipe.labels.assign import Assignment
from yolopipe.labels.collisions import COLLISION_RULES
from yolopipe.shards.manifest import Manifest
from yolopipe.shards.reader import read_rows
from yolopipe.shards.schema import Row
from yolopipe.shards.targets import ROWS_AT_ONCE, checked_assignment

__all__ = ["FORCED", "LOST", "PARTLY", "UNLISTED", "Dataset", "gather"]

LOST, PARTLY, FORCED, UNLISTED = 1, 2, 4, 8
"""Bits of :attr:`Dataset.state`."""

Ints = npt.NDArray[np.int64]


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
        classes: (M,) uint16.
        state: (M,) uint8 bits of what the assignment did to each box.
        doubles: boxes that overlap an earlier one of their class.
        conflicts: boxes that overlap an earlier one of another class.
        lost_to: (L, 2) box taught nowhere, and a box that took a place of it.
        without_positive: boxes taught nowhere under each collision rule.
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
    classes: npt.NDArray[np.uint16]
    state: npt.NDArray[np.uint8]
    doubles: Overlaps
    conflicts: Overlaps
    lost_to: Ints
    without_positive: Mapping[str, int]

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
class _Parts:
    """The columns of a :class:`Dataset` while they grow, in shard order."""

    split: list[int] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    source_wh: list[npt.NDArray[np.int32]] = field(default_factory=lambda: [np.zeros((0, 2), np.int32)])
    sizes_wh: list[npt.NDArray[np.float32]] = field(default_factory=lambda: [np.zeros((0, 2), np.float32)])
    classes: list[npt.NDArray[np.uint16]] = field(default_factory=lambda: [np.zeros(0, np.uint16)])
    state: list[npt.NDArray[np.uint8]] = field(default_factory=lambda: [np.zeros(0, np.uint8)])
    doubles: list[Overlaps] = field(default_factory=list)
    conflicts: list[Overlaps] = field(default_factory=list)
    lost_to: list[Ints] = field(default_factory=lambda: [np.zeros((0, 2), np.int64)])
    boxes: int = 0


def gather(
    shards: Path,
    manifest: Manifest,
    lines: Mapping[str, Mapping[str, int]],
    files: Mapping[str, str],
    advance: Callable[[int], None] = lambda done: None,
) -> Dataset:
    """Read copy 0 of every split, a few hundred rows at a time.

    Args:
        shards: their folder.
        manifest: of the same shards.
        lines: annotation line of each image, by split; empty where unknown.
        files: annotation file by split.
        advance: called with the number of rows done.

    Raises:
        ShardError: damaged shards, or labels that are not what the rule gives.
    """
    parts, without = _Parts(), Counter(dict.fromkeys(map(str, COLLISION_RULES), 0))
    names = tuple(manifest.splits)
    for number, name in enumerate(names):
        rows = read_rows(shards, manifest, name, copy=0, pixels=False)
        while batch := list(islice(rows, ROWS_AT_ONCE)):
            found, row_of_box = checked_assignment(batch, manifest, manifest.input_size)
            _add(parts, number, batch, found, row_of_box, manifest)
            without.update(found.without_positive())
            advance(len(batch))
    known = [lines.get(names[s], {}).get(path, 0) for s, path in zip(parts.split, parts.paths, strict=True)]
    return _ordered(parts, manifest, names, np.array(known, np.int32), files, without)


def _add(
    parts: _Parts, split: int, batch: Sequence[Row], found: Assignment, row_of_box: Ints, manifest: Manifest
) -> None:
    boxes_xyxy = np.concatenate([row.boxes_xyxy for row in batch])
    classes = np.concatenate([row.classes for row in batch])
    for target, above, same in ((parts.doubles, DOUBLE_IOU, True), (parts.conflicts, CONFLICT_IOU, False)):
        some = overlaps(boxes_xyxy, classes, row_of_box, above=above, same_class=same)
        target.append(Overlaps(some.box + parts.boxes, some.first + parts.boxes, some.iou))
    parts.lost_to.append(_lost_to(found, row_of_box) + parts.boxes)
    parts.split += [split] * len(batch)
    parts.paths += [row.path for row in batch]
    parts.counts += [len(row.classes) for row in batch]
    parts.source_wh.append(np.array([row.source_wh for row in batch], np.int32))
    parts.sizes_wh.append(_plain_sizes(batch, boxes_xyxy, row_of_box, manifest.input_size))
    parts.classes.append(classes)
    parts.state.append(_state(found))
    parts.boxes += len(classes)


def _plain_sizes(
    batch: Sequence[Row], boxes_xyxy: npt.NDArray[np.float32], row_of_box: Ints, input_size: int
) -> npt.NDArray[np.float32]:
    """(M, 2) sizes had the image only been scaled to the input: crops enlarge, and are drawn anew in each copy.

    To a thousandth of a pixel, which takes back the rounding of the way there.
    """
    stored = np.array([row.matrix[[0, 1], [0, 1]] for row in batch])
    plain = input_size / np.array([max(row.source_wh) for row in batch], np.float64)
    factor = plain[:, np.newaxis] / np.abs(stored)
    sizes = (boxes_xyxy[:, 2:].astype(np.float64) - boxes_xyxy[:, :2]) * factor[row_of_box]
    return np.asarray(np.round(sizes, 3), np.float32)


def _state(found: Assignment) -> npt.NDArray[np.uint8]:
    state = np.zeros(len(found.positives), np.uint8)
    state[found.positives == 0] |= LOST
    state[found.partly_overwritten] |= PARTLY
    state[found.forced] |= FORCED
    for scale in found.scales:
        state[scale.slot_box[~scale.slot_wins]] |= UNLISTED
    return state


def _lost_to(found: Assignment, row_of_box: Ints) -> Ints:
    """(L, 2) each box taught nowhere, and the box that took the place which fitted it best."""
    lost = found.positives == 0
    pairs: list[tuple[int, float, int]] = []
    for index, scale in enumerate(found.scales if lost.any() else ()):
        keys = found.places.keys(index, scale.box, scale.cell)
        wanted = np.flatnonzero(lost[scale.box])
        held = np.flatnonzero(scale.wins & np.isin(keys, keys[wanted]))
        holder = dict(zip(keys[held].tolist(), scale.box[held].tolist(), strict=True))
        pairs += [(int(scale.box[k]), -float(scale.iou[k]), holder[int(keys[k])]) for k in wanted]
    best = {box: winner for box, _, winner in sorted(pairs, reverse=True)}
    return np.array(sorted(best.items()), np.int64).reshape(-1, 2)


def _ordered(
    parts: _Parts,
    manifest: Manifest,
    names: tuple[str, ...],
    lines: npt.NDArray[np.int32],
    files: Mapping[str, str],
    without: Mapping[str, int],
) -> Dataset:
    """Images by split and line (by path where no line is known), boxes with them."""
    order = sorted(range(len(parts.paths)), key=lambda n: (parts.split[n], lines[n], parts.paths[n]))
    counts = np.array(parts.counts, np.int64)
    starts = np.cumsum(counts) - counts
    offsets = np.concatenate([[0], np.cumsum(counts[order])]).astype(np.int64)
    old = np.repeat(starts[order] - offsets[:-1], counts[order]) + np.arange(offsets[-1])
    new = np.empty_like(old)
    new[old] = np.arange(len(old))
    lost = new[np.concatenate(parts.lost_to)]
    return Dataset(
        manifest=manifest,
        split_names=names,
        split=np.array(parts.split, np.uint8)[order],
        paths=[parts.paths[n] for n in order],
        lines=lines[order],
        files=files,
        source_wh=np.concatenate(parts.source_wh)[order],
        offsets=offsets,
        sizes_wh=np.concatenate(parts.sizes_wh)[old],
        classes=np.concatenate(parts.classes)[old],
        state=np.concatenate(parts.state)[old],
        doubles=_renumbered(parts.doubles, new),
        conflicts=_renumbered(parts.conflicts, new),
        lost_to=lost[np.argsort(lost[:, 0])],
        without_positive=without,
    )


def _renumbered(found: Sequence[Overlaps], new: Ints) -> Overlaps:
    box, first = (
        new[np.concatenate([np.zeros(0, np.int64), *(getattr(f, name) for f in found)])] for name in ("box", "first")
    )
    iou = np.concatenate([np.zeros(0), *(some.iou for some in found)])
    order = np.argsort(box)
    return Overlaps(box[order], first[order], iou[order])
