"""Shards and reports for the tests of the page: what a hostile, crowded or empty data set looks like."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from yolopipe.inspection.checks.check_report import Check, CheckReport, Hit, SplitFacts
from yolopipe.inspection.label_page import ChartCounts, Limits, PageFile, write_page
from yolopipe.inspection.label_page.page_images import PageImages, choose_rows, read_images
from yolopipe.inspection.label_pass import read_labels
from yolopipe.labels.anchors import AnchorFit
from yolopipe.shards.manifest import Manifest, load_manifest
from yolopipe.shards.reader import read_rows
from yolopipe.shards.schema import Row

SIZE = 96
CLASSES = ("<script>alert('class')</script>", "quoted\" 'name' & co", "naïve\u2028日本")
HOSTILE = "img/<script>alert(2)</script> \"a' & é\u2028日.png"
COLLISION, FORCED, EMPTY = "img/collision.png", "img/forced.png", "img/empty.png"
PAIR = (("train", "img/pair-train.png"), ("val", "v/pair-val.png"))
PLAIN = 64
RECALL = tuple((step / 100, 1 - step / 100) for step in range(30, 100, 5))


ANCHORS_PX = np.array(
    [[[6, 9], [11, 8], [14, 16]], [[20, 14], [26, 34], [40, 30]], [[48, 60], [70, 50], [84, 92]]], float
)
"""Of unequal sides: square ones would hide an exchange of width and height."""


def builder() -> ModuleType:
    """The functions of ``tests/shard_builder.py``, with other anchors."""
    file = Path(__file__).parents[1] / "helpers/shard_builder.py"
    spec = importlib.util.spec_from_file_location("shard_builder_of_pages", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.ANCHORS_PX = ANCHORS_PX
    return module


def rows_of(shards: ModuleType) -> dict[str, list[Row]]:
    """Special images first, then ``PLAIN`` ordinary ones; two copies of train, three images of val."""

    def row(path: str, boxes: list[list[float]], classes: list[int], copy: int = 0) -> Row:
        pixels = np.random.default_rng(len(path)).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
        return shards.build_row(path, boxes, classes, size=SIZE, copy=copy, pixels=pixels)

    first = [
        row(HOSTILE, [[10, 10, 30.5, 34]], [0]),
        row(COLLISION, [[30, 30, 50, 50], [31, 31, 50.25, 50], [4, 60, 14, 72]], [1, 1, 2]),
        row(FORCED, [[0, 40, 96, 43]], [1]),
        row(EMPTY, [], []),
        row(PAIR[0][1], [[20, 20, 44, 40]], [0]),
    ]
    rng = np.random.default_rng(0)
    plain = []
    for number in range(PLAIN):
        count = 1 + number % 4
        sides = rng.integers(8, 30, (count, 2))
        corners = rng.integers(0, 60, (count, 2))
        boxes = np.concatenate([corners, corners + sides], axis=1).astype(float).tolist()
        plain.append(row(f"img/plain {number:02d}.png", boxes, [n % 2 for n in range(count)]))
    copies = [row(image.path, [[5, 5, 25, 25]], [1], copy=1) for image in (*first, *plain)]
    val = [
        row(PAIR[1][1], [[21, 20, 45, 40]], [0]),
        row("v/one.png", [[8, 8, 60, 70]], [0]),
        row("v/two.png", [], []),
    ]
    return {"train": [*first, *plain, *copies], "val": val}


def facts_of(folder: Path, manifest: Manifest) -> dict[str, SplitFacts]:
    """Counted with plain loops."""
    found = {}
    for split in manifest.splits:
        rows = list(read_rows(folder, manifest, split, copy=0))
        classes = [row.classes.tolist() for row in rows]
        numbers = range(len(manifest.class_names))
        sides = [s for row in rows for x1, y1, x2, y2 in row.boxes_xyxy.tolist() for s in (x2 - x1, y2 - y1)]
        lengths = [len(one) for one in classes]
        found[split] = SplitFacts(
            images=len(rows),
            boxes=sum(lengths),
            backgrounds=lengths.count(0),
            boxes_per_class=tuple(sum(one.count(number) for one in classes) for number in numbers),
            images_per_class=tuple(sum(number in one for one in classes) for number in numbers),
            images_with={length: lengths.count(length) for length in sorted(set(lengths))},
            smallest_px=min(sides, default=0.0),
            largest_px=max(sides, default=0.0),
        )
    return found


def fit_of(manifest: Manifest, factor: float = 1.0) -> AnchorFit:
    """A fit with made-up numbers."""
    anchors = tuple((w * factor, h * factor) for scale in manifest.anchors for w, h in scale)
    return AnchorFit(anchors, 0.5 * factor, RECALL, tuple(number / 36 for number in range(9)))


def report_of(folder: Path, manifest: Manifest, *, problems: bool = True) -> CheckReport:
    """Two errors, two warnings and a note, or nothing."""
    absent = Hit("train", "gone/<b>.png", "box 1,1,1,1 has no area <i>", (), "data/<x>&.txt", 3)
    pair = Hit(*PAIR[0], "nearly the same picture", (), "data/train.txt", 12, partner=PAIR[1])
    unassigned = Hit("train", COLLISION, "box 0 is not assigned to any anchor", (0,), "data/train.txt", 7)
    forced = Hit("train", FORCED, "box 0 fits no anchor", (0,))
    many = tuple(
        Hit("train", f"img/plain {n:02d}.png", f"box {n}", (0,), "data/train.txt", 20 + n) for n in range(55)
    )
    checks = (
        Check("zero-size", "error", 1, 120, "boxes", "boxes without area", "redraw them", (absent,)),
        Check("leak-near", "error", 1, 3, "val images", "one scene in train and val", "part them", (pair,)),
        Check(
            "collision",
            "warning",
            1,
            120,
            "boxes",
            "not assigned to any anchor",
            "delete <double boxes>",
            (unassigned,),
        ),
        Check("tiny", "warning", 1200, 1500, "boxes", "smaller than a cell", "look", many),
        Check("forced", "note", 1, 120, "boxes", "fit no anchor", "fine", (forced,)),
        Check("huge-box", "note", 0, 120, "boxes", "none is huge", ""),
    )
    quiet = tuple(Check(c.rule, c.severity, 0, c.base, c.unit, c.summary, c.advice) for c in checks)
    boxes = sum(split.boxes for split in manifest.splits.values())
    return CheckReport(
        checks if problems else quiet,
        manifest.class_names,
        facts_of(folder, manifest),
        fit_of(manifest) if boxes else None,
        fit_of(manifest, 1.5) if boxes else None,
        ("near pictures: <no> sources",) if problems else (),
    )


def counts_of(folder: Path, manifest: Manifest) -> ChartCounts:
    """What the command's pass over the labels counts for the page."""
    counts = ChartCounts(manifest)
    read_labels(folder, manifest, [counts])
    return counts


def write(file: Path, folder: Path, **options: Any) -> PageFile:
    """The page of the shards in a folder, with the report of these samples."""
    manifest = load_manifest(folder)
    report = report_of(folder, manifest, problems=options.pop("problems", True))
    counts = counts_of(folder, manifest)
    return write_page(file, shards=folder, manifest=manifest, report=report, counts=counts, **options)


def images_of(folder: Path, flagged: dict[tuple[str, str], int], limits: Limits) -> PageImages:
    """The images of the page."""
    manifest = load_manifest(folder)
    chosen = choose_rows(counts_of(folder, manifest).paths, flagged, limits)
    return read_images(folder, manifest, chosen, flagged, limits)


def build(shards: ModuleType, folder: Path, splits: dict[str, list[Row]] | None = None) -> Manifest:
    """Write the shards."""
    rows = rows_of(shards) if splits is None else splits
    return shards.build_shards(folder, rows, size=SIZE, class_names=CLASSES)
