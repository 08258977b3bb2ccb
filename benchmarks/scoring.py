"""COCO's measures of 5,000 images and 80 classes: ours against faster-coco-eval in one call, and pycocotools.

    python benchmarks/scoring.py [--images 5000] [--detections 100] [--rounds 1] [--without-pycocotools]

Ten annotated boxes an image, detections near them.  All start from arrays and end with the twelve numbers, with the
standard settings.  Printed are CPU seconds and the largest difference between the answers.  yolopipe also computes
the VOC measures and the confusion matrix; their time is on lines of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import time
from typing import Any

import numpy as np
from timing import best_seconds

from yolopipe.scoring.confusion import confusion
from yolopipe.scoring.scores import Detections, Truth, coco_scores
from yolopipe.scoring.voc_ap import voc_scores

CLASSES, BOXES = 80, 10


def random_boxes(images: int, detections: int) -> tuple[Truth, Detections]:
    """Truth and detections."""
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 500, (images * BOXES, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(8, 200, corner.shape)], axis=1)
    classes = rng.integers(0, CLASSES, len(boxes))
    truth = Truth(np.repeat(np.arange(images), BOXES), boxes, classes, ignore=rng.random(len(boxes)) < 0.01)
    image = np.repeat(np.arange(images), detections)
    near = image * BOXES + rng.integers(0, BOXES, len(image))
    found = boxes[near] + rng.normal(0, 8, (len(image), 4))
    found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
    kinds = np.where(rng.random(len(image)) < 0.5, classes[near], rng.integers(0, CLASSES, len(image)))
    return truth, Detections(image, found, rng.random(len(image)), kinds)


def as_coco(boxes: Truth | Detections, extra: str, values: np.ndarray) -> list[dict[str, Any]]:
    """The dictionaries that both libraries take."""
    boxes_xywh = boxes.boxes_xyxy.copy()
    boxes_xywh[:, 2:] -= boxes_xywh[:, :2]
    columns = ((boxes.image + 1).tolist(), (boxes.classes + 1).tolist(), boxes_xywh.tolist(), values.tolist())
    return [
        {"id": n, "image_id": i, "category_id": c, "bbox": b, "area": b[2] * b[3], "iscrowd": 0, extra: v}
        for n, (i, c, b, v) in enumerate(zip(*columns, strict=True), start=1)
    ]


def library(name: str, truth: Truth, found: Detections, images: int) -> np.ndarray:
    """The twelve numbers of a library, everything in one call."""
    if name == "pycocotools":
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval as Evaluator
    else:
        from faster_coco_eval import COCO
        from faster_coco_eval import COCOeval_faster as Evaluator
    frame = {"images": [{"id": n + 1} for n in range(images)]}
    frame |= {"categories": [{"id": n + 1, "name": str(n)} for n in range(CLASSES)]}
    sets = []
    with contextlib.redirect_stdout(io.StringIO()):
        for entries in (as_coco(truth, "iscrowd", truth.ignore.astype(int)), as_coco(found, "score", found.scores)):
            coco = COCO()
            coco.dataset = {**frame, "annotations": entries}
            coco.createIndex()
            sets.append(coco)
        evaluator = Evaluator(*sets, "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return np.asarray(evaluator.stats[:9])


def ours(truth: Truth, found: Detections) -> np.ndarray:
    """Nine of the numbers, from yolopipe."""
    scores = coco_scores(truth, found, num_classes=CLASSES)
    sizes = [scores.ap(area=size) for size in ("small", "medium", "large")]
    return np.array([scores.ap(), scores.ap(50), scores.ap(75), *sizes, *(scores.ar(n) for n in (1, 10, 100))], float)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--detections", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--without-pycocotools", action="store_true")
    arguments = parser.parse_args()
    truth, found = random_boxes(arguments.images, arguments.detections)
    print(f"{arguments.images:,} images, {len(truth.classes):,} boxes, {len(found.classes):,} detections")
    answers: dict[str, np.ndarray] = {}
    contenders = {
        "yolopipe": lambda: answers.update(ours=ours(truth, found)),
        "faster-coco-eval": lambda: answers.update(faster=library("faster", truth, found, arguments.images)),
    }
    seconds = best_seconds(contenders, rounds=arguments.rounds, clock=time.process_time)
    if not arguments.without_pycocotools:
        slow = {"pycocotools": lambda: answers.update(slow=library("pycocotools", truth, found, arguments.images))}
        seconds |= best_seconds(slow, rounds=1, clock=time.process_time)
    for (name, value), answer in zip(seconds.items(), answers.values(), strict=True):
        apart = np.abs(answer - answers["ours"]).max()
        print(f"  {name:20}{value:8.2f} s{value / seconds['yolopipe']:8.2f} times ours, {apart:.0e} apart")
    extra = {
        "VOC measures": lambda: voc_scores(truth, found, num_classes=CLASSES),
        "confusion matrix": lambda: confusion(truth, found, num_classes=CLASSES, lowest=0.3),
    }
    for name, value in best_seconds(extra, rounds=arguments.rounds, clock=time.process_time).items():
        print(f"  {name:20}{value:8.2f} s besides")


if __name__ == "__main__":
    main()
