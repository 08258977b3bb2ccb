"""Names that every format has in common, and where the card lies."""

from __future__ import annotations

from pathlib import Path

__all__ = ["CARD_FILE", "CARD_KEY", "INPUT"]

INPUT = "images"
"""The name of the only input."""

CARD_FILE = Path("assets.extra/model_card.json")
"""In a SavedModel; TensorFlow and TF Serving leave ``assets.extra`` alone."""

CARD_KEY = "yolopipe_model_card"
"""In the metadata of ONNX and TFLite."""
