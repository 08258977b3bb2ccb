"""From predictions to detections: scores per class, then greedy non-maximum suppression within each class.

NumPy only.  Candidates are taken best first, and work stops when ``max_detections`` are kept: what comes later can no
longer count.  So a network that is unsure everywhere (10,647 boxes times 80 classes at 416 pixels) takes milliseconds
and not seconds, and the result is that of the plain loop over all candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from yolopipe.detection.outputs import Decoded, ImageOutputs, RawScale, raw_images
from yolopipe.detection.pairs import expand_ranges
from yolopipe.detection.soft_nms import soft_suppress
from yolopipe.detection.suppression import Suppression
from yolopipe.errors import DataError

__all__ = ["ImageDetections", "detect", "detect_batch", "suppress"]

STEPS = (1024, 8192)
"""At least so many of the best candidates are made into boxes before the others; most images end with the first."""

SAMPLED = 4 * STEPS[-1]
"""Scores, of the boxes of highest objectness, that tell where to cut."""

PART = 1024
"""Candidates compared together: enough to be worth the overhead of arrays, few enough to stop early."""

MOST_PAIRS = 100_000
"""Pairs of one class compared at once, about: a part of few classes is split."""

Mask = npt.NDArray[np.bool_]
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


def detect(predictions: npt.NDArray[np.floating], suppression: Suppression | None = None) -> ImageDetections:
    """Detections of one image, from decoded predictions.

    A box counts once for each class whose score is above the threshold (classes need not exclude each other: YOLOv3
    has one sigmoid per class).  Equal scores keep the order of boxes, then of classes.

    Args:
        predictions: (N, 5 + C) decoded: centre x, y, width, height in pixels, objectness, C class probabilities; a
            scale of :func:`yolopipe.decode` as ``output.reshape(-1, 5 + C)``.
        suppression: the settings; None for those that ``evaluate`` has by default.

    Returns:
        The detections, best score first.

    Raises:
        DataError: the network predicts NaN.

    >>> one = np.array([[50, 50, 20, 20, 0.9, 1.0, 0.0], [51, 50, 20, 20, 0.8, 1.0, 0.5]], np.float32)
    >>> found = detect(one, Suppression(score_threshold=0.1))
    >>> found.classes.tolist(), found.boxes_xyxy[0].tolist()
    ([0, 1], [40.0, 40.0, 60.0, 60.0])
    """
    return _detect(Decoded(np.asarray(predictions, np.float32)), suppression or Suppression())


def detect_batch(scales: Sequence[RawScale], suppression: Suppression) -> list[ImageDetections]:
    """Detections of each image of a batch, from raw outputs: only what can count is decoded.

    Args:
        scales: raw outputs for each stride.
        suppression: the settings.

    Returns:
        One :class:`ImageDetections` per image.

    Raises:
        DataError: the network predicts NaN.

    >>> anchors = np.array([[1, 2], [2, 1], [4, 4]])
    >>> unsure = [RawScale(np.full((2, g, g, 3, 6), -9.0, np.float32), anchors, 32 // g) for g in (4, 2, 1)]
    >>> [len(image.scores) for image in detect_batch(unsure, Suppression())]
    [0, 0]
    """
    return [_detect(image, suppression) for image in raw_images(scales)]


def suppress(
    boxes_xyxy: FloatArray, scores: FloatArray, classes: IntArray, *, nms_iou: float, max_detections: int
) -> IntArray:
    """Greedy non-maximum suppression within each class.

    Args:
        boxes_xyxy: (K, 4) float32.
        scores: (K,) float32, none below 0; equal scores keep their order.
        classes: (K,) integers; only boxes of one class compete.
        nms_iou: a box is suppressed when its IoU with a better kept one of its class is greater.
        max_detections: stop when this many are kept.

    Returns:
        Positions of the kept boxes, best score first.

    >>> boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 9]], np.float32)
    >>> scores, classes = np.array([0.5, 0.9, 0.8], np.float32), np.array([0, 0, 1])
    >>> suppress(boxes, scores, classes, nms_iou=0.5, max_detections=10).tolist()
    [1, 2]
    """
    return _suppress(boxes_xyxy.__getitem__, scores, classes, nms_iou, max_detections)[0]


def _suppress(
    boxes_xyxy: Callable[[IntArray], FloatArray],
    scores: FloatArray,
    classes: IntArray,
    nms_iou: float,
    max_detections: int,
) -> tuple[IntArray, FloatArray]:
    """As :func:`suppress`, and the kept boxes; ``boxes_xyxy`` gives corners by position when they are needed."""
    boxes, kept = _Boxes(classes, nms_iou), np.empty(0, np.int64)
    for part in _best_first(scores, classes):
        boxes.corners(part, boxes_xyxy(part))
        fresh = part[~boxes.covered(kept, part)]
        kept = np.concatenate([kept, fresh[boxes.survivors(fresh)]])
        if len(kept) >= max_detections:
            break
    kept = kept[:max_detections]
    return kept, boxes.columns[:4, kept].T


def _detect(image: ImageOutputs, suppression: Suppression) -> ImageDetections:
    if np.isnan(image.objectness).any():
        raise DataError(
            "the model predicts NaN: its weights are not finite numbers",
            hint="train again, perhaps with a smaller train.lr_init",
        )
    for lowest in cuts(image, np.float32(suppression.score_threshold)):
        found = _kept(image, lowest, suppression)
        if len(found.scores) >= suppression.max_detections:
            break  # lower scores can no longer count
    return found


def cuts(image: ImageOutputs, floor: np.float32) -> Iterator[np.float32]:
    """Scores above which to take candidates, one after the other until enough are kept; the last is ``floor``.

    No score exceeds the objectness of its box (a class probability is at most 1).  So the score that 1,024 candidates
    of the boxes of highest objectness reach cuts off all but a few thousand of 850,000.

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
                # The next smaller float32, so that "above" takes in the value itself and all its ties.
                yield np.float32(np.nextafter(np.partition(scores, -step)[-step], np.float32(-np.inf)))
    yield floor


