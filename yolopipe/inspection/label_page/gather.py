"""What the page shows of the images, read from the shards as a stream: only bounded lists are kept."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from yolopipe.inspection.label_page.label_charts import HEAT_CELLS, SIZE_BINS
from yolopipe.inspection.label_page.packing import pack
from yolopipe.inspection.label_page.selection import ImageKey, Limits, Selection
from yolopipe.shards.manifest import Manifest
from yolopipe.shards.reader import read_rows
from yolopipe.shards.schema import Row, decode_pixels
from yolopipe.shards.targets import BoxTargets, batch_targets

__all__ = ["Entry", "Gathered", "gather", "picture"]

LISTED, PICTURED, LARGE = 1, 2, 3

ROWS_AT_ONCE = 64
"""Rows held at a time, with their pixels."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Entry:
    """One row on the page.

    Args:
        split: ``train`` or ``val``.
        path: as in the annotation text.
        copy: which augmented copy.
        source_wh: pixels of the source image.
        smallest_px: shortest side of a box in the network input; 0.0 without boxes.
        classes: class numbers that occur, ascending.
        boxes: how many.
        packed: boxes and targets, see :func:`yolopipe.inspection.label_page.packing.pack`.
        picture: base64 of a JPEG, or empty.
        picture_px: its side.
    """

    split: str
    path: str
    copy: int
    source_wh: tuple[int, int]
    smallest_px: float
    classes: tuple[int, ...]
    boxes: int
    packed: str
    picture: str
    picture_px: int

    @property
    def key(self) -> ImageKey:
        """Split and path."""
        return self.split, self.path


@dataclass
class Gathered:
    """Everything that is read from the shards.

    Args:
        entries: the images on the page, copy 0, in the order of splits and rows.
        variants: other copies of some of them, by split and path.
        images: rows of copy 0 that were read.
        sizes: (:data:`SIZE_BINS`, :data:`SIZE_BINS`) boxes by logarithm of width and height.
        centres: (classes, :data:`HEAT_CELLS`, :data:`HEAT_CELLS`) boxes by row and column of the centre.
    """

    sizes: Ints
    centres: Ints
    entries: list[Entry] = field(default_factory=list)
    variants: dict[ImageKey, list[Entry]] = field(default_factory=dict)
    images: int = 0

    def add(self, row: Row, input_size: int) -> None:
        """Count a row in the charts."""
        self.images += 1
        if not len(row.classes):
            return
        sides = np.maximum(row.boxes_xyxy[:, 2:] - row.boxes_xyxy[:, :2], 1.0)
        bins = (np.log(sides) * (SIZE_BINS / np.log(input_size))).astype(np.int64)
        np.add.at(self.sizes, tuple(np.minimum(bins, SIZE_BINS - 1).T), 1)
        centre = (row.boxes_xyxy[:, :2] + row.boxes_xyxy[:, 2:]) * (HEAT_CELLS / 2 / input_size)
        x, y = np.clip(centre.astype(np.int64), 0, HEAT_CELLS - 1).T
        np.add.at(self.centres, (row.classes.astype(np.int64), y, x), 1)


def picture(row: Row, manifest: Manifest, side: int, quality: int) -> tuple[str, int]:
    """The network input as base64 of a small JPEG, and its side; never larger than it is stored.

    Args:
        row: from the shards.
        manifest: of the same shards.
        side: at most this many pixels.
        quality: 1 to 100.
    """
    pixels = decode_pixels(row.image, encoding=manifest.encoding, input_size=manifest.input_size)
    side = min(side, manifest.input_size)
    if side < manifest.input_size:
        pixels = np.asarray(cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)
    return base64.b64encode(encoded.tobytes()).decode("ascii"), side


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A row that goes on the page, and the side of its picture; 0 for none."""

    split: str
    row: Row
    side: int


def _entries(wanted: Iterable[_Wanted], manifest: Manifest, quality: int) -> Iterator[Entry]:
    """Some rows at a time: assigning them together takes a third of the time."""
    stream = iter(wanted)
    while batch := list(islice(stream, ROWS_AT_ONCE)):
        every = batch_targets([one.row for one in batch], manifest)
        for one, targets in zip(batch, every, strict=True):
            yield _entry(one, targets, manifest, quality)


def _entry(wanted: _Wanted, targets: Sequence[BoxTargets], manifest: Manifest, quality: int) -> Entry:
    split, row, side = wanted.split, wanted.row, wanted.side
    sides = row.boxes_xyxy[:, 2:] - row.boxes_xyxy[:, :2]
    encoded, side = picture(row, manifest, side, quality) if side else ("", 0)
    return Entry(
        split=split,
        path=row.path,
        copy=row.copy,
        source_wh=row.source_wh,
        smallest_px=round(float(sides.min()), 2) if len(sides) else 0.0,
        classes=tuple(np.unique(row.classes).tolist()),
        boxes=len(row.classes),
        packed=pack(targets, strides=manifest.strides, input_size=manifest.input_size),
        picture=encoded,
        picture_px=side,
    )


def gather(
    shards: str | Path,
    manifest: Manifest,
    flagged: Mapping[ImageKey, int],
    limits: Limits,
    advance: Callable[[int], Any] = lambda done: None,
) -> Gathered:
    """Read every row of copy 0 once, and some rows of other copies.

    Args:
        shards: the folder of shards.
        manifest: of the same shards.
        flagged: images that come first, from :func:`yolopipe.inspection.label_page.selection.flagged_images`.
        limits: how much is kept.
        advance: told of each row.

    Raises:
        ShardError: damaged shards, or labels that are not what the rule gives.
    """
    found = Gathered(
        sizes=np.zeros((SIZE_BINS, SIZE_BINS), np.int64),
        centres=np.zeros((len(manifest.class_names), HEAT_CELLS, HEAT_CELLS), np.int64),
    )
    selection = Selection(limits, flagged, sum(split.rows_per_copy for split in manifest.splits.values()))
    sides = {LISTED: 0, PICTURED: limits.small_px, LARGE: limits.large_px}

    def chosen() -> Iterator[_Wanted]:
        for split in manifest.splits:
            for row in read_rows(shards, manifest, split, copy=0):
                found.add(row, manifest.input_size)
                if depth := selection.depth((split, row.path)):
                    yield _Wanted(split, row, sides[depth])
                advance(1)

    found.entries.extend(_entries(chosen(), manifest, limits.quality))
    variants = _variants(shards, manifest, found.entries, flagged, limits)
    for entry in _entries(variants, manifest, limits.quality):
        found.variants.setdefault(entry.key, []).append(entry)
    return found


def _variants(
    shards: str | Path, manifest: Manifest, entries: list[Entry], flagged: Mapping[ImageKey, int], limits: Limits
) -> Iterator[_Wanted]:
    """Other copies of some images.  A copy is read only as far as these lie, and the rows of all copies lie alike."""
    for split, info in manifest.splits.items():
        able = [entry.path for entry in entries if entry.split == split and entry.picture]
        able.sort(key=lambda path: (split, path) not in flagged)
        for copy in range(1, min(info.copies, 1 + limits.copies)):
            wanted = set(able[: limits.variants])
            rows = iter(read_rows(shards, manifest, split, copy=copy) if wanted else ())
            while wanted and (row := next(rows, None)) is not None:
                if row.path in wanted:
                    wanted.discard(row.path)
                    yield _Wanted(split, row, limits.small_px)
