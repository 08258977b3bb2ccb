"""The model card: what a weights file does not say, and without which it cannot be used.

A small JSON file beside the weights; network, class names and anchors are rebuilt from it, wherever it is copied.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

import h5py
import keras
import numpy as np
import numpy.typing as npt

from yolopipe.config import STRIDES
from yolopipe.errors import DataError
from yolopipe.files import write_json
from yolopipe.model.yolov3 import YOLOv3

__all__ = ["CARD_VERSION", "ModelCard", "load_model", "read_card", "write_card"]

CARD_VERSION = 1
"""``schema_version`` of the file; readers refuse any other."""


@dataclass(frozen=True)
class ModelCard:
    """All that is needed to rebuild the network and to read its outputs.

    Args:
        class_names: C names in the order of the outputs.
        anchors_px: nine (width, height) in pixels of the network input, three a scale, small stride first.
        input_size: side of the images it was trained on, in pixels.
        width: factor on the channels.
        depth: factor on the residual blocks.
        strides: pixels per cell, small stride first.
        started_from: the file whose weights training began with, its ``path`` and ``sha256``; None for random ones.

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
    started_from: dict[str, str] | None = None

    @property
    def anchors(self) -> npt.NDArray[np.float64]:
        """(3, 3, 2) width and height in units of the stride."""
        strides = np.array(self.strides, np.float64).reshape(3, 1, 1)
        return np.divide(np.array(self.anchors_px, np.float64).reshape(3, 3, 2), strides)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The card in parsed JSON; raises ``KeyError``, ``TypeError`` or ``ValueError`` where it is none."""
        given = {field.name: value[field.name] for field in fields(cls) if field.name != "started_from"}
        given["started_from"] = value.get("started_from")
        given["class_names"] = tuple(str(name) for name in given["class_names"])
        given["anchors_px"] = tuple((float(w), float(h)) for w, h in given["anchors_px"])
        given["strides"] = tuple(int(stride) for stride in given["strides"])
        card = cls(**given)
        if not card.class_names or card.anchors.shape != (3, 3, 2) or card.strides != STRIDES:
            raise ValueError(f"nine anchors, strides {STRIDES} and at least one class are needed")
        return card


def write_card(path: str | Path, card: ModelCard) -> None:
    """Write ``card`` as JSON, atomically; equal cards give equal bytes."""
    values = {name: value for name, value in asdict(card).items() if value is not None}
    write_json(path, {"schema_version": CARD_VERSION, **values})


def read_card(path: str | Path) -> ModelCard:
    """Read a model card.

    Args:
        path: a file that :func:`write_card` wrote.

    Raises:
        DataError: when it is missing, is no card, or is of another schema version.
    """
    try:
        value = json.loads(Path(path).read_bytes())
    except FileNotFoundError:
        raise DataError(f"no model card at {path}", hint="train first: yolopipe train") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: expected a model card (JSON), but it cannot be read: {error}") from None
    version = value.get("schema_version") if isinstance(value, dict) else None
    if version != CARD_VERSION:
        raise DataError(
            f"{path}: expected a model card of schema version {CARD_VERSION}, got {version}",
            hint="train again with this version of yolopipe: yolopipe train",
        )
    try:
        return ModelCard.from_json(value)
    except KeyError as error:
        raise DataError(f"{path}: the model card lacks {error}") from None
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: the model card cannot be used: {error}") from None


def load_model(card_path: str | Path, weights_path: str | Path) -> tuple[keras.Model, ModelCard]:
    """Rebuild a trained network.

    Args:
        card_path: the model card.
        weights_path: a ``.weights.h5`` file of the same training.

    Returns:
        The network with its weights, and its card.

    Raises:
        DataError: when a file is missing, of another schema, or the weights do not fit the card.
    """
    card = read_card(card_path)
    if not Path(weights_path).is_file():
        raise DataError(f"no weights at {weights_path}", hint="train first: yolopipe train")
    model = YOLOv3(len(card.class_names), width=card.width, depth=card.depth)
    try:
        _load_all_weights(model, weights_path)
    except (OSError, ValueError, KeyError, UserWarning) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(
            f"{weights_path}: the weights do not fit the network that {card_path} describes "
            f"({len(card.class_names)} classes, width {card.width:g}, depth {card.depth:g}): {reason}",
            hint="both files must come from one training; train again: yolopipe train",
        ) from None
    return model, card


def _load_all_weights(model: keras.Model, path: str | Path) -> None:
    """Load weights that fit exactly: Keras alone warns, and goes on, where a file lacks some or has others."""
    needed, found = model.count_params(), _count_weights(path)
    if needed != found:
        raise ValueError(f"the network has {needed:,} weights, the file {found:,}")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model.load_weights(str(path))


def _count_weights(path: str | Path) -> int:
    sizes: list[int] = []

    def visit(_: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            sizes.append(item.size)

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return sum(sizes)
