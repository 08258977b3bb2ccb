"""The options of an export: numbers and names only, so that a wrong call fails before TensorFlow is imported."""

from __future__ import annotations

from dataclasses import dataclass

from yolopipe.detection.suppression import Suppression
from yolopipe.errors import UsageError

__all__ = ["FORMATS", "MOST_DETECTIONS", "PRECISIONS", "ExportRequest"]

FORMATS = ("saved-model", "onnx", "tflite")
PRECISIONS = ("float32", "float16", "int8")

TOLERANCES = {"float32": (1e-3, 0.05, 1e-3), "float16": (0.1, 4.0, 0.05), "int8": (3.0, 0.0, 0.0)}
"""Default tolerance of each precision: of raw outputs, which are logits; of boxes, in pixels; of scores."""

MOST_DETECTIONS = 10_000
"""Rows in the outputs of an exported network, which always has all of them."""


@dataclass(frozen=True)
class ExportRequest:
    """The options of an export.

    Args:
        form: one of :data:`FORMATS`.
        suppression: the settings of non-maximum suppression inside the exported network; None for raw outputs.
        precision: one of :data:`PRECISIONS`; only TFLite has others than ``float32``.
        tolerance: how much any output may differ from the Keras model's; None for :data:`TOLERANCES`.
        seed: draws the training images that int8 is calibrated with.

    Raises:
        UsageError: a value that does not exist, or not for this format.
    """

    form: str
    suppression: Suppression | None = None
    precision: str = "float32"
    tolerance: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.form not in FORMATS:
            raise UsageError(f"expected a format of {', '.join(FORMATS)}, got {self.form!r}")
        if self.precision not in PRECISIONS:
            raise UsageError(f"--precision: expected one of {', '.join(PRECISIONS)}, got {self.precision!r}")
        if self.precision != "float32" and self.form != "tflite":
            raise UsageError(
                f"--precision {self.precision} is for tflite only; {self.form} holds float32",
                hint=f"yolopipe export tflite --precision {self.precision}",
            )
        if self.tolerance is not None and not self.tolerance >= 0:
            raise UsageError(f"--tolerance: expected a number from 0 up, got {self.tolerance:g}")
        if self.suppression is not None:
            self._check_suppression(self.suppression)

    def _check_suppression(self, suppression: Suppression) -> None:
        if self.precision == "int8":
            raise UsageError(
                "int8 has 256 steps, too few for boxes and scores: it is exported without post-processing",
                hint="leave --post-processing out and decode the outputs (docs/export.md), or --precision float16",
            )
        if suppression.max_detections > MOST_DETECTIONS:
            raise UsageError(
                f"--max-detections: expected at most {MOST_DETECTIONS:,}, got {suppression.max_detections:,}"
            )
        if suppression.soft_nms_sigma > 0:
            raise UsageError("an exported network cannot lower scores (soft_nms_sigma): it suppresses by nms_iou")

    @property
    def batch(self) -> int | None:
        """Images a call, None for any number: TFLite suppresses in one image at a time."""
        return 1 if self.form == "tflite" and self.suppression is not None else None

    def allowed(self, output: str) -> float:
        """How much an output may differ from the Keras model's.

        >>> ExportRequest("onnx").allowed("head_8"), ExportRequest("onnx", Suppression()).allowed("boxes_xyxy")
        (0.001, 0.05)
        """
        raw, boxes, scores = TOLERANCES[self.precision]
        default = {"boxes_xyxy": boxes, "scores": scores}.get(output, raw)
        return default if self.tolerance is None else self.tolerance

    @property
    def score_threshold(self) -> float:
        """Of suppression; 0 without."""
        return 0.0 if self.suppression is None else self.suppression.score_threshold
