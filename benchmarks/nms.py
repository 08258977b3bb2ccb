"""Post-processing at 416 pixels and 80 classes: from decoded predictions to at most 300 detections an image.

    python benchmarks/nms.py [--images 16] [--rounds 5] [--decode]

Made-up predictions of 10,647 boxes an image, from a network that is sure to one that is unsure everywhere.  Base:
class after class, the best box against the rest, in NumPy, on one image.  Both use one thread, and what is printed is
images a second of its CPU time.  ``--decode`` times ``decode`` on TensorFlow too (all cores, wall time), and both
together as ``evaluate`` runs them, suppression in a thread beside the decoding of the next batch: images a second of
wall time, and of two cores' CPU time.  What is decoded there are random outputs of the same shape: decoding costs the
same whatever the values.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from timing import best_seconds

from yolopipe.config import Assignment
from yolopipe.evaluation.nms import detect_batch
from yolopipe.labels.boxes import pairwise_iou

SIZE, CLASSES, STRIDES = 416, 80, (8, 16, 32)
BOXES = sum((SIZE // stride) ** 2 * 3 for stride in STRIDES)
MOST_FOR_BASE = 100_000
"""Candidates; beyond, the base takes many seconds an image."""
FLOORS = (0.01, 0.001)
BATCHES = 8
"""Run one after the other when decoding and suppressing are timed together."""
SETTINGS = {"nms_iou": 0.5, "max_detections": 300}
# objects, boxes on each, how unsure the rest is (the mean objectness and class probability elsewhere)
CASES = {
    "sure: 8 objects": (8, 8, 0.002),
    "crowded: 60 objects": (60, 15, 0.01),
    "packed: 150 objects": (150, 30, 0.02),
    "unsure everywhere": (0, 0, 0.15),
    "150 places, all boxes on them": (150, 70, 0.15),
}


def predictions(case: str, images: int) -> np.ndarray:
    """(images, 10647, 85) decoded."""
    objects, boxes, unsure = CASES[case]
    rng = np.random.default_rng(0)
    out = np.empty((images, BOXES, 5 + CLASSES), np.float32)
    for image in out:
        image[:, :2], image[:, 2:4] = rng.uniform(0, SIZE, (BOXES, 2)), rng.lognormal(3.5, 0.7, (BOXES, 2))
        image[:, 4:] = rng.beta(0.5, 0.5 / unsure - 0.5, (BOXES, 1 + CLASSES))
        at, of = rng.permutation(BOXES)[: objects * boxes], np.repeat(np.arange(objects), boxes)
        centre, size = rng.uniform(20, SIZE - 20, (objects, 2)), rng.uniform(15, 120, (objects, 2))
        image[at, :2] = centre[of] + rng.normal(0, 0.08, (len(of), 2)) * size[of]
        image[at, 2:4] = size[of] * rng.lognormal(0, 0.12, (len(of), 2))
        image[at, 4] = rng.beta(2, 2, len(of))
        image[at, 5 + rng.integers(0, CLASSES, objects)[of]] = rng.beta(5, 2, len(of))
    return out


def plain(image: np.ndarray, floor: float) -> int:
    """Every score above the floor, then class after class, the best box against the rest, in NumPy."""
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
            left = left[iou <= SETTINGS["nms_iou"]]
    return len(sorted(kept)[-300:])


def grids(flat: np.ndarray) -> list[np.ndarray]:
    """The same per stride, as the network gives them."""
    ends = np.cumsum([(SIZE // stride) ** 2 * 3 for stride in STRIDES])[:-1]
    return [
        np.ascontiguousarray(part).reshape(len(flat), SIZE // stride, SIZE // stride, 3, -1)
        for part, stride in zip(np.split(flat, ends, axis=1), STRIDES, strict=True)
    ]


def decoder(images: int) -> Callable[[], list[np.ndarray]]:
    """A batch of raw outputs to decoded arrays, on TensorFlow."""
    import tensorflow as tf

    from yolopipe.model.decode import decode

    anchors = Assignment().anchors_px / np.array(STRIDES)[:, None, None]
    raw = [tf.random.normal((images, SIZE // s, SIZE // s, 3 * (5 + CLASSES))) for s in STRIDES]
    compiled = tf.function(lambda *raw: [decode(*part) for part in zip(raw, anchors, STRIDES, strict=True)])
    return lambda: [scale.numpy() for scale in compiled(*raw)]


def time_decode(images: int, rounds: int) -> None:
    """What TensorFlow needs for the step before, and what both take together."""
    work = decoder(images)
    work()
    seconds = best_seconds({"decode": work}, rounds=rounds)["decode"]
    print(f"{'decode on TensorFlow, all cores':44}{images / seconds:10.0f} images/s")
    for case in CASES:
        scales = grids(predictions(case, images))
        for floor in FLOORS:
            together = partial(decode_and_suppress, work, scales, floor)
            wall, cpu = (
                best_seconds({"both": together}, rounds=rounds, clock=clock)["both"]
                for clock in (time.perf_counter, time.process_time)
            )
            rates = f"{BATCHES * images / wall:10.0f} images/s{2 * BATCHES * images / cpu:10.0f} by CPU time"
            print(f"{'decode and ' + case:44}{floor:6}{rates}", flush=True)


def decode_and_suppress(decoded: Callable[[], object], scales: list[np.ndarray], floor: float) -> None:
    """Batches, one after the other decoded, each suppressed in a thread while the next is decoded."""
    with ThreadPoolExecutor(1) as pool:
        waiting = None
        for _ in range(BATCHES):
            decoded()
            if waiting is not None:
                waiting.result()
            waiting = pool.submit(detect_batch, scales, score_threshold=floor, **SETTINGS)
        waiting.result()


def one_case(case: str, flat: np.ndarray, floor: float, rounds: int) -> None:
    """Print a row."""
    scales, images = grids(flat), len(flat)
    found = sum(len(image.scores) for image in detect_batch(scales, score_threshold=floor, **SETTINGS)) / images
    candidates = int((flat[0, :, 4:5] * flat[0, :, 5:] > floor).sum())
    ours = {"ours": lambda: detect_batch(scales, score_threshold=floor, **SETTINGS)}
    rate = images / best_seconds(ours, rounds=rounds, clock=time.process_time)["ours"]
    row = f"{case:30}{floor:6}{candidates:12,}{found:7.0f}{rate:10.0f}"
    if candidates <= MOST_FOR_BASE:
        base = 1 / best_seconds({"base": lambda: plain(flat[0], floor)}, rounds=1, clock=time.process_time)["base"]
        row += f"{base:8.2f}{rate / base:7.0f}"
    print(row, flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--decode", action="store_true")
    arguments = parser.parse_args()
    print(f"{'':30}{'floor':>6}{'candidates':>12}{'found':>7}{'images/s':>10}{'base':>8}{'ratio':>7}")
    for case in CASES:
        flat = predictions(case, arguments.images)
        for floor in FLOORS:
            one_case(case, flat, floor, arguments.rounds)
    if arguments.decode:
        time_decode(arguments.images, arguments.rounds)


if __name__ == "__main__":
    main()
