"""The way back: boxes of the network input as boxes of the source image."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from yolopipe.evaluation.nms import ImageDetections
from yolopipe.geometry import invert_affine, transform_boxes
from yolopipe.shards.schema import Row

__all__ = ["detections_in_source", "to_source"]


def to_source(row: Row, boxes_xyxy: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Boxes of the network input in source pixels, clipped to the image.

    Args:
        row: the sample they are of.
        boxes_xyxy: (N, 4).
    """
    width, height = row.source_wh
    return np.clip(transform_boxes(invert_affine(row.matrix), boxes_xyxy), 0, [width, height, width, height])


def detections_in_source(row: Row, found: ImageDetections) -> tuple[ImageDetections, int]:
    """Detections in source pixels; and how many were dropped because they lie wholly in the grey border."""
    boxes_xyxy = to_source(row, found.boxes_xyxy)
    inside = (boxes_xyxy[:, 2:] > boxes_xyxy[:, :2]).all(axis=1)
    kept = ImageDetections(boxes_xyxy[inside].astype(np.float32), found.scores[inside], found.classes[inside])
    return kept, int((~inside).sum())
