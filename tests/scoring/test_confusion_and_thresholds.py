"""Confusion, F1 and calibration against plain loops, and known answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolopipe.scoring.calibration import calibration
from yolopipe.scoring.confusion import confusion
from yolopipe.scoring.scores import Detections, Truth
from yolopipe.scoring.thresholds import best_f1
from yolopipe.scoring.voc_ap import HIT, MISS, UNCOUNTED


def overlap(a: list[float], b: list[float]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height)


def plain_confusion(truth: Truth, found: Detections, classes: int, lowest: float, iou: float) -> list[list[int]]:
    """Detection after detection, box after box."""
    counts = [[0] * (classes + 1) for _ in range(classes + 1)]
    free = list(range(len(truth.classes)))
    chosen = [n for n in range(len(found.classes)) if found.scores[n] >= lowest]
    for n in sorted(chosen, key=lambda n: -found.scores[n]):
        best, best_iou = None, iou
        for box in free:
            if truth.image[box] == found.image[n]:
                this = overlap(found.boxes_xyxy[n].tolist(), truth.boxes_xyxy[box].tolist())
                if this >= iou and (best is None or this > best_iou):
                    best, best_iou = box, this
        if best is None:
            counts[classes][found.classes[n]] += 1
        else:
            free.remove(best)
            counts[truth.classes[best]][found.classes[n]] += 1
    for box in free:
        counts[truth.classes[box]][classes] += 1
    return counts


@settings(max_examples=150)
@given(
    seed=st.integers(0, 2**32 - 1),
    boxes=st.integers(0, 40),
    found=st.integers(0, 80),
    spread=st.sampled_from([3, 15, 100]),
    iou=st.sampled_from([0.1, 0.5, 0.8]),
)
def test_confusion_equals_the_plain_loop(seed: int, boxes: int, found: int, spread: int, iou: float) -> None:
    """Whole pixels, so that many overlaps and scores are equal; in a crowd many want the same box."""
    rng = np.random.default_rng(seed)

    def some(count: int) -> np.ndarray:
        corner = rng.integers(0, spread, (count, 2))
        return np.concatenate([corner, corner + rng.integers(3, 20, (count, 2))], axis=1).astype(float)

    truth = Truth(rng.integers(0, 2, boxes), some(boxes), rng.integers(0, 4, boxes))
    detections = Detections(
        rng.integers(0, 2, found), some(found), rng.integers(0, 9, found) / 8, rng.integers(0, 4, found)
    )
    counts = confusion(truth, detections, num_classes=4, lowest=0.25, iou=iou)
    assert counts.tolist() == plain_confusion(truth, detections, 4, 0.25, iou)
    assert counts[:4].sum(axis=1).tolist() == np.bincount(truth.classes, minlength=4).tolist()
    shown = detections.classes[detections.scores >= 0.25]
    assert counts[:, :4].sum(axis=0).tolist() == np.bincount(shown, minlength=4).tolist()


def test_a_chain_of_refusals() -> None:
    """Each box is wanted first by the next detection: all but the first are refused, one after the other."""
    left = np.arange(30.0) * 2
    boxes = np.stack([left, 0 * left, left + 10, 0 * left + 10], axis=1)
    zero = np.zeros(30, np.int64)
    found = Detections(
        np.zeros(31, np.int64), np.concatenate([boxes[:1], boxes]), np.linspace(1, 0.5, 31), np.arange(31)
    )
    counts = confusion(Truth(zero, boxes, zero), found, num_classes=31, lowest=0.3)
    assert counts.tolist() == plain_confusion(Truth(zero, boxes, zero), found, 31, 0.3, 0.5)


@settings(max_examples=150)
@given(seed=st.integers(0, 2**32 - 1), found=st.integers(0, 40), more=st.integers(0, 5))
def test_best_f1_is_the_best_of_all_thresholds(seed: int, found: int, more: int) -> None:
    rng = np.random.default_rng(seed)
    scores, verdicts = rng.integers(0, 15, found) / 15, rng.integers(-1, 2, found)
    positives = int((verdicts == HIT).sum()) + more
    best = best_f1(scores, verdicts, positives)
    tried = []
    for threshold in sorted({float(score) for score in scores}, reverse=True):
        taken = [v for v, s in zip(verdicts, scores, strict=True) if s >= threshold and v != UNCOUNTED]
        hits = taken.count(HIT)
        if hits:
            precision, recall = hits / len(taken), hits / positives
            tried.append((2 * precision * recall / (precision + recall), threshold, precision, recall))
    if not tried:
        assert best is None
        return
    assert best is not None
    assert best.f1 == pytest.approx(max(f1 for f1, *_ in tried), abs=1e-12)
    at_best = next(row for row in tried if row[1] == best.threshold)
    assert (best.f1, best.precision, best.recall) == pytest.approx((at_best[0], *at_best[2:]), abs=1e-12)
    assert not [row for row in tried if row[1] > best.threshold and row[0] >= best.f1 + 1e-12]


def test_of_equal_f1_the_highest_threshold() -> None:
    best = best_f1(np.array([0.9, 0.5, 0.4]), np.array([HIT, MISS, HIT]), 3)
    assert best is not None
    assert (best.threshold, best.f1) == (0.4, pytest.approx(2 / 3))
    best = best_f1(np.array([0.9, 0.5, 0.4, 0.3]), np.array([HIT, MISS, MISS, HIT]), 2)
    assert best is not None
    assert (best.threshold, best.f1, best.precision, best.recall) == (0.9, pytest.approx(2 / 3), 1.0, 0.5)


@settings(max_examples=100)
@given(seed=st.integers(0, 2**32 - 1), found=st.integers(0, 60), lowest=st.sampled_from([0.0, 0.3, 0.25]))
def test_calibration_equals_the_plain_loop(seed: int, found: int, lowest: float) -> None:
    rng = np.random.default_rng(seed)
    scores, verdicts = rng.integers(0, 65, found) / 64, rng.integers(-1, 2, found)  # 1.0 falls into the last bin
    bins: dict[int, list[tuple[float, int]]] = {}
    for score, verdict in zip(scores.tolist(), verdicts.tolist(), strict=True):
        if score >= lowest and verdict != UNCOUNTED:
            bins.setdefault(min(int(score * 10), 9), []).append((score, verdict))
    result = calibration(scores, verdicts, lowest=lowest)
    rows = [bins[place] for place in sorted(bins)]
    assert result.count.tolist() == [len(row) for row in rows]
    np.testing.assert_allclose(result.score, [np.mean([s for s, _ in row]) for row in rows])
    np.testing.assert_allclose(result.precision, [np.mean([v for _, v in row]) for row in rows])
    total = sum(len(row) for row in rows)
    error = sum(len(row) / total * abs(np.mean([s - v for s, v in row])) for row in rows) if total else None
    assert result.error() == (None if error is None else pytest.approx(error, abs=1e-12))


def test_scores_that_mean_what_they_say() -> None:
    """Of detections that score .75 three in four are right: no error; if all are right, a quarter."""
    scores = np.full(400, 0.75)
    honest = calibration(scores, np.tile([HIT, HIT, MISS, HIT], 100), lowest=0.3)
    assert honest.error() == 0.0
    assert calibration(scores, np.full(400, HIT), lowest=0.3).error() == 0.25
