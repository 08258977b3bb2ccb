"""Do scores mean what they say: of detections that score 0.8, are 80 % right?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from yolopipe.scoring.voc_ap import HIT, UNCOUNTED

__all__ = ["BINS", "Calibration", "calibration"]

BINS = 10
"""Bins of equal width from 0 to 1."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Calibration:
    """Scores against shares of right detections.

    Args:
        score: (B,) mean score of each bin that holds detections.
        precision: (B,) which share of them is right.
        count: (B,) how many there are.
    """

    score: Floats
    precision: Floats
    count: Ints

    def error(self) -> float | None:
        """Expected calibration error: the mean distance of score and precision over all detections; None without any.

        >>> Calibration(np.array([0.5, 0.75]), np.array([0.5, 0.25]), np.array([30, 10])).error()
        0.125
        """
        if not len(self.count):
            return None
        return float(np.average(np.abs(self.score - self.precision), weights=self.count))


def calibration(scores: Floats, verdicts: Ints, *, lowest: float) -> Calibration:
    """Compare scores with what they promise.

    Args:
        scores: (K,) in [0, 1].
        verdicts: (K,) of :func:`~yolopipe.scoring.voc_ap.voc_verdicts`; uncounted detections are left out.
        lowest: detections that score less are left out: thousands near 0, all of them wrong as they say, would hide
            what is wrong with the few that people see.

    Returns:
        The bins that hold detections, in rising score.

    >>> calibration(np.array([0.95, 0.96, 0.41]), np.array([1, 0, 0]), lowest=0.3).precision.tolist()
    [0.0, 0.5]
    """
    seen = (verdicts != UNCOUNTED) & (scores >= lowest)
    scores, right = scores[seen], verdicts[seen] == HIT
    place = np.minimum((scores * BINS).astype(np.int64), BINS - 1)
    count = np.bincount(place, minlength=BINS)
    there = count > 0
    score, precision = (
        np.bincount(place, values, minlength=BINS)[there] / count[there] for values in (scores, right)
    )
    return Calibration(score, precision, count[there])