def _kept(image: ImageOutputs, lowest: np.float32, suppression: Suppression) -> ImageDetections:
    """The candidates that suppression leaves: all that score above ``lowest``, or as many as are wanted."""
    boxes, scores, classes = image.above(lowest)
    limit, sigma = suppression.max_detections, suppression.soft_nms_sigma
    if sigma > 0:
        every = image.boxes_xyxy(boxes)
        kept, lowered = soft_suppress(
            every, scores, classes, sigma=sigma, score_threshold=float(lowest), max_detections=limit
        )
        return ImageDetections(every[kept], lowered.astype(np.float32), classes[kept])
    kept, boxes_xyxy = _suppress(
        lambda part: image.boxes_xyxy(boxes[part]), scores, classes, suppression.nms_iou, limit
    )
    return ImageDetections(boxes_xyxy, scores[kept], classes[kept])


def _best_first(scores: FloatArray, classes: IntArray) -> Iterator[IntArray]:
    """Positions in falling score, equal scores in rising position, part by part."""
    # The bits of floats that are not negative sort as the floats do.  Score and position in one number need no stable
    # sort, and NumPy sorts whole numbers with vector instructions, much faster than a stable argsort.
    bits = np.ascontiguousarray(scores, np.float32).view(np.uint32)
    keys = (~bits).astype(np.uint64) << np.uint64(32) | np.arange(len(bits), dtype=np.uint64)
    if len(keys) > 2 * PART:  # most images end with the first part: the others need no order yet
        keys.partition(PART)
        yield from _parts(_positions(keys[:PART]), classes)
        keys = keys[PART:]
    yield from _parts(_positions(keys), classes)


