"""``yolopipe score``: COCO's and VOC's measures of any program's predictions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from yolopipe import console
from yolopipe.result import CommandResult
from yolopipe.scoring.measures import measure
from yolopipe.scoring.results import boxes_text, class_rows, mean_rows, shortened, untested
from yolopipe.scoring.score_files import ScoreFiles, read_score_files

__all__ = ["run"]


def run(predictions: str | Path, truth: str | Path, *, plus_one: bool = False) -> CommandResult:
    """Score a file of predictions.

    Args:
        predictions: COCO results file.
        truth: COCO annotation file.
        plus_one: VOC's measures count boxes as the VOC devkit does, one pixel wider and higher.

    Returns:
        The measures; ``docs/scores.md`` defines each.

    Raises:
        DataError: a file cannot be read.
        ProblemsError: records of a file are wrong.
    """
    files = read_score_files(predictions, truth)
    measures = measure(files.truth, files.detections, num_classes=len(files.class_names), plus_one=plus_one)
    _warn(files, untested(measures, files.class_names))
    rows = {**mean_rows(measures), **class_rows(measures, files.class_names)}
    found = len(files.detections.classes)
    title = f"{files.images:,} images, {boxes_text(measures)}, {found:,} predictions"
    return CommandResult(title, rows, measures.by_name(files.class_names))


def _warn(files: ScoreFiles, without_truth: Sequence[str]) -> None:
    if len(without_truth) == len(files.class_names):
        console.note("warning: the truth has no boxes: all measures are null")
    elif without_truth:
        console.note(f"warning: no annotated box of {shortened(without_truth)}: no AP, not counted in the means")
    if not len(files.detections.classes):
        console.note("warning: no predictions")
