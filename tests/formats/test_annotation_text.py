from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolopipe import parse_annotation as public_parse_annotation
from yolopipe.errors import DataError
from yolopipe.formats.annotation_text import (
    AnnotationText,
    format_annotation,
    parse_annotation,
    read_annotations,
)

COORDINATE = st.floats(-1e6, 1e6, allow_nan=False)
BOX = (COORDINATE, COORDINATE, COORDINATE, COORDINATE, st.integers(-1, 999))
BOXES = st.one_of(st.lists(st.tuples(*BOX), max_size=5), st.lists(st.tuples(*BOX, st.booleans()), max_size=5))
LETTERS = st.characters(exclude_categories=("Cc", "Cs"))
PATHS = st.text(LETTERS, min_size=1, max_size=20).map(lambda text: f"dir/{text.strip()}x.jpg")


def read(tmp_path: Path, content: str | bytes) -> AnnotationText:
    file = tmp_path / "t.txt"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_annotations(file)


def faults(text: AnnotationText) -> list[tuple[int, int, str, int]]:
    return [(f.problem.line, f.problem.column, f.problem.rule, f.image) for f in text.faults]


def test_the_line_of_the_reference() -> None:
    assert public_parse_annotation is parse_annotation
    path, boxes = parse_annotation("some/directory/hash.jpg 79,537,107,574,0 297,547,318,575,0")
    assert path == "some/directory/hash.jpg"
    assert boxes.dtype == np.float64
    np.testing.assert_array_equal(boxes, [[79, 537, 107, 574, 0], [297, 547, 318, 575, 0]])


def test_a_sixth_value_marks_boxes_to_be_ignored(tmp_path: Path) -> None:
    line = "a b.jpg 1,2,3,4,-1,1 5,6,7,8,2 5,6,7,8,3,0 9,9,10,10,4,ignore"
    ignore = [True, False, False, True]
    text = read(tmp_path, line + "\n")
    assert (text.image_paths, text.classes.tolist(), text.ignore.tolist()) == (["a b.jpg"], [-1, 2, 3, 4], ignore)
    assert not text.faults
    assert parse_annotation(line).bboxes.shape == (4, 6)
    assert parse_annotation(line).bboxes[:, 5].tolist() == ignore
    assert format_annotation(*parse_annotation(line)) == "a b.jpg 1,2,3,4,-1,1 5,6,7,8,2 5,6,7,8,3 9,9,10,10,4,1"
    assert parse_annotation("a b.jpg 5,6,7,8,3,0").bboxes.shape == (1, 5)


def test_background_has_no_boxes() -> None:
    assert parse_annotation("a.jpg").bboxes.shape == (0, 5)
    assert parse_annotation("a.jpg  \r\n").image_path == "a.jpg"


@pytest.mark.parametrize(
    "path",
    [
        "my dir/a b.jpg",
        "photos, 2021/me, 12,5 years.jpg",
        "2021,01,02,03,x/1,2,3,4.jpg",
        "Bilder/schön/Überfahrt.jpeg",
        "Screenshot 9.41.00\u202fAM.png",
        "line\u2028separator\x85.png",
        "no extension",
        "a.jpg.d/b.JPG",
        "数字/一 二.webp",
    ],
)
def test_paths_with_any_characters(path: str, tmp_path: Path) -> None:
    assert parse_annotation(f"{path} 1,2,3,4,5").image_path == path
    assert parse_annotation(f"{path}\t 1,2,3,4,5 6,7,8,9,0 ").bboxes.shape == (2, 5)
    assert parse_annotation(path).image_path == path
    text = read(tmp_path, f"x.jpg\n{path} 1,2,3,4,5\n")
    assert text.image_paths == ["x.jpg", path]
    assert not text.faults


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("12,13,abc,4,0", "'abc'"),
        ("1,2,3,4", "4 values"),
        ("1,2,3,4,0,9", "sixth value"),
        ("1,2,3,4,0,-1", "sixth value"),
        ("1,2,3,4,0,", "sixth value"),
        ("1,2,3,4,0,ignored", "sixth value"),
        ("1,2,3,4,0,1,1", "7 values"),
        ("1;2;3;4;0", "semicolons"),
        ("1,2,3,4,0.5", "class 0.5"),
        ("1,2,3,4,1e1", "class 1e1"),
        ("1,2,3,4,1234567890", "class 1234567890"),
        ("nan,2,3,4,0", ": nan "),
        ("1,-inf,3,4,0", ": -inf "),
        ("1,2,1e999,4,0", "1e999"),
        ("1,2,,4,0", "number"),
        ("1,2,1_0,4,0", "'1_0'"),
        ("1,2,٣,4,0", "'٣'"),
        ("1,2,0x3,4,0", "'0x3'"),
        ("cat", "1 value"),
    ],
)
def test_malformed_boxes_are_reported_with_their_column(token: str, reason: str, tmp_path: Path) -> None:
    for line, column in (
        (f"a b.jpg {token} 1,2,3,4,0", 9),
        (f"a b.jpg 1,2,3,4,0 {token}", 19),
        (f"a b.jpg {token}", 9),
    ):
        with pytest.raises(DataError) as caught:
            parse_annotation(line)
        assert f"column {column}: box {token}: " in str(caught.value)
    text = read(tmp_path, f"# c\na b.jpg {token} 1,2,3,4,0\n")
    assert text.image_paths == ["a b.jpg"]
    assert faults(text) == [(2, 9, "bad-box-text", 0)]
    if "e999" not in token:
        assert reason in text.faults[0].problem.message
    np.testing.assert_array_equal(text.boxes_xyxy, [[1, 2, 3, 4]])


