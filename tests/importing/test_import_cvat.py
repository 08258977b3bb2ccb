from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.drawn_sets import draw_pictures, faults_of, text_of
from yolopipe.importing.import_data import import_data


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    draw_pictures(Path("set/images/cam 1"), "a & b.png", "b.png")


LABELS = "<label><name>dog</name></label><label><name>cat</name></label>"
IMAGE = '<image id="0" name="cam 1/a &amp; b.png" width="100" height="80"'


def write(*lines: str, labels: str = LABELS, image: str = IMAGE, more: str = "", meta: str = "") -> None:
    """The first of ``lines`` is line 3."""
    shapes = "\n".join(lines)
    text = f"<annotations><meta><task>{meta}<labels>{labels}</labels></task></meta>\n{image}>\n{shapes}\n</image>\n"
    Path("set/annotations.xml").write_text(f"{text}{more}</annotations>", encoding="utf-8")


def box(corners: str, more: str = "") -> str:
    keys = zip(("xtl", "ytl", "xbr", "ybr"), corners.split(","), strict=True)
    return f'<box label="cat" {" ".join(f"{key}={chr(34)}{value}{chr(34)}" for key, value in keys)} {more}/>'


def test_shapes_become_bounds() -> None:
    write(
        box("1.25,2,30,40"),
        box("10,20,50,40", 'rotation="90.0" occluded="1"'),
        box("10,20,50,40", 'rotation="30"'),
        '<polygon label="dog" points="5,9;20.5,3;11,30"><attribute name="x">1</attribute></polygon>',
        '<ellipse label="dog" cx="50" cy="40" rx="10" ry="5" rotation="90"/>',
        '<mask label="dog" rle="1,2" left="3" top="4" width="5" height="6"/>',
        box("1,1,2,2", 'outside="1"'),
        '<polyline label="rope" points="1,1;2,2"/><points label="rope" points="1,1"/><tag label="night"/>',
        '<skeleton label="man"><points label="hand" points="1,1"/></skeleton><cuboid label="cat" xtl1="1"/>',
        more='<image id="1" name="cam 1/b.png" width="50" height="40"></image>',
        labels=f"{LABELS}<label><name>hand</name><parent>man</parent></label>",
    )
    report = import_data("cvat", "set", "out").report
    assert text_of("out/all.txt")[1] == "b.png"
    # 40x20 turned by 30 degrees around (30, 30): half sides 20 cos + 10 sin = 22.3205, 20 sin + 10 cos = 18.6603
    fields = text_of("out/all.txt")[0].split()[3:]
    assert [float(text) for text in fields.pop(2).split(",")] == pytest.approx(
        [7.6795, 11.3397, 52.3205, 48.6603, 1], abs=1e-4
    )
    assert fields == ["1.25,2,30,40,1", "20,10,40,50,1", "5,3,20.5,30,0", "45,30,55,50,0", "3,4,8,10,0"]
    assert Path("out/classes.names").read_text() == "dog\ncat\n"
    counts = report["splits"]["all"]
    assert [
        counts[key] for key in ("shapes_made_boxes", "occluded", "outside_left_out", "other_shapes_left_out")
    ] == [*(5, 1, 1, 5)]
    assert report["notes"] == {}


@pytest.mark.parametrize(
    ("subset", "split"), [("Train", "train"), ("Validation", "val"), ("default", "all"), ("Night/1", "Night_1")]
)
def test_subsets_are_splits(subset: str, split: str) -> None:
    write(box("1,2,3,4"), image=f'{IMAGE} subset="{subset}"')
    import_data("cvat", "set", "out")
    assert text_of(f"out/{split}.txt") == ["a & b.png 1,2,3,4,1"]
    write(box("1,2,3,4"), meta=f"<subset>{subset}</subset>")  # a task of a project
    import_data("cvat", "set", "task")
    assert text_of(f"task/{split}.txt") == ["a & b.png 1,2,3,4,1"]


def test_labels_without_a_declaration_follow_by_name() -> None:
    write(box("1,2,3,4").replace("cat", "zebra"), box("1,2,30,4").replace("cat", "ape"), box("5,5,9,9"))
    import_data("cvat", "set/annotations.xml", "out")
    assert Path("out/classes.names").read_text() == "dog\ncat\nape\nzebra\n"


@pytest.mark.parametrize(
    ("bad", "rule"),
    [
        ("<banana/>", "bad-record"),
        (box("1,2,3,4").replace('label="cat"', ""), "no-class-name"),
        (box("1,2,3,4").replace("cat", "a&#10;b"), "no-class-name"),
        (box("1,2,x,4"), "bad-box"),
        (box("1,2,nan,4"), "bad-box"),
        (box("1,2,3,4").replace("ybr", "yyy"), "bad-box"),
        (box("1,2,3,4", 'rotation="left"'), "bad-box"),
        ('<polygon label="cat" points="1,2;3"/>', "bad-box"),
        ('<polygon label="cat" points=""/>', "bad-box"),
        ('<polygon label="cat"/>', "bad-box"),
        ('<ellipse label="cat" cx="1" cy="2"/>', "bad-box"),
        ('<mask label="cat" rle="1" left="3" top="4" width="5"/>', "bad-box"),
    ],
)
def test_bad_shapes(bad: str, rule: str) -> None:
    write(box("1,2,3,4"), bad)
    assert faults_of("cvat", "set", "out") == [("set/annotations.xml", 4, rule, "box")]
    import_data("cvat", "set", "out", on_bad="skip")
    assert text_of("out/all.txt") == ["a & b.png 1,2,3,4,1"]


@pytest.mark.parametrize(
    ("image", "line", "rule"),
    [('<image id="0" name=" "', 2, "bad-record"), ('<image id="0" name="cam 1/no.png"', 2, "missing-image")],
)
def test_bad_images(image: str, line: int, rule: str) -> None:
    write(box("1,2,3,4"), image=image)
    assert faults_of("cvat", "set", "out") == [("set/annotations.xml", line, rule, "image")]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("<annotations>\n<meta>", 2),
        ("<annotations>\n<track id='0' label='cat'/></annotations>", 2),
        ("<!DOCTYPE a [<!ENTITY x 'y'>]>\n<annotations/>", 1),
        ("<other>\n<annotations/></other>", 1),
        ("<?xml version='1.0' encoding='nonsense'?><annotations/>", 1),
    ],
)
def test_bad_files(text: str, line: int) -> None:
    Path("set/annotations.xml").write_text(text)
    assert faults_of("cvat", "set/annotations.xml", "out") == [("set/annotations.xml", line, "bad-xml", "file")]
