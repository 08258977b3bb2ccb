"""Model files: ``.weights.h5`` as Keras writes it, with the model card as one more dataset inside.

The file holds everything that predicting needs.  Keras looks up the datasets of its layers by name and ignores the
card.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from yolopipe.errors import DataError
from yolopipe.files import atomic_file
from yolopipe.model.card import CARD_KEY, ModelCard, card_from_text, card_text, read_card

if TYPE_CHECKING:
    import keras

__all__ = ["CARD_NAME", "HDF5_SIGNATURE", "card_of_model", "load_model", "save_model"]

CARD_NAME = "model.json"
"""The card as text beside the weights; read only for weights of earlier versions, which hold no card."""

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"

DAMAGED = (OSError, RuntimeError, AttributeError, KeyError, ValueError, TypeError)
"""Exceptions of h5py for damaged files."""

AGAIN = "copy or pull it again, or train again: yolopipe train"


def save_model(path: str | Path, model: keras.Model, card: ModelCard) -> None:
    """Write weights and card as one file, atomically; equal weights and cards give equal bytes.

    Args:
        path: ends with ``.weights.h5``.
        model: what ``YOLOv3`` built for ``card``.
        card: of the network.
    """
    with atomic_file(path) as partial:
        model.save_weights(str(partial))
        with h5py.File(partial, "r+") as file:
            text = np.frombuffer(card_text(card).encode(), np.uint8)  # attributes end at 64 kB, datasets do not
            file.create_dataset(CARD_KEY, data=text, track_times=False)


def card_of_model(path: str | Path) -> ModelCard:
    """The card of a model file, without Keras and without reading a weight.

    Args:
        path: a ``.weights.h5`` file; of one without a card, the :data:`CARD_NAME` beside it is read.

    Raises:
        DataError: the file is missing, truncated or not a model, or its card is missing, damaged or of another
            version.
    """
    path = Path(path)
    _check_kind(path)
    try:
        with h5py.File(path, "r") as file:
            text = file[CARD_KEY][()].tobytes() if CARD_KEY in file else None
    except DAMAGED as error:
        raise _unreadable(path, error) from None
    return read_card(_card_beside(path)) if text is None else card_from_text(text, f"{path} (the card inside)")


def load_model(path: str | Path) -> tuple[keras.Model, ModelCard]:
    """Rebuild a trained network from its one file.

    Args:
        path: a ``.weights.h5`` file of :func:`save_model`, or of an earlier version with :data:`CARD_NAME` beside it.

    Returns:
        The network with its weights, and its card.

    Raises:
        DataError: as :func:`card_of_model`, or the weights do not fit the card.
    """
    path = Path(path)
    card = card_of_model(path)
    from yolopipe.model.yolov3 import YOLOv3

    model = YOLOv3(len(card.class_names), width=card.width, depth=card.depth)
    try:
        _load_all_weights(model, path)
    except (*DAMAGED, UserWarning) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(
            f"{path}: the weights do not fit the network that its model card describes "
            f"(classes: {len(card.class_names)}, width: {card.width:g}, depth: {card.depth:g}): {reason}",
            hint=f"weights and card must come from one training run; {AGAIN}",
        ) from None
    return model, card


def _check_kind(path: Path) -> None:
    """Raise unless the file is there and is HDF5."""
    try:
        with path.open("rb") as file:
            head = file.read(len(HDF5_SIGNATURE))
    except FileNotFoundError:
        raise DataError(
            f"no model at {path}", hint="train first: yolopipe train; or name a .weights.h5 file"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: expected a model file, but it cannot be opened: {error.strerror}") from None
    if head != HDF5_SIGNATURE:
        seen = f"starts with {head!r}" if head else "is empty"
        raise DataError(
            f"{path}: expected a model of yolopipe, a .weights.h5 file (HDF5), but it {seen}",
            hint="use models/best.weights.h5, which train makes; training can start from a Darknet file "
            "(train.weights in params.yaml)",
        )


def _unreadable(path: Path, error: Exception) -> DataError:
    """The error for a file that HDF5 cannot read."""
    sizes = re.search(r"truncated file: eof = (\d+).*stored_eof = (\d+)", str(error))
    if sizes:
        here, promised = (int(size) for size in sizes.groups())
        return DataError(
            f"{path} is truncated: its header says {promised:,} bytes, the file has {here:,}", hint=AGAIN
        )
    reason = (str(error).strip("'") or type(error).__name__).splitlines()[0]  # KeyError quotes its text
    return DataError(f"{path} is damaged: {reason}", hint=AGAIN)


def _card_beside(path: Path) -> Path:
    card = path.with_name(CARD_NAME)
    if not card.is_file():
        raise DataError(
            f"{path} holds no model card, and there is none beside it: expected {card}, which describes the network",
            hint=f"copy the {CARD_NAME} of the same training run there too",
        )
    return card


def _load_all_weights(model: keras.Model, path: Path) -> None:
    """Load weights that fit exactly: where a file lacks some or has others, Keras only warns."""
    needed, found = model.count_params(), _count_weights(path)
    if needed != found:
        raise ValueError(f"the network has {needed:,} weights, the file {found:,}")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model.load_weights(str(path))


def _count_weights(path: Path) -> int:
    sizes: list[int] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and name != CARD_KEY:
            sizes.append(item.size)

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return sum(sizes)