def test_malformed_box_behind_a_name_without_extension() -> None:
    with pytest.raises(DataError, match="column 9: box 1,2,3,4: "):
        parse_annotation("dir/abc 1,2,3,4 1,2,3,4,0")


def test_spaces_between_numbers_are_reported(tmp_path: Path) -> None:
    assert [c for _, c, _, _ in faults(read(tmp_path, "a.jpg 1, 2, 3, 4, 0\n"))] == [7, 10, 13, 16, 19]


@pytest.mark.parametrize("line", ["", "  ", "# note", "1,2,3,4,0", "  1,2,3,4,0 5,6,7,8,0"])
def test_lines_without_an_image(line: str) -> None:
    with pytest.raises(DataError):
        parse_annotation(line)


def test_numbers_of_every_kind() -> None:
    boxes = parse_annotation("a.jpg +1,-2.5,.5,1e2,3 1.,2E+1,3e-1,4,2.0").bboxes
    np.testing.assert_array_equal(boxes, [[1, -2.5, 0.5, 100, 3], [1, 20, 0.3, 4, 2]])


@given(PATHS, BOXES)
def test_written_lines_read_back(path: str, boxes: list[tuple[float, ...]]) -> None:
    line = format_annotation(path, boxes)
    image_path, bboxes = parse_annotation(line)
    assert image_path == path
    ignored = [len(box) == 6 and bool(box[5]) for box in boxes]
    np.testing.assert_array_equal(bboxes[:, :5], np.array([box[:5] for box in boxes], float).reshape(-1, 5))
    np.testing.assert_array_equal(bboxes[:, 5:], np.array(ignored)[:, np.newaxis] if any(ignored) else bboxes[:, :0])
    # An independent reading: the boxes are the last tokens, by str.split alone.
    tokens = line.split(" ")[len(path.split(" ")) :]
    read = [tuple(map(float, token.split(","))) for token in tokens]
    assert read == [(*map(float, box[:5]), *[1.0] * mark) for box, mark in zip(boxes, ignored, strict=True)]


@pytest.mark.parametrize("path", ["", " a.jpg", "a.jpg ", "a\nb.jpg", "#a.jpg", "d 1,2,3,4,0 e.jpg", "a.jpg b"])
def test_paths_that_could_not_be_read_back_are_refused(path: str) -> None:
    with pytest.raises(DataError, match="image path"):
        format_annotation(path, [[1, 2, 3, 4, 0]])


def test_empty_text(tmp_path: Path) -> None:
    for content in ("", "\n", "\ufeff", "# only\n\n  \n"):
        text = read(tmp_path, content)
        assert text.image_paths == [] == text.faults
        assert text.boxes_xyxy.shape == (0, 4)
        assert text.lines.shape == text.classes.shape == text.box_image.shape == text.box_column.shape == (0,)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_breaks_byte_order_marks_and_comments(newline: str, mark: str, tmp_path: Path) -> None:
    lines = [f"{mark}a.jpg 1,2,3,4,0", "", "# b.jpg 1,2,3,4,0", "  # c", "  d.jpg  1,2,3,4,1  5,6,7,8,2", "e.jpg"]
    text = read(tmp_path, newline.join(lines))
    assert text.image_paths == ["a.jpg", "d.jpg", "e.jpg"]
    assert text.lines.tolist() == [1, 5, 6]
    assert text.box_image.tolist() == [0, 1, 1]
    assert text.box_column.tolist() == [7, 10, 21]
    assert text.classes.tolist() == [0, 1, 2]
    assert text.faults == []


def test_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    text = read(tmp_path, b"a.jpg\nsch\xf6n.jpg 1,2,3,4,0\nb.jpg 1,2,3,4,0\n")
    assert text.image_paths == ["a.jpg", "b.jpg"]
    assert faults(text) == [(2, 0, "not-utf8", -1)]
    with pytest.raises(DataError, match="UTF-16"):
        read(tmp_path, "a.jpg".encode("utf-16"))


def test_no_path_and_duplicates(tmp_path: Path) -> None:
    text = read(tmp_path, "1,2,3,4,0\na/b.jpg\nc.jpg\n./a//b.jpg 1,2,3,4,0\n")
    assert faults(text) == [(1, 1, "no-image-path", -1), (4, 1, "duplicate-image", 2)]
    assert "already on line 2" in text.faults[1].problem.message
    assert text.faults[1].problem.image == "./a//b.jpg"


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no\.txt"):
        read_annotations(tmp_path / "no.txt")
    with pytest.raises(DataError, match="cannot read"):
        read_annotations(tmp_path)


@given(st.lists(st.sampled_from(["a.jpg", " ", "1,2,3,4,0", "1,2", "\n", "#", "é", ",", ";", "b"]), max_size=12))
def test_no_token_is_lost(tmp_path_factory: pytest.TempPathFactory, tokens: list[str]) -> None:
    """Every token of a used line is path, box or fault."""
    folder = tmp_path_factory.mktemp("x")
    text = read(folder, " ".join(tokens))
    lines = [line for line in " ".join(tokens).split("\n") if line.strip() and not line.strip().startswith("#")]
    no_path = sum(f.problem.rule == "no-image-path" for f in text.faults)
    assert len(text.image_paths) + no_path == len(lines)
    bad = sum(f.problem.rule == "bad-box-text" for f in text.faults)
    words = sum(len(path.split()) for path in text.image_paths) + len(text.classes) + bad
    if not no_path:
        assert words == sum(len(line.split()) for line in lines)


def test_hostile_lines_are_fast() -> None:
    start = time.perf_counter()
    for line in ("a.jpg " + "1" * 100_000, "a " + "1," * 50_000 + "/", "a.jpg " + " " * 100_000, "1e" * 50_000):
        try:
            parse_annotation(line)
        except DataError:
            continue
    assert time.perf_counter() - start < 2
