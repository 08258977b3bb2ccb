"""What the page is given to draw and to count: all boxes, and the pictures of the worst images."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from yolopipe.detection.nms import ImageDetections
from yolopipe.imaging.geometry import transform_boxes
from yolopipe.scoring.report_page.verdicts import judge
from yolopipe.scoring.results import Found
from yolopipe.shards.manifest import Manifest
from yolopipe.shards.schema import Row, decode_pixels

__all__ = ["FLOOR", "Gallery", "gather"]

FLOOR = 0.05
"""Detections below this score are not on the page: hundreds an image, and no use of a detector takes them."""

MOST_BOXES = 400_000
"""Annotated and found, of all images; some 25 bytes each."""

PICTURE_PX = 320
PICTURE_BYTES = 12_000_000
"""Of all pictures, as JPEG; a third more as text.  Some 800 of photographs."""


@dataclass(frozen=True)
class Gallery:
    """Images worst first: at the score worth showing, by the number of boxes missed and detections not right.

    Args:
        images: path, boxes as flat lists and the number of its picture (-1 for none), for the page.
        pictures: base64 JPEG.
        left_out: what the page does not hold, a sentence each.
    """

    images: list[dict[str, Any]]
    pictures: list[str]
    left_out: tuple[str, ...]


def gather(found: Found, rows: Iterator[Row], manifest: Manifest, *, shown_score: float) -> Gallery:
    """Judge all images and take the pictures of the worst.

    Args:
        found: the val split.
        rows: of the same split, with pixels, in the same order.
        manifest: theirs.
        shown_score: detections from this are judged.
    """
    errors = np.array(
        [
            judge(*truth, kept.boxes_xyxy, kept.classes).errors
            for truth, kept in zip(found.annotated, (_from(one, shown_score) for one in found.detected), strict=True)
        ]
    )
    order = np.argsort(-errors, kind="stable")
    boxes = np.array(
        [len(t) + int((d.scores >= FLOOR).sum()) for (t, _), d in zip(found.annotated, found.detected, strict=True)]
    )
    listed = order[np.cumsum(boxes[order]) <= MOST_BOXES]
    place = {int(number): rank for rank, number in enumerate(listed)}
    entries: list[dict[str, Any]] = [{} for _ in listed]
    pixels: list[bytes] = [b""] * len(listed)
    for number, row in enumerate(rows):
        if number in place:
            rank = place[number]
            entries[rank] = _entry(found, number, row)
            pixels[rank] = _jpeg(row, manifest)
    kept = int((np.cumsum([len(one) for one in pixels]) <= PICTURE_BYTES).sum())
    for rank, entry in enumerate(entries):
        entry["picture"] = rank if rank < kept else -1
    return Gallery(
        entries,
        [base64.b64encode(one).decode("ascii") for one in pixels[:kept]],
        tuple(_left_out(len(found.images), len(listed), kept)),
    )


def _left_out(total: int, listed: int, pictured: int) -> Iterator[str]:
    if listed < total:
        yield (
            f"{total - listed:,} of {total:,} images are not on this page, which holds {MOST_BOXES:,} boxes, worst "
            "images first; tiles, curves and the table of classes are of all images."
        )
    if pictured < listed:
        size = f"{PICTURE_BYTES / 1e6:.0f} MB"
        yield f"Pictures of the {pictured:,} worst images only: a page holds {size} of them. Boxes are of all."


def _from(found: ImageDetections, score: float) -> ImageDetections:
    enough = found.scores >= score
    return ImageDetections(found.boxes_xyxy[enough], found.scores[enough], found.classes[enough])


def _entry(found: Found, number: int, row: Row) -> dict[str, Any]:
    """Boxes in pixels of the network input, to a hundredth: x1, y1, x2, y2, class and, of detections, score."""
    truth_xyxy, truth_classes = found.annotated[number]
    kept = _from(found.detected[number], FLOOR)
    return {
        "path": row.path,
        "truth": _flat(row, truth_xyxy, truth_classes),
        "found": _flat(row, kept.boxes_xyxy, kept.classes, kept.scores),
    }


def _flat(row: Row, boxes_xyxy: npt.ArrayLike, *columns: npt.NDArray[Any]) -> list[float]:
    corners = transform_boxes(row.matrix, boxes_xyxy)
    both = np.concatenate([corners.round(2), *(column[:, np.newaxis].astype(np.float64) for column in columns)], 1)
    return [int(value) if value == int(value) else round(value, 4) for value in both.ravel().tolist()]


def _jpeg(row: Row, manifest: Manifest) -> bytes:
    size = manifest.input_size
    pixels = cv2.cvtColor(decode_pixels(row.image, encoding=manifest.encoding, input_size=size), cv2.COLOR_RGB2BGR)
    if size > PICTURE_PX:
        pixels = cv2.resize(pixels, (PICTURE_PX, PICTURE_PX), interpolation=cv2.INTER_AREA)
    return bytes(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes())
