"""The corrections file: what is written is read back, and every mistake has its place."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolopipe.errors import DataError
from yolopipe.formats.annotation_line import BLANKS, is_comment, split_line
from yolopipe.formats.corrections import (
    Correction,
    LabelBox,
    format_corrections,
    read_correction_lines,
    read_corrections,
    write_corrections,
)

A, B = LabelBox(388, 11, 481, 111, 1), LabelBox(260, 1, 374.5, 83, 2)


def fact(line: str) -> tuple[object, ...]:
    """What one line says; or the rule and the column of its mistake."""
    text = read_correction_lines("c.txt", [line])
    return text.corrections[0].change if text.corrections else (text.problems[0].rule, text.problems[0].column)


@pytest.mark.parametrize(
    ("line", "change"),
    [
        (f"img/b37.jpg    {A}      {A._replace(label=2)}     # swapped .97", (A, A._replace(label=2), None)),
        (f"img/b37.jpg {A} {B}", (A, B, None)),
        (f"img/b37.jpg\t-\t{B}# not a comment but", None),
        (f"img/b37.jpg\t-\t{B}\t#missing", (None, B, None)),
        (f"img/b37.jpg {A} -   ", (A, None, None)),
        (f"img/b37.jpg {A} =", (A, A, None)),
        (f"img/b37.jpg - = {A} # nothing here", (None, None, A)),
        ("img/b37.jpg 1,2,3,4,0 1,2,3,4,-1,1", (LabelBox(1, 2, 3, 4, 0), LabelBox(1, 2, 3, 4, -1, True), None)),
        ("img/b37.jpg - = 0,0,9,9,-1", (None, None, LabelBox(0, 0, 9, 9, -1))),
    ],
)
def test_the_five_kinds_of_line(line: str, change: tuple[object, ...] | None) -> None:
    assert fact(line) == (("img/b37.jpg", *change) if change else ("bad-correction", 15))


@pytest.mark.parametrize(
    "path",
    [
        *(
            "two words.jpg",
            "a, b 1,2.jpg",
            "a #1.jpg",
            "größe\u202f1.jpg",
            "img -",
            "img - -",
            "img - =",
            "=",
            "-",
            "- =",
        ),
        *("a 1,2,3.jpg", "a # b", "C:\\a b.jpg", "a - = # b"),
    ],
)
def test_paths_are_read_as_in_annotation_text(path: str) -> None:
    """Also such as hold the signs of the columns: the first box decides."""
    assert split_line(f"{path} {A}").path == path
    for change in ((A, B, None), (A, A, None), (A, None, None), (None, A, None), (None, None, A)):
        [line] = format_corrections([Correction(path, *change)]).splitlines()[1:]
        assert fact(line) == (path, *change)


@pytest.mark.parametrize(
    ("line", "column"),
    [
        ("a.jpg", 1),
        ("  a.jpg - -", 3),
        ("a.jpg - =", 1),
        ("1,2,3,4,0 1,2,3,4,1", 1),
        ("a.jpg 1,2,3,4,0", 16),
        ("a.jpg 1,2,3,4,0 # right", 17),
        ("a.jpg 1,2,3,4,0 1,2,3", 17),
        ("a.jpg 1,2,3 1,2,3,4,0", 7),
        ("a.jpg 1,2,3 -", 7),
        ("a.jpg 1,2,3 4,5 1,2,3,4,0 -", 7),
        ("a.jpg - 1,2,x,4,0", 9),
        ("a.jpg - = 1,2,3,4,0,7", 11),
        ("a.jpg 1,2,3,4,0 gone", 17),
        ("a.jpg 1,2,3,4,0 - gone", 19),
        ("a.jpg - 1,2,3,4,0 gone", 19),
        ("a.jpg - 1,2,3,4,0 1,2,3,4,1 -", 19),
        ("a.jpg 1,2,3,4,0 1,2,3,4,0", 17),
        ("a.jpg 1,2,3,4,0 1.0,2,3,4e0,0", 17),
        ("a.jpg 1,2,1e999,4,0 -", 7),
        ("a.jpg - -1e999,2,3,4,0", 9),
        ("<<<<<<< HEAD", 1),
        ("=======", 1),
        (">>>>>>> theirs", 1),
        ("||||||| base", 1),
    ],
)
def test_mistakes_are_named_at_their_column(line: str, column: int) -> None:
    assert fact(line) == ("bad-correction", column)


def test_all_mistakes_of_a_file_are_listed(tmp_path: Path) -> None:
    """BOM, CRLF, a line that is not UTF-8, comments, and good lines between bad ones."""
    file = tmp_path / "c.txt"
    lines = [
        b"\xef\xbb\xbfa.jpg 1,2,3,4,0 -",
        b"",
        b"  # note",
        b"\xff.jpg - 1,2,3,4,0",
        b"b.jpg - 1,2,3",
        b"c.jpg - 1,2,3,4,0",
    ]
    file.write_bytes(b"\r\n".join(lines) + b"\r\n")
    text = read_corrections(file)
    assert [(c.image, c.line, c.column, c.now_column) for c in text.corrections] == [
        ("a.jpg", 1, 7, 17),
        ("c.jpg", 6, 7, 9),
    ]
    assert [(p.file, p.line, p.column, p.rule) for p in text.problems] == [
        (str(file), 4, 0, "not-utf8"),
        (str(file), 5, 9, "bad-correction"),
    ]
    file.write_bytes(b"")
    assert read_corrections(file).corrections == []
    file.write_bytes("a.jpg - 1,2,3,4,0\n".encode("utf-16"))
    with pytest.raises(DataError):
        read_corrections(file)
    with pytest.raises(DataError):
        read_corrections(tmp_path / "none.txt")


def test_a_file_cut_anywhere_is_half_written_or_says_less() -> None:
    """No cut changes what a line says: it is whole, or the last line is named."""
    whole = f"a.jpg {A} {B} # moved\n\nb c.jpg - {B}\nd.jpg {A} =\n"
    full = [c.change for c in read_correction_lines("c.txt", whole.splitlines()).corrections]
    for end in range(len(whole) + 1):
        part = whole[:end]
        text = read_correction_lines("c.txt", part.splitlines(), complete=part.endswith("\n") or not part)
        assert [c.change for c in text.corrections] == full[: len(text.corrections)]
        cut = part.rpartition("\n")[2]
        if cut.strip() and "#" not in cut and cut == cut.rstrip():
            assert [(p.rule, p.line) for p in text.problems] == [("half-written", part.count("\n") + 1)]


number = st.one_of(st.integers(-9, 5000).map(float), st.floats(-1e6, 1e6), st.sampled_from([1e-9, 1e17, 0.1]))
boxes = st.builds(LabelBox, *(number.map(lambda value: value + 0.0),) * 4, st.integers(-1, 999), st.booleans())
paths = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12).filter(
    lambda path: path == path.strip(BLANKS) and not is_comment(path) and split_line(f"{path} {A}").path == path
)
comments = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=9).map(lambda text: text.strip(BLANKS))
changes = st.one_of(
    st.tuples(boxes, boxes, st.none()).filter(lambda change: change[0] != change[1]),
    boxes.map(lambda box: (box, box, None)),
    boxes.map(lambda box: (box, None, None)),
    boxes.map(lambda box: (None, box, None)),
    boxes.map(lambda box: (None, None, box)),
)
corrections = st.builds(lambda path, change, comment: Correction(path, *change, comment), paths, changes, comments)


@given(st.lists(corrections, max_size=8), st.randoms())
def test_what_is_written_is_read_back(items: list[Correction], random: object) -> None:
    text = format_corrections(items)
    read = read_correction_lines("c.txt", text.splitlines() if not items else text.split("\n")[:-1])
    assert read.problems == []
    assert [item[:5] for item in read.corrections] == [item[:5] for item in sorted(items, key=Correction.sort_key)]
    assert format_corrections(read.corrections) == text
    random.shuffle(items)  # type: ignore[attr-defined]
    assert format_corrections(items) == text


WORDS = ("a.jpg", "-", "=", "#", " ", "  ", "\t", "1,2,3,4,0", "1,2,3,4,1,1", ",", "9", "é", "<", "|")


@given(st.lists(st.sampled_from(WORDS), max_size=14).map("".join))
def test_no_line_is_lost(line: str) -> None:
    """Fuzz: a line is a comment, a correction that is written as it was read, or a problem inside the line."""
    text = read_correction_lines("c.txt", [line])
    assert len(text.corrections) + len(text.problems) == (bool(line.strip(BLANKS)) and not is_comment(line))
    for item in text.corrections:
        assert read_correction_lines("c.txt", format_corrections([item]).splitlines()).corrections[0][:5] == item[:5]
    for problem in text.problems:
        assert 1 <= problem.column <= len(line) + 1


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.mktemp("any") / "c.txt"
    file.write_bytes(content)
    try:
        text = read_corrections(file)
    except DataError:
        return
    assert len(text.corrections) + len(text.problems) <= content.count(b"\n") + content.count(b"\r") + 1


def test_a_long_line_costs_one_pass() -> None:
    """Quadratic in the length of a line it would take minutes."""
    for line in ("a " * 300_000, "1," * 500_000, f"a.jpg {'1' * 1_000_000},2,3,4,0 -", "x - = " * 100_000):
        assert read_correction_lines("c.txt", [line]).problems


def test_columns_are_aligned_and_move_seldom() -> None:
    items = [Correction("img/b37.jpg", A, B, comment="moved"), Correction("img/b02.jpg", A, None)]
    text = format_corrections(items)
    assert text == (
        "# image         was                     now\n"
        "img/b02.jpg     388,11,481,111,1        -\n"
        "img/b37.jpg     388,11,481,111,1        260,1,374.5,83,2        # moved\n"
    )
    more = format_corrections([*items, Correction("a" * 90, None, B), Correction("img/b4.jpg", B, B)])
    assert set(text.splitlines()) <= set(more.splitlines())


@pytest.mark.parametrize(
    ("image", "comment"),
    [("#a.jpg", ""), ("a 1,2,3,4,0 b.jpg", ""), (" a.jpg", ""), ("a\nb.jpg", ""), ("a.jpg", "b\rc")],
)
def test_what_cannot_be_read_back_is_not_written(tmp_path: Path, image: str, comment: str) -> None:
    with pytest.raises(DataError):
        write_corrections(tmp_path / "c.txt", [Correction(image, A, B, comment=comment)])
    assert not (tmp_path / "c.txt").exists()


def test_two_files_merge_by_git(tmp_path: Path) -> None:
    """Lines of different images do not touch each other, although columns are aligned."""
    base = [Correction(f"img/{number:03}.jpg", A, B) for number in range(0, 60, 10)]
    ours = [Correction(f"img/{number:03}.jpg", None, B, comment="missing") for number in (4, 5, 33)]
    theirs = [Correction(f"img/{number:03}.jpg", B, B) for number in (15, 44, 59)]
    for name, items in (("base", base), ("ours", [*base, *ours]), ("theirs", [*base, *theirs])):
        write_corrections(tmp_path / name, items)
    command = ["git", "merge-file", *(str(tmp_path / name) for name in ("ours", "base", "theirs"))]
    assert subprocess.run(command, check=False).returncode == 0
    assert (tmp_path / "ours").read_text() == format_corrections([*base, *ours, *theirs])
