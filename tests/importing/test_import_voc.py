from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from yolopipe.config.params import Config
from yolopipe.errors import DataError, ProblemsError, UsageError
from yolopipe.formats.annotation_text import parse_annotation
from yolopipe.importing.finishing import IMPORT_PROBLEMS
from yolopipe.importing.import_data import import_data
from yolopipe.stages import parse

Box = tuple[str, Any, Any, Any, Any]
ROOT = Path("voc")


def annotate(name: str, *boxes: Box, filename: str = "wrong.jpg", suffix: str = ".jpg", difficult: int = 0) -> None:
    objects = "".join(
        f"\n<object><name>{label}</name><difficult>{difficult}</difficult><bndbox><xmin>{x1}</xmin>"
        f"<ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        for label, x1, y1, x2, y2 in boxes
    )
    for folder in ("Annotations", "JPEGImages"):
        (ROOT / folder).mkdir(parents=True, exist_ok=True)
    (ROOT / "Annotations" / f"{name}.xml").write_text(
        f"<annotation><filename>{filename}</filename>{objects}\n</annotation>", encoding="utf-8"
    )
    if suffix:
        Image.new("RGB", (50, 40)).save(ROOT / "JPEGImages" / f"{name}{suffix}")


def splits(**names: str) -> None:
    main = ROOT / "ImageSets" / "Main"
    main.mkdir(parents=True, exist_ok=True)
    for split, text in names.items():
        (main / f"{split}.txt").write_text(text)


def listed() -> list[tuple[str, int, str, str]]:
    """File, line, rule and action of what the import wrote to its list."""
    with IMPORT_PROBLEMS.open() as stream:
        return [(row["file"], int(row["line"]), row["rule"], row["action"]) for row in csv.DictReader(stream)]


@pytest.fixture(autouse=True)
def _voc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    annotate("b", ("zebra", 1, 2, 30, 40), ("cat", "1.5", "2.25", 9, 9))
    annotate("a 1", ("dog", 5, 5, 5, 9), suffix=".png", difficult=1)
    annotate("c")
    splits(train="b\nc\n", val="a 1\n", cat_train="b 1\nc -1\n")


def test_splits_become_text_that_parse_reads() -> None:
    result = import_data("voc", ROOT, "out")
    assert sorted(p.name for p in Path("out").iterdir()) == ["classes.names", "train.txt", "val.txt"]
    assert Path("out/classes.names").read_text() == "cat\ndog\nzebra\n"
    assert (
        Path("out/train.txt").read_text() == "voc/JPEGImages/b.jpg 1,2,30,40,2 1.5,2.25,9,9,0\nvoc/JPEGImages/c.jpg\n"
    )
    assert Path("out/val.txt").read_text() == "voc/JPEGImages/a 1.png 5,5,5,9,1,1\n"
    assert result.report["classes"] == ["cat", "dog", "zebra"]
    assert result.report["notes"] == {"no-area": 1, "no-boxes": 1}
    assert result.report["splits"]["val"] == {
        **dict.fromkeys(("polygons", "rotated", "without_xml_file"), 0),
        "images": 1,
        "backgrounds": 1,
        "boxes": 0,
        "ignored": 1,
        "difficult": 1,
        "difficult_left_out": 0,
        "orientations_fixed": 0,
        "boxes_per_class": {"cat": 0, "dog": 0, "zebra": 0},
    }
    assert listed() == [("voc/Annotations/a 1.xml", 2, "no-area", "noted"), ("voc", 0, "no-boxes", "noted")]
    assert str(result.rows["left out"]).startswith("1 ")
    named = {"train": "out/train.txt", "val": "out/val.txt", "classes": "out/classes.names", "images": "voc"}
    with pytest.raises(ProblemsError, match="no-area 1"):
        parse.run(Config(data=named))  # type: ignore[arg-type]
    parse.run(Config(data=named, parse={"on_bad": "drop-box"}))  # type: ignore[arg-type]


def test_class_order_is_the_same_for_any_choice_of_splits() -> None:
    import_data("voc", ROOT, "out", splits=["train"])
    assert Path("out/classes.names").read_text() == "cat\ndog\nzebra\n"
    assert not Path("out/val.txt").exists()


