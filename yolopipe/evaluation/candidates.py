"""Which boxes and classes of one image's predictions are worth looking at, the best of them without making all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from yolopipe.errors import DataError

__all__ = ["Candidates", "Predictions"]

STEPS = (1024, 8192)
"""At least so many of the best candidates are made into boxes before the others; most images end with the first."""

SAMPLED = 2 * STEPS[-1]
"""Scores, of the boxes of highest objectness, that tell where to cut."""

LARGEST_PX = 1e6
"""Boxes are held within this: ``exp`` of a wild logit is infinite, and inf - inf would be NaN."""

FloatArray = npt.NDArray[np.float32]
Candidates = tuple[FloatArray, FloatArray, npt.NDArray[np.int64]]
"""Boxes (K, 4) as corners, scores (K,) and classes (K,), in the order of boxes, then of classes."""


class Predictions:
    """The predictions of one image, scale by scale: joining 3.6 MB would cost more than the suppression.

    Args:
        parts: per scale (N, 5 + C) decoded: centre x, y, width, height in pixels, objectness, C class probabilities.

    Raises:
        DataError: when the network gave NaN.

    >>> image = Predictions([np.array([[50, 50, 20, 20, 0.5, 1.0, 0.5]], np.float32)])
    >>> image.candidates(np.float32(0.1))[1].tolist()
    [0.5, 0.25]
    """

    def __init__(self, parts: Sequence[FloatArray]) -> None:
        self.parts = parts
        self.objectness = [np.ascontiguousarray(part[:, 4]) for part in parts]
        if any(np.isnan(values).any() for values in self.objectness):
            raise DataError(
                "the model predicts NaN: its weights are not finite numbers",
                hint="train again, perhaps with a smaller train.lr_init",
            )

    def cuts(self, floor: np.float32) -> list[np.float32]:
        """Scores above which to take candidates, one after the other until enough are kept; the last is ``floor``.

        No score exceeds the objectness of its box (a class probability is at most 1).  So the score that 1,024
        candidates of the boxes of highest objectness reach cuts off all but a few thousand of 850,000.
        """
        every = np.concatenate(self.objectness)
        sampled = max(1, SAMPLED // max(1, self.parts[0].shape[1] - 5))  # boxes
        if np.count_nonzero(every > floor) < 2 * sampled:
            return [floor]
        least = np.partition(every, -sampled)[-sampled]
        scores = np.concatenate([scores.reshape(-1) for _, scores in self._scored(_below(least))])
        steps = [-step for step in STEPS]
        best = np.sort(scores)[steps]  # NumPy sorts faster than it partitions at two places
        return [*(_below(score) for score in best if score > floor), floor]

    def candidates(self, lowest: np.float32) -> Candidates:
        """All boxes and classes with a score above ``lowest``, in the order of boxes, then of classes."""
        boxes_xyxy, scores, classes = zip(*self._above(lowest), strict=True)
        return np.concatenate(boxes_xyxy), np.concatenate(scores), np.concatenate(classes)

    def _above(self, lowest: np.float32) -> Iterator[Candidates]:
        for rows, scores in self._scored(lowest):
            place = np.flatnonzero(scores > lowest)  # a third of the time of a two-dimensional nonzero
            box, classes = np.divmod(place, scores.shape[1])
            yield _corners(rows[box, :4]), scores.reshape(-1)[place], classes

    def _scored(self, lowest: np.float32) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Per part the rows whose objectness does not rule them out, and their scores (n, C)."""
        for part, objectness in zip(self.parts, self.objectness, strict=True):
            rows = part.take(np.flatnonzero(objectness > lowest), axis=0)  # half the time of a mask
            yield rows, rows[:, 4:5] * rows[:, 5:]


def _below(value: np.float32) -> np.float32:
    """The next smaller float32, so that "above" takes in the value itself and all its ties."""
    return np.float32(np.nextafter(value, np.float32(-np.inf)))


def _corners(boxes_xywh: FloatArray) -> FloatArray:
    half_wh = np.minimum(boxes_xywh[:, 2:], np.float32(LARGEST_PX)) * np.float32(0.5)
    centre_xy = boxes_xywh[:, :2]
    return np.concatenate([centre_xy - half_wh, centre_xy + half_wh], axis=1)
