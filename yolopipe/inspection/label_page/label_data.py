"""The data block of the page: what ``model.js`` reads, as plain JSON types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from yolopipe.inspection.checks.check_report import Check, CheckReport, Hit
from yolopipe.inspection.label_page.gather import Entry, Gathered
from yolopipe.inspection.label_page.selection import ImageKey, Limits
from yolopipe.labels.anchors import AnchorFit
from yolopipe.shards.manifest import Manifest

__all__ = ["anchors_yaml", "left_out", "page_data"]

MOST_HEAT_CLASSES = 100


def page_data(report: CheckReport, manifest: Manifest, found: Gathered) -> dict[str, Any]:
    """Everything the page's scripts need, pictures aside.

    Args:
        report: of the checks.
        manifest: of the shards.
        found: what :func:`yolopipe.inspection.label_page.gather.gather` read; pictures are numbered in its order, the
            images' first, then the variants'.
    """
    splits = list(manifest.splits)
    entries = [*found.entries, *(entry for copies in found.variants.values() for entry in copies)]
    index = {entry.key: number for number, entry in enumerate(found.entries)}
    pictures = _numbered(entries)
    variants: dict[int, list[int]] = {}
    for number, entry in enumerate(entries[len(found.entries) :], len(found.entries)):
        variants.setdefault(index[entry.key], []).append(number)
    return {
        "classes": list(manifest.class_names),
        "splits": splits,
        "size": manifest.input_size,
        "strides": list(manifest.strides),
        "anchors": [[list(size) for size in scale] for scale in manifest.anchors],
        "images": [_image(entry, splits, pictures[number]) for number, entry in enumerate(entries)],
        "listed": len(found.entries),
        "variants": variants,
        "checks": [_check(check, index) for check in report.checks if check.count],
        "heat": _heat(found),
    }


def _numbered(entries: Sequence[Entry]) -> list[int]:
    """Where the picture of each entry lies among the pictures; -1 for none."""
    numbers, following = [], 0
    for entry in entries:
        numbers.append(following if entry.picture else -1)
        following += bool(entry.picture)
    return numbers


def _image(entry: Entry, splits: Sequence[str], picture: int) -> list[Any]:
    """``model.js`` knows the order."""
    return [
        entry.path,
        splits.index(entry.split),
        entry.copy,
        *entry.source_wh,
        entry.boxes,
        entry.smallest_px,
        list(entry.classes),
        entry.packed,
        picture,
        entry.picture_px,
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
    return [image, hit.message, list(hit.boxes), hit.file, hit.line, partner]


def _heat(found: Gathered) -> dict[str, list[int]]:
    """Counts by class, the most frequent classes only: some hundred numbers each."""
    totals = found.centres.sum(axis=(1, 2)).tolist()
    chosen = sorted(range(len(totals)), key=lambda number: (-totals[number], number))[:MOST_HEAT_CLASSES]
    return {str(number): found.centres[number].ravel().tolist() for number in sorted(chosen) if totals[number]}


def left_out(found: Gathered, manifest: Manifest, limits: Limits) -> tuple[str, ...]:
    """What the page does not show and why, one sentence each; the terminal prints the same.

    Args:
        found: what was read.
        manifest: of the shards.
        limits: how much was kept.
    """
    return tuple(_left_out(found, manifest, limits))


def _left_out(found: Gathered, manifest: Manifest, limits: Limits) -> Iterator[str]:
    listed, pictured = len(found.entries), sum(bool(entry.picture) for entry in found.entries)
    first = "those with problems first, then an even sample"
    if listed < found.images:
        yield f"The gallery lists {listed:,} of {found.images:,} images: {first}. Counts and charts are of all."
    if pictured < listed:
        yield f"{pictured:,} of the {listed:,} listed images have a picture, {first}; the others show boxes alone."
    side = min(limits.large_px, manifest.input_size)
    large = sum(entry.picture_px == side for entry in found.entries)
    if large < pictured and side > limits.small_px:
        yield (
            f"{large:,} pictures have {side} px a side, {first}; the other {pictured - large:,} have "
            f"{limits.small_px} px and are shown enlarged."
        )
    able = {name: info.copies - 1 for name, info in manifest.splits.items() if info.copies > 1}
    shown = len(found.variants)
    total = sum(manifest.splits[name].rows_per_copy for name in able)
    most = max(able.values(), default=0)
    if shown < total or most > limits.copies:
        each = f", the first {limits.copies} of {most} each" if most > limits.copies else ""
        yield f"Augmented copies are shown for {shown:,} of {total:,} images{each}."


def anchors_yaml(fit: AnchorFit) -> str:
    """The anchors as lines for ``params.yaml``.

    >>> print(anchors_yaml(AnchorFit(((10.0, 13.0), (16.5, 30.0)), 0.5, (), ())))
    assignment:
      anchors:
        - 10x13
        - 16.5x30
    """
    lines = [f"    - {width:g}x{height:g}" for width, height in fit.anchors_wh]
    return "\n".join(["assignment:", "  anchors:", *lines])
