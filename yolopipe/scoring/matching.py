"""Predictions matched with truth: true positives as COCO counts them, every other prediction with TIDE's name for it.

First COCO's rule: of the predictions of a class in an image, in falling score, each takes the free true box of its
class that it overlaps most, if by ``iou`` or more. Then the remaining predictions of all classes, in falling score,
take the remaining true boxes of any class by the same rule: classification errors. So each true box is matched at
most once, and the pairs make a confusion matrix whose diagonal holds COCO's true positives.

Ignored boxes are treated as COCO treats crowds: nothing is matched with them, and a prediction that is no true
positive, and of which ``iou`` or more lies inside an ignored box of its class or of any class, is ignored before
errors are looked for.

The errors are those of TIDE (Bolya et al. 2020) with its two thresholds. Where several apply, a match counts first,
then ``iou`` before ``near``, then the prediction's own class before others; TIDE's own code looks for localization
errors first.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from yolopipe.detection.pairs import equal_pairs, pair_iou, pair_share
from yolopipe.scoring.scores import Detections, Truth
from yolopipe.scoring.voc_ap import falling

__all__ = [
    "BACKGROUND",
    "BOTH",
    "CLASSIFICATION",
    "DUPLICATE",
    "IGNORED",
    "LOCALIZATION",
    "MATCH_IOU",
    "NEAR_IOU",
    "TRUE_POSITIVE",
    "VERDICTS",
    "Matches",
    "match",
]

TRUE_POSITIVE, CLASSIFICATION, DUPLICATE, LOCALIZATION, BOTH, BACKGROUND, IGNORED = range(7)

VERDICTS = (
    *("true positive", "classification", "duplicate", "localization", "class and localization", "background"),
    "ignored",
)
"""Names of the verdicts, by number."""

MATCH_IOU = 0.5
"""Foreground threshold (TIDE's t_f): a match overlaps by this or more."""

NEAR_IOU = 0.1
"""Background threshold (TIDE's t_b): what overlaps every true box by less is a background error."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class Matches(NamedTuple):
    """A row for each prediction, in the order given, and the true boxes that were missed.

    Args:
        truth: (K,) number of the matched true box, -1 for none.
        iou: (K,) IoU with the matched box; without a match the highest with any box of the image that is not
            ignored, 0 without one.
        verdict: (K,) :data:`TRUE_POSITIVE` (matched, same class); :data:`CLASSIFICATION` (``iou`` or more with a box
            of another class); :data:`DUPLICATE` (``iou`` or more with a box of its class, which a better prediction
            has); :data:`LOCALIZATION` (``near`` or more with a box of its class); :data:`BOTH` (``near`` or more with
            a box of another class only); :data:`BACKGROUND` (less than ``near`` with every box); :data:`IGNORED`
            (not a true positive, and ``iou`` or more of it inside an ignored box of its class or of any class).
        missed: numbers of the true boxes that nothing was matched with, ascending; never an ignored one.
    """

    truth: Ints
    iou: Floats
    verdict: Ints
    missed: Ints

    def wrong(self) -> Mask:
        """(K,) false positives: predictions that are neither true positives nor ignored."""
        return ~np.isin(self.verdict, (TRUE_POSITIVE, IGNORED))


def match(truth: Truth, predictions: Detections, *, iou: float = MATCH_IOU, near: float = NEAR_IOU) -> Matches:
    """Match predictions with true boxes, of all images at once.

    Args:
        truth: M boxes; difficult ones are ignored too.
        predictions: K boxes in the same pixels, in any order; of equal scores the one given first goes first.
        iou: a match overlaps by at least this, 0 to 1.  Of equal overlaps the box given first is taken.
        near: see :class:`Matches`; at most ``iou``.

    Returns:
        The table.

    >>> boxes = np.array([[0.0, 0, 10, 10], [50, 50, 60, 60]])
    >>> found = np.array([[0.0, 0, 10, 10], [0, 0, 9, 10], [50, 50, 60, 58], [53, 53, 63, 63], [80, 80, 90, 90]])
    >>> table = match(
    ...     Truth(np.zeros(2, int), boxes, np.array([0, 1])),
    ...     Detections(np.zeros(5, int), found, np.array([0.9, 0.8, 0.7, 0.6, 0.5]), np.array([0, 0, 0, 1, 1])),
    ... )
    >>> table.truth.tolist(), table.iou.round(2).tolist(), table.missed.tolist()
    ([0, -1, 1, -1, -1], [1.0, 0.9, 0.8, 0.32, 0.0], [])
    >>> [VERDICTS[number] for number in table.verdict]
    ['true positive', 'duplicate', 'classification', 'localization', 'background']
    """
    number, box = equal_pairs(predictions.image, truth.image)
    ignored = truth.left_out()
    inside = _inside(truth, predictions, number[ignored[box]], box[ignored[box]], iou)
    number, box = number[~ignored[box]], box[~ignored[box]]
    overlap = pair_iou(predictions.boxes_xyxy[number], truth.boxes_xyxy[box])
    same = predictions.classes[number] == truth.classes[box]
    matched = np.full(len(predictions.classes), -1)
    turn = np.empty(len(matched), np.int64)
    turn[falling(predictions.scores)] = np.arange(len(matched))
    enough = overlap >= iou
    _take(matched, len(truth.classes), turn, number, box, overlap, enough & same)
    inside &= matched < 0
    _take(matched, len(truth.classes), turn, number, box, overlap, enough & ~inside[number])
    own, other = (_highest(overlap, number, chosen, len(matched)) for chosen in (same, ~same))
    reached = np.maximum(own, other)
    is_match = matched >= 0
    pair = matched[number] == box
    reached[number[pair]] = overlap[pair]
    right = is_match & (np.append(truth.classes, -1)[matched] == predictions.classes)
    cases = [right, is_match, inside, own >= iou, other >= iou, own >= near, other >= near]
    kinds = [TRUE_POSITIVE, CLASSIFICATION, IGNORED, DUPLICATE, CLASSIFICATION, LOCALIZATION, BOTH]
    missed = np.setdiff1d(np.flatnonzero(~ignored), matched)
    return Matches(matched, reached, np.select(cases, kinds, BACKGROUND), missed)


def _inside(truth: Truth, predictions: Detections, number: Ints, box: Ints, share: float) -> Mask:
    """(K,) predictions that lie inside an ignored box of their class or of any class, of these pairs."""
    applies = (truth.classes[box] == predictions.classes[number]) | (truth.classes[box] < 0)
    enough = pair_share(predictions.boxes_xyxy[number], truth.boxes_xyxy[box]) >= share
    inside = np.zeros(len(predictions.classes), np.bool_)
    inside[number[applies & enough]] = True
    return inside


def _highest(overlap: Floats, number: Ints, chosen: Mask, count: int) -> Floats:
    highest = np.zeros(count)
    np.maximum.at(highest, number[chosen], overlap[chosen])
    return highest


def _take(matched: Ints, boxes: int, turn: Ints, number: Ints, box: Ints, overlap: Floats, allowed: Mask) -> None:
    """Match what is not matched yet, over the allowed pairs (``number``, ``box``); writes ``matched``.

    All predictions ask at once for the box they overlap most, a box keeps the first in turn that asked, and who is
    refused asks for the next.  That ends with the matching that going one by one gives, after a few rounds instead of
    thousands.
    """
    holder = np.full(boxes, len(matched))
    holder[matched[matched >= 0]] = -1  # before all others
    pairs = np.flatnonzero(allowed & (matched[number] < 0))
    pairs = pairs[np.lexsort((box[pairs], -overlap[pairs], turn[number[pairs]]))]
    asker, box = turn[number[pairs]], box[pairs]
    place, stop = (np.searchsorted(asker, np.arange(len(matched)), side=side) for side in ("left", "right"))
    asking = np.flatnonzero(place < stop)
    while len(asking):
        np.minimum.at(holder, box[place[asking]], asking)
        waiting = np.flatnonzero(place < stop)
        refused = waiting[holder[box[place[waiting]]] != waiting]
        place[refused] += 1
        asking = refused[place[refused] < stop[refused]]
    held = np.flatnonzero((holder >= 0) & (holder < len(matched)))
    by_turn = np.argsort(turn)
    matched[by_turn[holder[held]]] = held
