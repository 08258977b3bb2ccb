"""Boxes of the network input as boxes of the source image: the inverse of the letterbox."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from yolopipe.detection.nms import ImageDetections
from yolopipe.imaging.geometry import invert_affine, transform_boxes

__all__ = ["Placed", "detections_in_source", "to_source"]


class Placed(Protocol):
    """A picture in the network input: a row of a shard, or one that was just letterboxed."""

    @property
    def matrix(self) -> npt.NDArray[np.float64]:
        """(2, 3) source pixels to network-input pixels, corner coordinates."""

    @property
    def source_wh(self) -> tuple[int, int]:
        """Width and height of the upright source image in pixels."""


def to_source(picture: Placed, boxes_xyxy: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Boxes of the network input in source pixels, clipped to the image.

    Args:
        picture: the letterboxed image.
        boxes_xyxy: (N, 4).
    """
    # Also for the truth of val, although the parsed tables have it exactly: what scores needs the shards and no more.
    width, height = picture.source_wh
    return np.clip(transform_boxes(invert_affine(picture.matrix), boxes_xyxy), 0, [width, height, width, height])


def detections_in_source(picture: Placed, found: ImageDetections) -> tuple[ImageDetections, int]:
    """Detections in source pixels; and how many were dropped: those entirely inside the letterbox padding."""
    boxes_xyxy = to_source(picture, found.boxes_xyxy)
    inside = (boxes_xyxy[:, 2:] > boxes_xyxy[:, :2]).all(axis=1)
    kept = ImageDetections(boxes_xyxy[inside].astype(np.float32), found.scores[inside], found.classes[inside])
    return kept, int((~inside).sum())
