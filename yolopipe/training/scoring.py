"""mAP while training: what ``evaluate`` will say with its default params, without its files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from yolopipe.detection.network import Predict
from yolopipe.detection.nms import detect_batch
from yolopipe.detection.suppression import Suppression
from yolopipe.detection.to_source import detections_in_source, to_source
from yolopipe.scoring.scores import Detections, Truth, coco_scores
from yolopipe.shards.manifest import Manifest
from yolopipe.shards.reader import read_rows
from yolopipe.training.speed import Batches

__all__ = ["map_scorer"]


def map_scorer(
    directory: str | Path, manifest: Manifest, predict: Predict, batches: Callable[[], Batches]
) -> Callable[[], float]:
    """Prepare to measure mAP@[.5:.95] of a network on the validation images, in source pixels.

    Args:
        directory: the folder of shards; the geometry and boxes of val are read once, here.
        manifest: theirs.
        predict: of the network, with its weights as they are at each call.
        batches: gives the validation batches, in shard order, at the largest input size.

    Returns:
        A function that predicts all validation images and returns their mAP, 0 to 1.
    """
    rows = list(read_rows(directory, manifest, "val", pixels=False))
    truth = Truth(*_joined([(to_source(row, row.boxes_xyxy), row.classes.astype(np.int64)) for row in rows]))
    suppression = Suppression()

    def score() -> float:
        found = [image for batch in batches() for image in detect_batch(predict(batch["image"]), suppression)]
        kept = [detections_in_source(row, image)[0] for row, image in zip(rows, found, strict=True)]
        image, boxes_xyxy, classes = _joined([(one.boxes_xyxy, one.classes) for one in kept])
        scores = np.concatenate([one.scores for one in kept])
        detections = Detections(image, boxes_xyxy, scores.astype(np.float64), classes)
        return coco_scores(truth, detections, num_classes=len(manifest.class_names)).ap() or 0.0

    return score


def _joined(images: list[tuple[Any, Any]]) -> tuple[Any, Any, Any]:
    """Number of the image, boxes and classes of all boxes of all images."""
    counts = [len(classes) for _, classes in images]
    boxes_xyxy = np.concatenate([np.asarray(boxes, np.float64).reshape(-1, 4) for boxes, _ in images])
    return np.repeat(np.arange(len(images)), counts), boxes_xyxy, np.concatenate([classes for _, classes in images])
