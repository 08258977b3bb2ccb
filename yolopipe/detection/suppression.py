"""The settings of non-maximum suppression: one type, from ``params.yaml`` to the innermost function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from yolopipe.config.params import Evaluate
from yolopipe.errors import UsageError

__all__ = ["Suppression"]

DEFAULT = Evaluate()


@dataclass(frozen=True)
class Suppression:
    """Which boxes of an image are detections; named as in the ``evaluate`` section, whose defaults these are.

    Args:
        score_threshold: the score of a detection is greater.
        nms_iou: the IoU above which the lower-scoring of two boxes of a class is suppressed.
        max_detections: at most so many an image.
        soft_nms_sigma: above 0, a box that overlaps a better one is not suppressed; its score is lowered instead
            (:func:`~yolopipe.detection.soft_nms.soft_suppress`), and ``nms_iou`` is not used.

    Raises:
        UsageError: a number out of its range.

    >>> Suppression(score_threshold=0.3)
    Suppression(score_threshold=0.3, nms_iou=0.5, max_detections=300, soft_nms_sigma=0.0)
    """

    score_threshold: float = DEFAULT.score_threshold
    nms_iou: float = DEFAULT.nms_iou
    max_detections: int = DEFAULT.max_detections
    soft_nms_sigma: float = DEFAULT.soft_nms_sigma

    def __post_init__(self) -> None:
        for name, value in (("score_threshold", self.score_threshold), ("nms_iou", self.nms_iou)):
            if not 0 <= value <= 1:
                raise UsageError(f"{name}: expected a number from 0 to 1, got {value:g}")
        if self.max_detections < 1:
            raise UsageError(f"max_detections: expected a number from 1 up, got {self.max_detections}")
        if not self.soft_nms_sigma >= 0:
            raise UsageError(f"soft_nms_sigma: expected a number from 0 up, got {self.soft_nms_sigma:g}")

    @classmethod
    def of(cls, params: Evaluate) -> Self:
        """The settings in the ``evaluate`` section of ``params.yaml``."""
        return cls(params.score_threshold, params.nms_iou, params.max_detections, params.soft_nms_sigma)
