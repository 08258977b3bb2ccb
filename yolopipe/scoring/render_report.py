"""``yolopipe report``: the report page from the outputs of ``evaluate``, without the model."""

from __future__ import annotations

import webbrowser
from functools import partial
from pathlib import Path

import numpy as np

from yolopipe import paths
from yolopipe.config.params import Config
from yolopipe.detection.nms import ImageDetections
from yolopipe.errors import DataError
from yolopipe.result import CommandResult
from yolopipe.scoring.baseline import committed_metrics
from yolopipe.scoring.report_page import write_report
from yolopipe.scoring.results import Found, annotated_in_source, assess
from yolopipe.shards.manifest import Manifest, load_manifest
from yolopipe.shards.reader import read_rows
from yolopipe.tables import read_table

__all__ = ["run"]


def run(
    config: Config, *, out: str | Path = paths.REPORT, against: str | None = None, open_page: bool = False
) -> CommandResult:
    """Regenerate the page: after ``dvc checkout``, or to compare with another commit.

    Args:
        config: reads ``evaluate.picture_score``, the initial position of the slider.
        out: an ``.html`` file.
        against: commit whose metrics the tiles compare with; None for the last one.
        open_page: open it in the browser.

    Raises:
        ShardError: shards missing or damaged.
        DataError: predictions are missing, or of images that the shards do not hold.
        UsageError: ``against`` has no metrics, or ``out`` is not an HTML file.
    """
    manifest = load_manifest(paths.SHARDS)
    found = _found(manifest)
    report = write_report(
        out,
        evaluation=assess(found, num_classes=len(manifest.class_names), shown_score=config.evaluate.picture_score),
        found=found,
        read=partial(read_rows, paths.SHARDS, manifest, "val"),
        manifest=manifest,
        baseline=committed_metrics(paths.EVAL_METRICS, against),
        shown_score=config.evaluate.picture_score,
    )
    rows: dict[str, object] = {"page": f"{report.file} ({report.bytes / 1e6:.1f} MB)"}
    rows |= {f"left out {number}": sentence for number, sentence in enumerate(report.left_out, start=1)}
    if open_page and not webbrowser.open(report.file.resolve().as_uri()):
        rows["browser"] = "no browser found; open the file yourself"
    return CommandResult(
        "", rows, {"page": str(report.file), "bytes": report.bytes, "left_out": list(report.left_out)}
    )


def _found(manifest: Manifest) -> Found:
    """Truth from the shards, detections from the table, image by image in the order of the shards."""
    if not paths.PREDICTIONS.exists():
        raise DataError(f"{paths.PREDICTIONS} is missing", hint="dvc repro evaluate")
    table, _ = read_table(paths.PREDICTIONS, made_by="evaluate")
    images = np.array(table["image"].to_pylist(), object)
    boxes = np.stack([table[name].to_numpy() for name in ("x1", "y1", "x2", "y2")], axis=1)
    scores, classes = table["score"].to_numpy(), table["class_id"].to_numpy().astype(np.int64)
    starts = np.flatnonzero(np.r_[True, images[1:] != images[:-1]]) if len(images) else np.zeros(0, np.int64)
    runs = {images[a]: slice(a, b) for a, b in zip(starts, [*starts[1:], len(images)], strict=True)}
    found = Found()
    for row in read_rows(paths.SHARDS, manifest, "val", pixels=False):
        ours = runs.pop(row.path, slice(0, 0))
        found.images.append(row.path)
        found.annotated.append(annotated_in_source(row))
        found.detected.append(ImageDetections(boxes[ours], scores[ours], classes[ours]))
    if runs:
        raise DataError(
            f"{paths.PREDICTIONS} has predictions for {len(runs)} images that {paths.SHARDS} does not hold, "
            f"{next(iter(runs))} among them",
            hint="dvc repro evaluate",
        )
    return found
