"""COCO's measures of a set of detections, by faster-coco-eval (equal to pycocotools to 1e-12).

The definitions are pycocotools': 101 recall levels, ten IoU thresholds from .50 to .95, at most 100 detections of a
class in an image, size by the annotated area, crowds neither hit nor miss; ``docs/scores.md`` has them in words.
Classes are scored one after the other: memory holds the Python objects of one class at a time, and images without the
class are skipped, which makes it faster than one call for all classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["AREAS", "IOUS", "LIMITS", "Detections", "Scores", "Truth", "coco_scores"]

IOUS = tuple(range(50, 100, 5))
"""COCO's IoU thresholds, per cent."""

AREAS = {"all": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
"""COCO's sizes: annotated area in square pixels, both ends included."""

LIMITS = (1, 10, 100)
"""COCO's limits on the detections of a class in an image, part of the definitions; AP uses the last."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Truth:
    """The annotated boxes of all images.

    Args:
        image: (M,) number of the image each box is in, from 0.
        boxes_xyxy: (M, 4) in the same pixels as the detections.
        classes: (M,); -1 is any class, of ignored boxes only: as if the box were given once in every class.
        sizes_wh: (M, 2) widths and heights as a file gives them; x + w - x is not w to the last bit.
        area: (M,) square pixels, for the sizes; default width times height.
        ignore: (M,) boxes to be ignored: crowds for COCO, left out like difficult boxes for VOC; default none.
        difficult: (M,) VOC's mark; default none.  COCO's measures count these boxes like any other.
    """

    image: Ints
    boxes_xyxy: Floats
    classes: Ints
    sizes_wh: Floats | None = None
    area: Floats | None = None
    ignore: Mask | None = None
    difficult: Mask | None = None

    def ignored(self) -> Mask:
        """(M,) boxes that no measure counts: ``ignore``, or none."""
        return np.zeros(len(self.classes), np.bool_) if self.ignore is None else self.ignore

    def left_out(self) -> Mask:
        """(M,) boxes that VOC's measures count neither as found nor as missed: ignored and difficult ones."""
        return self.ignored() if self.difficult is None else self.ignored() | self.difficult


@dataclass(frozen=True)
class Detections:
    """The detections of all images.

    Args:
        image: (K,) number of the image, from 0.
        boxes_xyxy: (K, 4) pixels.
        scores: (K,).
        classes: (K,).
        sizes_wh: (K, 2) widths and heights as a file gives them.
    """

    image: Ints
    boxes_xyxy: Floats
    scores: Floats
    classes: Ints
    sizes_wh: Floats | None = None

    def from_score(self, lowest: float) -> Detections:
        """Those that score at least ``lowest``, in the same order."""
        kept = self.scores >= lowest
        sizes_wh = None if self.sizes_wh is None else self.sizes_wh[kept]
        return Detections(self.image[kept], self.boxes_xyxy[kept], self.scores[kept], self.classes[kept], sizes_wh)


@dataclass(frozen=True)
class Scores:
    """COCO's measures, as arrays before averaging.

    Args:
        precision: (10, 101, C, 4) at each IoU, recall level, class and area of :data:`AREAS`, with 100 detections;
            NaN where the class has no truth of that area.
        recall: (10, C, 4, 3) the highest recall with each limit of :data:`LIMITS`; NaN likewise.
        boxes: (C,) annotated boxes, without ignored ones.
        ignored: number of ignored boxes.
    """

    precision: Floats
    recall: Floats
    boxes: Ints
    ignored: int

    def ap(self, iou: int | None = None, *, area: str = "all", class_id: int | None = None) -> float | None:
        """Average precision.

        Args:
            iou: threshold in per cent, one of :data:`IOUS`; default their mean.
            area: one of :data:`AREAS`.
            class_id: default the mean over the classes that have truth.

        Returns:
            The mean over classes, thresholds and recall levels that have annotated boxes; None without any.
        """
        ious = slice(None) if iou is None else [IOUS.index(iou)]
        classes = slice(None) if class_id is None else [class_id]
        return _mean(self.precision[ious][:, :, classes, list(AREAS).index(area)])

    def ar(self, limit: int = 100, *, area: str = "all", class_id: int | None = None) -> float | None:
        """Average recall: the mean over the IoU thresholds of the highest recall.

        Args:
            limit: detections of a class in an image, one of :data:`LIMITS`.
            area: one of :data:`AREAS`.
            class_id: default the mean over the classes that have truth.

        Returns:
            See :meth:`ap`.
        """
        classes = slice(None) if class_id is None else [class_id]
        return _mean(self.recall[:, classes, list(AREAS).index(area), LIMITS.index(limit)])

    def curve(self, class_id: int | None = None) -> Floats | None:
        """(101,) precision at IoU .50 at recall 0, .01 .. 1; by default the mean of the classes that have truth."""
        curves = self.precision[0, :, :, 0].T[slice(None) if class_id is None else [class_id]]
        curves = curves[~np.isnan(curves[:, 0])]
        return np.asarray(curves.mean(axis=0)) if len(curves) else None


def _mean(values: Floats) -> float | None:
    there = values[~np.isnan(values)]
    return float(there.mean()) if len(there) else None


def coco_scores(truth: Truth, detections: Detections, *, num_classes: int) -> Scores:
    """Score detections against truth.

    Args:
        truth: annotated boxes.
        detections: found boxes; an image may have none.  Equal scores are taken in the order of image numbers, and
            within an image in the order given.
        num_classes: classes are numbered 0 to ``num_classes - 1``.

    Returns:
        The scores.  No detections at all is a score of 0; a class without truth has none, and does not count.

    >>> box, zero = np.array([[10.0, 10, 50, 50]]), np.zeros(1, np.int64)
    >>> scores = coco_scores(Truth(zero, box, zero), Detections(zero, box, np.ones(1), zero), num_classes=2)
    >>> scores.ap(), scores.ap(class_id=1), scores.ap(area="large")
    (1.0, None, None)
    """
    precision = np.full((len(IOUS), 101, num_classes, len(AREAS)), np.nan)
    recall = np.full((len(IOUS), num_classes, len(AREAS), len(LIMITS)), np.nan)
    counted = truth.classes[~truth.ignored()]
    for class_id in np.unique(counted).tolist():
        precision[:, :, class_id], recall[:, class_id] = _class_scores(truth, detections, class_id)
    ignored = len(truth.classes) - len(counted)
    return Scores(precision, recall, np.bincount(counted, minlength=num_classes), ignored)


def _class_scores(truth: Truth, detections: Detections, class_id: int) -> tuple[Floats, Floats]:
    """(10, 101, 4) precision and (10, 4, 3) recall of one class; NaN where it has no truth of an area."""
    found = np.flatnonzero(detections.classes == class_id)
    any_class = np.flatnonzero(truth.classes < 0)
    any_class = any_class[np.isin(truth.image[any_class], detections.image[found])]  # elsewhere they change nothing
    annotated = np.union1d(np.flatnonzero(truth.classes == class_id), any_class)
    truth_items = _items(truth, annotated)
    crowd = None if truth.ignore is None else truth.ignore.astype(np.int64)
    for name, values in (("area", truth.area), ("iscrowd", crowd)):
        if values is not None:
            for item, value in zip(truth_items, values[annotated].tolist(), strict=True):
                item[name] = value
    found_items = _items(detections, found)
    for item, score in zip(found_items, detections.scores[found].tolist(), strict=True):
        item["score"] = score
    images = np.union1d(truth.image[annotated], detections.image[found]).tolist()
    precision, recall = _evaluate(images, truth_items, found_items)
    return np.where(precision > -1, precision, np.nan), np.where(recall > -1, recall, np.nan)


def _items(boxes: Truth | Detections, chosen: Ints) -> list[dict[str, Any]]:
    """The chosen boxes as COCO writes them."""
    corners = np.asarray(boxes.boxes_xyxy[chosen], np.float64)
    sizes = corners[:, 2:] - corners[:, :2] if boxes.sizes_wh is None else boxes.sizes_wh[chosen]
    boxes_xywh = np.concatenate([corners[:, :2], sizes], axis=1).tolist()
    rows = zip((boxes.image[chosen] + 1).tolist(), boxes_xywh, sizes.prod(axis=1).tolist(), strict=True)
    return [
        # Numbers start at 1: the evaluator reads annotation 0 as "unmatched" and AP falls.
        {"id": number, "image_id": image_id, "category_id": 1, "bbox": box, "area": area, "iscrowd": 0}
        for number, (image_id, box, area) in enumerate(rows, start=1)
    ]


def _evaluate(
    images: Sequence[int], truth_items: list[dict[str, Any]], found_items: list[dict[str, Any]]
) -> tuple[Floats, Floats]:
    """(10, 101, 4) precision and (10, 4, 3) recall of one class; -1 where it has no truth of an area."""
    from faster_coco_eval import COCO, COCOeval_faster

    frame = {"images": [{"id": image + 1} for image in images], "categories": [{"id": 1, "name": "class"}]}
    evaluator = COCOeval_faster(
        COCO({**frame, "annotations": truth_items}), COCO({**frame, "annotations": found_items}), "bbox"
    )
    evaluator.params.areaRng, evaluator.params.areaRngLbl = [list(ends) for ends in AREAS.values()], list(AREAS)
    evaluator.params.maxDets = list(LIMITS)
    evaluator.evaluate()
    evaluator.accumulate()
    precision = np.asarray(evaluator.eval["precision"], np.float64)[:, :, 0, :, -1]
    return precision, np.asarray(evaluator.eval["recall"], np.float64)[:, 0]
