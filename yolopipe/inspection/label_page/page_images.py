"""The images on the page: which ones, and what is read of them.

The checks decide which images come first, so they are read after the pass that feeds the checks.  Of the shards only
the rows that go on the page are read again.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from yolopipe.inspection.ignored_boxes import IgnoredBox, ignored_boxes
from yolopipe.inspection.label_page.packing import pack
from yolopipe.inspection.label_page.selection import ImageKey, Limits, Selection
from yolopipe.shards.manifest import Manifest
from yolopipe.shards.reader import read_chosen, read_paths
from yolopipe.shards.schema import Row, decode_pixels
from yolopipe.shards.targets import BoxTargets, assigned_batches

__all__ = ["PageImage", "PageImages", "choose_rows", "page_picture", "read_images"]

LISTED, PICTURED, LARGE = 1, 2, 3

ROWS_AT_ONCE = 64
"""Rows in memory at a time, with their pixels."""

Sides = Mapping[str, Mapping[int, int]]
"""By split: row number and the side of its picture, 0 for none."""


@dataclass(frozen=True, slots=True)
class PageImage:
    """One row on the page.

    Args:
        split: ``train`` or ``val``.
        path: as in the annotation text.
        copy: which augmented copy.
        source_wh: pixels of the source image.
        smallest_px: shortest side of a box in the network input; 0.0 without boxes.
        classes: class numbers that occur, ascending.
        boxes: how many.
        ignored: boxes to be ignored; they are in none of the other numbers.
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
    ignored: tuple[IgnoredBox, ...]
    packed: str
    picture: str
    picture_px: int

    @property
    def key(self) -> ImageKey:
        """Split and path."""
        return self.split, self.path


@dataclass(frozen=True)
class PageImages:
    """All images on the page.

    Args:
        listed: of copy 0, in the order of splits and rows.
        variants: other copies of some of them, by split and path.
    """

    listed: list[PageImage]
    variants: dict[ImageKey, list[PageImage]]


def choose_rows(paths: Mapping[str, Sequence[str]], flagged: Mapping[ImageKey, int], limits: Limits) -> Sides:
    """The rows of copy 0 that go on the page, and how large their pictures are.

    Args:
        paths: image paths of each split, in shard order.
        flagged: images that come first, from :func:`yolopipe.inspection.label_page.selection.flagged_images`.
        limits: how much one page holds.

    >>> choose_rows({"train": ["a", "b"]}, {("train", "b"): 0}, Limits(images=1))
    {'train': {1: 416}}
    """
    selection = Selection(limits, flagged, sum(map(len, paths.values())))
    sides = {LISTED: 0, PICTURED: limits.small_px, LARGE: limits.large_px}
    depths = {
        split: [(number, selection.depth((split, path))) for number, path in enumerate(names)]
        for split, names in paths.items()
    }
    return {split: {number: sides[depth] for number, depth in found if depth} for split, found in depths.items()}


def read_images(
    shards: str | Path,
    manifest: Manifest,
    sides: Sides,
    flagged: Mapping[ImageKey, int],
    limits: Limits,
    advance: Callable[[int], None] = lambda done: None,
) -> PageImages:
    """Read the rows that go on the page, and other augmented copies of some of them.

    Args:
        shards: the folder of shards.
        manifest: of the same shards.
        sides: from :func:`choose_rows`.
        flagged: images whose copies come first.
        limits: how much one page holds.
        advance: called with the number of images done.

    Raises:
        ShardError: damaged shards, or labels that differ from an assignment of their boxes.
    """
    listed: list[PageImage] = []
    for split, wanted in sides.items():
        for image in _images(shards, manifest, split, 0, wanted, limits.quality):
            listed.append(image)
            advance(1)
    variants: dict[ImageKey, list[PageImage]] = {}
    for split, info in manifest.splits.items():
        pictured = [image for image in listed if image.split == split and image.picture]
        pictured.sort(key=lambda image: image.key not in flagged)
        chosen = {image.path for image in pictured[: limits.variants]}
        for copy in range(1, min(info.copies, 1 + limits.copies) if chosen else 1):
            paths = read_paths(shards, manifest, split, copy=copy)
            wanted = {number: limits.small_px for number, path in enumerate(paths) if path in chosen}
            for image in _images(shards, manifest, split, copy, wanted, limits.quality):
                variants.setdefault(image.key, []).append(image)
    return PageImages(listed, variants)


def _images(
    shards: str | Path, manifest: Manifest, split: str, copy: int, sides: Mapping[int, int], quality: int
) -> Iterator[PageImage]:
    rows = read_chosen(shards, manifest, split, {number: side > 0 for number, side in sides.items()}, copy=copy)
    left = iter(sides.values())
    for batch in assigned_batches(rows, manifest, ROWS_AT_ONCE):
        for row, targets in zip(batch.rows, batch.targets(), strict=True):
            yield _image(split, row, targets, manifest, next(left), quality)


def _image(
    split: str, row: Row, targets: Sequence[BoxTargets], manifest: Manifest, side: int, quality: int
) -> PageImage:
    sides = row.boxes_xyxy[:, 2:] - row.boxes_xyxy[:, :2]
    picture, side = page_picture(row, manifest, side, quality) if side else ("", 0)
    return PageImage(
        split=split,
        path=row.path,
        copy=row.copy,
        source_wh=row.source_wh,
        smallest_px=round(float(sides.min()), 2) if len(sides) else 0.0,
        classes=tuple(np.unique(row.classes).tolist()),
        boxes=len(row.classes),
        ignored=ignored_boxes(row, manifest.strides),
        packed=pack(targets, strides=manifest.strides, input_size=manifest.input_size),
        picture=picture,
        picture_px=side,
    )


def page_picture(row: Row, manifest: Manifest, side: int, quality: int) -> tuple[str, int]:
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
