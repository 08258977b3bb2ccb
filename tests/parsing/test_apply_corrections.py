"""Corrections as a function on arrays: plain loops over lists of boxes give the same, in any order of the lines."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolopipe.formats.annotation_text import AnnotationText, format_annotation, read_annotation_lines
from yolopipe.formats.corrections import (
    Correction,
    CorrectionsText,
    LabelBox,
    format_corrections,
    read_correction_lines,
)
from yolopipe.parsing.apply_corrections import AppliedCorrections, CorrectionTally, apply_corrections
from yolopipe.parsing.correction_index import index_corrections

IMAGES = ("a.jpg", "b b.jpg", "sub/c.jpg")
box = st.builds(
    LabelBox, *(st.integers(0, 3).map(float),) * 2, st.just(9.0), st.just(9.0), st.integers(0, 2), st.booleans()
)
texts = st.fixed_dictionaries({image: st.lists(box, max_size=4) for image in IMAGES})


def text_of(images: dict[str, list[LabelBox]]) -> AnnotationText:
    return read_annotation_lines("t.txt", 1, [format_annotation(image, boxes) for image, boxes in images.items()])


def boxes_of(text: AnnotationText) -> dict[str, list[LabelBox]]:
    found: dict[str, list[LabelBox]] = {image: [] for image in text.image_paths}
    table = np.column_stack([text.boxes_xyxy, text.classes, text.ignore])
    for image, row in zip(text.box_image.tolist(), table.tolist(), strict=True):
        found[text.image_paths[image]].append(LabelBox(*row[:4], int(row[4]), row[5] > 0))
    return found


def lines_of(items: list[Correction]) -> CorrectionsText:
    """Corrections with the place they have in a file, in the given order."""
    lines = [line for item in items for line in format_corrections([item]).splitlines()[1:]]
    return read_correction_lines("c.txt", lines)


def apply_all(
    text: AnnotationText, items: list[Correction], classes: int = 3
) -> tuple[AnnotationText, AppliedCorrections, CorrectionTally]:
    index = index_corrections(lines_of(items), classes)
    corrected, applied = apply_corrections(text, index)
    tally = CorrectionTally(index)
    tally.add(applied)
    return corrected, applied, tally


def draw_corrections(images: dict[str, list[LabelBox]], rng: random.Random) -> list[Correction]:
    """At most one line on each box, and some added boxes and regions that the text does not have."""
    items = []
    for image, boxes in images.items():
        for was in dict.fromkeys(boxes):
            now = rng.choice([None, was, was._replace(label=was.label + 3), was._replace(x2=8.0), "nothing"])
            if now != "nothing":
                items.append(Correction(image, was, now))
        for _ in range(rng.randrange(3)):
            new = LabelBox(rng.randrange(5), 1, 7, 7, rng.randrange(3))
            items.append(Correction(image, None, new) if rng.random() < 0.7 else Correction(image, region=new))
    return list(dict.fromkeys(items))


def slow_apply(images: dict[str, list[LabelBox]], items: list[Correction]) -> dict[str, list[LabelBox]]:
    result = {}
    for image, boxes in images.items():
        left = list(boxes)
        for item in items:
            if item.image == image and item.was is not None:
                at = max(n for n, other in enumerate(boxes) if other == item.was)
                left[at] = item.now  # type: ignore[call-overload]
        added = sorted(item.now for item in items if item.image == image and item.kind == "added" and item.now)
        result[image] = [other for other in left if other is not None] + added
    return result


@given(texts, st.randoms(use_true_random=False))
def test_plain_loops_in_any_order_of_the_lines_and_any_parts(
    images: dict[str, list[LabelBox]], rng: random.Random
) -> None:
    items = draw_corrections(images, rng)
    text = text_of(images)
    corrected, applied, tally = apply_all(text, items, classes=6)
    assert boxes_of(corrected) == slow_apply(images, items)
    assert tally.problems("t.txt") == []
    assert len(applied.used) == len(items)
    assert np.all(np.diff(corrected.box_image) >= 0)
    for position, (line, _) in enumerate(applied.origins.tolist()):
        assert line in (int(text.lines[corrected.box_image[position]]), -abs(line))
    counts = tally.counts()
    assert sum(counts.values()) == len(items)
    assert counts["added"] - counts["removed"] == len(corrected.classes) - len(text.classes)
    rng.shuffle(items)
    again, others, _ = apply_all(text, items, classes=6)
    np.testing.assert_array_equal(again.boxes_xyxy, corrected.boxes_xyxy)
    np.testing.assert_array_equal(again.classes, corrected.classes)
    from_text = applied.origins[:, 0] > 0
    np.testing.assert_array_equal(others.origins[from_text], applied.origins[from_text])
    parts = {}
    index = index_corrections(lines_of(items), 6)
    for image, boxes in images.items():
        part, _ = apply_corrections(text_of({image: boxes}), index)
        parts |= boxes_of(part)
    assert parts == boxes_of(corrected)


A, B, C = LabelBox(1, 2, 30, 40, 0), LabelBox(5, 6, 20, 20, 1), LabelBox(5, 6, 21, 20, 1)


def problems(images: dict[str, list[LabelBox]], lines: list[str]) -> list[tuple[int, int, str]]:
    """Line, column and the start of the rule of every mistake; equal lines are noted, all else fails."""
    index = index_corrections(read_correction_lines("c.txt", lines), 2)
    tally = CorrectionTally(index)
    tally.add(apply_corrections(text_of(images), index)[1])
    found = tally.problems("t.txt")
    assert [p.action for p in found] == ["noted" if p.rule == "repeated-correction" else "failed" for p in found]
    return [(p.line, p.column, p.rule.removesuffix("-correction")) for p in found]


def test_a_stale_line_names_the_nearest_box() -> None:
    index = index_corrections(read_correction_lines("c.txt", [f"a.jpg {C} -", f"a.jpg {B}  {A}"]), 2)
    _, applied = apply_corrections(text_of({"a.jpg": [A, B]}), index)
    tally = CorrectionTally(index)
    tally.add(applied)
    [problem] = tally.problems("t.txt")
    assert str(problem).startswith("c.txt:1:7: stale-correction: ")
    assert f"{B} (t.txt:1:19)" in problem.message
    assert [index.corrections[number].line for number in applied.used] == [2]


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([f"a.jpg {C} ="], [(1, 7, "stale")]),
        ([f"a.jpg {A._replace(ignore=True)} -"], [(1, 7, "stale")]),
        ([f"a.jpg {A._replace(label=1)} -"], [(1, 7, "stale")]),
        ([f"a.jpg - {A}"], [(1, 9, "stale")]),
        ([f"b.jpg {A} -", f"b.jpg - = {A}", f"b.jpg - {A}"], [(n, 1, "unknown-image") for n in (1, 2, 3)]),
        ([f"a.jpg {A} {C}", f"./a.jpg {A}  -"], [(1, 7, "conflicting"), (2, 9, "conflicting")]),
        (
            [f"a.jpg {A} =", f"a.jpg {A} -", f"a.jpg {A} ="],
            [(1, 7, "conflicting"), (2, 7, "conflicting"), (3, 7, "repeated")],
        ),
        ([f"a.jpg {A} = # me", f"./a.jpg  {A}  = # you"], [(2, 10, "repeated")]),
        ([f"a.jpg - {B}", f"a.jpg - {B}"], [(1, 9, "stale"), (2, 7, "repeated")]),
        (["a.jpg - 1,2,3,4,2"], [(1, 9, "class-range")]),
        (["a.jpg - 1,2,3,4,-1"], [(1, 9, "class-range")]),
        (["a.jpg - = 1,2,3,4,-1", "a.jpg - 1,2,3,4,-1,1"], []),
        (["a.jpg - = 1,2,3,4,2"], [(1, 11, "class-range")]),
        ([f"a.jpg {A} 1,2,3,4,2", "a.jpg - 1,2,3"], [(1, 19, "class-range"), (2, 9, "bad")]),
    ],
)
def test_mistakes(lines: list[str], found: list[tuple[int, int, str]]) -> None:
    assert problems({"a.jpg": [A, B]}, lines) == found


def test_conflicts_name_each_other_and_are_all_left_out() -> None:
    index = index_corrections(read_correction_lines("c.txt", [f"a.jpg {A} {C}", "", f"a.jpg {A} -"]), 2)
    assert ["c.txt:3:7" in index.problems[0].message, "c.txt:1:7" in index.problems[1].message] == [True, True]
    assert boxes_of(apply_corrections(text_of({"a.jpg": [A]}), index)[0]) == {"a.jpg": [A]}


def test_of_two_equal_boxes_the_last_is_meant() -> None:
    corrected, applied, _ = apply_all(text_of({"a.jpg": [A, B, A]}), [Correction("a.jpg", A, None)])
    assert boxes_of(corrected) == {"a.jpg": [A, B]}
    assert applied.origins.tolist() == [[1, 7], [1, 19]]


def test_places_and_origins_of_changed_and_added_boxes() -> None:
    items = [Correction("a.jpg", None, C), Correction("a.jpg", A, A._replace(label=1))]
    corrected, applied, _ = apply_all(text_of({"x.jpg": [A], "a.jpg": [A, B]}), items)
    assert applied.origins.tolist() == [[1, 7], [2, 7], [2, 19], [-1, 17]]
    assert applied.places.tolist() == [[1, 7], [-2, 25], [2, 19], [-1, 17]]
    assert corrected.box_column.tolist() == [7, 7, 19, 17]


def test_a_box_may_take_the_place_of_another() -> None:
    """Lines are applied at once, not one after the other."""
    items = [Correction("a.jpg", A, B), Correction("a.jpg", B, C)]
    for order in (items, items[::-1]):
        assert boxes_of(apply_all(text_of({"a.jpg": [A, B]}), order)[0]) == {"a.jpg": [B, C]}
