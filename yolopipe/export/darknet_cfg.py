"""The network as Darknet's cfg text, which every program that reads Darknet's weights needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from yolopipe.config.params import ANCHORS_PER_SCALE, STRIDES
from yolopipe.model.card import ModelCard
from yolopipe.model.yolov3 import HEAD, convolutions

__all__ = ["darknet_cfg"]

TRAINING = {"momentum": 0.9, "decay": 0.0005, "learning_rate": 0.001}
"""Darknet's own settings; no program reads them unless it trains."""


def darknet_cfg(model: keras.Model, card: ModelCard) -> str:
    """The cfg of ``model``, read off its layers.

    Args:
        model: what ``YOLOv3`` built.
        card: its input size, anchors and classes.

    Returns:
        The text; at width 1, depth 1 and 80 classes the layers are those of ``yolov3.cfg``.

    >>> from yolopipe.model.yolov3 import YOLOv3
    >>> card = ModelCard(("cat",), ((8.0, 8.0),) * 9, input_size=160, width=0.125, depth=0.1)
    >>> text = darknet_cfg(YOLOv3(1, width=0.125, depth=0.1), card)
    >>> text.count("[convolutional]"), text.count("[yolo]"), text.splitlines()[-9:-7]
    (39, 3, ['[yolo]', 'mask=0,1,2'])
    """
    sections = _Sections(model, card)
    for conv, norm in convolutions(model):
        sections.convolution(conv, norm)
    return sections.text()


class _Sections:
    """The sections written so far, and which of them makes the output of which Keras layer."""

    def __init__(self, model: keras.Model, card: ModelCard) -> None:
        self.layers = {layer.name: layer for layer in model.layers}
        self.card = card
        size = {"width": card.input_size, "height": card.input_size, "channels": 3}
        self._sections = [_section("net", {"batch": 1, "subdivisions": 1, **size, **TRAINING})]
        self._number_of: dict[str, int] = {}

    def convolution(self, conv: Any, norm: Any | None) -> None:
        """A convolution, the route to its input before it, and what is done to its output after it."""
        self._route_to(self._source(conv))
        own = self.layers[conv.name.removesuffix("_conv") + "_leaky"] if norm is not None else conv
        keys = {"filters": conv.filters, "size": conv.kernel_size[0], "stride": conv.strides[0], "pad": 1}
        activation = "linear" if norm is None else "leaky"
        first = {} if norm is None else {"batch_normalize": 1}
        self._add("convolutional", {**first, **keys, "activation": activation}, own.name)
        if norm is None:
            self._add("yolo", self._yolo(int(conv.name.removeprefix(f"{HEAD}_"))), f"{conv.name}_yolo")
            return
        stem = conv.name.removesuffix("_conv")
        if f"{stem}_add" in self.layers:
            other = self._other_input(f"{stem}_add", own.name)
            self._add("shortcut", {"from": other - self._count, "activation": "linear"}, f"{stem}_add")
        if f"{stem}_up" in self.layers:
            self._add("upsample", {"stride": 2}, f"{stem}_up")
            other = self._other_input(f"{stem}_join", f"{stem}_up")
            self._add("route", {"layers": f"-1, {other}"}, f"{stem}_join")

    def text(self) -> str:
        """All sections, a blank line between two."""
        return "\n".join(self._sections)

    @property
    def _count(self) -> int:
        """Darknet's number of the section that comes next; [net] has none."""
        return len(self._sections) - 1

    def _add(self, kind: str, keys: Mapping[str, object], layer: str) -> None:
        self._number_of[layer] = self._count
        self._sections.append(_section(kind, keys))

    def _route_to(self, source: str) -> None:
        """Nothing, when the last section is the source already, or the source is the picture."""
        number = self._number_of.get(source, -1)
        if number != self._count - 1:
            self._add("route", {"layers": number - self._count}, f"route_{self._count}")

    def _source(self, conv: Any) -> str:
        """The layer whose output a convolution takes; padding is a key of the section, not a section."""
        source = _maker(conv.input)
        return _maker(self.layers[source].input) if source.endswith("_pad") else source

    def _other_input(self, layer: str, own: str) -> int:
        """Darknet's number of the input of an addition or a join that is not the section just written."""
        (other,) = {_maker(tensor) for tensor in self.layers[layer].input} - {own}
        return self._number_of[other]

    def _yolo(self, stride: int) -> dict[str, object]:
        first = STRIDES.index(stride) * ANCHORS_PER_SCALE
        return {
            "mask": ",".join(str(first + anchor) for anchor in range(ANCHORS_PER_SCALE)),
            "anchors": ", ".join(f"{width:.9g},{height:.9g}" for width, height in self.card.anchors_px),
            "classes": len(self.card.class_names),
            "num": len(self.card.anchors_px),
            "jitter": 0.3,
            "ignore_thresh": 0.7,
            "truth_thresh": 1,
            "random": 0,
        }


def _maker(tensor: Any) -> str:
    """The name of the layer that a Keras tensor comes out of."""
    return str(tensor._keras_history.operation.name)


def _section(kind: str, keys: Mapping[str, object]) -> str:
    return "".join([f"[{kind}]\n", *(f"{key}={value}\n" for key, value in keys.items())])
