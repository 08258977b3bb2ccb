"""Folder of plots: curves and tables for DVC's templates, and the contact sheet."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from pathlib import Path

import numpy as np
import numpy.typing as npt

from yolopipe.files import atomic_directory
from yolopipe.imaging import drawing
from yolopipe.scoring.pictures import contact_sheet
from yolopipe.scoring.results import Evaluation, Found, class_values

__all__ = ["confusion_rows", "write_plots"]


def write_plots(
    directory: str | Path, evaluation: Evaluation, found: Found, class_names: Sequence[str], *, shown_score: float
) -> None:
    """Write the folder of plots; it appears complete or not at all.

    ``pr/all-classes.csv`` and one ``pr/NUMBER-CLASS.csv`` per class (precision at 101 recall levels, IoU .5),
    ``per_class.csv``, ``confusion.csv``, ``calibration.csv`` and ``predictions.png``.
    """
    scores = evaluation.measures.coco
    with atomic_directory(directory) as folder:
        (folder / "pr").mkdir()
        _write_curve(folder / "pr" / "all-classes.csv", scores.curve())
        for class_id, name in enumerate(class_names):
            _write_curve(folder / "pr" / f"{class_id:02}-{_file_name(name)}.csv", scores.curve(class_id))
        table = [{"class": name, **class_values(evaluation, class_id)} for class_id, name in enumerate(class_names)]
        _write_csv(folder / "per_class.csv", list(table[0]), [list(row.values()) for row in table])
        _write_csv(
            folder / "confusion.csv", ["annotated", "found"], confusion_rows(evaluation.confusion, class_names)
        )
        _write_csv(folder / "calibration.csv", ["score", "precision", "ideal", "detections"], _bins(evaluation))
        sheet = contact_sheet(found.examples, class_names, score=shown_score)
        drawing.save_png(folder / "predictions.png", sheet)


def confusion_rows(counts: npt.NDArray[np.int64], class_names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """One row a count, as DVC's template expects: annotated class, predicted class.

    >>> list(confusion_rows(np.array([[2, 1], [0, 0]]), ["cat"]))
    [('cat', 'cat'), ('cat', 'cat'), ('cat', '(background)')]
    """
    background = "(background)"
    while background in class_names:
        background = f"({background})"
    names = [*class_names, background]
    for annotated, row in zip(names, counts.tolist(), strict=True):
        for found, count in zip(names, row, strict=True):
            yield from repeat((annotated, found), count)


def _bins(evaluation: Evaluation) -> list[list[float]]:
    bins = evaluation.calibration
    score, precision = bins.score.round(6).tolist(), bins.precision.round(6).tolist()
    return [list(row) for row in zip(score, precision, score, bins.count.tolist(), strict=True)]


def _file_name(class_name: str) -> str:
    """The class name without characters that file systems or DVC reject; the number in front keeps it unique."""
    return re.sub(r"[^\w.-]+", "_", class_name)


def _write_curve(file: Path, precision: npt.NDArray[np.float64] | None) -> None:
    """No file for a class without truth."""
    if precision is not None:
        recall = np.linspace(0.0, 1.0, len(precision)).round(2).tolist()
        _write_csv(file, ["recall", "precision"], zip(recall, precision.round(6).tolist(), strict=True))


def _write_csv(file: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
