"""What is wanted of an export; numbers and names only, so that a wrong call fails before TensorFlow is imported."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from yolopipe.config.params import Evaluate
from yolopipe.errors import UsageError

__all__ = ["FORMATS", "PRECISIONS", "Rule", "Wish"]

FORMATS = ("saved-model", "onnx", "tflite")
PRECISIONS = ("float32", "float16", "int8")

TOLERANCES = {"float32": (1e-3, 0.05, 1e-3), "float16": (0.1, 4.0, 0.05), "int8": (3.0, 0.0, 0.0)}
"""Largest difference when none is given: of raw outputs, which are logits; of boxes, in pixels; of scores."""


@dataclass(frozen=True)
class Rule:
    """The settings of suppression, by default those of ``evaluate``.

    Args:
        min_score: detections score above this.
        nms_iou: of two boxes of a class that overlap by more than this, the better one stays.
        max_detections: places in the outputs.

    Raises:
        UsageError: a number out of its range.

    >>> Rule(min_score=0.3).options()["score_threshold"]
    0.3
    """

    min_score: float = field(default_factory=lambda: Evaluate().score_threshold)
    nms_iou: float = field(default_factory=lambda: Evaluate().nms_iou)
    max_detections: int = field(default_factory=lambda: Evaluate().max_detections)

    def __post_init__(self) -> None:
        for name, value in (("--min-score", self.min_score), ("--nms-iou", self.nms_iou)):
            if not 0 <= value <= 1:
                raise UsageError(f"{name} is a number from 0 to 1, got {value:g}")
        if not 1 <= self.max_detections <= 10_000:
            raise UsageError(f"--max-detections is a number from 1 to 10,000, got {self.max_detections}")

    def options(self) -> dict[str, Any]:
        """The arguments of :func:`yolopipe.detection.nms.detect_batch`."""
        values = asdict(self)
        return {"score_threshold": values.pop("min_score"), **values}


@dataclass(frozen=True)
class Wish:
    """What is wanted.

    Args:
        form: one of :data:`FORMATS`.
        rule: of suppression inside; None for raw outputs.
        precision: one of :data:`PRECISIONS`; TFLite alone has others than ``float32``.
        tolerance: how far any output may be from the Keras model's; None for :data:`TOLERANCES`.
        seed: draws the training images for int8.

    Raises:
        UsageError: what no format or this format has not.
    """

    form: str
    rule: Rule | None = None
    precision: str = "float32"
    tolerance: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise UsageError(f"--precision is one of {', '.join(PRECISIONS)}, got {self.precision!r}")
        if self.precision != "float32" and self.form != "tflite":
            raise UsageError(f"--precision {self.precision} is for tflite; {self.form} is written as float32")
        if self.precision == "int8" and self.rule is not None:
            raise UsageError(
                "int8 knows 256 steps: too few for boxes and scores, so it comes without post-processing",
                hint="leave --post-processing out, and decode the outputs (docs/export.md); or --precision float16",
            )
        if self.tolerance is not None and not self.tolerance >= 0:
            raise UsageError(f"--tolerance is a number from 0 up, got {self.tolerance:g}")

    @property
    def batch(self) -> int | None:
        """Images a call; TFLite suppresses in one image at a time."""
        return 1 if self.form == "tflite" and self.rule is not None else None

    def allowed(self, output: str) -> float:
        """How far an output may be from the Keras model's.

        >>> Wish("onnx").allowed("head_8"), Wish("onnx", Rule()).allowed("boxes_xyxy")
        (0.001, 0.05)
        """
        raw, boxes, scores = TOLERANCES[self.precision]
        given = {"boxes_xyxy": boxes, "scores": scores}.get(output, raw)
        return given if self.tolerance is None else self.tolerance

    @property
    def min_score(self) -> float:
        """What suppression lets in; 0 without."""
        return 0.0 if self.rule is None else self.rule.min_score
