from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolopipe.parsing.box_rules import BoxChecker, clip_boxes, guess_format, partly_outside

CHECKER = BoxChecker(class_count=3, input_size=64, min_box_px=2.0)
SIZES = np.array([[100.0, 50.0], [np.nan, np.nan], [64.0, 128.0]])
CORNER = st.one_of(st.integers(-3, 12).map(lambda n: n * 10.0), st.floats(-20, 140))
BOX = st.tuples(CORNER, CORNER, CORNER, CORNER, st.integers(-2, 3), st.integers(0, 2), st.booleans())


def slow_rules(rows: list[tuple[float, ...]], index: int) -> set[str]:
    """The rules for one box, one at a time, in plain Python."""
    x1, y1, x2, y2, label, image, ignore = rows[index]
    width, height = SIZES[int(image)].tolist()
    rules = set()
    if label not in (0, 1, 2) and not (ignore and label == -1):
        rules.add("class-range")
    if not (np.float32(x1) < np.float32(x2) and np.float32(y1) < np.float32(y2)):
        rules.add("no-area")
    elif width == width:  # the size is known
        past = min(x1, y1) < -1e-3 or x2 > width + 1e-3 or y2 > height + 1e-3
        if past or x1 >= width or y1 >= height or x2 <= 0 or y2 <= 0:
            rules.add("outside-image")
        elif not ignore and min(x2 - x1, y2 - y1) * min(64 / width, 64 / height) < 2.0:
            rules.add("tiny")
    if rows[index] in rows[:index]:
        rules.add("duplicate-box")
    return rules


@given(st.lists(BOX, max_size=12))
def test_equal_to_the_rules_one_box_at_a_time(rows: list[tuple[float, ...]]) -> None:
    table = np.array(rows, float).reshape(-1, 7)
    faults = CHECKER.check(table[:, :4], table[:, 4].astype(int), table[:, 5].astype(int), SIZES, table[:, 6] > 0)
    for index in range(len(rows)):
        assert {rule for rule, mask in faults.masks.items() if mask[index]} == slow_rules(rows, index)
        assert faults.first[index] == (rows.index(rows[index]) if rows[index] in rows[:index] else -1)
        assert faults.any[index] == bool(slow_rules(rows, index))


@given(st.lists(BOX, max_size=8))
def test_clipping_changes_and_keeps_the_boxes_partly_outside(rows: list[tuple[float, ...]]) -> None:
    table = np.array(rows, float).reshape(-1, 7)
    boxes, size = table[:, :4], SIZES[table[:, 5].astype(int)]
    partly = partly_outside(boxes, size)
    clipped = clip_boxes(boxes, size)[partly]
    assert (clipped[:, 2:] > clipped[:, :2]).all()
    assert (clipped >= 0).all()
    assert (clipped[:, 2:] <= size[partly]).all()
    assert not np.equal(clipped, boxes[partly]).all(axis=1).any()


def test_extreme_numbers_are_still_bad() -> None:
    boxes = np.array([[1e300, 1e300, 1e301, 1e301], [1000.00001, 0, 1000.00002, 9], [-1e-9, 0, -1e-10, 9]])
    faults = CHECKER.check(boxes, np.zeros(3, int), np.zeros(3, int), SIZES)
    assert faults.any.all()


@pytest.mark.parametrize(
    ("rule", "box", "label", "orientation", "words"),
    [
        ("class-range", (0, 0, 1, 1), 7, 1, "class 7 "),
        ("no-area", (5, 5, 5, 9), 0, 1, "width 0"),
        ("no-area", (9, 9, 5, 5), 0, 1, "x1 > x2 and y1 > y2"),
        ("outside-image", (-1, 0, 5, 60), 0, 1, "1 px past the left and 10 px past the bottom"),
        ("outside-image", (100, 0, 105, 10), 0, 1, "100x50"),
        ("outside-image", (0, 0, 40, 90), 0, 6, "orientation 6"),
        ("tiny", (0, 0, 2.5, 50), 0, 1, "1.6x32 px"),
    ],
)
def test_messages(rule: str, box: tuple[float, ...], label: int, orientation: int, words: str) -> None:
    assert words in CHECKER.message(rule, np.array(box, float), label, SIZES[0], orientation=orientation)


def test_guesses() -> None:
    rng = np.random.default_rng(0)
    corners = np.sort(rng.uniform(0, 600, (50, 2, 2)), axis=1).reshape(-1, 4)
    assert guess_format(np.zeros((0, 4))) == guess_format(corners) == ""
    assert "normalised" in guess_format(corners / 600)
    sizes = corners.copy()
    sizes[:, 2:] -= sizes[:, :2]
    assert "x,y,width,height" in guess_format(sizes)
