"""The layout of Darknet weight files, and which network a file of a given size holds.

Such a file does not name its network, so its size is the only check before it is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple, Self

import keras

from yolopipe.config.params import ANCHORS_PER_SCALE
from yolopipe.model.darknet53 import BACKBONE
from yolopipe.model.yolov3 import convolutions

__all__ = ["FLOAT_BYTES", "ConvolutionSize", "FileFit", "Layout"]

FLOAT_BYTES = 4

IMAGENET_CLASSES = 1000
"""Outputs of the classifier that ``darknet53.weights`` holds after the backbone."""

TRUE_NETWORK, TRUE_CLASS, TRUE_BACKBONE = 61_570_957, 5_385, 40_620_640
"""Numbers in a file of YOLOv3 at width and depth 1: without any class, for each class, in the backbone (tested)."""


class ConvolutionSize(NamedTuple):
    """One convolution in a file; ``name`` is the Keras layer's."""

    name: str
    filters: int
    channels: int
    kernel: int
    has_norm: bool

    @property
    def floats(self) -> int:
        """Numbers that it takes in a file.

        >>> ConvolutionSize("backbone_00_conv", 32, 3, 3, True).floats  # 864 in the kernel, four each in the norm
        992
        """
        return self.filters * (self.channels * self.kernel**2 + (4 if self.has_norm else 1))


class FileFit(NamedTuple):
    """What a file of a given size holds.

    Args:
        convolutions: how many of the network's convolutions, from the first on.
        num_classes: classes of its heads; None when it has no heads.
    """

    convolutions: int
    num_classes: int | None


@dataclass(frozen=True)
class Layout:
    """The convolutions of a network in the order of its weight file.

    >>> from yolopipe.model.yolov3 import YOLOv3
    >>> layout = Layout.of(YOLOv3(3, width=0.125, depth=0.1))
    >>> layout.floats(3), layout.fit(layout.floats(80)), layout.fit(layout.backbone_floats)
    (546752, FileFit(convolutions=39, num_classes=80), FileFit(convolutions=16, num_classes=None))
    """

    sizes: tuple[ConvolutionSize, ...]

    @classmethod
    def of(cls, model: keras.Model) -> Self:
        """The layout of a network that ``YOLOv3`` built."""
        return cls(
            tuple(
                ConvolutionSize(conv.name, conv.filters, conv.kernel.shape[2], conv.kernel.shape[0], norm is not None)
                for conv, norm in convolutions(model)
            )
        )

    @property
    def num_classes(self) -> int:
        """Classes of the network."""
        return self.sizes[-1].filters // ANCHORS_PER_SCALE - 5

    @property
    def backbone(self) -> int:
        """Number of convolutions in the backbone, which come first."""
        return sum(size.name.startswith(BACKBONE) for size in self.sizes)

    @property
    def backbone_floats(self) -> int:
        """Numbers in a file of the backbone alone."""
        return self._ends[self.backbone - 1]

    @property
    def floats_per_class(self) -> int:
        """Numbers that each class adds to a file."""
        return ANCHORS_PER_SCALE * sum(size.channels + 1 for size in self.sizes if not size.has_norm)

    def floats(self, num_classes: int) -> int:
        """Numbers in a file of this network with ``num_classes`` classes."""
        return sum(size.floats for size in self.for_classes(num_classes))

    def for_classes(self, num_classes: int) -> tuple[ConvolutionSize, ...]:
        """The same network's convolutions with other heads."""
        filters = ANCHORS_PER_SCALE * (5 + num_classes)
        return tuple(size if size.has_norm else size._replace(filters=filters) for size in self.sizes)

    def fit(self, floats: int) -> FileFit | None:
        """What a file with ``floats`` numbers holds of this network; None if no file of it has that size.

        Its files are: the whole network with any number of classes (``yolov3.weights``); the convolutions up to any
        before the first head, but at least the backbone (``darknet53.conv.74``, ``yolov3.conv.81``, written by
        ``darknet partial``); and the backbone with a classifier of 1,000 classes (``darknet53.weights``).
        """
        classes, rest = divmod(floats - self.floats(0), self.floats_per_class)
        if classes >= 1 and rest == 0:
            return FileFit(len(self.sizes), classes)
        first_head = next(index for index, size in enumerate(self.sizes) if not size.has_norm)
        if floats in self._ends[self.backbone - 1 : first_head]:
            return FileFit(self._ends.index(floats) + 1, None)
        classifier = IMAGENET_CLASSES * (self.sizes[self.backbone - 1].filters + 1)
        return FileFit(self.backbone, None) if floats == self.backbone_floats + classifier else None

    def misfit(self, size: int) -> str:
        """The error text for a file whose size does not fit: expected, found, likely cause."""
        wanted = self.floats(self.num_classes)
        classes = _many(self.num_classes, "class", "classes")
        return (
            f"expected {wanted:,} numbers ({wanted * FLOAT_BYTES:,} bytes after the header) for {classes}, "
            f"{self.floats_per_class:,} more or fewer for each class, or {self.backbone_floats:,} for "
            f"the backbone alone; found {size // FLOAT_BYTES:,} ({size:,} bytes): {self._diagnosis(size)}"
        )

    def _diagnosis(self, size: int) -> str:
        floats, part = divmod(size, FLOAT_BYTES)
        true = "" if part else _true_network(floats)
        if true:
            return f"that is {true} with model.width: 1.0 and model.depth: 1.0; this network has other values"
        if floats < self.floats(1):
            index = next(index for index, end in enumerate(self._ends) if floats < end)
            place = f"convolution {index + 1} of {len(self.sizes)} ({self.sizes[index].name})"
            return f"it ends within {place}: truncated, or of another network"
        classes, rest = divmod(floats - self.floats(0), self.floats_per_class)
        more, fewer = _many(rest, "number"), _many(self.floats_per_class - rest, "number")
        more += f" and {_many(part, 'byte')}" if part else ""
        there = _many(classes, "class", "classes")
        return (
            f"{more} more than {there} would take, {fewer} fewer than {classes + 1:,}: truncated, damaged, or of "
            "another network"
        )

    @cached_property
    def _ends(self) -> list[int]:
        """Numbers up to the end of each convolution."""
        return list(accumulate(size.floats for size in self.sizes))


def _many(count: int, one: str, more: str = "") -> str:
    return f"{count:,} {one if count == 1 else more or one + 's'}"


def _true_network(floats: int) -> str:
    """Name of the full-size network whose file has so many numbers, or an empty string."""
    classes, rest = divmod(floats - TRUE_NETWORK, TRUE_CLASS)
    if classes >= 1 and rest == 0:
        return f"YOLOv3 with {_many(classes, 'class', 'classes')}"
    return "Darknet-53" if floats == TRUE_BACKBONE else ""
