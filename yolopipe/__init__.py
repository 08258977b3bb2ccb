"""yolopipe: data pipeline and label toolkit for training YOLOv3 detectors.

Only the names of this module (``__all__``) are public.  All other modules and their names may move or change without
notice.  Importing yolopipe does not import TensorFlow: each public name is loaded when it is first used.

>>> from yolopipe import bbox_iou
>>> bbox_iou([[0.5, 0.5, 1, 1]], [[0.5, 0.5, 1, 1]]).tolist()
[1.0]
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from yolopipe.detection.detector import Detector
    from yolopipe.detection.nms import detect
    from yolopipe.detection.suppression import Suppression
    from yolopipe.formats.annotation_text import parse_annotation
    from yolopipe.labels.assign import assign
    from yolopipe.labels.boxes import bbox_iou
    from yolopipe.labels.sparse import decode_sparse, encode_dense, encode_sparse, preprocess_true_boxes
    from yolopipe.model.decode import decode
    from yolopipe.model.loss import bbox_giou, compute_loss
    from yolopipe.model.yolov3 import YOLOv3
    from yolopipe.training.step import train_step

__version__ = "0.1.0"

_HOME = {
    "Detector": "yolopipe.detection.detector",
    "Suppression": "yolopipe.detection.suppression",
    "YOLOv3": "yolopipe.model.yolov3",
    "assign": "yolopipe.labels.assign",
    "bbox_giou": "yolopipe.model.loss",
    "bbox_iou": "yolopipe.labels.boxes",
    "compute_loss": "yolopipe.model.loss",
    "decode": "yolopipe.model.decode",
    "decode_sparse": "yolopipe.labels.sparse",
    "detect": "yolopipe.detection.nms",
    "encode_dense": "yolopipe.labels.sparse",
    "encode_sparse": "yolopipe.labels.sparse",
    "parse_annotation": "yolopipe.formats.annotation_text",
    "preprocess_true_boxes": "yolopipe.labels.sparse",
    "train_step": "yolopipe.training.step",
}

__all__ = [
    "Detector",
    "Suppression",
    "YOLOv3",
    "assign",
    "bbox_giou",
    "bbox_iou",
    "compute_loss",
    "decode",
    "decode_sparse",
    "detect",
    "encode_dense",
    "encode_sparse",
    "parse_annotation",
    "preprocess_true_boxes",
    "train_step",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
