"""Soft suppression against a plain loop over Python numbers, written from the paper's figure 2."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolopipe.detection.nms import detect
from yolopipe.detection.soft_nms import soft_suppress
from yolopipe.detection.suppression import Suppression


def overlap(a: list[float], b: list[float]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height)


def plain_soft_nms(
    boxes: list[list[float]], scores: list[float], classes: list[int], sigma: float, floor: float, limit: int
) -> list[tuple[int, float]]:
    """(position, lowered score) of each class in turn, then all in falling score."""
    kept = []
    for class_id in set(classes):
        left = {n: scores[n] for n in range(len(boxes)) if classes[n] == class_id}
        while left:
            best = max(left, key=lambda n: (left[n], -n))
            score = left.pop(best)
            if score > floor:
                kept.append((best, score))
            left = {n: s * math.exp(-(overlap(boxes[best], boxes[n]) ** 2) / sigma) for n, s in left.items()}
    kept.sort(key=lambda item: (-item[1], item[0]))
    return kept[:limit]


def random_boxes(seed: int, count: int, crowding: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, crowding, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(5, 40, (count, 2))], axis=1)
    return boxes, rng.random(count)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(0, 50),
    classes=st.integers(1, 4),
    crowding=st.sampled_from([5.0, 40.0, 300.0]),
    sigma=st.sampled_from([0.05, 0.5, 5.0]),
    floor=st.sampled_from([0.0, 0.001, 0.3]),
    limit=st.integers(1, 60),
)
def test_equals_the_plain_loop(
    seed: int, count: int, classes: int, crowding: float, sigma: float, floor: float, limit: int
) -> None:
    boxes, scores = random_boxes(seed, count, crowding)
    of_class = np.random.default_rng(seed + 1).integers(0, classes, count)
    kept, lowered = soft_suppress(boxes, scores, of_class, sigma=sigma, score_threshold=floor, max_detections=limit)
    expected = plain_soft_nms(boxes.tolist(), scores.tolist(), of_class.tolist(), sigma, floor, limit)
    assert kept.tolist() == [position for position, _ in expected]
    np.testing.assert_allclose(lowered, [score for _, score in expected], rtol=1e-9)


def test_equal_scores_keep_their_order() -> None:
    boxes = np.array([[30.0, 0, 40, 10], [0, 0, 10, 10], [60, 0, 70, 10]])
    kept, lowered = soft_suppress(
        boxes, np.full(3, 0.5), np.array([1, 0, 1]), sigma=0.5, score_threshold=0.1, max_detections=10
    )
    assert (kept.tolist(), lowered.tolist()) == ([0, 1, 2], [0.5, 0.5, 0.5])


def test_boxes_without_area_lower_nothing() -> None:
    boxes = np.array([[5.0, 5, 5, 5], [5, 5, 5, 5]])
    _, lowered = soft_suppress(
        boxes, np.array([0.9, 0.8]), np.zeros(2, np.int64), sigma=0.5, score_threshold=0.0, max_detections=9
    )
    assert lowered.tolist() == [0.9, 0.8]


@pytest.mark.slow
@pytest.mark.parametrize(("limit", "crowding"), [(300, 4000.0), (300, 3.0), (40, 100.0)])
def test_detect_lowers_scores_when_sigma_is_given(limit: int, crowding: float) -> None:
    """With 80 classes candidates are cut before suppression: the scores of what is found are not changed by it."""
    rng = np.random.default_rng(7)
    rows = np.concatenate(
        [
            *(rng.uniform(0, crowding, (840, 2)), rng.uniform(5, 40, (840, 2)), rng.uniform(0.7, 1, (840, 1))),
            rng.random((840, 80)) * (rng.random((840, 80)) < 0.15),
        ],
        axis=1,
    ).astype(np.float32)
    found = detect(rows, Suppression(0.3, 0.5, limit, soft_nms_sigma=0.5))
    place = np.argwhere(rows[:, 4:5] * rows[:, 5:] > 0.3)
    half = rows[:, 2:4].astype(np.float64) / 2
    corners = np.concatenate([rows[:, :2] - half, rows[:, :2] + half], axis=1)[place[:, 0]]
    scores = [float(rows[row, 4] * rows[row, 5 + kind]) for row, kind in place]
    expected = plain_soft_nms(corners.tolist(), scores, place[:, 1].tolist(), 0.5, 0.3, limit)
    assert len(found.scores) == len(expected)
    np.testing.assert_allclose(found.scores, [score for _, score in expected], rtol=1e-4)
    assert (np.diff(found.scores) <= 0).all()
