"""``yolopipe labels corrected`` and ``labels corrections``: from files to files, and back."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolopipe.cli import app, guarded
from yolopipe.formats.annotation_text import format_annotation, read_annotation_lines, read_annotations
from yolopipe.formats.corrections import Correction, LabelBox, format_corrections, read_correction_lines
from yolopipe.labelsets.correct_labels import corrected_content
from yolopipe.labelsets.derive_corrections import derive_corrections
from yolopipe.labelsets.label_set import LabelSet
from yolopipe.parsing.apply_corrections import CorrectionTally, apply_corrections
from yolopipe.parsing.correction_index import index_corrections

Images = dict[str, list[LabelBox]]
NAMES = ("cat", "dog")

corner, far = st.integers(0, 4).map(float), st.sampled_from([5.0, 7.5, 9.0])
box = st.one_of(
    st.builds(LabelBox, corner, corner, far, far, st.integers(0, 1), st.booleans()),
    st.builds(LabelBox, corner, corner, far, far, st.just(-1), st.just(True)),
)
unlike = st.lists(box, max_size=4, unique=True)
alike = st.lists(box, max_size=4)
paths = st.sampled_from(["a.jpg", "b b, 1.jpg", "é/c#.jpg", "d - =.jpg"])


def set_of(images: Images, names: tuple[str, ...] = NAMES) -> LabelSet:
    rows = [(*item, number) for number, boxes in enumerate(images.values()) for item in boxes]
    table = np.array(rows, float).reshape(-1, 7)
    places = np.stack([np.zeros(len(images)), np.arange(1, len(images) + 1)], axis=1).astype(np.int32)
    kinds, image = table[:, 4].astype(np.int64), table[:, 6].astype(np.int64)
    return LabelSet(names, list(images), places, ("t.txt",), table[:, :4], kinds, table[:, 5] > 0, image)


def applied(images: Images, corrections: list[Correction]) -> Images:
    """The images after the corrections were written, read and applied; every line finds its box."""
    text = read_annotation_lines("t.txt", 1, [format_annotation(path, boxes) for path, boxes in images.items()])
    lines = format_corrections(corrections).splitlines()
    index = index_corrections(read_correction_lines("c.txt", lines), len(NAMES))
    corrected, done = apply_corrections(text, index)
    tally = CorrectionTally(index)
    tally.add(done)
    assert tally.problems("t.txt") == []
    found: Images = {path: [] for path in images}
    table = np.column_stack([corrected.boxes_xyxy, corrected.classes, corrected.ignore])
    for image, row in zip(corrected.box_image.tolist(), table.tolist(), strict=True):
        found[text.image_paths[image]].append(LabelBox(*row[:4], int(row[4]), row[5] > 0))
    return found


def same_boxes(one: Images, two: Images) -> bool:
    return {path: Counter(boxes) for path, boxes in one.items()} == {p: Counter(b) for p, b in two.items()}


@given(st.dictionaries(paths, unlike, max_size=4), st.data())
def test_corrections_between_two_texts_give_the_second(old: Images, data: st.DataObject) -> None:
    new = {path: data.draw(unlike) for path in old}
    corrections, problems = derive_corrections(set_of(old), set_of(new))
    assert problems == []
    assert same_boxes(applied(old, corrections), new)
    swapped = {path: [b._replace(label=1 - b.label if b.label >= 0 else -1) for b in new[path]] for path in new}
    again, _ = derive_corrections(set_of(old), set_of(swapped, NAMES[::-1]))
    assert again == corrections, "classes are matched by name"


@given(st.dictionaries(paths, alike, max_size=3), st.dictionaries(paths, alike, max_size=3))
def test_what_cannot_be_written_is_named(old: Images, new: Images) -> None:
    """Equal boxes in one image; images that one of the texts lacks are left as they are."""
    corrections, problems = derive_corrections(set_of(old), set_of(new))
    shared = {path: new[path] for path in old if path in new}
    found = applied(old, corrections)
    assert {problem.rule for problem in problems} <= {"repeated-box"}
    assert {c.image for c in corrections} <= shared.keys()
    named = {problem.image for problem in problems}
    for path, boxes in found.items():
        if path not in named:
            assert Counter(boxes) == Counter(shared.get(path, old[path]))
        else:
            both = [*old[path], *new[path]]
            assert len(set(old[path])) < len(old[path]) or len(set(new[path])) < len(new[path]), both


def test_of_equal_boxes_one_is_corrected() -> None:
    same = LabelBox(1, 2, 9, 9, 0)
    for old, new, lines, left_out in (
        ([same] * 2, [same], 1, 0),
        ([same] * 2, [], 1, 1),
        ([], [same] * 2, 1, 1),
        ([same], [same] * 2, 0, 1),
    ):
        corrections, problems = derive_corrections(set_of({"a.jpg": old}), set_of({"a.jpg": new}))
        assert (len(corrections), [p.rule for p in problems]) == (lines, ["repeated-box"] * left_out)
        applied({"a.jpg": old}, corrections)


def test_a_class_that_the_old_text_does_not_have() -> None:
    old = set_of({"a.jpg": [LabelBox(1, 2, 9, 9, 0)]}, ("cat",))
    new = set_of({"a.jpg": [LabelBox(1, 2, 9, 9, 1), LabelBox(1, 2, 9, 9, -1, True)]})
    corrections, problems = derive_corrections(old, new)
    assert [(p.file, p.line, p.rule) for p in problems] == [("t.txt", 1, "unknown-class")]
    assert [c.kind for c in corrections] == ["added"]


SPACING = st.sampled_from([" ", "  ", "\t"])


@given(st.dictionaries(paths, unlike, max_size=4), st.data())
def test_corrected_text_says_the_same_as_the_arrays(images: Images, data: st.DataObject) -> None:
    """Whatever blanks, comments, line ends and bad words it has; untouched lines keep their bytes."""
    new = {path: data.draw(unlike) for path in images}
    corrections, _ = derive_corrections(set_of(images), set_of(new))
    end = data.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    lines = ["# a comment  ", "", "\tx 1.jpg 1,2,3  1.0,2,3,4,0 "]
    for path, boxes in images.items():
        gaps = [data.draw(SPACING) for _ in boxes]
        tail = data.draw(st.sampled_from(["", " ", " 1,2,3"]))
        lines.append(path + "".join(gap + str(item) for gap, item in zip(gaps, boxes, strict=True)) + tail)
    lines = data.draw(st.permutations(lines))
    content = (
        data.draw(st.sampled_from(["", "\ufeff"])) + end.join(lines) + data.draw(st.sampled_from(["", end]))
    ).encode()
    text = read_annotation_lines("t.txt", 1, lines)
    index = index_corrections(read_correction_lines("c.txt", format_corrections(corrections).splitlines()), 2)
    corrected, done = apply_corrections(text, index)
    after, changed = corrected_content(content, text, corrected, done)
    new_lines = after.decode().removeprefix("\ufeff").split(end)
    read = read_annotation_lines("t.txt", 1, new_lines)
    assert read.image_paths == text.image_paths
    np.testing.assert_array_equal(read.boxes_xyxy, corrected.boxes_xyxy)
    np.testing.assert_array_equal(read.classes, corrected.classes)
    np.testing.assert_array_equal(read.ignore, corrected.ignore)
    assert len(read.faults) == len(text.faults)
    pairs = list(zip(lines, new_lines, strict=False))
    assert sum(one != two for one, two in pairs) == changed == len({c.image for c in corrections})
    assert after.count(end.encode()) == content.count(end.encode())
    assert after.startswith("\ufeff".encode()) == content.startswith("\ufeff".encode())


def yolopipe(*arguments: object) -> int:
    return guarded(lambda: app([str(argument) for argument in arguments], standalone_mode=False)) or 0


TRAIN = (
    b"\xef\xbb\xbf# day  \r\nday/a 1.jpg  1,2,30,40,0   5,5,20.50,20,1 \r\n\r\nday/b.jpg\r\n"
    b"\xff.jpg 1,2,3,4,0\r\nc.jpg 1,2"
)
VAL = b"d.jpg 1,2,30,40,0 9,9,20,20,1\n"
LINES = """\
day/a 1.jpg 1,2,30,40,0 1,2.5,30,40,1
day/a 1.jpg 5,5,20.5,20,1 =
day/b.jpg - 7,7,9,9,-1,1
d.jpg 1,2,30,40,0 -
d.jpg - = 1,1,9,9,0
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two texts of two classes, corrections, and params that name them; no pictures."""
    monkeypatch.chdir(tmp_path)
    for name, content in (("train.txt", TRAIN), ("val.txt", VAL), ("c.txt", LINES.encode())):
        Path(name).write_bytes(content)
    Path("classes.names").write_text("cat\ndog\n")
    data = {"train": "train.txt", "val": "val.txt", "classes": "classes.names", "images": ".", "corrections": "c.txt"}
    Path("params.yaml").write_text(json.dumps({"data": data}))
    return tmp_path


def sources(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*") if path.is_file()}


def test_corrected_texts_of_the_project(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sources(folder)
    assert yolopipe("labels", "corrected", "--out", "o", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["files"] == {
        "train.txt": {"images": 3, "images_changed": 2},
        "val.txt": {"images": 1, "images_changed": 1},
    }
    assert (report["corrections"]["added"], report["corrections"]["confirmed"], report["left_out"]) == (1, 1, 0)
    assert Path("o/train.txt").read_bytes() == TRAIN.replace(b"1,2,30,40,0", b"1,2.5,30,40,1").replace(
        b"b.jpg\r", b"b.jpg 7,7,9,9,-1,1\r"
    )
    assert Path("o/val.txt").read_bytes() == b"d.jpg 9,9,20,20,1\n"
    assert Path("o/classes.names").read_text() == "cat\ndog\n"
    assert sources(folder) == before
    first = {path: path.read_bytes() for path in Path("o").iterdir()}
    assert yolopipe("labels", "corrected", "--out", "o") == 0
    assert {path: path.read_bytes() for path in Path("o").iterdir()} == first


def test_corrected_texts_that_are_given(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All images must be in the texts given; without params nothing of them is needed."""
    Path("params.yaml").unlink()
    assert yolopipe("labels", "corrected", "val.txt", "--corrections", "c.txt", "--out", "o") == 4
    assert "c.txt:1:1: unknown-image: " in capsys.readouterr().err
    assert not Path("o").exists()
    arguments = (
        "labels",
        "corrected",
        "val.txt",
        "--corrections",
        "c.txt",
        "--out",
        "o",
        "--on-bad",
        "skip",
        "--json",
    )
    assert yolopipe(*arguments) == 0
    assert json.loads(capsys.readouterr().out)["left_out"] == 3
    assert Path("o/val.txt").read_bytes() == b"d.jpg 9,9,20,20,1\n"
    assert yolopipe("labels", "corrected", "--out", "o") == 3


