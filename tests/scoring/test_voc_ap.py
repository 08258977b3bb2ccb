"""VOC's average precision against a plain loop written from the devkit's description, and known answers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolopipe.scoring.scores import Detections, Truth
from yolopipe.scoring.voc_ap import HIT, MISS, UNCOUNTED, voc_scores, voc_verdicts


def devkit_overlap(a: list[float], b: list[float], plus: int) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0]) + plus
    height = min(a[3], b[3]) - max(a[1], b[1]) + plus
    if width <= 0 or height <= 0:
        return 0.0
    area = (a[2] - a[0] + plus) * (a[3] - a[1] + plus) + (b[2] - b[0] + plus) * (b[3] - b[1] + plus)
    return width * height / (area - width * height)


def devkit_class(truth: list[dict], found: list[dict], plus: int, minimum: float) -> tuple[list, float, float]:
    """Marks of the detections of one class in falling score (1, 0 or None), all-point AP, 11-point AP."""
    positives = sum(not box["difficult"] for box in truth)
    detected: set[int] = set()
    marks: list[int | None] = []
    for detection in sorted(found, key=lambda d: -d["score"]):
        best, overlap = None, float("-inf")
        for number, box in enumerate(truth):
            if box["image"] == detection["image"]:
                this = devkit_overlap(detection["box"], box["box"], plus)
                if this > overlap:
                    best, overlap = number, this
        if best is None or overlap < minimum:
            marks.append(0)
        elif truth[best]["difficult"]:
            marks.append(None)
        elif best in detected:
            marks.append(0)
        else:
            detected.add(best)
            marks.append(1)
    curve = []
    hits = misses = 0
    for mark in marks:
        if mark is not None:
            hits, misses = hits + mark, misses + 1 - mark
            curve.append((Fraction(hits, max(1, positives)), Fraction(hits, hits + misses)))
    area, before = Fraction(0), Fraction(0)
    for place, (recall, _) in enumerate(curve):
        area += (recall - before) * max(precision for _, precision in curve[place:])
        before = recall
    levels = [max((p for r, p in curve if r >= Fraction(level, 10)), default=Fraction(0)) for level in range(11)]
    return marks, float(area), float(sum(levels) / 11)


def random_set(seed: int, boxes: int, found: int) -> tuple[Truth, Detections]:
    """Three images, three classes, whole pixels and a coarse scale of scores: ties everywhere.

    Some boxes are difficult, some ignored, and of those some of any class.
    """
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 40, (boxes, 2))
    true = np.concatenate([corner, corner + rng.integers(0, 20, (boxes, 2))], axis=1).astype(float)
    near = rng.integers(0, max(1, boxes), found)
    shifted = (true[near] if boxes else np.zeros((found, 4))) + rng.integers(-3, 4, (found, 4))
    shifted[:, 2:] = np.maximum(shifted[:, 2:], shifted[:, :2])
    image, classes = rng.integers(0, 3, boxes), rng.integers(0, 3, boxes)
    same = rng.random(found) < 0.8
    ignore, difficult = rng.random(boxes) < 0.2, rng.random(boxes) < 0.2
    of_any = ignore & (rng.random(boxes) < 0.5)
    truth = Truth(image, true, np.where(of_any, -1, classes), ignore=ignore, difficult=difficult)
    detections = Detections(
        np.where(same, image[near] if boxes else 0, rng.integers(0, 3, found)),
        shifted,
        rng.integers(0, 12, found) / 12,
        np.where(same, classes[near] if boxes else 0, rng.integers(0, 3, found)),
    )
    return truth, detections


@pytest.mark.slow
@settings(max_examples=150)
@given(
    seed=st.integers(0, 2**32 - 1),
    boxes=st.integers(0, 40),
    found=st.integers(0, 80),
    plus_one=st.booleans(),
    iou=st.sampled_from([0.3, 0.5, 0.75]),
)
def test_equals_the_devkits_loop(seed: int, boxes: int, found: int, plus_one: bool, iou: float) -> None:
    truth, detections = random_set(seed, boxes, found)
    scores = voc_scores(truth, detections, num_classes=3, iou=iou, plus_one=plus_one)
    for class_id in range(3):
        chosen = [n for n in range(found) if detections.classes[n] == class_id]
        left_out = (truth.ignore | truth.difficult).tolist()  # type: ignore[operator]
        marks, all_point, eleven_point = devkit_class(
            [
                {"image": truth.image[n], "box": truth.boxes_xyxy[n].tolist(), "difficult": left_out[n]}
                for n in range(boxes)
                if truth.classes[n] in (class_id, -1)
            ],
            [
                {
                    "image": detections.image[n],
                    "box": detections.boxes_xyxy[n].tolist(),
                    "score": detections.scores[n],
                }
                for n in chosen
            ],
            int(plus_one),
            iou,
        )
        by_score = sorted(chosen, key=lambda n: -detections.scores[n])
        assert scores.verdicts[by_score].tolist() == [UNCOUNTED if mark is None else mark for mark in marks]
        if any(c == class_id and not out for c, out in zip(truth.classes, left_out, strict=True)):
            assert scores.all_point[class_id] == pytest.approx(all_point, abs=1e-12)
            assert scores.eleven_point[class_id] == pytest.approx(eleven_point, abs=1e-12)
        else:
            assert scores.all_point[class_id] is scores.eleven_point[class_id] is None


def one_class(true: list, found: list, **marks: np.ndarray) -> tuple[Truth, Detections]:
    """All in one image and class; ``found`` has score and box."""
    number = np.zeros(len(found), np.int64)
    boxes = np.array([box for _, *box in found], float).reshape(-1, 4)
    zero = np.zeros(len(true), np.int64)
    truth = Truth(zero, np.array(true, float).reshape(-1, 4), zero, **marks)
    return truth, Detections(number, boxes, np.array([score for score, *_ in found], float), number)


def test_three_of_ten_found_reach_the_level_of_three_tenths() -> None:
    """3 x 0.1 is more than 0.3 in floating point: four levels count, 0 to .3, not three."""
    boxes = [[20 * n, 0, 20 * n + 10, 10] for n in range(10)]
    truth, found = one_class(boxes, [(0.9, *boxes[0]), (0.8, *boxes[1]), (0.7, *boxes[2])])
    scores = voc_scores(truth, found, num_classes=1)
    assert scores.eleven_point[0] == pytest.approx(4 / 11, abs=1e-15)
    assert scores.all_point[0] == pytest.approx(0.3, abs=1e-15)


def test_a_detection_whose_best_box_is_taken_is_a_miss() -> None:
    """It overlaps the second box by 2/3 too; COCO would give it that one."""
    truth, found = one_class([[0, 0, 10, 10], [0, 2, 10, 12]], [(0.9, 0, 0, 10, 10), (0.8, 0, 0, 10, 10)])
    assert voc_verdicts(truth, found).tolist() == [HIT, MISS]


@pytest.mark.parametrize("mark", ["difficult", "ignore"])
def test_difficult_and_ignored_boxes_are_neither_found_nor_missed_however_often(mark: str) -> None:
    truth, found = one_class(
        [[0, 0, 10, 10], [50, 50, 60, 60]],
        [(0.9, 0, 0, 10, 10), (0.8, 0, 0, 10, 10), (0.7, 50, 50, 60, 60)],
        **{mark: np.array([True, False])},
    )
    scores = voc_scores(truth, found, num_classes=1)
    assert scores.verdicts.tolist() == [UNCOUNTED, UNCOUNTED, HIT]
    assert scores.all_point == (1.0,)
    assert scores.positives.tolist() == [1]


@pytest.mark.parametrize("number", [0, 500])
def test_nothing_found_and_nothing_to_find(number: int) -> None:
    truth, found = one_class([[0, 0, 9, 9]] * 3, [(0.5, 100, 100, 109, 109)] * number)
    scores = voc_scores(truth, found, num_classes=2)
    assert scores.all_point == (0.0, None)
    assert scores.mean("eleven_point") == 0.0
    assert voc_scores(one_class([], [])[0], found, num_classes=1).mean("all_point") is None
