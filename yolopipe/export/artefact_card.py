"""The card inside an exported network: its input, its outputs, its origin and its scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from yolopipe import __version__, paths
from yolopipe.detection.suppression import Suppression
from yolopipe.export.provenance import git_state, metrics_of
from yolopipe.export.request import ExportRequest
from yolopipe.files import sha256_file
from yolopipe.model.card import ModelCard

__all__ = ["ARTEFACT_CARD_VERSION", "CARD_FILE", "INPUT", "LETTERBOX", "artefact_card"]

ARTEFACT_CARD_VERSION = 1

INPUT = "images"
"""The name of the only input of an exported network."""

CARD_FILE = Path("assets.extra/model_card.json")
"""The card in a SavedModel; TensorFlow and TF Serving ignore ``assets.extra``."""

LETTERBOX = (
    "scale = min(S / width, S / height); resize with bilinear interpolation, by area averaging first where it "
    "shrinks by more than 2; put it at left = floor((S - scale * width) / 2), top = floor((S - scale * height) / 2) "
    "and fill the rest with the fill value; a box goes back by x = (x - left) / scale, y = (y - top) / scale"
)


def artefact_card(card: ModelCard, weights: Path, request: ExportRequest) -> dict[str, Any]:
    """Describe a network that is about to be exported, in plain JSON types.

    Args:
        card: of the network.
        weights: the file it was loaded from.
        request: the options of the export.
    """
    size, first, suppression = card.input_size, request.batch or "batch", request.suppression
    return {
        "schema_version": ARTEFACT_CARD_VERSION,
        "yolopipe": __version__,
        "format": request.form,
        "precision": request.precision,
        "class_names": list(card.class_names),
        "anchors_px": [list(anchor) for anchor in card.anchors_px],
        "strides": list(card.strides),
        "input_size": size,
        "letterbox": {"rule": LETTERBOX, "fill": card.letterbox_fill},
        "input": {
            "name": INPUT,
            "dtype": "uint8",
            "shape": [first, size, size, 3],
            "values": "RGB, 0 to 255, letterboxed; the network scales them itself",
        },
        "outputs": _raw(card, first) if suppression is None else _found(suppression.max_detections, first),
        "post_processing": None if suppression is None else _post_processing(suppression),
        "weights_sha256": sha256_file(weights),
        "data_sha256": sha256_file(paths.SHARDS / "manifest.json"),
        "git": git_state(),
        "metrics": metrics_of(weights),
    }


def _raw(card: ModelCard, first: int | str) -> dict[str, Any]:
    channels = 3 * (5 + len(card.class_names))
    return {
        f"head_{stride}": {
            "dtype": "float32",
            "shape": [first, card.input_size // stride, card.input_size // stride, channels],
            "values": "three anchors times raw tx, ty, tw, th, objectness, classes",
        }
        for stride in card.strides
    }


def _post_processing(suppression: Suppression) -> dict[str, Any]:
    return {
        "score_threshold": suppression.score_threshold,
        "nms_iou": suppression.nms_iou,
        "max_detections": suppression.max_detections,
        "nms": "per class, boxes in input pixels",
    }


def _found(most: int, first: int | str) -> dict[str, Any]:
    return {
        "boxes_xyxy": {"dtype": "float32", "shape": [first, most, 4], "values": "corners in input pixels"},
        "scores": {"dtype": "float32", "shape": [first, most], "values": "objectness times class, falling"},
        "classes": {"dtype": "int32", "shape": [first, most], "values": "index into class_names"},
        "count": {"dtype": "int32", "shape": [first], "values": "how many places are filled; the others are 0"},
    }