def test_a_corrected_text_is_corrected_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """When the source has taken the corrections over, each line says so."""
    assert yolopipe("labels", "corrected", "--out", "o") == 0
    assert yolopipe("labels", "corrected", "o/train.txt", "o/val.txt", "--corrections", "c.txt", "--out", "p") == 4
    shown = capsys.readouterr().err
    places = [line.split(": ")[:2] for line in shown.splitlines() if line.startswith("c.txt")]
    assert places == [[f"c.txt:{place}", "stale-correction"] for place in ("1:13", "3:13", "4:7")]
    assert "o/train.txt:2:" in shown


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("corrected", "--out", "."), 2),
        (("corrected", "--out", "o", "--corrections", "no.txt"), 4),
        (("corrected", "--out", "o", "--classes", "no.txt"), 4),
        (("corrected", "o/../val.txt", "val.txt", "--out", "o"), 2),
        (("corrections", "train.txt", "val.txt", "--out", "train.txt"), 2),
        (("corrections", "val.txt", "val.txt", "--out", "c.txt"), 2),
        (("corrections", "train.txt", "val.txt", "--out", "new.txt"), 4),
        (("corrections", "val.txt", "no.txt", "--out", "new.txt"), 4),
    ],
)
def test_inputs_and_files_of_people_are_never_overwritten(
    folder: Path, arguments: tuple[str, ...], code: int
) -> None:
    before = sources(folder)
    assert yolopipe("labels", *arguments) == code
    assert sources(folder) == before


