"""A drawn data set: squares on noise, red ones small, green ones large."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

SIZE = 64
ANCHORS_PX = np.array(
    [[[4, 4], [8, 8], [12, 12]], [[16, 16], [20, 20], [24, 24]], [[30, 30], [36, 36], [48, 48]]], float
)
KINDS = (((220, 30, 30), 20, 16, 1), ((30, 220, 30), 36, 32, 1))  # colour, side, stride, anchor


def _scene(rng: np.random.Generator) -> dict[str, Any]:
    image = rng.integers(90, 130, (SIZE, SIZE, 3)).astype(np.uint8)
    kind = int(rng.integers(2))
    colour, side, stride, anchor = KINDS[kind]
    x, y = rng.integers(0, SIZE - side, 2)
    image[y : y + side, x : x + side] = colour
    column, row = (x + side // 2) // stride, (y + side // 2) // stride
    cell = (row * (SIZE // stride) + column) * 3 + anchor
    return {"image": image, "box": [x, y, x + side, y + side], "class": kind, "stride": stride, "cell": cell}


def _batch(scenes: list[dict[str, Any]], width: int) -> dict[str, np.ndarray]:
    """Padded to ``width`` columns: one box an image, but any number of empty places."""
    count = len(scenes)
    batch = {
        "image": np.stack([scene["image"] for scene in scenes]),
        "boxes_xyxy": np.zeros((count, width, 4), np.float32),
        "classes": np.zeros((count, width), np.int32),
        "row": np.arange(count, dtype=np.int64),
    }
    for stride in (8, 16, 32):
        batch[f"cell_{stride}"] = np.full((count, width), -1, np.int32)
        batch[f"box_{stride}"] = np.zeros((count, width), np.int32)
        batch[f"slots_{stride}"] = np.full((count, width), -1, np.int32)
    for index, scene in enumerate(scenes):
        batch["boxes_xyxy"][index, 0] = scene["box"]
        batch["classes"][index, 0] = scene["class"]
        batch[f"cell_{scene['stride']}"][index, 0] = scene["cell"]
        batch[f"slots_{scene['stride']}"][index, 0] = 0
    return batch


@pytest.fixture(scope="session")
def squares() -> Callable[..., list[dict[str, Any]]]:
    """``squares(images, batch_size, seed)``: batches as ``yolopipe.shards.tfdata.batches`` yields, the last short."""
    import tensorflow as tf

    def make(images: int, batch_size: int, seed: int = 0) -> list[dict[str, Any]]:
        scenes = [_scene(np.random.default_rng([seed, index])) for index in range(images)]
        starts = range(0, images, batch_size)
        batches = [_batch(scenes[start : start + batch_size], 1 + start % 3) for start in starts]
        return [{name: tf.constant(value) for name, value in batch.items()} for batch in batches]

    return make


@pytest.fixture(scope="session")
def anchors_px() -> np.ndarray:
    return ANCHORS_PX
