"""Overlapping boxes against a plain walk over all pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolopipe.inspection.checks import overlaps as module
from yolopipe.inspection.checks.overlaps import overlaps


def plain_iou(a: list[float], b: list[float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return shared / (area - shared)


def walk(boxes: np.ndarray, classes: np.ndarray, rows: np.ndarray, above: float, same: bool) -> list[tuple]:
    found = []
    for later in range(len(boxes)):
        best: tuple[float, int] | None = None
        for first in range(later):
            if rows[first] == rows[later] and (classes[first] == classes[later]) == same:
                iou = plain_iou(boxes[first].tolist(), boxes[later].tolist())
                if iou > above and (best is None or iou > best[0] + 1e-12):
                    best = iou, first
        if best:
            found.append((later, best[1], round(best[0], 9)))
    return found


@settings(max_examples=80)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(0, 60),
    above=st.sampled_from([0.1, 0.5, 0.7, 0.9]),
    same=st.booleans(),
    at_once=st.sampled_from([1, 7, 2**18]),
)
def test_equal_to_a_walk_over_all_pairs(seed: int, count: int, above: float, same: bool, at_once: int) -> None:
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 12, (count, 2))
    boxes = np.concatenate([corner, corner + rng.integers(1, 30, (count, 2))], axis=1).astype(float)
    classes = rng.integers(0, 3, count)
    rows = np.sort(rng.integers(0, 4, count))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PAIRS_AT_ONCE", at_once)
        found = overlaps(boxes, classes, rows, above=above, same_class=same)
    got = [(b, f, round(iou, 9)) for b, f, iou in zip(*(part.tolist() for part in found), strict=True)]
    assert got == walk(boxes, classes, rows, above, same)


def test_five_hundred_boxes_of_one_image() -> None:
    rng = np.random.default_rng(5)
    corner = rng.uniform(0, 300, (500, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(20, 60, (500, 2))], axis=1)
    zeros = np.zeros(500, int)
    found = overlaps(boxes, zeros, zeros, above=0.5, same_class=True)
    expected = walk(boxes, zeros, zeros, 0.5, True)
    assert len(expected) > 20
    assert [(b, f) for b, f in zip(found.box.tolist(), found.first.tolist(), strict=True)] == [
        e[:2] for e in expected
    ]


def test_the_same_box_under_a_flip_and_another_scale() -> None:
    boxes = np.array([[10, 10, 50, 40], [12, 10, 50, 40]], float)
    flipped = np.array([[100 - x2, y1, 100 - x1, y2] for x1, y1, x2, y2 in boxes]) * 0.65
    one, two = (overlaps(b, [0, 0], [0, 0], above=0.7, same_class=True) for b in (boxes, flipped))
    assert one.iou == pytest.approx(two.iou)
