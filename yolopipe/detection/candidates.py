"""Which boxes and classes of one image's predictions are worth looking at, the best of them without making all."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from yolopipe.detection.outputs import ImageOutputs

__all__ = ["cuts"]

STEPS = (1024, 8192)
"""At least so many of the best candidates are made into boxes before the others; most images end with the first."""

SAMPLED = 4 * STEPS[-1]
"""Scores, of the boxes of highest objectness, that tell where to cut."""


def cuts(image: ImageOutputs, floor: np.float32) -> Iterator[np.float32]:
    """Scores above which to take candidates, one after the other until enough are kept; the last is ``floor``.

    No score exceeds the objectness of its box (a class probability is at most 1).  So the score that 1,024 candidates
    of the boxes of highest objectness reach cuts off all but a few thousand of 850,000.

    >>> from yolopipe.detection.outputs import Decoded
    >>> sure = Decoded(np.ones((900, 85), np.float32))
    >>> [float(cut) < 1 for cut in cuts(sure, np.float32(0.01))], float([*cuts(sure, np.float32(0.01))][-1])
    ([True, True, True], 0.009999999776482582)
    """
    objectness = image.objectness
    sampled = max(1, SAMPLED // max(1, image.num_classes))  # boxes
    if np.count_nonzero(objectness > floor) >= 2 * sampled:
        least = np.partition(objectness, -sampled)[-sampled]
        scores = image.scores(np.flatnonzero(objectness >= least)).reshape(-1)
        scores = scores[scores > floor]  # often few, and then cheap to partition
        for step in STEPS:
            if len(scores) >= step:
                yield _below(np.partition(scores, -step)[-step])
    yield floor


def _below(value: np.float32) -> np.float32:
    """The next smaller float32, so that "above" takes in the value itself and all its ties."""
    return np.float32(np.nextafter(value, np.float32(-np.inf)))
