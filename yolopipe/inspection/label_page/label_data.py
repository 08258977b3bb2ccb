"""The data block of the page: what ``model.js`` reads, as plain JSON types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from yolopipe.inspection.checks.check_report import Check, CheckReport, Hit
from yolopipe.inspection.checks.origins import place_of
from yolopipe.inspection.label_page.page_images import PageImage, PageImages
from yolopipe.inspection.label_page.selection import ImageKey, Limits
from yolopipe.shards.manifest import Manifest

__all__ = ["left_out", "page_data"]

MOST_HEAT_CLASSES = 100


def page_data(
    report: CheckReport, manifest: Manifest, found: PageImages, centres: npt.NDArray[np.int64]
) -> dict[str, Any]:
    """Everything the page's scripts need, pictures aside.

    Args:
        report: of the checks.
        manifest: of the shards.
        found: the images; their pictures are numbered in order, those listed first, then the variants.
        centres: (classes, cells, cells) boxes by row and column of the centre.
    """
    splits = list(manifest.splits)
    images = [*found.listed, *chain(*found.variants.values())]
    index = {image.key: number for number, image in enumerate(found.listed)}
    pictures = _numbered(images)
    variants: dict[int, list[int]] = {}
    for number, image in enumerate(images[len(found.listed) :], len(found.listed)):
        variants.setdefault(index[image.key], []).append(number)
    return {
        "classes": list(manifest.class_names),
        "splits": splits,
        "size": manifest.input_size,
        "strides": list(manifest.strides),
        "anchors": [[list(size) for size in scale] for scale in manifest.anchors],
        "images": [_image(image, splits, pictures[number], report.files) for number, image in enumerate(images)],
        "listed": len(found.listed),
        "variants": variants,
        "checks": [_check(check, index) for check in report.checks if check.count],
        "heat": _heat(centres),
    }


def _numbered(images: Sequence[PageImage]) -> list[int]:
    """Where the picture of each image lies among the pictures; -1 for none."""
    numbers, following = [], 0
    for image in images:
        numbers.append(following if image.picture else -1)
        following += bool(image.picture)
    return numbers


def _image(image: PageImage, splits: Sequence[str], picture: int, files: Mapping[str, str]) -> list[Any]:
    """``model.js`` knows the order; the boxes to be ignored come last, where there are some."""
    ignored = [
        [
            box.class_id,
            [round(side, 2) for side in box.box_xyxy],
            list(box.unlisted),
            str(place_of(files, image.split, box.origin)),
        ]
        for box in image.ignored
    ]
    return [
        image.path,
        splits.index(image.split),
        image.copy,
        *image.source_wh,
        image.boxes,
        image.smallest_px,
        list(image.classes),
        image.packed,
        picture,
        image.picture_px,
        *([ignored] if ignored else []),
    ]


def _check(check: Check, index: Mapping[ImageKey, int]) -> dict[str, Any]:
    return {
        "rule": check.rule,
        "severity": check.severity,
        "count": check.count,
        "hits": [_hit(hit, index) for hit in check.hits],
    }


def _hit(hit: Hit, index: Mapping[ImageKey, int]) -> list[Any]:
    """The image by number, or by name where it is not on the page; the same for its partner."""
    image = index.get((hit.split, hit.image), f"{hit.split}: {hit.image}")
    partner = -1 if hit.partner is None else index.get(hit.partner, ": ".join(hit.partner))
    return [image, hit.message, list(hit.boxes), hit.place, partner]


def _heat(centres: npt.NDArray[np.int64]) -> dict[str, list[int]]:
    """Counts by class, the most frequent classes only: some hundred numbers each."""
    totals = centres.sum(axis=(1, 2)).tolist()
    chosen = sorted(range(len(totals)), key=lambda number: (-totals[number], number))[:MOST_HEAT_CLASSES]
    return {str(number): centres[number].ravel().tolist() for number in sorted(chosen) if totals[number]}


def left_out(found: PageImages, manifest: Manifest, limits: Limits) -> tuple[str, ...]:
    """What the page does not show and why, one sentence each; the terminal prints the same.

    Args:
        found: the images on the page.
        manifest: of the shards.
        limits: how much was kept.
    """
    return tuple(_left_out(found, manifest, limits))


def _left_out(found: PageImages, manifest: Manifest, limits: Limits) -> Iterator[str]:
    listed, pictured = len(found.listed), sum(bool(image.picture) for image in found.listed)
    first = "images with problems first, then an even sample"
    images = sum(split.rows_per_copy for split in manifest.splits.values())
    if listed < images:
        yield f"The gallery lists {listed:,} of {images:,} images: {first}. Counts and charts include all."
    if pictured < listed:
        yield f"{pictured:,} of the {listed:,} listed images have a picture, {first}; the others show only boxes."
    side = min(limits.large_px, manifest.input_size)
    large = sum(image.picture_px == side for image in found.listed)
    if large < pictured and side > limits.small_px:
        yield (
            f"{large:,} pictures have {side} px a side, {first}; the other {pictured - large:,} have "
            f"{limits.small_px} px and are enlarged."
        )
    able = {name: info.copies - 1 for name, info in manifest.splits.items() if info.copies > 1}
    shown = len(found.variants)
    total = sum(manifest.splits[name].rows_per_copy for name in able)
    most = max(able.values(), default=0)
    if shown < total or most > limits.copies:
        each = f", the first {limits.copies} of {most} each" if most > limits.copies else ""
        yield f"Augmented copies are shown for {shown:,} of {total:,} images{each}."
