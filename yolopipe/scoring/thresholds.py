"""The score from which to take detections seriously: where F1 is highest, and what precision and recall are there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from yolopipe.scoring.voc_ap import HIT, UNCOUNTED, falling

__all__ = ["BestF1", "best_f1"]


@dataclass(frozen=True)
class BestF1:
    """The best place on a curve of precision and recall.

    Args:
        threshold: take the detections that score at least this.
        f1: harmonic mean of precision and recall there.
        precision: hits among those detections.
        recall: hits among the annotated boxes.
    """

    threshold: float
    f1: float
    precision: float
    recall: float


def best_f1(scores: npt.NDArray[np.float64], verdicts: npt.NDArray[np.int64], positives: int) -> BestF1 | None:
    """Where F1 is highest; of equal ones the highest threshold.

    Args:
        scores: (K,) of the detections of a class, or of all classes.
        verdicts: (K,) of :func:`~yolopipe.scoring.voc_ap.voc_verdicts`.
        positives: annotated boxes that can be hit.

    Returns:
        The place, or None when there is nothing to hit or nothing was hit.

    >>> best_f1(np.array([0.9, 0.8, 0.7, 0.1]), np.array([1, 0, 1, 0]), 2)
    BestF1(threshold=0.7, f1=0.8, precision=0.6666666666666666, recall=1.0)
    """
    counted = verdicts != UNCOUNTED
    order = falling(scores[counted])
    scores, hits = scores[counted][order], np.cumsum(verdicts[counted][order] == HIT)
    if not positives or not len(hits) or not hits[-1]:
        return None
    taken = np.arange(1, len(hits) + 1)
    f1 = 2 * hits / (taken + positives)
    f1[:-1][scores[:-1] == scores[1:]] = -1.0  # a threshold takes all detections of one score or none
    best = int(np.argmax(f1))
    return BestF1(
        float(scores[best]), float(f1[best]), float(hits[best] / taken[best]), float(hits[best] / positives)
    )
