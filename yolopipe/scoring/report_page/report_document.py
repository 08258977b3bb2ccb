"""Writes ``reports/evaluate.html``: tiles, curves, classes, confusion matrix, and the images worst first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from yolopipe.pages.document import page_path, write_document
from yolopipe.scoring.report_page.report_charts import calibration_chart, precision_recall
from yolopipe.scoring.report_page.report_data import FLOOR, ReadRows, gather
from yolopipe.scoring.results import Evaluation, Found, class_values, metrics
from yolopipe.shards.manifest import Manifest

__all__ = ["Baseline", "Report", "write_report"]

TILES = (
    ("mAP", "mAP@[.5:.95]"),
    ("mAP50", "mAP@.5"),
    ("mAP75", "mAP@.75"),
    ("AR_100", "AR at 100"),
    ("F1", "best F1"),
)


class Baseline(NamedTuple):
    """Earlier metrics to compare with.

    Args:
        metrics: the content of a ``metrics/eval.json``; None where there is none.
        name: of the commit they are from, or why there are none.
    """

    metrics: Mapping[str, Any] | None
    name: str


@dataclass(frozen=True, slots=True)
class Report:
    """The page on disk.

    Args:
        file: its path.
        bytes: its size.
        left_out: what it does not show and why, one sentence each.
    """

    file: Path
    bytes: int
    left_out: tuple[str, ...]


def write_report(
    file: str | Path,
    *,
    evaluation: Evaluation,
    found: Found,
    read: ReadRows,
    manifest: Manifest,
    baseline: Baseline,
    shown_score: float,
) -> Report:
    """Write the page, whole or not at all; the same bytes for the same input and baseline.

    Args:
        file: an ``.html`` or ``.htm`` file.
        evaluation: the measures of ``found``.
        found: annotated boxes and detections of val.
        read: the val rows in the order of ``found``; called once for boxes and for each block of pictures.
        manifest: of these shards.
        baseline: metrics to compare with.
        shown_score: initial position of the slider.

    Raises:
        UsageError: the file has another suffix.
    """
    target = page_path(file, "--out")
    gallery = gather(found, read, manifest, shown_score=shown_score)
    names, scores = manifest.class_names, evaluation.measures.coco
    values = metrics(evaluation, found, names)
    classes = [{"number": n, "name": name, **class_values(evaluation, n)} for n, name in enumerate(names)]
    curves = [scores.curve(number) for number in range(len(names))]
    choices = [("", "none"), *((n, name) for n, name in enumerate(names) if curves[n] is not None)]
    context = {
        "title": f"mAP {values['mAP']:.3f}" if values["mAP"] is not None else "no mAP",
        "images": len(found.images),
        "boxes": values["boxes"],
        "ignored": values["ignored"],
        "manifest": manifest,
        "tiles": [_tile(name, values.get(key), (baseline.metrics or {}).get(key)) for key, name in TILES],
        "baseline": baseline,
        "shown_score": shown_score,
        "floor": FLOOR,
        "left_out": gallery.left_out,
        "curves": precision_recall(scores.curve(), curves, names),
        "curve_choice": {"id": "curve-class", "label": "class", "options": choices},
        "calibration": calibration_chart(evaluation.calibration),
        "classes": classes,
        "data": {
            "classes": list(names),
            "size": manifest.input_size,
            "floor": FLOOR,
            "score": shown_score,
            "images": gallery.images,
        },
        "pictures": gallery.pictures,
    }
    write_document(
        target,
        "yolopipe.scoring.report_page",
        template="evaluate.html",
        style="evaluate.css",
        scripts=("judge.js", "evaluate.js"),
        context=context,
    )
    return Report(target, target.stat().st_size, gallery.left_out)


def _tile(name: str, now: float | None, before: object) -> dict[str, str]:
    """A score and its change since the baseline; below half of .0001 it is unchanged.

    >>> _tile("mAP", 0.5123, 0.5)
    {'name': 'mAP', 'number': '0.5123', 'change': '▲ 0.0123', 'kind': 'better', 'was': 'was 0.5000'}
    >>> _tile("mAP", 0.5, None)["change"], _tile("mAP", None, 0.5)["number"]
    ('', '–')
    """
    tile = {"name": name, "number": "–" if now is None else f"{now:.4f}", "change": "", "kind": "", "was": ""}
    if now is None or not isinstance(before, int | float):
        return tile
    change = round(now - before, 4)
    kind, mark = ("better", "▲") if change > 0 else ("worse", "▼") if change < 0 else ("same", "=")
    shown = f"{mark} {abs(change):.4f}" if change else "= unchanged"
    return {**tile, "change": shown, "kind": kind, "was": f"was {before:.4f}"}