def test_a_names_file_fixes_the_order() -> None:
    Path("my.names").write_text("zebra\nhorse\ncat\ndog\n")
    import_data("voc", ROOT, "out", classes="my.names")
    assert Path("out/classes.names").read_text() == "zebra\nhorse\ncat\ndog\n"
    assert parse_annotation(Path("out/val.txt").read_text()).bboxes[0, 4] == 3
    Path("my.names").write_text("zebra\ncat\n")
    with pytest.raises(ProblemsError) as caught:
        import_data("voc", ROOT, "new", classes="my.names")
    assert [(p.file, p.line, p.rule) for p in caught.value.problems] == [
        ("voc/Annotations/a 1.xml", 2, "unknown-class")
    ]
    assert not Path("new").exists()


def test_without_lists_there_is_one_text() -> None:
    for file in (ROOT / "ImageSets" / "Main").iterdir():
        file.unlink()
    import_data("voc", ROOT, "out")
    assert [line.split(".")[0] for line in Path("out/all.txt").read_text().splitlines()] == [
        "voc/JPEGImages/a 1",
        "voc/JPEGImages/b",
        "voc/JPEGImages/c",
    ]


def test_images_elsewhere_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    import_data("voc", "../voc", "out")
    assert parse_annotation(Path("out/val.txt").read_text()).image_path == f"{tmp_path}/voc/JPEGImages/a 1.png"


def test_the_name_in_the_xml_is_the_second_choice() -> None:
    annotate("d", ("cat", 1, 1, 9, 9), filename="C:\\photos\\b.jpg", suffix="")
    splits(train="d\nb\n")
    import_data("voc", ROOT, "out", splits=["train"])
    paths = [parse_annotation(line).image_path for line in Path("out/train.txt").read_text().splitlines()]
    assert paths == ["voc/JPEGImages/b.jpg", "voc/JPEGImages/b.jpg"]


def test_all_problems_at_once_and_nothing_written() -> None:
    annotate("bad", ("cat", "x", 1, 2, 3), ("cat", 1, 1, 2, 3))
    (ROOT / "Annotations" / "cut.xml").write_text("<annotation>\n<object>")
    annotate("gone", ("cat", 1, 1, 2, 3), suffix="")
    splits(train="b\nnobody\ngone\n")
    with pytest.raises(ProblemsError) as caught:
        import_data("voc", ROOT, "out")
    assert [(p.file, p.line, p.rule) for p in caught.value.problems] == [
        ("voc/Annotations/bad.xml", 2, "bad-box"),
        ("voc/Annotations/cut.xml", 2, "bad-xml"),
        ("voc/ImageSets/Main/train.txt", 2, "missing-xml"),
        ("voc/ImageSets/Main/train.txt", 3, "missing-image"),
    ]
    assert not Path("out").exists()


def test_a_size_that_the_image_does_not_have_is_noted() -> None:
    file = ROOT / "Annotations" / "b.xml"
    usual = {"no-area": 1, "no-boxes": 1}
    for width, notes in ((50, usual), (0, usual), (640, {**usual, "image-size": 1})):
        text = file.read_text().partition("<size>")[0].removesuffix("</annotation>")
        file.write_text(f"{text}<size><width>{width}</width><height>40</height></size></annotation>")
        assert import_data("voc", ROOT, "out").report["notes"] == notes
    assert ("voc/Annotations/b.xml", 0, "image-size", "noted") in listed()


def test_wrong_calls() -> None:
    with pytest.raises(UsageError, match=r"test.*train, val"):
        import_data("voc", ROOT, "out", splits=["test"])
    with pytest.raises(DataError, match="nowhere"):
        import_data("voc", "nowhere", "out")
    for name in ("b", "a 1"):
        annotate(name, suffix="")
    with pytest.raises(DataError, match="voc"):
        import_data("voc", ROOT, "out")


def test_sources_are_not_touched() -> None:
    before = {p: p.read_bytes() for p in sorted(ROOT.rglob("*")) if p.is_file()}
    import_data("voc", ROOT, "out")
    assert {p: p.read_bytes() for p in sorted(ROOT.rglob("*")) if p.is_file()} == before
