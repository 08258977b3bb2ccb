"""TensorFlow's SavedModel: a folder with the graph, its weights, and the card under ``assets.extra``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from yolopipe.export.card_files import CARD_FILE, INPUT
from yolopipe.export.difference import Answer
from yolopipe.export.serving_graph import Served

__all__ = ["opened", "written"]

SIGNATURE = "serving_default"


def written(folder: Path, served: Served, card: str) -> None:
    """Write into a folder, which may exist and be empty."""
    tf.saved_model.save(served, str(folder), signatures={SIGNATURE: served.serve})
    (folder / CARD_FILE).parent.mkdir(exist_ok=True)
    (folder / CARD_FILE).write_text(card, encoding="utf-8")


def opened(folder: Path) -> Callable[[Any], Answer]:
    """Load a SavedModel as anybody would, and answer through its serving signature."""
    loaded = tf.saved_model.load(str(folder))
    signature = loaded.signatures[SIGNATURE]

    def answer(images: Any, keep_alive: Any = loaded) -> Answer:
        return {name: value.numpy() for name, value in signature(**{INPUT: tf.constant(images)}).items()}

    return answer
