"""From decoded predictions to detections: scores per class, then greedy non-maximum suppression within each class.

NumPy only.  Candidates are taken best first, and work stops when ``max_detections`` are kept: what comes later can no
longer count.  So a network that is unsure everywhere (10,647 boxes times 80 classes at 416 pixels) costs two
milliseconds, not seconds, and the result is that of the plain loop over all candidates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from yolopipe.errors import DataError

__all__ = ["ImageDetections", "detect", "detect_batch", "suppress"]

CHUNK = 192
"""Candidates looked at together; pairs grow with its square, Python steps with its inverse."""

FIRST = 1024
"""At least so many of the best candidates are made into boxes before the others; most images end with them."""

SAMPLED = 16 * FIRST
"""Scores, of the boxes of highest objectness, that tell where to cut."""

LARGEST_PX = 1e6
"""Boxes are held within this: ``exp`` of a wild logit is infinite, and inf - inf would be NaN."""

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


class ImageDetections(NamedTuple):
    """What was found in one image, best score first.

    Args:
        boxes_xyxy: (K, 4) float32, the pixels the predictions were in.
        scores: (K,) float32, objectness times class probability.
        classes: (K,) int64.
    """

    boxes_xyxy: FloatArray
    scores: FloatArray
    classes: IntArray


def detect(
    predictions: npt.NDArray[np.floating],
    *,
    score_threshold: float,
    nms_iou: float,
    max_detections: int,
) -> ImageDetections:
    """Detections of one image.

    A box counts once for each class whose score is above ``score_threshold`` (classes need not exclude each other:
    YOLOv3 has one sigmoid per class).  Equal scores keep the order of boxes, then of classes.

    Args:
        predictions: (N, 5 + C) decoded: centre x, y, width, height in pixels, objectness, C class probabilities.
        score_threshold: a candidate's score must be greater.
        nms_iou: a candidate that overlaps a better one of its class by more than this goes.
        max_detections: at most this many are returned.

    Returns:
        The detections, best score first.

    Raises:
        DataError: when the network gave NaN.

    >>> one = np.array([[50, 50, 20, 20, 0.9, 1.0, 0.0], [51, 50, 20, 20, 0.8, 1.0, 0.5]], np.float32)
    >>> found = detect(one, score_threshold=0.1, nms_iou=0.5, max_detections=10)
    >>> found.classes.tolist(), found.boxes_xyxy[0].tolist()
    ([0, 1], [40.0, 40.0, 60.0, 60.0])
    """
    return _detect([predictions], score_threshold, nms_iou, max_detections)


def detect_batch(
    scales: Sequence[npt.NDArray[np.floating]],
    *,
    score_threshold: float,
    nms_iou: float,
    max_detections: int,
) -> list[ImageDetections]:
    """Detections of each image of a batch.

    Args:
        scales: per stride a (B, grid, grid, 3, 5 + C) array of decoded predictions.
        score_threshold: see :func:`detect`.
        nms_iou: see :func:`detect`.
        max_detections: see :func:`detect`.

    Returns:
        One :class:`ImageDetections` per image.

    >>> empty = [np.zeros((2, g, g, 3, 6), np.float32) for g in (4, 2, 1)]
    >>> found = detect_batch(empty, score_threshold=0.01, nms_iou=0.5, max_detections=10)
    >>> [len(image.scores) for image in found]
    [0, 0]
    """
    flat = [scale.reshape(len(scale), -1, scale.shape[-1]) for scale in scales]
    return [
        _detect([scale[image] for scale in flat], score_threshold, nms_iou, max_detections)
        for image in range(len(flat[0]))
    ]


def suppress(
    boxes_xyxy: FloatArray, scores: FloatArray, classes: IntArray, *, nms_iou: float, max_detections: int
) -> IntArray:
    """Greedy non-maximum suppression within each class.

    Args:
        boxes_xyxy: (K, 4) float32.
        scores: (K,) float32; equal scores keep their order.
        classes: (K,) integers; only boxes of one class compete.
        nms_iou: a box goes when it overlaps a better kept one of its class by more than this.
        max_detections: stop when this many are kept.

    Returns:
        Positions of the kept boxes, best score first.

    >>> boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 9]], np.float32)
    >>> scores, classes = np.array([0.5, 0.9, 0.8], np.float32), np.array([0, 0, 1])
    >>> suppress(boxes, scores, classes, nms_iou=0.5, max_detections=10).tolist()
    [1, 2]
    """
    kept = np.empty(0, np.int64)
    for chunk in _best_first(scores):
        pool = np.concatenate([kept, chunk])
        kept = pool[_survivors(boxes_xyxy[pool], classes[pool], nms_iou)]
        if len(kept) >= max_detections:
            break
    return kept[:max_detections]


def _detect(
    parts: Sequence[npt.NDArray[np.floating]], score_threshold: float, nms_iou: float, max_detections: int
) -> ImageDetections:
    """Detections of one image whose predictions come in parts of (N, 5 + C)."""
    image = _Predictions([np.asarray(part, np.float32) for part in parts])
    for lowest in image.cuts(np.float32(score_threshold)):
        found = image.candidates(lowest)
        kept = suppress(*found, nms_iou=nms_iou, max_detections=max_detections)
        if len(kept) >= max_detections:
            break  # what scores less can no longer count
    boxes_xyxy, scores, classes = found
    return ImageDetections(boxes_xyxy[kept], scores[kept], classes[kept])


class _Predictions:
    """The predictions of one image, scale by scale: joining 3.6 MB would cost more than the suppression."""

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
        candidates of the boxes of highest objectness exceed cuts off all but a few thousand of 850,000.
        """
        every = np.concatenate(self.objectness)
        sampled = SAMPLED // max(1, self.parts[0].shape[1] - 5)
        if np.count_nonzero(every > floor) < 2 * sampled:
            return [floor]
        least = np.partition(every, -sampled)[-sampled]
        scores = np.concatenate([scores.reshape(-1) for _, scores in self._scored(_below(least))])
        cut = _below(np.partition(scores, -FIRST)[-FIRST])
        return [cut, floor] if cut > floor else [floor]

    def candidates(self, lowest: np.float32) -> ImageDetections:
        """All boxes and classes with a score above ``lowest``, in the order of boxes, then of classes."""
        return ImageDetections(*map(np.concatenate, zip(*self._above(lowest), strict=True)))

    def _above(self, lowest: np.float32) -> Iterator[ImageDetections]:
        for rows, scores in self._scored(lowest):
            place = np.flatnonzero(scores > lowest)  # a third of the time of a two-dimensional nonzero
            box, classes = np.divmod(place, scores.shape[1])
            yield ImageDetections(_corners(rows[box, :4]), scores.reshape(-1)[place], classes)

    def _scored(self, lowest: np.float32) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Per part the rows whose objectness does not rule them out, and their scores (n, C)."""
        for part, objectness in zip(self.parts, self.objectness, strict=True):
            rows = part[objectness > lowest]
            yield rows, rows[:, 4:5] * rows[:, 5:]


def _below(value: np.float32) -> np.float32:
    """The next smaller float32, so that "above" takes in the value itself and all its ties."""
    return np.nextafter(value, np.float32(-np.inf))


def _corners(boxes_xywh: FloatArray) -> FloatArray:
    half_wh = np.minimum(boxes_xywh[:, 2:], np.float32(LARGEST_PX)) * np.float32(0.5)
    centre_xy = boxes_xywh[:, :2]
    return np.concatenate([centre_xy - half_wh, centre_xy + half_wh], axis=1)


def _best_first(scores: FloatArray) -> Iterator[IntArray]:
    """Positions in falling score, equal scores in rising position, a chunk at a time.

    The best are picked before they are sorted, each time twice as many: the rest is rarely looked at.
    """
    left, wanted = np.arange(len(scores)), 4 * CHUNK
    while len(left):
        pick, left = left, left[:0]
        if len(pick) > 2 * wanted:
            values = scores[pick]
            is_best = values >= np.partition(values, -wanted)[-wanted]  # every tie of the last one too
            pick, left = pick[is_best], pick[~is_best]
            wanted *= 2
        pick = pick[np.argsort(-scores[pick], kind="stable")]
        yield from (pick[start : start + CHUNK] for start in range(0, len(pick), CHUNK))


def _survivors(boxes_xyxy: FloatArray, classes: IntArray, nms_iou: float) -> npt.NDArray[np.bool_]:
    """Which of the boxes, given best first, greedy suppression keeps."""
    better, worse = _overlapping(boxes_xyxy, classes, nms_iou)
    alive = np.ones(len(classes), np.bool_)
    while True:
        # A box lives when no living better one overlaps it.  Each pass settles at least the next link of every
        # chain of overlaps, so this ends, and with the greedy answer; real chains are a few links long.
        settled = np.ones(len(classes), np.bool_)
        settled[worse[alive[better]]] = False
        if np.array_equal(settled, alive):
            return alive
        alive = settled


def _overlapping(boxes_xyxy: FloatArray, classes: IntArray, nms_iou: float) -> tuple[IntArray, IntArray]:
    """Pairs (better, worse) of one class whose IoU exceeds ``nms_iou``."""
    better, worse = _pairs_within(classes)
    x1, y1, x2, y2 = np.ascontiguousarray(boxes_xyxy.T)
    area = (x2 - x1) * (y2 - y1)
    width = np.minimum(x2[better], x2[worse]) - np.maximum(x1[better], x1[worse])
    touching = np.flatnonzero(width > 0)  # most pairs end here
    better, worse, width = better[touching], worse[touching], width[touching]
    height = np.minimum(y2[better], y2[worse]) - np.maximum(y1[better], y1[worse])
    shared = width * np.maximum(height, 0)
    # Written without a division: two boxes without area have no IoU, and do not suppress each other.
    above = shared > np.float32(nms_iou) * (area[better] + area[worse] - shared)
    return better[above], worse[above]


def _pairs_within(classes: IntArray) -> tuple[IntArray, IntArray]:
    """All pairs (i, j), i < j, with ``classes[i] == classes[j]``."""
    order = np.argsort(classes, kind="stable")
    grouped = classes[order]
    later = np.searchsorted(grouped, grouped, side="right") - np.arange(len(order)) - 1
    first = np.repeat(np.arange(len(order)), later)
    run_start = np.repeat(np.cumsum(later) - later, later)
    second = first + 1 + np.arange(len(first)) - run_start
    return order[first], order[second]
