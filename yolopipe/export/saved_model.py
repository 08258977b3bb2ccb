"""TensorFlow's SavedModel: a folder with the graph, its weights, and the card under ``assets.extra``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from yolopipe.export.artefact_card import CARD_FILE, INPUT
from yolopipe.export.difference import Answer, Images

if TYPE_CHECKING:
    from yolopipe.export.serving_graph import ServingModel

__all__ = ["card_text", "load", "write"]

SIGNATURE = "serving_default"


def write(path: Path, serving: ServingModel, card: str, *, precision: str, examples: Iterable[Images]) -> None:
    """Write into a folder, which may exist and be empty."""
    import tensorflow as tf  # reading a card does not need it

    tf.saved_model.save(serving, str(path), signatures={SIGNATURE: serving.serve})
    (path / CARD_FILE).parent.mkdir(exist_ok=True)
    (path / CARD_FILE).write_text(card, encoding="utf-8")


def load(path: Path) -> Callable[[Images], Answer]:
    """Load a SavedModel and call its serving signature."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    signature = loaded.signatures[SIGNATURE]

    def answer(images: Images, keep_alive: object = loaded) -> Answer:
        return {name: value.numpy() for name, value in signature(**{INPUT: tf.constant(images)}).items()}

    return answer


def card_text(path: Path) -> str | None:
    """The text of the card inside; None where there is none."""
    file = path / CARD_FILE
    return file.read_text(encoding="utf-8") if file.is_file() else None
