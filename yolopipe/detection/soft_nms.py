"""Soft non-maximum suppression, Gaussian form (Bodla et al., "Soft-NMS", ICCV 2017), within each class.

Where the hard rule removes a box that overlaps a better one, this one multiplies its score by
``exp(-IoU² / sigma)`` for every better box that was kept: of two objects close together neither is lost, and
duplicates score low.
"""

from __future__ import annotations

import heapq

import numpy as np
import numpy.typing as npt

from yolopipe.labels.boxes import pairwise_iou

__all__ = ["soft_suppress"]

Floats = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def soft_suppress(
    boxes_xyxy: npt.NDArray[np.floating],
    scores: npt.NDArray[np.floating],
    classes: IntArray,
    *,
    sigma: float,
    score_threshold: float,
    max_detections: int,
) -> tuple[IntArray, Floats]:
    """Detections in the order of their lowered scores.

    The box of the highest score is kept and lowers the scores of the others of its class, until none is left.  Boxes
    are kept in falling score, so stopping at ``max_detections`` or ``score_threshold`` does not change those before.

    Args:
        boxes_xyxy: (K, 4).
        scores: (K,); of equal scores the box that comes first goes first.
        classes: (K,) integers; only boxes of one class compete.
        sigma: above 0; the paper uses 0.5.  The smaller, the harder.
        score_threshold: boxes whose lowered score is not greater are dropped.
        max_detections: stop when this many are kept.

    Returns:
        Positions of the kept boxes, best first, and their lowered scores.

    >>> boxes = np.array([[0.0, 0, 10, 10], [0, 0, 10, 10], [20, 0, 30, 10]])
    >>> kept, lowered = soft_suppress(boxes, np.array([0.9, 0.8, 0.5]), np.zeros(3, np.int64),
    ...                               sigma=0.5, score_threshold=0.01, max_detections=10)
    >>> kept.tolist(), lowered.round(3).tolist()
    ([0, 2, 1], [0.9, 0.5, 0.108])
    """
    groups = [
        _Group(boxes_xyxy[members].astype(np.float64), scores[members].astype(np.float64), members, score_threshold)
        for members in _by_class(classes)
    ]
    waiting = [(*best, number) for number, group in enumerate(groups) if (best := group.best())]
    heapq.heapify(waiting)
    kept: list[int] = []
    lowered: list[float] = []
    while waiting and len(kept) < max_detections:
        minus_score, position, number = heapq.heappop(waiting)
        kept.append(position)
        lowered.append(-minus_score)
        groups[number].take(sigma)
        if best := groups[number].best():
            heapq.heappush(waiting, (*best, number))
    return np.array(kept, np.int64), np.array(lowered)


def _by_class(classes: IntArray) -> list[IntArray]:
    order = np.argsort(classes, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(classes[order])) + 1) if len(order) else []


class _Group:
    """The boxes of one class that are not kept yet, with their lowered scores."""

    def __init__(self, boxes_xyxy: Floats, scores: Floats, members: IntArray, score_threshold: float) -> None:
        self.boxes_xyxy, self.scores, self.members = boxes_xyxy, scores, members
        self.score_threshold = score_threshold

    def best(self) -> tuple[float, int] | None:
        """Minus the highest score and the position of its box; None when all that is left is too low."""
        if not len(self.scores):
            return None
        first = int(np.argmax(self.scores))
        if self.scores[first] <= self.score_threshold:
            return None
        return -float(self.scores[first]), int(self.members[first])

    def take(self, sigma: float) -> None:
        """Keep the best box, lower the scores of the others by their overlap with it, and drop low scores."""
        first = int(np.argmax(self.scores))
        iou = pairwise_iou(self.boxes_xyxy[first : first + 1], self.boxes_xyxy)[0]
        lowered = self.scores * np.exp(-(iou**2) / sigma)
        lowered[first] = -np.inf
        stay = lowered > self.score_threshold
        self.boxes_xyxy, self.scores, self.members = self.boxes_xyxy[stay], lowered[stay], self.members[stay]
