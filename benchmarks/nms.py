"""Post-processing at 416 pixels and 80 classes: from a network's raw outputs to at most 300 detections an image.

    python benchmarks/nms.py [--images 16] [--rounds 5]

Synthetic outputs of 10,647 boxes an image, from a confident network to one that is unsure everywhere.  The base
decodes everything in NumPy and then compares, class by class, the best box with the rest, on one image.  Both use one
thread; printed are images a second of its CPU time.  "Two cores" is yolopipe in two processes at once, in images a
second of wall time (two threads are slower than one, because NumPy's calls are too short to share an interpreter).
The last line is the rate at which TensorFlow decodes everything, which would come before that.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
from timing import best_seconds

from yolopipe.backend import import_tensorflow
from yolopipe.config.params import STRIDES, Assignment
from yolopipe.detection.nms import detect_batch
from yolopipe.detection.outputs import RawScale
from yolopipe.detection.suppression import Suppression
from yolopipe.labels.boxes import pairwise_iou

SIZE, CLASSES = 416, 80
ANCHORS = Assignment().anchors_px.reshape(3, 3, 2) / np.array(STRIDES).reshape(3, 1, 1)
MOST_FOR_BASE = 100_000
"""Candidates; beyond, the base takes many seconds an image."""
FLOORS = (0.01, 0.001)
# objects, boxes on each, how unsure the rest is (the mean objectness and class probability elsewhere)
CASES = {
    "sure: 8 objects": (8, 8, 0.002),
    "crowded: 60 objects": (60, 15, 0.01),
    "packed: 150 objects": (150, 30, 0.02),
    "unsure everywhere": (0, 0, 0.15),
    "150 places, all boxes on them": (150, 200, 0.15),
}


def cells() -> tuple[np.ndarray, np.ndarray]:
    """(N, 2) upper left corner of each box's cell in pixels, (N,) its stride."""
    corners = [
        np.repeat(np.stack(np.meshgrid(*[np.arange(SIZE // s)] * 2), axis=-1).reshape(-1, 2), 3, axis=0) * s
        for s in STRIDES
    ]
    return np.concatenate(corners), np.repeat(STRIDES, [len(corner) for corner in corners])


def predictions(case: str, images: int) -> np.ndarray:
    """(images, 10647, 85) decoded; the boxes on an object are those of the cells nearest to it."""
    objects, boxes, unsure = CASES[case]
    rng = np.random.default_rng(0)
    corner_xy, stride = cells()
    count = len(stride)
    out = np.empty((images, count, 5 + CLASSES), np.float32)
    for image in out:
        centre = corner_xy + rng.random((count, 2)) * stride[:, None]
        image[:, 2:4] = rng.lognormal(3.5, 0.7, (count, 2))
        image[:, 4:] = rng.beta(0.5, 0.5 / unsure - 0.5, (count, 1 + CLASSES))
        for _ in range(objects):
            object_xy, size = rng.uniform(20, SIZE - 20, 2), rng.uniform(15, 120, 2)
            far = np.abs(corner_xy + stride[:, None] / 2 - object_xy).max(axis=1) + rng.random(count)
            at = np.argpartition(far, boxes)[:boxes]
            centre[at] = object_xy + rng.normal(0, 0.08, (boxes, 2)) * size
            image[at, 2:4] = size * rng.lognormal(0, 0.12, (boxes, 2))
            image[at, 4] = rng.beta(2, 2, boxes)
            image[at, 5 + rng.integers(0, CLASSES)] = rng.beta(5, 2, boxes)
        image[:, :2] = corner_xy + np.clip((centre - corner_xy) / stride[:, None], 0.01, 0.99) * stride[:, None]
    return out


def raw_outputs(flat: np.ndarray) -> list[RawScale]:
    """The raw outputs that decode to these values."""
    corner_xy, stride = cells()
    anchors_px = np.concatenate(
        [np.tile(a * s, ((SIZE // s) ** 2, 1)) for a, s in zip(ANCHORS, STRIDES, strict=True)]
    )
    inside = logit((flat[..., :2] - corner_xy) / stride[:, None])
    raw = np.concatenate([inside, np.log(flat[..., 2:4] / anchors_px), logit(flat[..., 4:])], axis=-1)
    ends = np.cumsum([(SIZE // s) ** 2 * 3 for s in STRIDES])[:-1]
    return [
        RawScale.of(part.reshape(len(flat), SIZE // s, SIZE // s, -1), anchors, s)
        for part, anchors, s in zip(np.split(raw, ends, axis=1), ANCHORS, STRIDES, strict=True)
    ]


def logit(values: np.ndarray) -> np.ndarray:
    """The raw output whose sigmoid a value is."""
    values = np.clip(values.astype(np.float64), 1e-9, 1 - 1e-7)
    return np.log(values) - np.log1p(-values)


def decoded(scales: list[RawScale]) -> np.ndarray:
    """(N, 85) of the first image: sigmoid and exp of everything, in NumPy."""
    rows = []
    for raw, anchors, stride in scales:
        grid = raw[0]
        squashed = 1 / (1 + np.exp(-grid))
        origin = np.stack(np.meshgrid(*[np.arange(len(grid), dtype=np.float32)] * 2), axis=-1)[:, :, None]
        centre = (squashed[..., :2] + origin) * stride
        size = np.exp(grid[..., 2:4]) * (anchors * stride).astype(np.float32)
        rows.append(np.concatenate([centre, size, squashed[..., 4:]], axis=-1).reshape(-1, grid.shape[-1]))
    return np.concatenate(rows)


def plain(scales: list[RawScale], floor: float) -> int:
    """Every score above the floor, then class after class, the best box against the rest, in NumPy."""
    image = decoded(scales)
    scores = image[:, 4:5] * image[:, 5:]
    half = image[:, 2:4] / 2
    boxes_xyxy = np.concatenate([image[:, :2] - half, image[:, :2] + half], axis=1)
    kept: list[float] = []
    for class_id in range(scores.shape[1]):
        left = np.flatnonzero(scores[:, class_id] > floor)
        left = left[np.argsort(-scores[left, class_id], kind="stable")]
        while len(left):
            kept.append(float(scores[left[0], class_id]))
            iou = pairwise_iou(boxes_xyxy[left[:1]], boxes_xyxy[left])[0]
            iou[0] = 1.0
            left = left[iou <= Suppression().nms_iou]
    return len(sorted(kept)[-Suppression().max_detections :])


def one_case(case: str, flat: np.ndarray, floor: float, rounds: int) -> None:
    """Print a row."""
    scales, images = raw_outputs(flat), len(flat)
    found = sum(len(image.scores) for image in detect_batch(scales, Suppression(floor))) / images
    candidates = int((flat[0, :, 4:5] * flat[0, :, 5:] > floor).sum())

    def ours() -> None:
        detect_batch(scales, Suppression(floor))

    rate = images / best_seconds({"ours": ours}, rounds=rounds, clock=time.process_time)["ours"]
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        both = sum(pool.map(rate_in_process, [case] * 2, [images] * 2, [floor] * 2))
    row = f"{case:30}{floor:6}{candidates:12,}{found:7.0f}{rate:10.0f}{both:12.0f}"
    if candidates <= MOST_FOR_BASE:
        base = best_seconds({"base": lambda: plain(scales, floor)}, rounds=1, clock=time.process_time)["base"]
        row += f"{1 / base:8.2f}{rate * base:7.0f}"
    print(row, flush=True)


def rate_in_process(case: str, images: int, floor: float, seconds: float = 4.0) -> float:
    """Images a second of wall time, over a few seconds in which another process does the same."""
    scales, done = raw_outputs(predictions(case, images)), 0
    start = time.perf_counter()
    while time.perf_counter() < start + seconds:
        detect_batch(scales, Suppression(floor))
        done += images
    return done / (time.perf_counter() - start)


def time_decode(images: int, rounds: int) -> None:
    """The rate at which TensorFlow decodes everything."""
    tf = import_tensorflow()
    from yolopipe.model.decode import decode

    raw = [tf.random.normal((images, SIZE // s, SIZE // s, 3 * (5 + CLASSES))) for s in STRIDES]
    compiled = tf.function(lambda *raw: [decode(*part) for part in zip(raw, ANCHORS, STRIDES, strict=True)])

    def work() -> None:
        for scale in compiled(*raw):
            scale.numpy()

    work()
    seconds = best_seconds({"decode": work}, rounds=rounds)["decode"]
    print(f"{'all decoded on TensorFlow, all cores':55}{images / seconds:22.0f}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    heads = f"{'candidates':>12}{'found':>7}{'images/s':>10}{'two cores':>12}{'base':>8}{'ratio':>7}"
    print(f"{'':30}{'floor':>6}{heads}")
    for case in CASES:
        flat = predictions(case, arguments.images)
        for floor in FLOORS:
            one_case(case, flat, floor, arguments.rounds)
    time_decode(arguments.images, arguments.rounds)


if __name__ == "__main__":
    main()
