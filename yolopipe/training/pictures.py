"""What the network finds in a few validation images while it is trained, as ``evaluate`` draws it at the end."""

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
from yolopipe.imaging.drawing import Pixels
from yolopipe.scoring.pictures import contact_sheet, evenly_spread, example_of
from yolopipe.shards.manifest import Manifest
from yolopipe.shards.reader import read_rows
from yolopipe.shards.schema import decode_pixels

__all__ = ["picture_maker"]


def picture_maker(directory: str | Path, manifest: Manifest, predict: Predict) -> Callable[[], Pixels]:
    """Prepare to draw predictions beside truth: the images that ``evaluate`` draws with its default params.

    Args:
        directory: the folder of shards; the images are read once, here.
        manifest: theirs.
        predict: of the network, with its weights as they are at each call.

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
