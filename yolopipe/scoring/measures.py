"""All measures of one set of detections, by the keys of ``metrics/eval.json`` and ``yolopipe score --json``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from yolopipe.scoring.scores import LIMITS, Detections, Scores, Truth, coco_scores
from yolopipe.scoring.voc_ap import VocScores, voc_scores

__all__ = ["Measures", "measure"]

SIZES = ("small", "medium", "large")


@dataclass(frozen=True)
class Measures:
    """COCO's and VOC's measures.

    Args:
        coco: average precision and recall.
        voc: average precision at IoU .5, and the verdict on each detection.
    """

    coco: Scores
    voc: VocScores

    def of_all(self) -> dict[str, float | None]:
        """Means over the classes that have truth, by name; None where none has."""
        return {
            "mAP": self.coco.ap(),
            "mAP50": self.coco.ap(50),
            "mAP75": self.coco.ap(75),
            **{f"AP_{size}": self.coco.ap(area=size) for size in SIZES},
            **{f"AR_{limit}": self.coco.ar(limit) for limit in LIMITS},
            "voc_mAP50_all_point": self.voc.mean("all_point"),
            "voc_mAP50_11_point": self.voc.mean("eleven_point"),
        }

    def of_class(self, class_id: int) -> dict[str, float | int | None]:
        """The same measures of one class, by name, and its number of annotated boxes."""
        return {
            "AP": self.coco.ap(class_id=class_id),
            "AP50": self.coco.ap(50, class_id=class_id),
            "AP75": self.coco.ap(75, class_id=class_id),
            **{f"AP_{size}": self.coco.ap(area=size, class_id=class_id) for size in SIZES},
            **{f"AR_{limit}": self.coco.ar(limit, class_id=class_id) for limit in LIMITS},
            "voc_AP50_all_point": self.voc.all_point[class_id],
            "voc_AP50_11_point": self.voc.eleven_point[class_id],
            "boxes": int(self.coco.boxes[class_id]),
        }

    def by_name(self, class_names: Sequence[str]) -> dict[str, Any]:
        """:meth:`of_all`, and :meth:`of_class` of each class under ``per_class``."""
        return {
            **self.of_all(),
            "per_class": {name: self.of_class(class_id) for class_id, name in enumerate(class_names)},
        }


def measure(truth: Truth, detections: Detections, *, num_classes: int, plus_one: bool = False) -> Measures:
    """Measure detections against truth.

    Args:
        truth: annotated boxes.
        detections: found boxes.
        num_classes: classes are numbered 0 to ``num_classes - 1``.
        plus_one: see :func:`~yolopipe.scoring.voc_ap.voc_scores`; COCO's measures ignore it.

    Returns:
        The measures.

    >>> import numpy as np
    >>> box, zero = np.array([[10.0, 10, 50, 50]]), np.zeros(1, np.int64)
    >>> perfect = measure(Truth(zero, box, zero), Detections(zero, box, np.ones(1), zero), num_classes=1)
    >>> perfect.of_all()["mAP75"], perfect.of_class(0)["AP_medium"]
    (1.0, 1.0)
    """
    return Measures(
        coco_scores(truth, detections, num_classes=num_classes),
        voc_scores(truth, detections, num_classes=num_classes, plus_one=plus_one),
    )