def test_the_project_without_corrections(folder: Path) -> None:
    params = Path("params.yaml")
    params.write_text(params.read_text().replace("c.txt", ""))
    assert yolopipe("labels", "corrected", "--out", "o") == 2
    params.write_text(params.read_text().replace('""', '"c.txt"').replace("val.txt", "./train.txt"))
    assert yolopipe("labels", "corrected", "--out", "o") == 2, "one name twice"
    assert not Path("o").exists()


def test_there_and_back(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Corrections of a new version, applied to the old one, give its boxes; a second run gives the same bytes."""
    Path("new.txt").write_text("e.jpg 1,1,2,2,0\nd.jpg 2,2,30,40,0 9,9,20,20,0 50,50,60,60,1,1\n")
    assert yolopipe("labels", "corrections", "val.txt", "new.txt", "--out", "n.txt", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert [report[key] for key in ("moved", "re_classed", "added", "removed")] == [1, 1, 1, 0]
    assert (report["images_added"], report["left_out"]) == (1, 0)
    written = Path("n.txt").read_bytes()
    assert yolopipe("labels", "corrections", "val.txt", "new.txt", "--out", "n.txt") == 0
    assert Path("n.txt").read_bytes() == written
    assert yolopipe("labels", "corrected", "val.txt", "--corrections", "n.txt", "--out", "o") == 0
    assert read_annotations("o/val.txt").boxes_xyxy.tolist() == read_annotations("new.txt").boxes_xyxy[1:].tolist()
    Path("twice.txt").write_text("d.jpg 1,2,30,40,0 1,2,30,40,0 1,2,30,40,0\n")
    assert yolopipe("labels", "corrections", "val.txt", "twice.txt", "--out", "t.txt") == 4
    assert "twice.txt:1: repeated-box: " in capsys.readouterr().err
    assert yolopipe("labels", "corrections", "val.txt", "twice.txt", "--out", "t.txt", "--on-bad", "skip") == 0


def test_convert_takes_the_corrected_text_and_says_so_where_it_does_not(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite("d.jpg", np.zeros((64, 64, 3), np.uint8))
    Path("train.txt").write_bytes(VAL)
    Path("c.txt").write_text("d.jpg 1,2,30,40,0 -\n")
    assert yolopipe("convert", "coco", "--out", "plain", "--json") == 0
    assert json.loads(capsys.readouterr().out)["corrections_left_out"] == "c.txt"
    assert yolopipe("labels", "corrected", "val.txt", "--out", "o", "--json") == 0
    capsys.readouterr()
    assert yolopipe("convert", "coco", "--out", "right", "--split", "val=o/val.txt", "--json") == 0
    assert "corrections_left_out" not in json.loads(capsys.readouterr().out)
    files = [Path(out) / "annotations/instances_val.json" for out in ("plain", "right")]
    boxes = [len(json.loads(file.read_text())["annotations"]) for file in files]
    assert boxes == [2, 1]
