"""Start from the weights of another network: what fits is loaded, the rest is reported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import keras

from yolopipe.errors import DataError
from yolopipe.model.card import ModelCard
from yolopipe.model.darknet_weights import load_darknet
from yolopipe.model.model_file import HDF5_SIGNATURE, load_model
from yolopipe.model.yolov3 import HEAD, convolutions

__all__ = ["PARTS", "WarmStart", "part_of", "warm_start"]

PARTS = ("backbone", "neck", "head")
"""Prefixes of the layer names of each part, from the image to the outputs."""


def part_of(layer_name: str) -> str:
    """The part of the network that a layer belongs to.

    >>> part_of("backbone_51_norm"), part_of("head_8")
    ('backbone', 'head')
    """
    return layer_name.partition("_")[0]


@dataclass(frozen=True)
class WarmStart:
    """What was loaded from a file of weights.

    Args:
        loaded: convolutions loaded, by part; each with its batch normalisation.
        left: convolutions that keep their random weights, by part.
        remark: the reason, or another fact about the file; may be empty.

    >>> print(WarmStart({"backbone": 52, "neck": 20}, {"head": 3}, "80 classes there, 3 here"))
    backbone 52 and neck 20 convolutions loaded; head 3 left as they were: 80 classes there, 3 here
    """

    loaded: dict[str, int]
    left: dict[str, int]
    remark: str = ""

    def __str__(self) -> str:
        text = f"{_counts(self.loaded)} convolutions loaded"
        text += f"; {_counts(self.left)} left as they were" if self.left else ""
        return text + (f": {self.remark}" if self.remark else "")


def warm_start(model: keras.Model, card: ModelCard, path: str | Path) -> WarmStart:
    """Load a file of weights into ``model``, as far as it fits.

    Args:
        model: what ``YOLOv3`` built for ``card``; its weights are replaced.
        card: of ``model``.
        path: a Darknet file or a ``.weights.h5`` of yolopipe, recognised by content.

    Returns:
        What was loaded and what was not.

    Raises:
        DataError: the file is missing, damaged, or of a network of another width or depth.
    """
    try:
        with Path(path).open("rb") as file:
            is_ours = file.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE
    except OSError as error:
        raise DataError(f"no weights to start from at {path}: {error.strerror}") from None
    return _from_ours(model, card, Path(path)) if is_ours else _from_darknet(model, card, path)


def _from_darknet(model: keras.Model, card: ModelCard, path: str | Path) -> WarmStart:
    fit = load_darknet(path, model)
    names = [conv.name for conv, _ in convolutions(model)]
    here = len(card.class_names)
    if fit.num_classes is None:
        return _start(names[: fit.convolutions], names, "not in the file")
    if fit.num_classes != here:
        return _start(_without_heads(names), names, f"{fit.num_classes} classes there, {here} here")
    return _start(names, names, "")


def _from_ours(model: keras.Model, card: ModelCard, path: Path) -> WarmStart:
    other, other_card = load_model(path)
    _check_same_body(path, card, other_card)
    names = [conv.name for conv, _ in convolutions(model)]
    here, there = card.class_names, other_card.class_names
    fitting = names if len(here) == len(there) else _without_heads(names)
    pairs = zip(convolutions(model), convolutions(other), strict=True)
    for (conv, norm), (other_conv, other_norm) in pairs:
        if conv.name in fitting:
            conv.set_weights(other_conv.get_weights())
            if norm is not None and other_norm is not None:
                norm.set_weights(other_norm.get_weights())
    return _start(fitting, names, _remark(card, other_card))


def _check_same_body(path: Path, card: ModelCard, other: ModelCard) -> None:
    if (card.width, card.depth) != (other.width, other.depth):
        raise DataError(
            f"{path}: of a network of width {other.width:g} and depth {other.depth:g}, expected width {card.width:g} "
            f"and depth {card.depth:g}: no part of it fits",
            hint=f"set model.width: {other.width:g} and model.depth: {other.depth:g} in params.yaml",
        )


def _remark(card: ModelCard, other: ModelCard) -> str:
    here, there = card.class_names, other.class_names
    if len(here) != len(there):
        return f"{len(there)} classes there, {len(here)} here"
    if here == there:
        return ""
    changed = [f"{old} is now {new}" for old, new in zip(there, here, strict=True) if old != new]
    more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
    return f"as many classes, but {', '.join(changed[:3])}{more}"


def _without_heads(names: Iterable[str]) -> list[str]:
    return [name for name in names if part_of(name) != HEAD]


def _start(loaded: Iterable[str], names: list[str], remark: str) -> WarmStart:
    there = Counter(part_of(name) for name in loaded)
    every = Counter(part_of(name) for name in names)
    rest = {part: every[part] - there[part] for part in PARTS if every[part] > there[part]}
    return WarmStart({part: there[part] for part in PARTS if there[part]}, rest, remark)


def _counts(parts: dict[str, int]) -> str:
    return " and ".join(f"{part} {count}" for part, count in parts.items())
