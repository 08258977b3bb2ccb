"""Data of the report page: all boxes, and the pictures of the worst images."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from yolopipe.imaging.geometry import transform_boxes
from yolopipe.scoring.matching import match
from yolopipe.scoring.results import Found
from yolopipe.shards.manifest import Manifest
from yolopipe.shards.schema import Row, decode_pixels

__all__ = ["FLOOR", "Gallery", "ReadRows", "gather"]

FLOOR = 0.05
"""Detections below this score are not on the page: hundreds an image, too uncertain for any use."""

MOST_BOXES = 400_000
"""Annotated and detected, of all images: bounds the size of the page."""

PICTURE_PX = 320
PICTURE_BYTES = 12_000_000
"""Of all pictures, as JPEG; base64 takes a third more."""


PICTURES_AT_ONCE = 256
"""Encoded images of the shards held in memory at once."""

ReadRows = Callable[..., Iterator[Row]]
"""Called with ``pixels=True`` or ``pixels=False``: the rows of val, in shard order."""


@dataclass(frozen=True)
class Gallery:
    """Images worst first: by the number of missed boxes and false positives at the score where the page starts.

    Args:
        images: path, boxes as flat lists and the number of its picture (-1 for none), for the page.
        pictures: base64 JPEG.
        left_out: what the page does not hold, a sentence each.
    """

    images: list[dict[str, Any]]
    pictures: list[str]
    left_out: tuple[str, ...]


def gather(found: Found, read: ReadRows, manifest: Manifest, *, shown_score: float) -> Gallery:
    """Rank all images and encode the pictures of the worst, as many as fit :data:`PICTURE_BYTES`.

    Memory holds the boxes of the page, the pictures kept, and :data:`PICTURES_AT_ONCE` images of the shards.

    Args:
        found: the val split.
        read: the rows of the same split in the same order.
        manifest: of these shards.
        shown_score: detections that score at least this count for the rank.
    """
    order = np.argsort(-_errors(found, shown_score), kind="stable")
    boxes = np.array(
        [
            len(a.classes) + int((d.scores >= FLOOR).sum())
            for a, d in zip(found.annotated, found.detected, strict=True)
        ]
    )
    listed = order[np.cumsum(boxes[order]) <= MOST_BOXES].tolist()
    rank_of = {number: rank for rank, number in enumerate(listed)}
    entries: list[dict[str, Any]] = [{} for _ in listed]
    for number, row in enumerate(read(pixels=False)):
        if number in rank_of:
            entries[rank_of[number]] = _entry(found, number, row)
    pictures = _pictures(listed, read, manifest)
    for rank, entry in enumerate(entries):
        entry["picture"] = rank if rank < len(pictures) else -1
    return Gallery(
        entries,
        [base64.b64encode(one).decode("ascii") for one in pictures],
        tuple(_left_out(len(found.images), len(listed), len(pictures))),
    )


def _errors(found: Found, shown_score: float) -> npt.NDArray[np.int64]:
    """Missed boxes and false positives of each image."""
    truth, shown = found.truth(), found.detections().from_score(shown_score)
    table = match(truth, shown)
    images = np.concatenate([truth.image[table.missed], shown.image[table.wrong()]])
    return np.bincount(images, minlength=len(found.images))


def _pictures(listed: Sequence[int], read: ReadRows, manifest: Manifest) -> list[bytes]:
    """JPEG of the images of these numbers, in this order, until they exceed :data:`PICTURE_BYTES`."""
    kept: list[bytes] = []
    room = PICTURE_BYTES
    for start in range(0, len(listed), PICTURES_AT_ONCE):
        block = listed[start : start + PICTURES_AT_ONCE]
        wanted, last = set(block), max(block)
        rows = enumerate(islice(read(pixels=True), last + 1))
        images = {number: row.image for number, row in rows if number in wanted}
        for number in block:
            picture = _jpeg(images.pop(number), manifest)
            room -= len(picture)
            if room < 0:
                return kept
            kept.append(picture)
    return kept


def _left_out(total: int, listed: int, pictured: int) -> Iterator[str]:
    if listed < total:
        yield (
            f"{total - listed:,} of {total:,} images are not on this page, which holds {MOST_BOXES:,} boxes, worst "
            "images first; tiles, curves and the table of classes cover all images."
        )
    if pictured < listed:
        size = f"{PICTURE_BYTES / 1e6:.0f} MB"
        yield (
            f"Only the {pictured:,} worst images have a picture: the page holds {size} of pictures. Boxes are shown "
            "for every image listed."
        )


def _entry(found: Found, number: int, row: Row) -> dict[str, Any]:
    """Boxes in pixels of the network input, to a hundredth: x1, y1, x2, y2, class and, of detections, score.

    The class of an ignored box is -1 where it is for any class.
    """
    boxes_xyxy, classes, ignore = found.annotated[number]
    detected = found.detected[number]
    shown = detected.scores >= FLOOR
    return {
        "path": row.path,
        "truth": _flat(row, boxes_xyxy[~ignore], classes[~ignore]),
        "ignored": _flat(row, boxes_xyxy[ignore], classes[ignore]),
        "found": _flat(row, detected.boxes_xyxy[shown], detected.classes[shown], detected.scores[shown]),
    }


def _flat(row: Row, boxes_xyxy: npt.ArrayLike, *columns: npt.NDArray[Any]) -> list[float]:
    corners = transform_boxes(row.matrix, boxes_xyxy)
    both = np.concatenate([corners.round(2), *(column[:, np.newaxis].astype(np.float64) for column in columns)], 1)
    return [int(value) if value == int(value) else round(value, 4) for value in both.ravel().tolist()]


def _jpeg(image: bytes, manifest: Manifest) -> bytes:
    size = manifest.input_size
    pixels = cv2.cvtColor(decode_pixels(image, encoding=manifest.encoding, input_size=size), cv2.COLOR_RGB2BGR)
    if size > PICTURE_PX:
        pixels = cv2.resize(pixels, (PICTURE_PX, PICTURE_PX), interpolation=cv2.INTER_AREA)
    return bytes(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes())
