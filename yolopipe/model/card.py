"""The model card: class names, anchors and sizes, needed to use the weights.

The network is rebuilt from it.  It is stored inside the weights file (:mod:`yolopipe.model.model_file`), and as
a JSON file beside it for people to read.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from yolopipe.config.params import STRIDES
from yolopipe.errors import DataError
from yolopipe.files import atomic_file, canonical_json
from yolopipe.imaging.geometry import FILL

__all__ = ["CARD_KEY", "CARD_VERSION", "ModelCard", "card_from_text", "card_text", "read_card", "write_card"]

CARD_KEY = "yolopipe_model_card"
"""The name of the card in every file that holds one: weights, ONNX, TFLite."""

CARD_VERSION = 1
"""``schema_version`` of the text; any other is refused."""

OPTIONAL = {"started_from": None, "letterbox_fill": FILL}
"""Keys that cards of earlier versions lack, and the values they stand for."""


@dataclass(frozen=True)
class ModelCard:
    """Everything needed to rebuild the network and to read its outputs.

    Args:
        class_names: C names in the order of the outputs.
        anchors_px: nine (width, height) in pixels of the network input, three a scale, small stride first.
        input_size: side of the images it was trained on, in pixels.
        width: factor on the channels.
        depth: factor on the residual blocks.
        strides: pixels per cell, small stride first.
        letterbox_fill: grey value of the letterbox around an image that is not square.
        started_from: ``path`` and ``sha256`` of the weights that training began with; None for random ones.

    >>> card = ModelCard(("cat",), ((8.0, 8.0),) * 9, input_size=160, width=0.125, depth=0.33)
    >>> card.anchors.shape, float(card.anchors[2, 0, 0])
    ((3, 3, 2), 0.25)
    """

    class_names: tuple[str, ...]
    anchors_px: tuple[tuple[float, float], ...]
    input_size: int
    width: float
    depth: float
    strides: tuple[int, ...] = STRIDES
    letterbox_fill: int = FILL
    started_from: dict[str, str] | None = None

    @property
    def anchors(self) -> npt.NDArray[np.float64]:
        """(3, 3, 2) width and height in units of the stride."""
        strides = np.array(self.strides, np.float64).reshape(3, 1, 1)
        return np.divide(np.array(self.anchors_px, np.float64).reshape(3, 3, 2), strides)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The card in parsed JSON; raises ``KeyError``, ``TypeError`` or ``ValueError`` for anything else."""
        value = {**OPTIONAL, **value}
        given = {field.name: value[field.name] for field in fields(cls)}
        given["class_names"] = tuple(str(name) for name in given["class_names"])
        given["anchors_px"] = tuple((float(w), float(h)) for w, h in given["anchors_px"])
        given["strides"] = tuple(int(stride) for stride in given["strides"])
        card = cls(**given)
        if not card.class_names or len(card.anchors_px) != 9 or card.strides != STRIDES:
            raise ValueError(f"expected nine anchors, strides {STRIDES} and at least one class")
        if card.letterbox_fill != FILL:
            raise ValueError(f"letterbox_fill: expected {FILL}, got {card.letterbox_fill}")
        return card


def card_text(card: ModelCard) -> str:
    """The card as JSON; equal cards give equal text.

    >>> card = ModelCard(("cat",), ((8.0, 8.0),) * 9, input_size=160, width=0.125, depth=0.33)
    >>> card_from_text(card_text(card), "here") == card
    True
    """
    values = {name: value for name, value in asdict(card).items() if value is not None}
    return canonical_json({"schema_version": CARD_VERSION, **values})


def card_from_text(text: str | bytes, where: str) -> ModelCard:
    """The card that a text holds.

    Args:
        text: of :func:`card_text`.
        where: the place of the text, for errors.

    Raises:
        DataError: it is not a card, or one of another schema version.
    """
    try:
        value = json.loads(text)
    except ValueError as error:
        raise DataError(f"{where}: expected a model card (JSON), but it cannot be read: {error}") from None
    version = value.get("schema_version") if isinstance(value, dict) else None
    if version != CARD_VERSION:
        raise DataError(
            f"{where}: expected a model card of schema version {CARD_VERSION}, got {version}",
            hint="use the version of yolopipe that wrote it, or train again with this one: yolopipe train",
        )
    try:
        return ModelCard.from_json(value)
    except KeyError as error:
        raise DataError(f"{where}: the model card lacks {error}") from None
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: the model card cannot be used: {error}") from None


def write_card(path: str | Path, card: ModelCard) -> None:
    """Write ``card`` as JSON, atomically; equal cards give equal bytes."""
    with atomic_file(path) as partial:
        partial.write_text(card_text(card), encoding="utf-8")


def read_card(path: str | Path) -> ModelCard:
    """Read a model card.

    Args:
        path: a file that :func:`write_card` wrote.

    Raises:
        DataError: it is missing, not a card, or of another schema version.
    """
    try:
        text = Path(path).read_bytes()
    except FileNotFoundError:
        raise DataError(f"no model card at {path}", hint="train first: yolopipe train") from None
    except OSError as error:
        raise DataError(f"{path}: expected a model card (JSON), but it cannot be read: {error.strerror}") from None
    return card_from_text(text, str(path))
