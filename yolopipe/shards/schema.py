"""What a shard row holds; the same in Parquet and TFRecord.

One row is one sample: encoded pixels of the letterboxed network input, the boxes taught there, and per scale three
short integer lists that are the whole label (a dense label of the notes is 3.6 MB at 80 classes, these are some
tens of bytes a box):

- ``cell_S``: flat index into the (grid, grid, 3) anchors of stride S that hold a positive, ascending;
- ``box_S``: for each of those, which of the row's boxes is taught there;
- ``slots_S``: the notes' box list of that scale (``bboxes_xywh``), as box numbers in slot order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from yolopipe.config import STRIDES

__all__ = [
    "ARRAYS",
    "FEATURES",
    "SCHEMA_VERSION",
    "Row",
    "ScaleLabel",
    "decode_pixels",
    "row_from_features",
    "row_to_features",
]

SCHEMA_VERSION = 2
"""Readers refuse any other."""


class ScaleLabel(NamedTuple):
    """The sparse label of one image at one scale.

    Args:
        cell: (P,) int32, ascending; ``(y * grid + x) * 3 + anchor``.
        box: (P,) uint16; the box taught at that cell and anchor.
        slots: (T,) uint16; the boxes of this scale's list, slot 0 first; at most ``max_bbox_per_scale``.
    """

    cell: npt.NDArray[np.int32]
    box: npt.NDArray[np.uint16]
    slots: npt.NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Row:
    """One sample.

    Args:
        path: the image as written in the annotation text.
        copy: which augmented variant; 0 for val.
        image: encoded RGB pixels of the network input, (S, S, 3) uint8 once decoded.
        source_wh: width and height of the source image in pixels, EXIF orientation applied.
        matrix: (2, 3) float64; source pixels to network-input pixels, corner coordinates.
        boxes_xyxy: (N, 4) float32 pixels of the network input.
        classes: (N,) uint16.
        labels: one :class:`ScaleLabel` per stride, small stride first.
    """

    path: str
    copy: int
    image: bytes
    source_wh: tuple[int, int]
    matrix: npt.NDArray[np.float64]
    boxes_xyxy: npt.NDArray[np.float32]
    classes: npt.NDArray[np.uint16]
    labels: tuple[ScaleLabel, ScaleLabel, ScaleLabel]


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
    "classes": np.uint16,
    **{
        f"{part}_{stride}": kind
        for stride in STRIDES
        for part, kind in (("cell", np.int32), ("box", np.uint16), ("slots", np.uint16))
    },
}
"""The features of a TFRecord that are arrays, stored as little-endian bytes, and their types."""

FEATURES = ("path", *ARRAYS, "image")
"""Every feature of a TFRecord, in order; each is ``FixedLenFeature([], tf.string)``."""


def row_to_features(row: Row) -> dict[str, bytes]:
    """A row as named byte strings: what a TFRecord holds."""
    arrays: dict[str, npt.ArrayLike] = {
        "copy": [row.copy],
        "source_wh": row.source_wh,
        "matrix": row.matrix,
        "boxes_xyxy": row.boxes_xyxy,
        "classes": row.classes,
    }
    for stride, label in zip(STRIDES, row.labels, strict=True):
        for part in ("cell", "box", "slots"):
            arrays[f"{part}_{stride}"] = getattr(label, part)
    packed = {name: np.asarray(arrays[name], np.dtype(kind).newbyteorder("<")) for name, kind in ARRAYS.items()}
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

    def array(name: str) -> npt.NDArray[Any]:
        kind = np.dtype(ARRAYS[name])
        return np.frombuffer(features[name], kind.newbyteorder("<")).astype(kind, copy=False)

    small, middle, large = (
        ScaleLabel(*(array(f"{part}_{stride}") for part in ("cell", "box", "slots"))) for stride in STRIDES
    )
    width, height = array("source_wh").tolist()
    return Row(
        path=features["path"].decode(),
        copy=int(array("copy")[0]),
        image=features["image"],
        source_wh=(width, height),
        matrix=array("matrix").reshape(2, 3),
        boxes_xyxy=array("boxes_xyxy").reshape(-1, 4),
        classes=array("classes"),
        labels=(small, middle, large),
    )
