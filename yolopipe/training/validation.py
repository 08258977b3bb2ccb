"""mAP and pictures of predictions during training, as ``evaluate`` makes them with its default params."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import compress
from pathlib import Path

import numpy as np

from yolopipe.config.params import Evaluate
from yolopipe.detection.network import Predict
from yolopipe.detection.nms import detect_batch
from yolopipe.detection.suppression import Suppression
from yolopipe.detection.to_source import detections_in_source
from yolopipe.imaging.drawing import Pixels
from yolopipe.scoring.pictures import contact_sheet, evenly_spread, example_of
from yolopipe.scoring.results import Found, annotated_in_source
from yolopipe.scoring.scores import coco_scores
from yolopipe.shards.manifest import Manifest
from yolopipe.shards.reader import read_rows
from yolopipe.shards.schema import decode_pixels
from yolopipe.training.speed import Batches

__all__ = ["map_scorer", "picture_maker"]


def map_scorer(
    directory: str | Path, manifest: Manifest, predict: Predict, batches: Callable[[], Batches]
) -> Callable[[], float]:
    """A function that measures mAP@[.5:.95] of a network on the validation images, in source pixels.

    Args:
        directory: the folder of shards; the geometry and boxes of val are read once, here.
        manifest: of these shards.
        predict: of the network, with its weights at the time of each call.
        batches: returns the validation batches, in shard order, at the largest input size.

    Returns:
        A function that predicts all validation images and returns their mAP, 0 to 1.
    """
    rows = list(read_rows(directory, manifest, "val", pixels=False))
    truth = Found(annotated=[annotated_in_source(row) for row in rows]).truth()
    suppression = Suppression()

    def score() -> float:
        found = [image for batch in batches() for image in detect_batch(predict(batch["image"]), suppression)]
        kept = [detections_in_source(row, image)[0] for row, image in zip(rows, found, strict=True)]
        detections = Found(detected=kept).detections()
        return coco_scores(truth, detections, num_classes=len(manifest.class_names)).ap() or 0.0

    return score


def picture_maker(directory: str | Path, manifest: Manifest, predict: Predict) -> Callable[[], Pixels]:
    """A function that draws predictions beside truth, for the images that ``evaluate`` draws by default.

    Args:
        directory: the folder of shards; the images are read once, here.
        manifest: of these shards.
        predict: of the network, with its weights at the time of each call.

    Returns:
        A function that predicts those images and returns the sheet, (H, W, 3) uint8 RGB.
    """
    params, total = Evaluate(), manifest.splits["val"].rows
    chosen = set(evenly_spread(total, params.picture_images))
    rows = list(compress(read_rows(directory, manifest, "val"), (number in chosen for number in range(total))))
    pixels = np.stack(
        [decode_pixels(row.image, encoding=manifest.encoding, input_size=manifest.input_size) for row in rows]
    )
    suppression = replace(Suppression.of(params), score_threshold=params.picture_score)

    def draw() -> Pixels:
        found = detect_batch(predict(pixels), suppression)
        examples = [example_of(*each, score=params.picture_score) for each in zip(rows, pixels, found, strict=True)]
        return contact_sheet(examples, manifest.class_names, score=params.picture_score)

    return draw
