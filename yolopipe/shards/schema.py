"""Rows of a shard, the same in Parquet and TFRecord.

One row is one sample: encoded pixels of the letterboxed network input, its boxes, and per scale three short integer
lists that are the whole label (a dense label is 3.6 MB at 80 classes, these are some tens of bytes a box):

- ``cell_S``: flat index into the (grid, grid, 3) anchors of stride S that hold a positive, ascending;
- ``box_S``: for each of those, which of the row's boxes is assigned there;
- ``slots_S``: the box list of that scale (docs/formulas.md, "Labels"), as box numbers in slot order.

Boxes have the columns ``boxes_xyxy``, ``classes``, ``ignore`` and ``origin`` of the tables before
(:mod:`yolopipe.tables`); those to be ignored come last, hold no cell and are in the list of every scale.

When ``precompute.input_size`` is a list, image, boxes, matrix and the columns above are those of the largest size L,
and each smaller size s has its own three lists per stride, ``cell_S_s``, ``box_S_s`` and ``slots_S_s``
(``cell_8_320``), smallest size first, before ``image``.  Its pixels are those of L scaled down, its boxes are
``boxes_xyxy * s / L`` (:func:`boxes_at_size`), its anchors those of L, the same in pixels.  With one size there are
no such columns.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from yolopipe.config.params import STRIDES
from yolopipe.labels.scale_label import Labels, ScaleLabel, count_unlisted

__all__ = [
    "ARRAYS",
    "FEATURES",
    "LABEL_PARTS",
    "NO_BOXES",
    "SCHEMA_VERSION",
    "Row",
    "RowBoxes",
    "arrays_of",
    "boxes_at_size",
    "decode_pixels",
    "joined",
    "labels_from",
    "row_from_features",
    "row_to_features",
    "smaller_sizes",
    "split_row_boxes",
]

SCHEMA_VERSION = 2
"""Readers refuse any other."""


class RowBoxes(NamedTuple):
    """Boxes of one sample.

    Args:
        boxes_xyxy: (N, 4) float32 pixels of the network input.
        classes: (N,) int32; -1 for any class, of boxes to be ignored.
        origins: (N, 2) int32; line and column at which the annotation text names each box.
    """

    boxes_xyxy: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int32]
    origins: npt.NDArray[np.int32]


def joined(parts: Sequence[RowBoxes]) -> RowBoxes:
    """The boxes of several samples, or of several kinds, one after the other."""
    boxes_xyxy, classes, origins = zip(*parts, strict=True)
    return RowBoxes(np.concatenate(boxes_xyxy), np.concatenate(classes), np.concatenate(origins))


NO_BOXES = RowBoxes(np.zeros((0, 4), np.float32), np.zeros(0, np.int32), np.zeros((0, 2), np.int32))


@dataclass(frozen=True, slots=True)
class Row:
    """One sample.

    Args:
        path: the image as written in the annotation text.
        copy: which augmented variant; 0 for val.
        image: encoded RGB pixels of the network input, (S, S, 3) uint8 once decoded.
        source_wh: width and height of the source image in pixels, EXIF orientation applied.
        matrix: (2, 3) float64; source pixels to network-input pixels, corner coordinates.
        boxes: those to be found.
        ignored: those to be ignored; in :attr:`labels` they are numbered behind :attr:`boxes`.
        labels: one :class:`ScaleLabel` per stride, small stride first.
        smaller: the same for each smaller input size, smallest first; empty when there is one size.
    """

    path: str
    copy: int
    image: bytes
    source_wh: tuple[int, int]
    matrix: npt.NDArray[np.float64]
    boxes: RowBoxes
    labels: Labels
    ignored: RowBoxes = NO_BOXES
    smaller: Mapping[int, Labels] = field(default_factory=dict)

    @property
    def boxes_xyxy(self) -> npt.NDArray[np.float32]:
        """(N, 4) pixels of the network input, of the boxes to be found."""
        return self.boxes.boxes_xyxy

    @property
    def classes(self) -> npt.NDArray[np.int32]:
        """(N,) of the boxes to be found."""
        return self.boxes.classes

    @property
    def every_box(self) -> RowBoxes:
        """All boxes in the order of the labels' numbers: those to be found, then those to be ignored."""
        if not len(self.ignored.classes):
            return self.boxes
        return joined([self.boxes, self.ignored])

    @property
    def ignore(self) -> npt.NDArray[np.bool_]:
        """Which of :attr:`every_box` are to be ignored."""
        return np.repeat([False, True], [len(self.classes), len(self.ignored.classes)])

    def labels_at(self, size: int) -> Labels:
        """The labels of one input size."""
        return self.smaller.get(size, self.labels)

    def unlisted_at(self, size: int) -> int:
        """How often a box to be ignored is not in the list of a scale, at one input size."""
        return count_unlisted(self.labels_at(size), len(self.classes), len(self.ignored.classes))


def boxes_at_size(boxes_xyxy: npt.ArrayLike, size: int, largest: int) -> npt.NDArray[np.float32]:
    """Boxes of the stored pixels at another input size; rounding moves no box out of the image.

    Args:
        boxes_xyxy: (..., 4) pixels at ``largest``.
        size: side of the wanted network input.
        largest: side of the stored one.

    Returns:
        (..., 4) float32.

    >>> boxes_at_size([[0, 152, 304, 608]], 320, 608).tolist()
    [[0.0, 80.0, 160.0, 320.0]]
    """
    return np.asarray(np.asarray(boxes_xyxy, np.float64) * size / largest, np.float32)


