"""Pascal VOC's average precision, and the verdict of VOC's rule on each detection.

The rule is the devkit's (VOCdevkit 2010 and later, ``VOCevaldet``): detection after detection in falling score, each
is compared with the box of its class and image that it overlaps most.  If that overlap is below the threshold it is a
miss; if the box is difficult it is not counted; if an earlier detection has the box it is a miss; else a hit.  It is
apart from :mod:`~yolopipe.scoring.matching`, COCO's rule, where a detection whose best box is taken may get the next
best, and where corners do not count as pixels.

Ignored boxes are treated like difficult ones; those of any class are compared with the detections of every class.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from yolopipe.detection.pairs import equal_pairs, pair_iou
from yolopipe.scoring.scores import Detections, Truth

__all__ = ["HIT", "MISS", "UNCOUNTED", "VocScores", "falling", "voc_scores", "voc_verdicts"]

HIT, MISS, UNCOUNTED = 1, 0, -1

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class VocScores:
    """Average precision at one IoU threshold.

    Args:
        all_point: per class the area under the curve, as of VOC 2010; None where a class has no truth.
        eleven_point: per class the mean of eleven levels of recall, as of VOC 2007.
        verdicts: (K,) :data:`HIT`, :data:`MISS` or :data:`UNCOUNTED` for each detection.
        positives: (C,) boxes that can be hit.
    """

    all_point: tuple[float | None, ...]
    eleven_point: tuple[float | None, ...]
    verdicts: Ints
    positives: Ints

    def mean(self, kind: str) -> float | None:
        """Mean of ``all_point`` or ``eleven_point`` over the classes with truth; None where there is none."""
        known = [value for value in getattr(self, kind) if value is not None]
        return float(np.mean(known)) if known else None


def voc_scores(
    truth: Truth, detections: Detections, *, num_classes: int, iou: float = 0.5, plus_one: bool = False
) -> VocScores:
    """Score detections as the VOC devkit does.

    Args:
        truth: annotated boxes; ignored and difficult ones count neither as found nor as missed.
        detections: found boxes, without a limit to their number; equal scores keep their order.
        num_classes: classes are numbered 0 to ``num_classes - 1``.
        iou: a hit overlaps its box by at least this.
        plus_one: as in the devkit, corners are pixels that belong to the box: from 3 to 5 it is three pixels wide.

    Returns:
        The scores.

    >>> box, zero = np.array([[10.0, 10, 50, 50]]), np.zeros(1, np.int64)
    >>> scores = voc_scores(Truth(zero, box, zero), Detections(zero, box, np.ones(1), zero), num_classes=2)
    >>> scores.all_point, scores.mean("eleven_point")
    ((1.0, None), 1.0)
    """
    verdicts = voc_verdicts(truth, detections, iou=iou, plus_one=plus_one)
    positives = np.bincount(truth.classes[~truth.left_out()], minlength=num_classes)
    order = falling(detections.scores)
    order = order[verdicts[order] != UNCOUNTED]
    order = order[np.argsort(detections.classes[order], kind="stable")]
    ends = np.searchsorted(detections.classes[order], np.arange(num_classes + 1))
    hits = verdicts[order]
    both = [
        _average_precision(hits[start:stop], int(wanted))
        for start, stop, wanted in zip(ends[:-1].tolist(), ends[1:].tolist(), positives.tolist(), strict=True)
    ]
    return VocScores(tuple(area for area, _ in both), tuple(levels for _, levels in both), verdicts, positives)


def falling(scores: Floats) -> Ints:
    """Positions in the order of falling score; equal scores keep their order.

    >>> falling(np.array([0.5, 0.9, 0.5])).tolist()
    [1, 0, 2]
    """
    return np.argsort(-scores, kind="stable")


def voc_verdicts(truth: Truth, detections: Detections, *, iou: float = 0.5, plus_one: bool = False) -> Ints:
    """(K,) :data:`HIT`, :data:`MISS` or :data:`UNCOUNTED` for each detection; see the module for the rule.

    >>> box, zero = np.array([[10.0, 10, 50, 50]]), np.zeros(2, np.int64)
    >>> repeated = Detections(zero, np.repeat(box, 2, axis=0), np.array([0.5, 0.9]), zero)
    >>> voc_verdicts(Truth(zero[:1], box, zero[:1]), repeated).tolist()
    [0, 1]
    """
    verdicts = np.full(len(detections.classes), MISS)
    number, box = _best_boxes(truth, detections, iou, 1.0 if plus_one else 0.0)
    uncounted = truth.left_out()[box]
    verdicts[number[uncounted]] = UNCOUNTED
    number, box = number[~uncounted], box[~uncounted]
    by_score = falling(detections.scores[number])
    _, first = np.unique(box[by_score], return_index=True)  # the first that comes gets the box
    verdicts[number[by_score[first]]] = HIT
    return verdicts


def _best_boxes(truth: Truth, detections: Detections, iou: float, extra_px: float) -> tuple[Ints, Ints]:
    """Detections that overlap some box of their class and image enough, and the box that each overlaps most."""
    groups = int(max(truth.classes.max(initial=0), detections.classes.max(initial=0))) + 2
    group = truth.image * groups + truth.classes + 1  # the first group of an image is its boxes of any class
    own_class = equal_pairs(detections.image * groups + detections.classes + 1, group)
    any_class = equal_pairs(detections.image * groups, group)
    number, box = (np.concatenate(both) for both in zip(own_class, any_class, strict=True))
    overlap = pair_iou(detections.boxes_xyxy[number], truth.boxes_xyxy[box], extra_px=extra_px)
    enough = np.flatnonzero(overlap >= iou)
    number, box, overlap = number[enough], box[enough], overlap[enough]
    order = np.lexsort((box, -overlap, number))  # of equal overlaps the box that is listed first
    _, first = np.unique(number[order], return_index=True)
    return number[order[first]], box[order[first]]


def _average_precision(hits: Ints, positives: int) -> tuple[float | None, float | None]:
    """All-point and 11-point AP from the verdicts in falling score."""
    if not positives:
        return None, None
    found = np.cumsum(hits)
    precision = found / np.arange(1, len(hits) + 1)
    reachable = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)  # the best at this recall or a higher
    all_point = float(reachable[:-1][hits == HIT].sum() / positives)
    # Whole numbers on both sides: the level 0.3 must not miss a recall of 3 in 10 by the last bit.
    levels = np.searchsorted(10 * found, np.arange(11) * positives)
    return all_point, float(reachable[levels].mean())
