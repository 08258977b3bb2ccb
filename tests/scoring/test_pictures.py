from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolopipe.imaging.drawing import GREY, SKY, VERMILLION, YELLOW, Colour
from yolopipe.scoring.pictures import Example, contact_sheet, evenly_spread


@given(total=st.integers(0, 300), wanted=st.integers(1, 100))
def test_evenly_spread_numbers_are_different_and_in_order(total: int, wanted: int) -> None:
    numbers = evenly_spread(total, wanted)
    assert len(numbers) == min(total, wanted)
    assert numbers == sorted(set(numbers))
    assert all(0 <= number < total for number in numbers)
    if len(numbers) > 2:
        gaps = np.diff(numbers)
        assert gaps.max() - gaps.min() <= 1


@pytest.mark.slow
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
            np.zeros(2, bool),
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


def test_ignored_boxes_and_what_is_found_on_them_are_dashed_and_grey() -> None:
    """The same picture with the box annotated, left out, and ignored: only the last has grey lines, on both sides."""
    box, zero = np.array([[40.0, 40, 150, 150]]), np.zeros(1, np.int64)

    def inked(truth_classes: np.ndarray, ignore: list[bool]) -> dict[Colour, list[int]]:
        """Pixels of each colour on the left and right picture, below their title."""
        pixels, count = np.zeros((192, 192, 3), np.uint8), len(ignore)
        one = Example("a", pixels, box[:count], truth_classes, np.array(ignore, bool), box, np.ones(1), zero)
        halves = np.array_split(contact_sheet([one], ["cat"], score=0.3)[-2 * 192 :], 2, axis=1)
        return {
            colour: [int((half == colour).all(axis=-1).sum()) for half in halves]
            for colour in (SKY, YELLOW, VERMILLION, GREY)
        }

    found, false, ignored = inked(zero, [False]), inked(zero[:0], []), inked(zero - 1, [True])
    solid, dashed = min(found[SKY]), false[VERMILLION][1]
    assert 0 < dashed < 0.7 * solid
    assert found == {SKY: found[SKY], YELLOW: [0, 0], VERMILLION: [0, 0], GREY: [0, 0]}
    assert false == {SKY: [0, 0], YELLOW: [0, 0], VERMILLION: [0, dashed], GREY: [0, 0]}
    assert ignored == {SKY: [0, 0], YELLOW: [0, 0], VERMILLION: [0, 0], GREY: [dashed, dashed]}