def decode_pixels(image: bytes, *, encoding: str, input_size: int) -> npt.NDArray[np.uint8]:
    """The (S, S, 3) uint8 RGB pixels of ``Row.image``.

    >>> raw = np.zeros((32, 32, 3), np.uint8).tobytes()
    >>> decode_pixels(raw, encoding="raw", input_size=32).shape
    (32, 32, 3)
    """
    data = np.frombuffer(image, np.uint8)
    if encoding == "raw":
        return data.reshape(input_size, input_size, 3)
    import cv2

    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), np.uint8)


ARRAYS: dict[str, type[np.generic]] = {
    "copy": np.int32,
    "source_wh": np.int32,
    "matrix": np.float64,
    "boxes_xyxy": np.float32,
    "classes": np.int32,
    "ignore": np.bool_,
    "origin": np.int32,
    **{
        f"{part}_{stride}": kind
        for stride in STRIDES
        for part, kind in (("cell", np.int32), ("box", np.uint16), ("slots", np.uint16))
    },
}
"""The features of a TFRecord that are arrays, stored as little-endian bytes, and their types."""

FEATURES = ("path", *ARRAYS, "image")
"""Every feature of a TFRecord, in order; each is ``FixedLenFeature([], tf.string)``."""

LABEL_PARTS: dict[str, type[np.generic]] = {
    f"{part}_{stride}": ARRAYS[f"{part}_{stride}"] for stride in STRIDES for part in ScaleLabel._fields
}


def arrays_of(smaller: Iterable[int]) -> dict[str, type[np.generic]]:
    """:data:`ARRAYS` and the labels of smaller sizes, in order.

    >>> list(arrays_of([320]))[-9:-6]
    ['cell_8_320', 'box_8_320', 'slots_8_320']
    """
    return ARRAYS | {f"{name}_{size}": kind for size in smaller for name, kind in LABEL_PARTS.items()}


def smaller_sizes(names: Iterable[str]) -> tuple[int, ...]:
    """The smaller sizes that columns of these names are for.

    >>> smaller_sizes(["cell_8", "cell_8_320", "box_8_320", "cell_8_416"])
    (320, 416)
    """
    found = (re.fullmatch(rf"cell_{STRIDES[0]}_(\d+)", name) for name in names)
    return tuple(int(match[1]) for match in found if match)


def row_to_features(row: Row) -> dict[str, bytes]:
    """A row as named byte strings, the features of a TFRecord."""
    every = row.every_box
    arrays: dict[str, npt.ArrayLike] = {
        "copy": [row.copy],
        "source_wh": row.source_wh,
        "matrix": row.matrix,
        "boxes_xyxy": every.boxes_xyxy,
        "classes": every.classes,
        "ignore": row.ignore,
        "origin": every.origins,
    }
    for suffix, labels in (("", row.labels), *((f"_{size}", labels) for size, labels in row.smaller.items())):
        for stride, label in zip(STRIDES, labels, strict=True):
            for part, values in label._asdict().items():
                arrays[f"{part}_{stride}{suffix}"] = values
    kinds = arrays_of(row.smaller)
    packed = {name: np.asarray(arrays[name], np.dtype(kind).newbyteorder("<")) for name, kind in kinds.items()}
    return {
        "path": row.path.encode(),
        **{name: array.tobytes() for name, array in packed.items()},
        "image": row.image,
    }


def row_from_features(features: dict[str, bytes]) -> Row:
    """The inverse of :func:`row_to_features`.

    Raises:
        KeyError: when a feature is missing.
    """
    sizes = smaller_sizes(features)
    kinds = arrays_of(sizes)

    def array(name: str) -> npt.NDArray[Any]:
        kind = np.dtype(kinds[name])
        return np.frombuffer(features[name], kind.newbyteorder("<")).astype(kind, copy=False)

    width, height = array("source_wh").tolist()
    every = RowBoxes(array("boxes_xyxy").reshape(-1, 4), array("classes"), array("origin").reshape(-1, 2))
    boxes, ignored = split_row_boxes(every, array("ignore"))
    return Row(
        path=features["path"].decode(),
        copy=int(array("copy")[0]),
        image=features["image"],
        source_wh=(width, height),
        matrix=array("matrix").reshape(2, 3),
        boxes=boxes,
        ignored=ignored,
        labels=labels_from(array),
        smaller={size: labels_from(array, f"_{size}") for size in sizes},
    )


def split_row_boxes(every: RowBoxes, ignore: npt.NDArray[np.bool_]) -> tuple[RowBoxes, RowBoxes]:
    """Boxes to be found and boxes to be ignored, which come last."""
    found = int((~ignore).sum())
    boxes_xyxy, classes, origins = every
    return (
        RowBoxes(boxes_xyxy[:found], classes[:found], origins[:found]),
        RowBoxes(boxes_xyxy[found:], classes[found:], origins[found:]),
    )


def labels_from(column: Callable[[str], Any], suffix: str = "") -> Labels:
    """Labels from what ``column`` returns for each name, ``cell_8`` and so on, with a suffix for a smaller size."""
    small, middle, large = (
        ScaleLabel(*(column(f"{part}_{stride}{suffix}") for part in ScaleLabel._fields)) for stride in STRIDES
    )
    return small, middle, large
