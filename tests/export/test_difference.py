"""How far two answers are apart: known cases, and detections whose order does not matter."""

from __future__ import annotations

import numpy as np
import pytest

from yolopipe.detection.nms import ImageDetections
from yolopipe.export.difference import furthest, in_places

NONE = ImageDetections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))


def image(*found: tuple[float, float, int]) -> ImageDetections:
    """Squares of 10 pixels at x, with score and class."""
    return ImageDetections(
        np.array([[x, 0, x + 10, 10] for x, _, _ in found], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in found], np.float32),
        np.array([number for _, _, number in found], np.int64),
    )


def apart(ours: ImageDetections, theirs: ImageDetections, places: int = 5, **options: float) -> tuple[float, float]:
    answers = in_places([ours, NONE], places), in_places([theirs, NONE], places)
    found = furthest(*answers, input_size=100, **options)
    return found["boxes_xyxy"], found["scores"]


def test_nothing_found_on_either_side() -> None:
    assert apart(NONE, NONE) == (0, 0)


def test_order_does_not_matter() -> None:
    first, second = (0.0, 0.5, 1), (40.0, 0.5, 1)
    assert apart(image(first, second), image(second, first)) == (0, 0)


def test_boxes_and_scores_are_those_of_the_same_detection() -> None:
    ours, theirs = image((0, 0.9, 0), (3, 0.5, 1)), image((0.25, 0.8, 0), (3, 0.5, 1))
    assert apart(ours, theirs) == pytest.approx((0.25, 0.1))


def test_unsure_boxes_may_be_exchanged_for_their_neighbours() -> None:
    assert apart(image((0, 0.05, 0)), image((2, 0.05, 0))) == (0, 0)
    assert apart(image((0, 0.15, 0)), image((2, 0.15, 0))) == (2, 0)


def test_what_lies_far_outside_the_picture_does_not_count() -> None:
    """A picture of 100 pixels: from -100 to 200."""
    assert apart(image((195, 0.9, 0)), image((196, 0.9, 0))) == (1, 0), "its left side is one further"
    assert apart(image((230, 0.9, 0)), image((233, 0.9, 0))) == (0, 0)
    assert apart(image((-104, 0.9, 0)), image((-105, 0.9, 0))) == (1, 0)


def test_a_lone_detection_counts_with_its_score() -> None:
    assert apart(image((0, 0.9, 0)), NONE) == pytest.approx((0, 0.9))
    assert apart(NONE, image((0, 0.9, 0))) == pytest.approx((0, 0.9))
    assert apart(image((0, 0.9, 0)), image((0, 0.9, 1))) == pytest.approx((0, 0.9)), "another class"
    assert apart(image((0, 0.9, 0)), image((30, 0.9, 0))) == pytest.approx((0, 0.9)), "another place"
    assert apart(image((0, 0.31, 0)), NONE, score_threshold=0.3) == pytest.approx((0, 0.01)), "it hardly came in"


def test_what_a_full_list_cut_off_is_not_missed() -> None:
    ours, theirs = image((0, 0.9, 0), (30, 0.20, 0)), image((0, 0.9, 0), (60, 0.21, 0))
    assert apart(ours, theirs, places=2) == pytest.approx((0, 0.0), abs=0.011)
    assert apart(ours, theirs, places=3) == pytest.approx((0, 0.21))


@pytest.mark.parametrize("wrong", [np.full((1, 2), np.nan), np.full((1, 2), np.inf), np.zeros((1, 3)), None])
def test_what_is_no_number_or_of_another_shape_is_infinitely_far(wrong: np.ndarray | None) -> None:
    expected = {"head_8": np.zeros((1, 2)), "head_16": np.ones(3)}
    found = {"head_16": np.ones(3)} if wrong is None else {"head_16": np.ones(3), "head_8": wrong}
    assert furthest(expected, found, input_size=100) == {"head_8": np.inf, "head_16": 0.0}
