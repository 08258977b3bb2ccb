"""``inspect-labels --html``: one self-contained file, from the checks and the shards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from yolopipe import console
from yolopipe.inspection.checks.check_report import SEVERITIES, CheckReport
from yolopipe.inspection.label_page import anchor_charts
from yolopipe.inspection.label_page import label_charts as charts
from yolopipe.inspection.label_page.chart_counts import ChartCounts
from yolopipe.inspection.label_page.label_data import left_out, page_data
from yolopipe.inspection.label_page.page_images import PageImages, choose_rows, read_images
from yolopipe.inspection.label_page.selection import Limits, flagged_images
from yolopipe.labels.anchors import anchors_yaml
from yolopipe.pages.chart import Chart
from yolopipe.pages.document import page_path, write_document
from yolopipe.shards.manifest import Manifest

__all__ = ["PageFile", "verdict", "write_page"]

SCRIPTS = ("model.js", "gallery.js", "viewer.js", "main.js")

MARKS = {"error": "✕", "warning": "▲", "note": "●", "passed": "✓"}
"""A shape for each severity, for readers who do not see the colours."""


@dataclass(frozen=True, slots=True)
class PageFile:
    """A page that was written.

    Args:
        file: where.
        bytes: how large.
        images: listed in its gallery.
        left_out: what it does not show and why, one sentence each.
    """

    file: Path
    bytes: int
    images: int
    left_out: tuple[str, ...]


def write_page(
    file: str | Path,
    *,
    shards: str | Path,
    manifest: Manifest,
    report: CheckReport,
    counts: ChartCounts,
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> PageFile:
    """Write the page; it appears whole or not at all, and is the same bytes for the same input.

    Args:
        file: an ``.html`` or ``.htm`` file; an older one is replaced.
        shards: the folder of shards.
        manifest: of the same shards.
        report: what the checks found in them.
        counts: of every row of copy 0.
        limits: how much one page holds.

    Returns:
        What was written.

    Raises:
        UsageError: another suffix.
        ShardError: damaged shards.
    """
    target = page_path(file)
    flagged = flagged_images(report)
    chosen = choose_rows(counts.paths, flagged, limits)
    with console.progress("page", sum(map(len, chosen.values()))) as advance:
        images = read_images(shards, manifest, chosen, flagged, limits, advance)
    missing = (*report.left_out, *left_out(images, manifest, limits))
    write_document(
        target,
        "yolopipe.inspection.label_page",
        template="template.html",
        style="page.css",
        scripts=SCRIPTS,
        context=_context(report, manifest, counts, images, missing),
    )
    return PageFile(target, target.stat().st_size, len(images.listed), missing)


def _context(
    report: CheckReport, manifest: Manifest, counts: ChartCounts, images: PageImages, missing: tuple[str, ...]
) -> dict[str, Any]:
    data = page_data(report, manifest, images, counts.centres)
    return {
        "verdict": verdict(report, counts.images),
        "severity": next((severity for severity in SEVERITIES if report.found(severity)), "passed"),
        "tiles": _tiles(report),
        "marks": MARKS,
        "found": [check for severity in SEVERITIES for check in report.found(severity)],
        "passed": [check for check in report.checks if not check.count],
        "data_charts": _data_charts(report, manifest, counts),
        "heat_choice": {"id": "heat-class", "label": "class", "options": _heat_classes(data, manifest)},
        "anchors": report.anchors,
        "proposal": report.proposal,
        "proposal_yaml": anchors_yaml(report.proposal) if report.proposal else "",
        "anchor_charts": _anchor_charts(report),
        "manifest": manifest,
        "images": counts.images,
        "ignored": sum(facts.ignored for facts in report.splits.values()),
        "listed": len(images.listed),
        "left_out": missing,
        "data": data,
        "pictures": _pictures(images),
    }


def _heat_classes(data: dict[str, Any], manifest: Manifest) -> list[tuple[str, str]]:
    return [("", "all"), *((number, manifest.class_names[int(number)]) for number in data["heat"])]


def verdict(report: CheckReport, images: int) -> str:
    """The result in one sentence; a rule that applies is one error or warning, as in the terminal.

    >>> verdict(CheckReport((), (), {}, None, None), 12)
    'No errors or warnings in 12 images.'
    """
    counts = {severity: len(report.found(severity)) for severity in SEVERITIES}
    parts = [_many(counts[severity], severity) for severity in ("error", "warning") if counts[severity]]
    of = f"{images:,} image{'' if images == 1 else 's'}"
    if parts:
        return f"{' and '.join(parts)} in {of}."
    return f"No errors or warnings in {of}."


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _tiles(report: CheckReport) -> list[tuple[str, str, str, str]]:
    """Name, number, text below it, and the severity that colours it."""
    per_split = {name: (facts.images, facts.boxes) for name, facts in report.splits.items()}
    images, boxes = (
        (sum(counts[part] for counts in per_split.values()), _split_text(per_split, part)) for part in (0, 1)
    )
    used = sum(
        any(facts.boxes_per_class[n] for facts in report.splits.values()) for n in range(len(report.class_names))
    )
    ignored = sum(facts.ignored for facts in report.splits.values())
    tiles = [
        ("images", f"{images[0]:,}", images[1], ""),
        ("boxes", f"{boxes[0]:,}", boxes[1] + (f" · {ignored:,} ignored" if ignored else ""), ""),
        ("classes", f"{len(report.class_names):,}", f"{used:,} in use", ""),
    ]
    for severity in ("error", "warning"):
        checks = report.found(severity)
        rules = sum(check.severity == severity for check in report.checks)
        tiles.append(
            (f"{severity}s", f"{len(checks):,}", f"of {_many(rules, 'rule')}", severity if checks else "passed")
        )
    return [*tiles, _leak_tile(report)]


def _split_text(per_split: dict[str, tuple[int, int]], part: int) -> str:
    return " · ".join(f"{counts[part]:,} {name}" for name, counts in per_split.items())


def _leak_tile(report: CheckReport) -> tuple[str, str, str, str]:
    """Duplicates and near duplicates between the splits, together."""
    leaks = [check for check in report.checks if check.rule.startswith("leak")]
    if not leaks:
        return ("leak", "–", "not checked", "")
    found = [check for check in leaks if check.count]
    return (
        "leak",
        f"{sum(check.count for check in leaks):,}",
        leaks[0].unit,
        found[0].severity if found else "passed",
    )


def _data_charts(report: CheckReport, manifest: Manifest, counts: ChartCounts) -> list[Chart]:
    return [
        charts.class_bars(manifest.class_names, report.splits),
        charts.boxes_per_image(report.splits),
        charts.size_scatter(counts.sizes, manifest.input_size, manifest.anchors, manifest.strides),
        charts.centre_heat(counts.centres.sum(axis=0)),
    ]


def _anchor_charts(report: CheckReport) -> list[Chart]:
    if report.anchors is None:
        return []
    return [
        anchor_charts.anchor_shares(report.anchors, report.proposal),
        anchor_charts.recall_curves(report.anchors, report.proposal),
    ]


def _pictures(images: PageImages) -> Iterator[str]:
    """Base64 needs no escaping."""
    for image in chain(images.listed, *images.variants.values()):
        if image.picture:
            yield image.picture
