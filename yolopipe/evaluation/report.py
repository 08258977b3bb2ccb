"""What evaluation leaves behind: metrics, curves, a table of predictions, and the lines of the summary."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from yolopipe import drawing, paths
from yolopipe.evaluation.nms import ImageDetections
from yolopipe.evaluation.pictures import Example, contact_sheet
from yolopipe.evaluation.scores import Detections, Scores, Truth
from yolopipe.files import atomic_directory

__all__ = ["Found", "class_rows", "metrics", "predictions_table", "write_plots"]

SHOWN_CLASSES = 20
"""More than this many classes are left to ``per_class.csv``; the summary shows the lowest."""


@dataclass
class Found:
    """What was annotated and what was found, image by image, in source pixels.

    Args:
        images: path of each image; its place here is its number.
        annotated: per image boxes (M, 4) xyxy and classes (M,).
        detected: per image what was found.
        examples: images for the sheet of pictures.
        outside: detections that lie wholly outside their image, in the grey border; they are left out.
    """

    images: list[str] = field(default_factory=list)
    annotated: list[tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]] = field(default_factory=list)
    detected: list[ImageDetections] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)
    outside: int = 0

    def truth(self) -> Truth:
        """All annotated boxes."""
        boxes, classes = zip(*self.annotated, strict=True)
        return Truth(_image_numbers(classes), np.concatenate(boxes), np.concatenate(classes))

    def detections(self) -> Detections:
        """All found boxes."""
        boxes, scores, classes = (list(part) for part in zip(*self.detected, strict=True))
        return Detections(
            _image_numbers(classes),
            np.concatenate(boxes).astype(np.float64),
            np.concatenate(scores).astype(np.float64),
            np.concatenate(classes),
        )


def _image_numbers(per_image: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    return np.repeat(np.arange(len(per_image)), [len(values) for values in per_image])


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def metrics(scores: Scores, found: Found, class_names: Sequence[str]) -> dict[str, Any]:
    """The content of ``metrics/eval.json``: numbers to six decimals, null for a class without truth."""
    return {
        "mAP": _rounded(scores.mean_ap),
        "mAP50": _rounded(scores.mean_ap50),
        "mAP75": _rounded(scores.mean_ap75),
        "per_class": {
            name: {"AP": _rounded(ap), "AP50": _rounded(ap50)}
            for name, ap, ap50 in zip(class_names, scores.ap, scores.ap50, strict=True)
        },
        "images": len(found.images),
        "boxes": sum(scores.boxes),
    }


def write_plots(
    directory: str | Path, scores: Scores, found: Found, class_names: Sequence[str], *, picture_score: float
) -> None:
    """Write the folder of plots, whole.

    ``pr/all-classes.csv`` and one ``pr/NUMBER-CLASS.csv`` per class (precision at 101 recall levels, IoU .5),
    ``per_class.csv`` and ``predictions.png``.
    """
    with atomic_directory(directory) as folder:
        (folder / "pr").mkdir()
        known = [curve for curve in scores.precision50 if curve is not None]
        _write_curve(folder / "pr" / "all-classes.csv", scores.recall, np.mean(known, axis=0))
        for class_id, (name, curve) in enumerate(zip(class_names, scores.precision50, strict=True)):
            if curve is not None:
                _write_curve(folder / "pr" / f"{class_id:02}-{_file_name(name)}.csv", scores.recall, curve)
        rows = zip(class_names, scores.ap, scores.ap50, scores.boxes, strict=True)
        table = [[name, _rounded(ap), _rounded(ap50), boxes] for name, ap, ap50, boxes in rows]
        _write_csv(folder / "per_class.csv", ["class", "AP", "AP50", "boxes"], table)
        sheet = contact_sheet(found.examples, class_names, score=picture_score)
        drawing.save_png(folder / "predictions.png", sheet)


def _file_name(class_name: str) -> str:
    """The class name with what file systems and DVC dislike replaced; the number before it keeps names apart."""
    return re.sub(r"[^\w.-]+", "_", class_name)


def _write_curve(file: Path, recall: npt.NDArray[np.float64], precision: npt.NDArray[np.float64]) -> None:
    points = zip(recall.round(2).tolist(), precision.round(6).tolist(), strict=True)
    _write_csv(file, ["recall", "precision"], points)


def _write_csv(file: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def predictions_table(found: Found, class_names: Sequence[str]) -> pa.Table:
    """One row a detection: image after image in the order of their paths, best score first."""
    every = found.detections()
    _, path_rank = np.unique(np.array(found.images, object).astype(str), return_inverse=True)
    order = np.lexsort((-every.scores, every.image, path_rank[every.image]))
    classes = every.classes[order].astype(np.int32)
    corners = every.boxes_xyxy[order].astype(np.float32)
    names = pa.array(class_names, pa.string())
    return pa.table(
        {
            "image": pa.array(found.images, pa.string()).take(pa.array(every.image[order])),
            "class_id": pa.array(classes),
            "class": names.take(pa.array(classes)),
            "score": pa.array(every.scores[order].astype(np.float32)),
            **{name: pa.array(corners[:, column]) for column, name in enumerate(("x1", "y1", "x2", "y2"))},
        }
    )


def class_rows(scores: Scores, class_names: Sequence[str]) -> dict[str, str]:
    """AP of each class; of many classes those that do worst."""
    scored = [
        (name, ap, ap50, boxes)
        for name, ap, ap50, boxes in zip(class_names, scores.ap, scores.ap50, scores.boxes, strict=True)
        if ap is not None and ap50 is not None
    ]
    left_out = len(scored) - SHOWN_CLASSES
    if left_out > 0:
        scored = sorted(scored, key=lambda item: item[1])[:SHOWN_CLASSES]
    rows = {
        f"  {name}": f"AP {ap:.3f}   AP50 {ap50:.3f}   {boxes:,} box{'es' if boxes != 1 else ''}"
        for name, ap, ap50, boxes in scored
    }
    if left_out > 0:
        rows["  ..."] = f"{left_out} classes that do better: {paths.EVAL_PLOTS / 'per_class.csv'}"
    return rows