def _positions(keys: npt.NDArray[np.uint64]) -> IntArray:
    return (np.sort(keys) & np.uint64(0xFFFFFFFF)).astype(np.int64)


def _parts(order: IntArray, classes: IntArray) -> Iterator[IntArray]:
    start = 0
    while start < len(order):
        part = order[start : start + PART]
        part = part[: _part_size(classes[part])]
        start += len(part)
        yield part


def _part_size(classes: IntArray) -> int:
    """So many boxes of such classes make about :data:`MOST_PAIRS` pairs."""
    pairs = int((np.bincount(classes) ** 2).sum()) // 2
    return max(1, int(len(classes) * min(1.0, (MOST_PAIRS / max(1, pairs)) ** 0.5)))


class _Boxes:
    """All candidates of an image, and which of them overlap."""

    def __init__(self, classes: IntArray, nms_iou: float) -> None:
        self.columns = np.empty((5, len(classes)), np.float32)
        self.classes = classes
        self.num_classes = int(classes.max(initial=0)) + 1
        self.nms_iou = np.float32(nms_iou)

    def corners(self, part: IntArray, boxes_xyxy: FloatArray) -> None:
        """Store the corners of some of them, before they are compared."""
        x1, y1, x2, y2 = boxes_xyxy.T
        self.columns[:, part] = np.stack([x1, y1, x2, y2, (x2 - x1) * (y2 - y1)])

    def covered(self, kept: IntArray, part: IntArray) -> Mask:
        """Which of ``part`` overlap a kept one; in a crowd most do, and need not be compared with each other."""
        order, start, stop = self._by_class(kept)
        classes = self.classes[part]
        place, position = expand_ranges(start[classes], stop[classes])
        covered = np.zeros(len(part), np.bool_)
        covered[place[self._overlap(order[position], part[place])]] = True
        return covered

    def survivors(self, chosen: IntArray) -> Mask:
        """Which of the chosen boxes, given best first, greedy suppression keeps."""
        rank, _, stop = self._by_class(chosen, ranks=True)
        place, position = expand_ranges(np.arange(1, len(rank) + 1), stop[self.classes[chosen[rank]]])
        better, worse = rank[place], rank[position]
        overlapping = self._overlap(chosen[better], chosen[worse])
        better, worse = better[overlapping], worse[overlapping]
        alive = np.ones(len(chosen), np.bool_)
        while True:
            # A box lives when no living better one overlaps it.  Each pass settles at least the next link of every
            # chain of overlaps, so this ends, and with the greedy answer; real chains are a few links long.
            settled = np.ones(len(chosen), np.bool_)
            settled[worse[alive[better]]] = False
            if np.array_equal(settled, alive):
                return alive
            alive = settled

    def _by_class(self, chosen: IntArray, *, ranks: bool = False) -> tuple[IntArray, IntArray, IntArray]:
        """The chosen boxes (or their ranks) class after class, and where each class starts and stops."""
        classes = self.classes[chosen]
        order = np.argsort(classes, kind="stable")
        count = np.bincount(classes, minlength=self.num_classes)
        stop = np.cumsum(count)
        return order if ranks else chosen[order], stop - count, stop

    def _overlap(self, first: IntArray, second: IntArray) -> IntArray:
        """Which of the pairs have an IoU above the threshold."""
        x1, y1, x2, y2, area = self.columns
        width = np.minimum(x2[first], x2[second]) - np.maximum(x1[first], x1[second])
        touching = np.flatnonzero(width > 0)  # most pairs end here
        first, second, width = first[touching], second[touching], width[touching]
        height = np.minimum(y2[first], y2[second]) - np.maximum(y1[first], y1[second])
        shared = width * np.maximum(height, 0)
        # Written without a division: two boxes without area have no IoU, and do not suppress each other.
        above: IntArray = touching[shared > self.nms_iou * (area[first] + area[second] - shared)]
        return above
