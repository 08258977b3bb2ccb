"""The matching of predictions and truth against a plain double loop, and its true positives against pycocotools."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolopipe.scoring.confusion import confusion
from yolopipe.scoring.matching import (
    BACKGROUND,
    BOTH,
    CLASSIFICATION,
    DUPLICATE,
    IGNORED,
    LOCALIZATION,
    TRUE_POSITIVE,
    match,
)
from yolopipe.scoring.scores import Detections, Truth


def overlap(a: list[float], b: list[float]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height)


def is_inside(truth: Truth, found: Detections, n: int, share: float) -> bool:
    """Whether this share of a prediction, of whole pixels, is in an ignored box of its class or of any."""
    x1, y1, x2, y2 = found.boxes_xyxy[n].astype(int).tolist()
    for box in np.flatnonzero(truth.ignore & (truth.image == found.image[n])):
        if truth.classes[box] in (found.classes[n], -1):
            left, top, right, bottom = truth.boxes_xyxy[box].astype(int).tolist()
            across, down = set(range(x1, x2)) & set(range(left, right)), set(range(y1, y2)) & set(range(top, bottom))
            if len(across) * len(down) / ((x2 - x1) * (y2 - y1)) >= share:
                return True
    return False


def plain_match(truth: Truth, found: Detections, iou: float, near: float) -> tuple[list, list, list, list]:
    """Prediction after prediction, box after box: first within the class, then across classes."""
    order = sorted(range(len(found.classes)), key=lambda n: -found.scores[n])
    real = np.flatnonzero(~truth.ignored()).tolist()
    taken: dict[int, int] = {}
    ignored: set[int] = set()
    for across in (False, True):
        if across and truth.ignore is not None:
            ignored = {n for n in order if n not in taken and is_inside(truth, found, n, iou)}
        for n in order:
            best, best_iou = None, iou
            for box in real:
                there = (
                    truth.image[box] == found.image[n] and n not in {*taken, *ignored} and box not in taken.values()
                )
                if there and (across or truth.classes[box] == found.classes[n]):
                    this = overlap(found.boxes_xyxy[n].tolist(), truth.boxes_xyxy[box].tolist())
                    if this >= iou and (best is None or this > best_iou):
                        best, best_iou = box, this
            if best is not None:
                taken[n] = best
    ious, verdicts = [], []
    for n, class_id in enumerate(found.classes):
        own, other = [0.0], [0.0]
        for box in (box for box in real if truth.image[box] == found.image[n]):
            this = overlap(found.boxes_xyxy[n].tolist(), truth.boxes_xyxy[box].tolist())
            (own if truth.classes[box] == class_id else other).append(this)
            if taken.get(n) == box:
                ious.append(this)
        if n in taken:
            right = truth.classes[taken[n]] == class_id
            verdicts.append(TRUE_POSITIVE if right else CLASSIFICATION)
            continue
        ious.append(max(own + other))
        if n in ignored:
            verdicts.append(IGNORED)
        elif max(own) >= iou:
            verdicts.append(DUPLICATE)
        elif max(other) >= iou:
            verdicts.append(CLASSIFICATION)
        elif max(own) >= near:
            verdicts.append(LOCALIZATION)
        else:
            verdicts.append(BOTH if max(other) >= near else BACKGROUND)
    missed = [box for box in real if box not in taken.values()]
    return [taken.get(n, -1) for n in range(len(found.classes))], ious, verdicts, missed


@pytest.mark.slow
@settings(max_examples=150)
@given(
    seed=st.integers(0, 2**32 - 1),
    boxes=st.integers(0, 40),
    found=st.integers(0, 80),
    spread=st.sampled_from([3, 15, 100]),
    iou=st.sampled_from([0.1, 0.5, 0.8]),
)
def test_equals_the_plain_double_loop(seed: int, boxes: int, found: int, spread: int, iou: float) -> None:
    """Whole pixels: many overlaps and scores are equal, and many predictions ask for the same box.

    A fifth of the boxes are ignored, half of them of any class.
    """
    rng = np.random.default_rng(seed)

    def some(count: int) -> np.ndarray:
        corner = rng.integers(0, spread, (count, 2))
        return np.concatenate([corner, corner + rng.integers(3, 20, (count, 2))], axis=1).astype(float)

    ignore = rng.random(boxes) < 0.2
    of_any = ignore & (rng.random(boxes) < 0.5)
    true_classes = np.where(of_any, -1, rng.integers(0, 4, boxes))
    truth = Truth(rng.integers(0, 2, boxes), some(boxes), true_classes, ignore=ignore)
    image, scores, classes = rng.integers(0, 2, found), rng.integers(0, 9, found) / 8, rng.integers(0, 4, found)
    detections = Detections(image, some(found), scores, classes)
    table = match(truth, detections, iou=iou, near=0.1)
    matched, ious, verdicts, missed = plain_match(truth, detections, iou, 0.1)
    assert table.truth.tolist() == matched
    assert table.verdict.tolist() == verdicts
    assert table.missed.tolist() == missed
    np.testing.assert_allclose(table.iou, ious, atol=1e-12)
    counts = confusion(truth, detections, num_classes=4, lowest=0.25, iou=iou)
    kept = detections.from_score(0.25)
    expected = np.zeros((5, 5), int)
    matched, _, verdicts, missed = plain_match(truth, kept, iou, 0.1)
    for box, class_id, verdict in zip(matched, kept.classes, verdicts, strict=True):
        if verdict != IGNORED:
            expected[truth.classes[box] if box >= 0 else 4, class_id] += 1
    for box in missed:
        expected[truth.classes[box], 4] += 1
    assert counts.tolist() == expected.tolist()
    assert counts[:4].sum(axis=1).tolist() == np.bincount(truth.classes[~ignore], minlength=4).tolist()


@pytest.mark.parametrize("seed", range(5))
def test_true_positives_and_ignored_predictions_are_those_of_pycocotools(coco_reference, seed: int) -> None:
    """Pairs and all, at IoU .5; coordinates are not whole, so that no two overlaps or scores are equal.

    The last twelve boxes are ignored, and crowds to pycocotools; those of any class are a crowd in each class.
    """
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 60, (60, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(10, 40, (60, 2))], axis=1)
    near = rng.integers(0, 60, 180)
    found = boxes[near] + rng.normal(0, 3, (180, 4))
    found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
    ignore = np.arange(60) >= 48
    classes = np.where(ignore & (rng.random(60) < 0.5), -1, rng.integers(0, 3, 60))
    truth = Truth(rng.integers(0, 3, 60), boxes, classes, ignore=ignore)
    own = (rng.random(180) < 0.6) & (classes[near] >= 0)
    classes = np.where(own, truth.classes[near], rng.integers(0, 3, 180))
    detections = Detections(truth.image[near], found, rng.random(180), classes)

    def entries(part: Truth | Detections, **columns: np.ndarray) -> list[dict]:
        rows = zip(part.image.tolist(), part.classes.tolist(), part.boxes_xyxy.tolist(), strict=True)
        return [
            {"image_id": i, "category_id": each, "bbox": [x1, y1, x2 - x1, y2 - y1]}
            | {key: values[n] for key, values in columns.items()}
            for n, (i, c, (x1, y1, x2, y2)) in enumerate(rows)
            for each in (range(3) if c == -1 else [c])
        ]

    frame = {"images": [{"id": n} for n in range(3)], "categories": [{"id": n} for n in range(3)]}
    evaluator = coco_reference.evaluated(
        {**frame, "annotations": entries(truth, iscrowd=ignore.astype(int))},
        entries(detections, score=detections.scores),
    )
    expected, ignored = {}, set()
    for one in evaluator.evalImgs:
        if one is not None and one["aRng"] == evaluator.params.areaRng[0]:
            pairs = zip(one["dtIds"], one["dtMatches"][0].astype(int), strict=True)
            expected |= {number - 1: box - 1 for number, box in pairs if 0 < box <= 48}
            ignored |= {number - 1 for number, out in zip(one["dtIds"], one["dtIgnore"][0], strict=True) if out}
    table = match(truth, detections)
    right = np.flatnonzero(table.verdict == TRUE_POSITIVE)
    assert dict(zip(right.tolist(), table.truth[right].tolist(), strict=True)) == expected
    assert set(np.flatnonzero(table.verdict == IGNORED).tolist()) == ignored
    assert min(len(right), len(ignored)) > 10


def test_a_chain_of_refusals() -> None:
    """Each box is asked for first by the next prediction: all but the first are refused, one after the other."""
    left = np.arange(30.0) * 2
    boxes = np.stack([left, 0 * left, left + 10, 0 * left + 10], axis=1)
    zero = np.zeros(31, np.int64)
    found = Detections(zero, np.concatenate([boxes[:1], boxes]), np.linspace(1, 0.5, 31), zero)
    truth = Truth(zero[:30], boxes, zero[:30])
    assert match(truth, found).truth.tolist() == plain_match(truth, found, 0.5, 0.1)[0]


def test_a_better_scoring_prediction_of_another_class_does_not_take_the_box() -> None:
    """COCO matches within the class: the prediction with the right class is a true positive."""
    box, zero = np.array([[0.0, 0, 10, 10]]), np.zeros(2, np.int64)
    found = Detections(zero, np.repeat(box, 2, axis=0), np.array([0.9, 0.8]), np.array([1, 0]))
    table = match(Truth(zero[:1], box, zero[:1]), found)
    assert table.truth.tolist() == [-1, 0]
    assert table.verdict.tolist() == [CLASSIFICATION, TRUE_POSITIVE]


def test_nothing_annotated_and_nothing_found() -> None:
    none, box, zero = np.zeros(0, np.int64), np.array([[0.0, 0, 9, 9]]), np.zeros(1, np.int64)
    no_truth, no_found = Truth(none, np.zeros((0, 4)), none), Detections(none, np.zeros((0, 4)), none + 0.0, none)
    assert [part.tolist() for part in match(no_truth, no_found)] == [[], [], [], []]
    assert match(Truth(zero, box, zero), no_found).missed.tolist() == [0]
    assert match(no_truth, Detections(zero, box, zero + 0.5, zero)).verdict.tolist() == [BACKGROUND]
