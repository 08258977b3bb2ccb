"""Results of an evaluation: metrics, the predictions table, and the lines of the summary."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from yolopipe.detection.nms import ImageDetections
from yolopipe.detection.to_source import to_source
from yolopipe.scoring.confusion import confusion
from yolopipe.scoring.measures import Measures, measure
from yolopipe.scoring.pictures import Example
from yolopipe.scoring.score_curves import BestF1, Calibration, best_f1, calibration
from yolopipe.scoring.scores import Detections, Truth
from yolopipe.shards.schema import Row

__all__ = [
    "Annotated",
    "Evaluation",
    "Found",
    "annotated_in_source",
    "assess",
    "boxes_text",
    "class_rows",
    "class_values",
    "mean_rows",
    "metrics",
    "predictions_table",
    "shortened",
    "untested",
]

SHOWN_CLASSES = 20
"""With more classes the summary shows those with the lowest AP; ``per_class.csv`` has all."""


class Annotated(NamedTuple):
    """The annotated boxes of an image, in source pixels.

    Args:
        boxes_xyxy: (M, 4).
        classes: (M,); -1 is any class, of ignored boxes.
        ignore: (M,) boxes to be ignored.
    """

    boxes_xyxy: npt.NDArray[np.float64]
    classes: npt.NDArray[np.int64]
    ignore: npt.NDArray[np.bool_]


def annotated_in_source(row: Row) -> Annotated:
    """The boxes of a row of the shards, mapped back to the source image."""
    every = row.every_box
    return Annotated(to_source(row, every.boxes_xyxy), every.classes.astype(np.int64), row.ignore)


@dataclass
class Found:
    """Annotated boxes and detections of val, image by image, in source pixels.

    Args:
        images: path of each image; its position is its number.
        annotated: per image the annotated boxes.
        detected: per image the detections, best score first.
        examples: images of the contact sheet.
        outside: number of detections entirely inside the letterbox padding; they are dropped.
    """

    images: list[str] = field(default_factory=list)
    annotated: list[Annotated] = field(default_factory=list)
    detected: list[ImageDetections] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)
    outside: int = 0

    def truth(self) -> Truth:
        """All annotated boxes."""
        boxes, classes, ignore = (list(part) for part in zip(*self.annotated, strict=True))
        return Truth(
            _image_numbers(classes), np.concatenate(boxes), np.concatenate(classes), ignore=np.concatenate(ignore)
        )

    def detections(self) -> Detections:
        """All detections."""
        boxes, scores, classes = (list(part) for part in zip(*self.detected, strict=True))
        return Detections(
            _image_numbers(classes),
            np.concatenate(boxes).astype(np.float64),
            np.concatenate(scores).astype(np.float64),
            np.concatenate(classes),
        )


def _image_numbers(per_image: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    return np.repeat(np.arange(len(per_image)), [len(values) for values in per_image])


@dataclass(frozen=True)
class Evaluation:
    """All measures of the val split.

    Args:
        measures: COCO's and VOC's.
        best: threshold with the highest F1 per class; None without true positives.
        best_of_all: the same for one threshold on all classes.
        calibration: of the detections from the shown score on.
        confusion: (C + 1, C + 1) counts of these; row annotated, column predicted, the last of each the background.
    """

    measures: Measures
    best: tuple[BestF1 | None, ...]
    best_of_all: BestF1 | None
    calibration: Calibration
    confusion: npt.NDArray[np.int64]


def assess(found: Found, *, num_classes: int, shown_score: float) -> Evaluation:
    """Compute all measures.

    Args:
        found: the val split.
        num_classes: classes are numbered 0 to ``num_classes - 1``.
        shown_score: detections that score at least this count for calibration and confusion.

    >>> box, cat = np.array([[0.0, 0, 9, 9]]), np.zeros(1, np.int64)
    >>> detected = ImageDetections(box.astype(np.float32), np.ones(1, np.float32), cat)
    >>> found = Found(["a.jpg"], [Annotated(box, cat, np.zeros(1, np.bool_))], [detected])
    >>> assess(found, num_classes=1, shown_score=0.3).confusion.tolist()
    [[1, 0], [0, 0]]
    """
    truth, detections = found.truth(), found.detections()
    measures = measure(truth, detections, num_classes=num_classes)
    voc, scores = measures.voc, detections.scores
    of_class = [np.flatnonzero(detections.classes == class_id) for class_id in range(num_classes)]
    return Evaluation(
        measures,
        tuple(
            best_f1(scores[chosen], voc.verdicts[chosen], int(positives))
            for chosen, positives in zip(of_class, voc.positives, strict=True)
        ),
        best_f1(scores, voc.verdicts, int(voc.positives.sum())),
        calibration(scores, voc.verdicts, lowest=shown_score),
        confusion(truth, detections, num_classes=num_classes, lowest=shown_score),
    )


def _best_values(best: BestF1 | None) -> dict[str, float | None]:
    """The threshold is rounded down, so that detections with exactly this score still reach it."""
    if best is None:
        return dict.fromkeys(("F1", "F1_threshold", "F1_precision", "F1_recall"))
    return {
        "F1": best.f1,
        "F1_threshold": math.floor(best.threshold * 1e6) / 1e6,
        "F1_precision": best.precision,
        "F1_recall": best.recall,
    }


def class_values(evaluation: Evaluation, class_id: int) -> dict[str, float | int | None]:
    """All measures of one class, by name, to six decimals."""
    return _rounded({**evaluation.measures.of_class(class_id), **_best_values(evaluation.best[class_id])})


def _rounded(values: Mapping[str, float | int | None]) -> dict[str, float | int | None]:
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in values.items()}


def metrics(evaluation: Evaluation, found: Found, class_names: Sequence[str]) -> dict[str, Any]:
    """The content of ``metrics/eval.json``: numbers to six decimals, null for a class without truth."""
    coco = evaluation.measures.coco
    of_all = {
        **evaluation.measures.of_all(),
        **_best_values(evaluation.best_of_all),
        "calibration_error": evaluation.calibration.error(),
    }
    per_class = {name: class_values(evaluation, class_id) for class_id, name in enumerate(class_names)}
    counts = {"images": len(found.images), "boxes": int(coco.boxes.sum()), "ignored": coco.ignored}
    return {**_rounded(of_all), "per_class": per_class, **counts}


def predictions_table(found: Found, class_names: Sequence[str]) -> pa.Table:
    """One row a detection, in the order of image paths, best score first."""
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


def boxes_text(measures: Measures) -> str:
    """Number of annotated boxes and of ignored ones, for a summary: ``120 boxes, 7 ignored``."""
    ignored = measures.coco.ignored
    return f"{measures.coco.boxes.sum():,} boxes" + (f", {ignored:,} ignored" if ignored else "")


def mean_rows(measures: Measures) -> dict[str, str]:
    """Lines of the summary: means over the classes, a dash for null."""
    values = measures.of_all()

    def shown(*names: str) -> str:
        return "   ".join("-" if (value := values[name]) is None else f"{value:.4f}" for name in names)

    return {
        "mAP@[.5:.95]": shown("mAP"),
        "mAP@.5": shown("mAP50"),
        "mAP@.75": shown("mAP75"),
        "AP small, medium, large": shown("AP_small", "AP_medium", "AP_large"),
        "AR at 1, 10, 100": shown("AR_1", "AR_10", "AR_100"),
        "VOC mAP@.5": f"{shown('voc_mAP50_all_point')} (all points)   {shown('voc_mAP50_11_point')} (11 points)",
    }


def class_rows(measures: Measures, class_names: Sequence[str]) -> dict[str, str]:
    """Lines of the summary: AP of each class; of many classes the lowest."""
    scored = [
        (name, ap, measures.coco.ap(50, class_id=class_id), int(measures.coco.boxes[class_id]))
        for class_id, name in enumerate(class_names)
        if (ap := measures.coco.ap(class_id=class_id)) is not None
    ]
    left_out = len(scored) - SHOWN_CLASSES
    if left_out > 0:
        scored = sorted(scored, key=lambda item: item[1])[:SHOWN_CLASSES]
    rows = {
        f"  {name}": f"AP {ap:.3f}   AP50 {ap50:.3f}   {boxes:,} box{'es' if boxes != 1 else ''}"
        for name, ap, ap50, boxes in scored
    }
    if left_out > 0:
        rows["  ..."] = f"{left_out} classes with a higher AP; --json has all"
    return rows


def untested(measures: Measures, class_names: Sequence[str]) -> list[str]:
    """The classes without annotated boxes: they have no AP and do not count in the means."""
    return [name for name, boxes in zip(class_names, measures.coco.boxes.tolist(), strict=True) if not boxes]


def shortened(names: Sequence[str]) -> str:
    """Names joined by commas; of more than five the first five and the count.

    >>> shortened(["cat", "dog"]), shortened(["a", "b", "c", "d", "e", "f"])
    ('cat, dog', 'a, b, c, d, e, ... (6 in all)')
    """
    return ", ".join(names[:5]) + (f", ... ({len(names)} in all)" if len(names) > 5 else "")
