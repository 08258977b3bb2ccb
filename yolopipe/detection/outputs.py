"""The outputs of a network for one image, decoded only where they can count (docs/formulas.md, "Decoding").

A network of 80 classes gives 905,000 numbers for an image of 416 pixels; the sigmoid of all of them costs more than
what follows.  Few can matter: those of boxes whose objectness passes, and of them the classes whose probability does.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt

from yolopipe.model.limits import EXP_LIMIT

__all__ = ["LARGEST_PX", "Candidates", "Decoded", "ImageOutputs", "Raw", "RawScale", "raw_images", "sigmoid"]

LARGEST_PX = 1e6
"""Boxes are held within this: a decoded size may be infinite, and inf - inf would be NaN."""

SLACK = np.float32(1 - 1e-5)
"""A class is ruled out by its raw output a little below the limit: the rounding of a sigmoid is smaller than this."""

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


class Candidates(NamedTuple):
    """Boxes with a class each, in the order of boxes, then of classes.

    Args:
        boxes: (K,) numbers of boxes in their image.
        scores: (K,) objectness times class probability.
        classes: (K,).
    """

    boxes: IntArray
    scores: FloatArray
    classes: IntArray


class ImageOutputs(Protocol):
    """N boxes of one image."""

    @property
    def objectness(self) -> FloatArray:
        """(N,) 0 to 1."""

    @property
    def num_classes(self) -> int:
        """C."""

    def scores(self, boxes: IntArray) -> FloatArray:
        """(K, C) objectness times class probability of boxes of rising numbers (K,)."""

    def above(self, lowest: np.float32) -> Candidates:
        """All boxes and classes with a score above ``lowest``."""

    def boxes_xyxy(self, boxes: IntArray) -> FloatArray:
        """(K, 4) corners in pixels of the boxes of numbers (K,)."""


class Decoded:
    """Outputs that are decoded already.

    Args:
        rows: (N, 5 + C) centre x, y, width, height in pixels, objectness, C class probabilities.

    >>> one = Decoded(np.array([[50, 50, 20, 20, 0.5, 1.0, 0.5]], np.float32))
    >>> one.above(np.float32(0.1)).scores.tolist(), one.boxes_xyxy(np.array([0])).tolist()
    ([0.5, 0.25], [[40.0, 40.0, 60.0, 60.0]])
    """

    def __init__(self, rows: FloatArray) -> None:
        self.rows = rows
        self.objectness = np.ascontiguousarray(rows[:, 4])
        self.num_classes = rows.shape[1] - 5

    def scores(self, boxes: IntArray) -> FloatArray:
        """See :class:`ImageOutputs`."""
        rows = self.rows.take(boxes, axis=0)  # faster than a mask
        return rows[:, 4:5] * rows[:, 5:]

    def above(self, lowest: np.float32) -> Candidates:
        """See :class:`ImageOutputs`."""
        boxes = np.flatnonzero(self.objectness > lowest)
        scores = self.scores(boxes)
        place = np.flatnonzero(scores > lowest)  # faster than a two-dimensional nonzero
        row, classes = np.divmod(place, self.num_classes)
        return Candidates(boxes[row], scores.reshape(-1)[place], classes)

    def boxes_xyxy(self, boxes: IntArray) -> FloatArray:
        """See :class:`ImageOutputs`."""
        rows = self.rows[boxes]
        return _corners(rows[:, :2], rows[:, 2:4])


class RawScale(NamedTuple):
    """The raw outputs of one scale for a batch.

    Args:
        raw: (B, g, g, 3, 5 + C) float32.
        anchors: (3, 2) width and height in units of the stride.
        stride: pixels per cell.
    """

    raw: FloatArray
    anchors: npt.NDArray[np.floating]
    stride: int

    @classmethod
    def of(cls, conv_output: npt.ArrayLike, anchors: npt.NDArray[np.floating], stride: int) -> Self:
        """From a (B, g, g, 3 * (5 + C)) array as the network gives it; its memory is shared where it is float32."""
        raw = np.asarray(conv_output, np.float32)
        return cls(raw.reshape(*raw.shape[:3], len(anchors), -1), anchors, stride)

    def places(self) -> FloatArray:
        """(N, 5) pixels: upper left corner x, y of each box's cell, its anchor's width and height, the stride."""
        _, rows, columns, anchors, _ = self.raw.shape
        out = np.empty((rows, columns, anchors, 5), np.float32)
        out[..., 0] = np.arange(columns).reshape(1, -1, 1) * self.stride
        out[..., 1] = np.arange(rows).reshape(-1, 1, 1) * self.stride
        out[..., 2:4] = np.asarray(self.anchors, np.float32) * np.float32(self.stride)
        out[..., 4] = self.stride
        return out.reshape(-1, 5)


def raw_images(scales: Sequence[RawScale]) -> list[Raw]:
    """The outputs for each image of a batch.

    >>> anchors = np.array([[1, 2], [2, 1], [4, 4]])
    >>> [image] = raw_images([RawScale(np.zeros((1, 1, 2, 3, 6), np.float32), anchors, 8)])
    >>> image.boxes_xyxy(np.array([3])).tolist(), image.scores(np.array([3])).tolist()
    ([[8.0, -4.0, 16.0, 12.0]], [[0.25]])
    """
    places = np.concatenate([scale.places() for scale in scales])
    flat = [scale.raw.reshape(len(scale.raw), -1, scale.raw.shape[-1]) for scale in scales]
    return [Raw(parts, places) for parts in zip(*flat, strict=True)]


class Raw:
    """Outputs as the network gives them, decoded where asked, as :func:`~yolopipe.model.decode.decode` does it.

    Args:
        parts: of each scale (n, 5 + C) float32; joining them would cost more than what is done with them.
        places: (N, 5) of the boxes of all scales, see :meth:`RawScale.places`.
    """

    def __init__(self, parts: Sequence[FloatArray], places: FloatArray) -> None:
        self.parts, self.places = parts, places
        self.ends = np.cumsum([len(part) for part in parts])
        self.num_classes = parts[0].shape[1] - 5
        self.objectness = sigmoid(np.concatenate([part[:, 4] for part in parts]))

    @cached_property
    def raw_xywh(self) -> FloatArray:
        """(N, 4) raw of the boxes of all scales; images in which nothing passes do without."""
        return np.concatenate([part[:, :4] for part in self.parts])

    def scores(self, boxes: IntArray) -> FloatArray:
        """See :class:`ImageOutputs`."""
        return self.objectness[boxes, None] * sigmoid(self._rows(boxes)[:, 5:])

    def above(self, lowest: np.float32) -> Candidates:
        """See :class:`ImageOutputs`."""
        boxes = np.flatnonzero(self.objectness > lowest)
        # objectness * sigmoid(raw) > lowest where raw > log(lowest / (objectness - lowest)): most end there.
        below, objectness = lowest * SLACK, self.objectness[boxes]
        with np.errstate(divide="ignore"):  # log(0): with a lowest score of 0 every class passes
            limit = np.log(below) - np.log(objectness - below)
        raw = self._rows(boxes)
        # a flat search is faster than a two-dimensional one
        row, classes = np.divmod(np.flatnonzero(raw[:, 5:] > limit[:, None]), self.num_classes)
        scores = objectness[row] * sigmoid(raw[row, 5 + classes])
        real = np.flatnonzero(scores > lowest)
        return Candidates(boxes[row[real]], scores[real], classes[real])

    def boxes_xyxy(self, boxes: IntArray) -> FloatArray:
        """See :class:`ImageOutputs`."""
        raw, place = self.raw_xywh.take(boxes, axis=0), self.places.take(boxes, axis=0)
        centre_xy = sigmoid(raw[:, :2]) * place[:, 4:] + place[:, :2]
        return _corners(centre_xy, np.exp(np.minimum(raw[:, 2:], np.float32(EXP_LIMIT))) * place[:, 2:4])

    def _rows(self, boxes: IntArray) -> FloatArray:
        """(K, 5 + C) raw of boxes of rising numbers."""
        out = np.empty((len(boxes), self.num_classes + 5), np.float32)
        stop = np.searchsorted(boxes, self.ends)
        for part, end, a, b in zip(self.parts, self.ends, [0, *stop], stop, strict=False):
            np.take(part, boxes[a:b] - (end - len(part)), axis=0, out=out[a:b], mode="clip")  # clip: written directly
        return out


def sigmoid(values: FloatArray) -> FloatArray:
    """1 / (1 + exp(-x)), 0 where exp overflows.

    >>> sigmoid(np.array([-1000, 0, 1000], np.float32)).tolist()
    [0.0, 0.5, 1.0]
    """
    with np.errstate(over="ignore"):
        out = np.exp(-values)
    out += np.float32(1)
    return np.reciprocal(out, out=out)


def _corners(centre_xy: FloatArray, size_wh: FloatArray) -> FloatArray:
    half_wh = np.minimum(size_wh, np.float32(LARGEST_PX)) * np.float32(0.5)
    return np.concatenate([centre_xy - half_wh, centre_xy + half_wh], axis=1)
