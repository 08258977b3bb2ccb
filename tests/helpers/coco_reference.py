"""pycocotools' numbers for COCO dictionaries, and random dictionaries with all that is awkward in real ones."""

from __future__ import annotations

import contextlib
import io

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

STATS = ("mAP", "mAP50", "mAP75", "AP_small", "AP_medium", "AP_large", "AR_1", "AR_10", "AR_100")


def evaluated(truth: dict, predictions: list[dict]) -> COCOeval:
    """The evaluator after its work.  It wants whole-number ids from 1, an area and a crowd mark; so it gets them."""
    order = sorted((image["id"] for image in truth["images"]), key=lambda i: (isinstance(i, str), i))
    number = {key: place + 1 for place, key in enumerate(order)}
    boxes = [
        {
            **box,
            "id": place + 1,
            "image_id": number[box["image_id"]],
            "area": box.get("area", box["bbox"][2] * box["bbox"][3]),
            "iscrowd": box.get("iscrowd", 0),
        }
        for place, box in enumerate(truth["annotations"])
    ]
    found = [{**box, "image_id": number[box["image_id"]]} for box in predictions]
    true_set, found_set = COCO(), COCO()
    with contextlib.redirect_stdout(io.StringIO()):
        true_set.dataset = {"images": [{"id": n} for n in number.values()], "categories": truth["categories"]}
        true_set.dataset |= {"annotations": boxes, "info": {}}
        true_set.createIndex()
        if found:
            found_set = true_set.loadRes(found)
        else:
            found_set.dataset = {**true_set.dataset, "annotations": []}
            found_set.createIndex()
        evaluator = COCOeval(true_set, found_set, "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator


def expected(truth: dict, predictions: list[dict]) -> dict:
    """What ``yolopipe score`` should print, VOC's measures apart: -1 is null."""
    evaluator = evaluated(truth, predictions)
    precision, recall = evaluator.eval["precision"], evaluator.eval["recall"]

    def mean(values: np.ndarray) -> float | None:
        return float(values[values > -1].mean()) if (values > -1).any() else None

    def of_class(k: int) -> dict:
        ap = {"AP": mean(precision[:, :, k, 0, 2]), "AP50": mean(precision[0, :, k, 0, 2])}
        ap["AP75"] = mean(precision[5, :, k, 0, 2])
        ap |= {
            f"AP_{name}": mean(precision[:, :, k, a, 2]) for a, name in ((1, "small"), (2, "medium"), (3, "large"))
        }
        return ap | {f"AR_{limit}": mean(recall[:, k, 0, m]) for m, limit in enumerate((1, 10, 100))}

    names = {category["id"]: category["name"] for category in truth["categories"]}
    values = {name: None if value == -1 else float(value) for name, value in zip(STATS, evaluator.stats[:9])}  # noqa: B905
    return values | {"per_class": {names[c]: of_class(k) for k, c in enumerate(evaluator.params.catIds)}}


def random_files(seed: int, *, images: int, boxes: int, found: int, classes: int = 4) -> tuple[dict, list[dict]]:
    """Truth and predictions: ids of two kinds, crowds, areas given or not, ties, odd and even sizes, empty images."""
    rng = np.random.default_rng(seed)
    ids: list[int | str] = [int(i) for i in rng.permutation(10 * images)[:images]]
    if seed % 2:
        ids = [f"scene {i} ü" for i in ids]
    categories = [{"id": int(c), "name": f"class {c}"} for c in rng.permutation(90)[:classes]]
    digits = int(rng.integers(0, 3))  # whole pixels make IoUs that lie exactly on a threshold
    annotations = []
    for number in range(boxes):
        box = np.round(np.concatenate([rng.uniform(0, 200, 2), rng.choice([8, 30, 60, 200]) * rng.random(2)]), digits)
        kind = categories[int(rng.integers(0, max(1, classes - 1)))]["id"]
        entry = {"id": number, "image_id": ids[int(rng.integers(0, images))], "category_id": kind}
        entry |= {"bbox": box.tolist()}
        if rng.random() < 0.5:
            entry["area"] = round(float(box[2] * box[3] * rng.uniform(0.4, 1.0)), 1)
        if rng.random() < 0.5:
            entry["iscrowd"] = int(rng.random() < 0.2)
        annotations.append(entry)
    predictions = []
    for _ in range(found):
        near = annotations[int(rng.integers(0, boxes))] if boxes else {"bbox": [0, 0, 9, 9], "image_id": ids[0]}
        box = np.round(np.array(near["bbox"]) + rng.normal(0, 3, 4) * rng.integers(0, 2), digits)
        box[2:] = np.maximum(box[2:], 0)
        kind = near.get("category_id") if rng.random() < 0.8 else None
        predictions.append(
            {
                "image_id": near["image_id"] if rng.random() < 0.9 else ids[int(rng.integers(0, images))],
                "category_id": kind or categories[int(rng.integers(0, classes))]["id"],
                "bbox": box.tolist(),
                "score": round(float(rng.random()), 1),
            }
        )
    return {"images": [{"id": i} for i in ids], "categories": categories, "annotations": annotations}, predictions
