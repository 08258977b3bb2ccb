"""What follows from the scores of detections: the threshold with the highest F1, and calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from yolopipe.scoring.voc_ap import HIT, UNCOUNTED, falling

__all__ = ["BINS", "BestF1", "Calibration", "best_f1", "calibration"]

BINS = 10
"""Calibration bins, of equal width from 0 to 1."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class BestF1:
    """The score threshold with the highest F1.

    Args:
        threshold: detections that score at least this count.
        f1: harmonic mean of precision and recall at this threshold.
        precision: true positives among those detections.
        recall: true positives among the annotated boxes.
    """

    threshold: float
    f1: float
    precision: float
    recall: float


def best_f1(scores: Floats, verdicts: Ints, positives: int) -> BestF1 | None:
    """The threshold with the highest F1; of equal F1 the highest threshold.

    Args:
        scores: (K,) of the detections of a class, or of all classes.
        verdicts: (K,) of :func:`~yolopipe.scoring.voc_ap.voc_verdicts`.
        positives: annotated boxes that can be hit.

    Returns:
        The threshold and what holds there; None without annotated boxes or true positives.

    >>> best_f1(np.array([0.9, 0.8, 0.7, 0.1]), np.array([1, 0, 1, 0]), 2)
    BestF1(threshold=0.7, f1=0.8, precision=0.6666666666666666, recall=1.0)
    """
    counted = verdicts != UNCOUNTED
    order = falling(scores[counted])
    scores, hits = scores[counted][order], np.cumsum(verdicts[counted][order] == HIT)
    if not positives or not len(hits) or not hits[-1]:
        return None
    predicted = np.arange(1, len(hits) + 1)
    f1 = 2 * hits / (predicted + positives)
    f1[:-1][scores[:-1] == scores[1:]] = -1.0  # a threshold takes all detections of one score or none
    best = int(np.argmax(f1))
    return BestF1(
        float(scores[best]), float(f1[best]), float(hits[best] / predicted[best]), float(hits[best] / positives)
    )


@dataclass(frozen=True)
class Calibration:
    """Observed precision per score bin.

    Args:
        score: (B,) mean score of each bin that holds detections.
        precision: (B,) share of true positives among them.
        count: (B,) detections.
    """

    score: Floats
    precision: Floats
    count: Ints

    def error(self) -> float | None:
        """Expected calibration error: mean distance of score and precision over all detections; None without any.

        >>> Calibration(np.array([0.5, 0.75]), np.array([0.5, 0.25]), np.array([30, 10])).error()
        0.125
        """
        if not len(self.count):
            return None
        return float(np.average(np.abs(self.score - self.precision), weights=self.count))


def calibration(scores: Floats, verdicts: Ints, *, lowest: float) -> Calibration:
    """Observed precision per score bin.

    Args:
        scores: (K,) in [0, 1].
        verdicts: (K,) of :func:`~yolopipe.scoring.voc_ap.voc_verdicts`; uncounted detections are left out.
        lowest: detections that score less are left out: thousands of false positives with a score near 0 are well
            calibrated, and would hide the error of the few that are shown.

    Returns:
        The bins that hold detections, in rising score.

    >>> calibration(np.array([0.95, 0.96, 0.41]), np.array([1, 0, 0]), lowest=0.3).precision.tolist()
    [0.0, 0.5]
    """
    counted = (verdicts != UNCOUNTED) & (scores >= lowest)
    scores, right = scores[counted], verdicts[counted] == HIT
    place = np.minimum((scores * BINS).astype(np.int64), BINS - 1)
    count = np.bincount(place, minlength=BINS)
    filled = count > 0
    score, precision = (
        np.bincount(place, values, minlength=BINS)[filled] / count[filled] for values in (scores, right)
    )
    return Calibration(score, precision, count[filled])
