"""Label lines: lines read, lines refused, and pixels after a round trip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolopipe.errors import DataError
from yolopipe.formats.yolo import ROUNDING, YoloLabels, label_line, read_yolo_labels, to_pixels


def read(folder: Path, text: str | bytes) -> YoloLabels:
    file = folder / "a.txt"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_yolo_labels(file)


def test_boxes_polygons_and_turned_boxes(tmp_path: Path) -> None:
    labels = read(
        tmp_path,
        "\ufeff0 0.5 0.5 0.5 0.25\r\n\r\n2.0\t0.1 0.9 0.3 0.2 0.2 0.4  \r\n"
        "1 0.1 0.2 0.4 0.1 0.5 0.6 0.2 0.7\r\n3 0 0 1 1 0 1 0.5 0.5 0.25 0",
    )
    assert labels.problems == []
    assert [tuple(item) for item in labels.objects] == [
        (0, (0.25, 0.375, 0.75, 0.625), 1, 0),
        (2, (0.1, 0.2, 0.3, 0.9), 3, 3),
        (1, (0.1, 0.1, 0.5, 0.7), 4, 4),
        (3, (0, 0, 1, 1), 5, 5),
    ]


@pytest.mark.parametrize("text", ["", "\n", "\r\n\r\n", "\ufeff", "  \n\t\n"])
def test_empty_files(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == YoloLabels()


@pytest.mark.parametrize(
    ("line", "rule", "words"),
    [
        ("0", "bad-label", "1 fields"),
        ("0 0.5 0.5 0.5", "bad-label", "4 fields"),
        ("0 0.5 0.5 0.5 0.5 0.9", "confidence-column", "6 fields"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", "bad-label", "8 fields"),
        ("0 0.5 abc 0.5 0.5", "bad-label", "'abc'"),
        ("0 0,5 0,5 0,5 0,5", "bad-label", "'0,5'"),
        ("0 nan 0.5 0.5 0.5", "bad-label", "'nan'"),
        ("0 inf 0.5 0.5 0.5", "bad-label", "'inf'"),
        ("0 1_0 0.5 0.5 0.5", "bad-label", "'1_0'"),
        ("cat 0.5 0.5 0.5 0.5", "bad-label", "'cat'"),
        ("0.5 0.5 0.5 0.5 0.5", "bad-label", "0.5"),
        ("-1 0.5 0.5 0.5 0.5", "bad-label", "-1"),
        ("1e20 0.5 0.5 0.5 0.5", "bad-label", "1e20"),
        ("0 320 240 64 48", "not-normalised", "320"),
        ("0 0.5 0.5 1.011 0.5", "not-normalised", "1.011"),
        ("0 0.5 0.5 -0.1 0.5", "not-normalised", "-0.1"),
        ("0 0.1 0.1 0.2 1.2 0.3 0.3", "not-normalised", "1.2"),
    ],
)
def test_broken_lines_are_reported_and_the_rest_is_read(tmp_path: Path, line: str, rule: str, words: str) -> None:
    labels = read(tmp_path, f"0 0.5 0.5 0.5 0.5\n{line}\n1 0.5 0.5 0.5 0.5")
    assert [(p.line, p.rule) for p in labels.problems] == [(2, rule)]
    assert words in labels.problems[0].message
    assert [item.line for item in labels.objects] == [1, 3]


def test_bytes_that_are_not_text(tmp_path: Path) -> None:
    assert [(p.line, p.rule) for p in read(tmp_path, b"\n\xff 1 2\n").problems] == [(2, "not-utf8")]
    with pytest.raises(DataError, match="UTF-16"):
        read(tmp_path, "0 0.5 0.5 0.5 0.5".encode("utf-16"))


def test_only_rounding_errors_are_moved_to_the_edge() -> None:
    fractions = np.array([[-ROUNDING / 2, 0, 0.5, 1], [0, 0, 0.5, 1 + ROUNDING * 2], [0.25, 0, 1, 0.5]])
    boxes, moved = to_pixels(fractions, np.full((3, 2), 1000.0))
    assert moved == 1
    np.testing.assert_allclose(boxes, [[0, 0, 500, 1000], [0, 0, 500, 1000 + 2000 * ROUNDING], [250, 0, 1000, 500]])
    assert boxes[0, 0] == 0
    assert to_pixels(np.empty((0, 4)), np.empty((0, 2)))[0].shape == (0, 4)


SIDES = st.integers(1, 10_000)


@st.composite
def boxes_in_images(draw: Any) -> tuple[list[float], list[int]]:
    size = [draw(SIDES), draw(SIDES)]
    corners = [sorted(draw(st.floats(0, side)) for _ in range(2)) for side in size]
    return [corners[0][0], corners[1][0], corners[0][1], corners[1][1]], size


@given(boxes_in_images(), st.integers(0, 999))
def test_written_and_read_within_a_thousandth_of_a_pixel(
    tmp_path_factory: pytest.TempPathFactory, boxed: tuple[list[float], list[int]], label: int
) -> None:
    box_xyxy, size_wh = boxed
    labels = read(tmp_path_factory.mktemp("y"), label_line(label, box_xyxy, size_wh))
    assert labels.problems == []
    (item,) = labels.objects
    back, _ = to_pixels(np.array([item.box_xyxy]), np.array([size_wh], float))
    assert item.label == label
    np.testing.assert_allclose(back[0], box_xyxy, atol=1e-3, rtol=0)
