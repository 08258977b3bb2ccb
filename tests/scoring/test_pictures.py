from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolopipe.scoring.pictures import Example, contact_sheet, evenly_spread, match


@given(total=st.integers(0, 300), wanted=st.integers(1, 100))
def test_evenly_spread_numbers_are_different_and_in_order(total: int, wanted: int) -> None:
    numbers = evenly_spread(total, wanted)
    assert len(numbers) == min(total, wanted)
    assert numbers == sorted(set(numbers))
    assert all(0 <= number < total for number in numbers)
    if len(numbers) > 2:
        gaps = np.diff(numbers)
        assert gaps.max() - gaps.min() <= 1


def test_match_takes_the_best_free_box_of_the_class() -> None:
    truth = np.array([[0.0, 0, 10, 10], [0, 0, 10, 12], [50, 50, 60, 60]])
    boxes = np.array([[0.0, 0, 10, 12], [0, 0, 10, 12], [0, 0, 10, 12], [50, 50, 60, 60], [50, 50, 60, 54]])
    right, found = match(truth, np.array([0, 0, 1]), boxes, np.array([0, 0, 0, 0, 1]))
    assert right.tolist() == [True, True, False, False, False]
    assert found.tolist() == [True, True, False]


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), boxes=st.integers(0, 8), found=st.integers(0, 12))
def test_match_pairs_one_to_one(seed: int, boxes: int, found: int) -> None:
    rng = np.random.default_rng(seed)
    truth = np.sort(rng.uniform(0, 30, (boxes, 2, 2)), axis=1).reshape(-1, 4)
    guess = np.sort(rng.uniform(0, 30, (found, 2, 2)), axis=1).reshape(-1, 4)
    right, hit = match(truth, rng.integers(0, 2, boxes), guess, rng.integers(0, 2, found))
    assert right.sum() == hit.sum()
    assert (right.shape, hit.shape) == ((found,), (boxes,))


@pytest.mark.parametrize(("size", "images"), [(32, 1), (160, 9), (416, 4), (960, 2)])
def test_sheet_of_any_size_is_legible_and_the_same_twice(size: int, images: int) -> None:
    rng = np.random.default_rng(0)
    empty = np.zeros(0, np.int64)
    examples = [
        Example(
            "a/path/that/is/too/long/for/its/tile/" * 4 + f"{n}.jpg",
            rng.integers(0, 256, (size, size, 3), dtype=np.uint8),
            np.array([[1.0, 1, size / 2, size / 2], [-5, -5, size + 9, 3]]),
            np.array([0, 1]),
            np.array([[1.0, 1, size / 2, size / 2]])[: n % 2],
            np.array([0.75])[: n % 2],
            np.array([0])[: n % 2] if n % 2 else empty,
        )
        for n in range(images)
    ]
    sheet = contact_sheet(examples, ["größe", "b"], score=0.3)
    assert sheet.dtype == np.uint8
    assert sheet.shape[2] == 3
    assert 300 < sheet.shape[1] < 3000
    np.testing.assert_array_equal(sheet, contact_sheet(examples, ["größe", "b"], score=0.3))
