"""What each detection of an image is, as the confusion matrix pairs them; the page does the same at every score."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from yolopipe.labels.boxes import pairwise_iou

__all__ = ["BADLY_PLACED", "CONFUSED", "DOUBLE", "INVENTED", "RIGHT", "Verdict", "judge"]

RIGHT, CONFUSED, DOUBLE, BADLY_PLACED, INVENTED = range(5)
"""Of the box it covers; of another class; a box that is taken; near a box of its class; of nothing."""

MATCH_IOU = 0.5
NEAR_IOU = 0.1


class Verdict(NamedTuple):
    """One image.

    Args:
        kind: (K,) one of the five for each detection.
        box: (K,) number of the annotated box of a ``RIGHT`` or ``CONFUSED`` one, else -1.
        missed: numbers of the annotated boxes that no detection took.
    """

    kind: list[int]
    box: list[int]
    missed: list[int]

    @property
    def errors(self) -> int:
        """What went wrong; the measure of the worst image."""
        return len(self.missed) + sum(kind != RIGHT for kind in self.kind)


def judge(
    truth_xyxy: npt.ArrayLike, truth_classes: npt.ArrayLike, boxes_xyxy: npt.ArrayLike, classes: npt.ArrayLike
) -> Verdict:
    """Pair detections with annotated boxes: each in turn takes the free box, of any class, that it overlaps most.

    Args:
        truth_xyxy: (M, 4).
        truth_classes: (M,).
        boxes_xyxy: (K, 4) best score first.
        classes: (K,).

    Returns:
        The verdict on each.

    >>> truth = [[0, 0, 10, 10], [50, 50, 60, 60]]
    >>> judge(truth, [0, 1], [[0, 0, 10, 10], [0, 0, 9, 10], [52, 53, 62, 63], [80, 80, 90, 90]], [0, 0, 1, 1])
    Verdict(kind=[0, 2, 3, 4], box=[0, -1, -1, -1], missed=[1])
    """
    iou = pairwise_iou(np.reshape(boxes_xyxy, (-1, 4)), np.reshape(truth_xyxy, (-1, 4)))
    free = np.ones(iou.shape[1], np.bool_)
    wanted = np.asarray(truth_classes)
    kinds, taken = [], []
    for overlap, class_id in zip(iou, np.asarray(classes).tolist(), strict=True):
        open_overlap = np.where(free, overlap, -1.0)
        best = int(open_overlap.argmax()) if len(overlap) else -1
        if best >= 0 and open_overlap[best] >= MATCH_IOU:
            free[best] = False
            kinds.append(RIGHT if wanted[best] == class_id else CONFUSED)
            taken.append(best)
        else:
            kinds.append(_unpaired(overlap, wanted == class_id))
            taken.append(-1)
    return Verdict(kinds, taken, np.flatnonzero(free).tolist())


def _unpaired(overlap: npt.NDArray[np.floating], same_class: npt.NDArray[np.bool_]) -> int:
    if (overlap >= MATCH_IOU).any():
        return DOUBLE
    return BADLY_PLACED if (overlap[same_class] >= NEAR_IOU).any() else INVENTED
