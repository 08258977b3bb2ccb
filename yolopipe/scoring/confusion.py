"""What is taken for what: annotated classes against found ones, with a row and a column for the background.

The rule: of the detections of an image that score enough, one after the other in falling score takes the free
annotated box, of any class, that it overlaps most, if by the threshold or more.  Class does not enter the matching.
A detection without a box stands in the background's row, a box without a detection in its column.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from yolopipe.detection.pairs import equal_pairs, pair_iou
from yolopipe.scoring.scores import Detections, Truth
from yolopipe.scoring.voc_ap import falling

__all__ = ["confusion"]

Ints = npt.NDArray[np.int64]


def confusion(truth: Truth, detections: Detections, *, num_classes: int, lowest: float, iou: float = 0.5) -> Ints:
    """Count what was taken for what.

    Args:
        truth: annotated boxes.
        detections: found boxes; of equal scores the one listed first goes first.
        num_classes: classes are numbered 0 to ``num_classes - 1``.
        lowest: detections that score less are left out.
        iou: a match overlaps by at least this.

    Returns:
        (C + 1, C + 1) counts: row annotated, column found, the last of each the background.  A row sums to the
        annotated boxes of its class, a column to the detections of its class.

    >>> boxes, zero = np.array([[0.0, 0, 10, 10], [50, 50, 60, 60]]), np.zeros(1, np.int64)
    >>> found = Detections(zero, boxes[:1], np.ones(1), np.array([1]))
    >>> confusion(Truth(np.zeros(2, np.int64), boxes, np.array([0, 0])), found, num_classes=2, lowest=0.3).tolist()
    [[0, 1, 1], [0, 0, 0], [0, 0, 0]]
    """
    chosen = np.flatnonzero(detections.scores >= lowest)
    chosen = chosen[falling(detections.scores[chosen])]
    taken = _taken(truth, detections, chosen, iou)
    missed = np.setdiff1d(np.arange(len(truth.classes)), taken)
    annotated = np.append(truth.classes, num_classes)[taken]  # -1, no box, is the background at the end
    annotated = np.concatenate([annotated, truth.classes[missed]])
    found = np.concatenate([detections.classes[chosen], np.full(len(missed), num_classes)])
    side = num_classes + 1
    return np.bincount(annotated * side + found, minlength=side * side).reshape(side, side)


def _taken(truth: Truth, detections: Detections, chosen: Ints, iou: float) -> Ints:
    """The box that each of the chosen detections, best score first, gets; -1 for none.

    All detections ask at once for the box they overlap most, a box keeps the best that asked, and who is refused asks
    for the next.  That ends with the matching that going one by one gives, after a few rounds instead of thousands.
    """
    number, box = equal_pairs(detections.image[chosen], truth.image)
    overlap = pair_iou(detections.boxes_xyxy[chosen[number]], truth.boxes_xyxy[box])
    enough = np.flatnonzero(overlap >= iou)
    wishes = enough[np.lexsort((box[enough], -overlap[enough], number[enough]))]
    number, box = number[wishes], box[wishes]
    wish, stop = (np.searchsorted(number, np.arange(len(chosen)), side=side) for side in ("left", "right"))
    nobody = len(chosen)
    holder = np.full(len(truth.classes), nobody)
    asking = np.flatnonzero(wish < stop)
    while len(asking):
        np.minimum.at(holder, box[wish[asking]], asking)
        open_wish = wish < stop
        refused = np.flatnonzero(open_wish)[holder[box[wish[open_wish]]] != np.flatnonzero(open_wish)]
        wish[refused] += 1
        asking = refused[wish[refused] < stop[refused]]
    taken = np.full(nobody, -1)
    held = np.flatnonzero(holder < nobody)
    taken[holder[held]] = held
    return taken
