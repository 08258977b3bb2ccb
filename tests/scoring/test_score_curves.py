"""The threshold with the highest F1, and calibration, against plain loops and known answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolopipe.scoring.score_curves import best_f1, calibration
from yolopipe.scoring.voc_ap import HIT, MISS, UNCOUNTED


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


def test_calibration_error_of_known_scores() -> None:
    """Score .75: no error when three in four are true positives, a quarter when all are."""
    scores = np.full(400, 0.75)
    three_in_four = calibration(scores, np.tile([HIT, HIT, MISS, HIT], 100), lowest=0.3)
    assert three_in_four.error() == 0.0
    assert calibration(scores, np.full(400, HIT), lowest=0.3).error() == 0.25
