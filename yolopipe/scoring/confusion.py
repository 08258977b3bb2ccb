"""Confusion matrix: annotated classes against predicted ones, with a row and a column for the background."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from yolopipe.scoring.matching import IGNORED, MATCH_IOU, match
from yolopipe.scoring.scores import Detections, Truth

__all__ = ["confusion"]


def confusion(
    truth: Truth, detections: Detections, *, num_classes: int, lowest: float, iou: float = MATCH_IOU
) -> npt.NDArray[np.int64]:
    """Count the pairs of :func:`~yolopipe.scoring.matching.match` by class.

    Args:
        truth: annotated boxes.
        detections: predictions; of equal scores the one given first goes first.
        num_classes: classes are numbered 0 to ``num_classes - 1``.
        lowest: detections that score less are left out.
        iou: a match overlaps by at least this.

    Returns:
        (C + 1, C + 1) counts: row annotated, column predicted, the last of each the background (a prediction without
        a box, a box without a prediction).  A row sums to the annotated boxes of its class, a column to the
        predictions of its class, ignored ones left out; the diagonal holds COCO's true positives.

    >>> boxes, zero = np.array([[0.0, 0, 10, 10], [50, 50, 60, 60]]), np.zeros(1, np.int64)
    >>> found = Detections(zero, boxes[:1], np.ones(1), np.array([1]))
    >>> confusion(Truth(np.zeros(2, np.int64), boxes, np.array([0, 0])), found, num_classes=2, lowest=0.3).tolist()
    [[0, 1, 1], [0, 0, 0], [0, 0, 0]]
    """
    kept = detections.from_score(lowest)
    table = match(truth, kept, iou=iou)
    counted = table.verdict != IGNORED
    # Box -1, no box, is the background at the end.
    annotated = np.append(truth.classes, num_classes)[table.truth[counted]]
    annotated = np.concatenate([annotated, truth.classes[table.missed]])
    predicted = np.concatenate([kept.classes[counted], np.full(len(table.missed), num_classes)])
    side = num_classes + 1
    return np.bincount(annotated * side + predicted, minlength=side * side).reshape(side, side)
