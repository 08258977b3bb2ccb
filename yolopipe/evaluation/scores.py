"""COCO average precision of a set of detections, by faster-coco-eval (equal to pycocotools to the last bits).

The measure is COCO's, with its 101 recall levels, ten IoU thresholds from .50 to .95, and at most 100 detections
of a class in an image; it is not VOC's AP.  Class after class is scored, so that memory holds the Python objects of
one class at a time: the evaluator needs about 2 KB for a detection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from yolopipe.errors import DataError

__all__ = ["Detections", "Scores", "Truth", "coco_scores"]

PER_CLASS_AND_IMAGE = 100
"""COCO's limit on detections; a part of the definition of mAP, not a setting."""

IOU_50, IOU_75 = 0, 5
"""Places of .50 and .75 among COCO's ten thresholds."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Truth:
    """The annotated boxes of all images.

    Args:
        image: (M,) number of the image each box is in, from 0.
        boxes_xyxy: (M, 4) pixels, any frame as long as it is the detections'.
        classes: (M,).
    """

    image: Ints
    boxes_xyxy: Floats
    classes: Ints


@dataclass(frozen=True)
class Detections:
    """What was found in all images.

    Args:
        image: (K,) number of the image, from 0.
        boxes_xyxy: (K, 4) pixels.
        scores: (K,).
        classes: (K,).
    """

    image: Ints
    boxes_xyxy: Floats
    scores: Floats
    classes: Ints


@dataclass(frozen=True)
class Scores:
    """COCO's measures.

    Args:
        mean_ap: mean of ``ap`` over the classes that have truth; called mAP.
        mean_ap50: the same at IoU .50 alone.
        mean_ap75: the same at IoU .75 alone.
        ap: per class, mean over the ten IoU thresholds; None where a class has no truth.
        ap50: per class, at IoU .50.
        recall: (101,) the recall levels.
        precision50: per class (101,) precision at those levels, IoU .50; None where a class has no truth.
        boxes: per class, how many annotated boxes there are.
    """

    mean_ap: float
    mean_ap50: float
    mean_ap75: float
    ap: tuple[float | None, ...]
    ap50: tuple[float | None, ...]
    recall: Floats
    precision50: tuple[Floats | None, ...]
    boxes: tuple[int, ...]


def coco_scores(truth: Truth, detections: Detections, *, num_classes: int) -> Scores:
    """Score detections against truth.

    Args:
        truth: annotated boxes.
        detections: found boxes; an image may have none.
        num_classes: classes are numbered 0 to ``num_classes - 1``.

    Returns:
        The scores.  No detections at all is a score of 0; a class without truth has none, and does not count.

    Raises:
        DataError: when there is no truth at all: nothing could be right or wrong.

    >>> box, zero = np.array([[10.0, 10, 50, 50]]), np.zeros(1, np.int64)
    >>> scores = coco_scores(Truth(zero, box, zero), Detections(zero, box, np.ones(1), zero), num_classes=2)
    >>> scores.mean_ap, scores.ap
    (1.0, (1.0, None))
    """
    if len(truth.classes) == 0:
        raise DataError(
            "the val split has no boxes: there is nothing to score against",
            hint="put annotated images into the text that data.val names",
        )
    precision = [_class_precision(truth, detections, class_id) for class_id in range(num_classes)]
    scored = np.stack([p for p in precision if p is not None])  # (classes, 10, 101)
    return Scores(
        mean_ap=float(scored.mean()),
        mean_ap50=float(scored[:, IOU_50].mean()),
        mean_ap75=float(scored[:, IOU_75].mean()),
        ap=tuple(None if p is None else float(p.mean()) for p in precision),
        ap50=tuple(None if p is None else float(p[IOU_50].mean()) for p in precision),
        recall=np.linspace(0.0, 1.0, 101),
        precision50=tuple(None if p is None else p[IOU_50] for p in precision),
        boxes=tuple(np.bincount(truth.classes, minlength=num_classes).tolist()),
    )


def _class_precision(truth: Truth, detections: Detections, class_id: int) -> Floats | None:
    """(10, 101) precision at each IoU threshold and recall level; None for a class without truth."""
    annotated, found = truth.classes == class_id, detections.classes == class_id
    if not annotated.any():
        return None
    if not found.any():
        return np.zeros((10, 101))
    images = np.union1d(truth.image[annotated], detections.image[found]).tolist()
    truth_items = _coco_items(truth.image[annotated], truth.boxes_xyxy[annotated])
    found_items = _coco_items(detections.image[found], detections.boxes_xyxy[found], detections.scores[found])
    return _evaluate(images, truth_items, found_items)


def _coco_items(image: Ints, boxes_xyxy: Floats, scores: Floats | None = None) -> list[dict[str, Any]]:
    boxes_xywh = np.asarray(boxes_xyxy, np.float64).copy()
    boxes_xywh[:, 2:] -= boxes_xywh[:, :2]
    areas = boxes_xywh[:, 2] * boxes_xywh[:, 3]
    rows = zip((image + 1).tolist(), boxes_xywh.tolist(), areas.tolist(), strict=True)
    items: list[dict[str, Any]] = [
        # Numbers start at 1: the evaluator reads annotation 0 as "unmatched" and AP falls.
        {"id": number, "image_id": image_id, "category_id": 1, "bbox": box, "area": area, "iscrowd": 0}
        for number, (image_id, box, area) in enumerate(rows, start=1)
    ]
    if scores is not None:
        for item, score in zip(items, scores.tolist(), strict=True):
            item["score"] = score
    return items


def _evaluate(images: Sequence[int], truth_items: list[dict[str, Any]], found_items: list[dict[str, Any]]) -> Floats:
    from faster_coco_eval import COCO, COCOeval_faster

    frame = {"images": [{"id": image + 1} for image in images], "categories": [{"id": 1, "name": "class"}]}
    evaluator = COCOeval_faster(
        COCO({**frame, "annotations": truth_items}), COCO({**frame, "annotations": found_items}), "bbox"
    )
    evaluator.params.areaRng, evaluator.params.areaRngLbl = [[0.0, 1e10]], ["all"]
    evaluator.params.maxDets = [PER_CLASS_AND_IMAGE]
    evaluator.evaluate()
    evaluator.accumulate()
    return np.asarray(evaluator.eval["precision"], np.float64)[:, :, 0, 0, 0]
