"""Tables of boxes: Open Images and TF Object Detection."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.drawn_sets import draw_pictures, faults_of, text_of
from yolopipe.importing.import_data import import_data

OPEN = (
    "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside\n"
)
TF = "filename,width,height,class,xmin,ymin,xmax,ymax\n"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    draw_pictures(Path("set/images"), "a 1.png", "b.png")


def open_images(*rows: str, file: str = "set/train-annotations-bbox.csv") -> None:
    Path("set/class-descriptions-boxable.csv").write_text("/m/2,Zebra\n/m/1,Ape\n/m/9,Never\n")
    Path(file).write_text(OPEN + "".join(f"{row}\n" for row in rows))


def tf(*rows: str, head: str = TF, file: str = "set/boxes.csv") -> None:
    Path(file).write_text(head + "".join(f"{row}\n" for row in rows), encoding="utf-8")


def test_open_images() -> None:
    open_images(
        "a 1,xclick,/m/1,1,0.1,0.6,0.25,0.75,0,0,0,0,0",
        "b,xclick,/m/2,1,0,1,0,1,0,0,1,0,0",
        "a 1,xclick,/m/2,1,0,0.5,0,0.500001,0,1,0,0,0",
    )
    report = import_data("open-images", "set", "out").report
    # 0.500001 of 80 px is 40.00008
    assert text_of("out/train.txt") == ["a 1.png 10,20,60,60,1 0,0,50,40.00008,0", "b.png 0,0,50,40,0,1"]
    assert Path("out/classes.names").read_text() == "Zebra\nApe\n"
    assert report["splits"]["train"]["group_boxes"] == 1
    assert report["class_order"] == "as in set/class-descriptions-boxable.csv"


def test_open_images_without_names() -> None:
    open_images("a 1,x,/m/1,1,0.1,0.6,0.25,0.75,0,0,0,0,0", file="set/validation-annotations-bbox.csv")
    Path("set/class-descriptions-boxable.csv").unlink()
    assert import_data("open-images", "set", "out").report["notes"] == {"class-names": 1}
    assert Path("out/classes.names").read_text() == "/m/1\n"
    assert text_of("out/val.txt") == ["a 1.png 10,20,60,60,0"]


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        (",x,/m/1,1,0.1,0.6,0.25,0.75,0,0,0,0,0", "bad-record"),
        ("b,x,/m/7,1,0.1,0.6,0.25,0.75,0,0,0,0,0", "unknown-category"),
        ("b,x,,1,0.1,0.6,0.25,0.75,0,0,0,0,0", "unknown-category"),
        ("b,x,/m/1,1,left,0.6,0.25,0.75,0,0,0,0,0", "bad-box"),
        ("b,x,/m/1,1,nan,0.6,0.25,0.75,0,0,0,0,0", "bad-box"),
        ("b,x,/m/1,1,10,60,25,75,0,0,0,0,0", "not-normalised"),
        ("b,x,/m/1,1,-0.1,0.6,0.25,0.75,0,0,0,0,0", "not-normalised"),
    ],
)
def test_bad_rows_of_open_images(row: str, rule: str) -> None:
    open_images("a 1,x,/m/1,1,0.1,0.6,0.25,0.75,0,0,0,0,0", row)
    assert faults_of("open-images", "set", "out") == [("set/train-annotations-bbox.csv", 3, rule, "box")]


def test_two_classes_of_one_name() -> None:
    open_images("a 1,x,/m/1,1,0.1,0.6,0.25,0.75,0,0,0,0,0")
    Path("set/class-descriptions-boxable.csv").write_text("LabelName,DisplayName\n/m/1,Ape\n/m/3,Ape\n")
    assert faults_of("open-images", "set", "out") == [
        ("set/class-descriptions-boxable.csv", 3, "duplicate-id", "file")
    ]


def test_a_little_past_the_edge_is_noted() -> None:
    open_images("a 1,x,/m/1,1,0.1,1.005,0.25,0.75,0,0,0,0,0")
    assert import_data("open-images", "set", "out").report["notes"] == {"outside-image": 1}


def test_tf_csv() -> None:
    tf('"images\\a 1.png",100,80,cat,10.5,20,60,60', "b.png,50,40,,,,,", "images/a 1.png,100,80,dog,0,0,9,9")
    report = import_data("tf-csv", "set", "out").report
    assert text_of("out/all.txt") == ["a 1.png 10.5,20,60,60,0 0,0,9,9,1", "b.png"]
    assert report["splits"]["all"]["rows_without_box"] == 1


def test_tf_csv_in_another_order_and_with_other_separators() -> None:
    tf("cat;1;2;3;4;images/b.png", head="label;xmin;ymin;xmax;ymax;image\n")
    import_data("tf-csv", "set", "out")
    assert text_of("out/all.txt") == ["b.png 1,2,3,4,0"]


def test_tf_csv_splits_and_pictures_without_a_row() -> None:
    draw_pictures(Path("set/images"), "c.png", "d.png")
    tf("a 1.png,100,80,cat,1,2,3,4", file="set/train_labels.csv")
    tf("b.png,50,40,ape,1,2,3,4", file="set/test_labels.csv")
    result = import_data("tf-csv", "set", "out")
    assert text_of("out/train.txt") == ["a 1.png 1,2,3,4,1"]
    assert text_of("out/test.txt") == ["b.png 1,2,3,4,0"]
    assert str(result.rows["left out"]).startswith("2 ")  # of neither split
    Path("set/test_labels.csv").unlink()
    result = import_data("tf-csv", "set", "one", images="set/images")
    assert result.report["splits"]["train"]["unnamed_images"] == 3
    assert text_of("one/train.txt") == ["a 1.png 1,2,3,4,0", "b.png", "c.png", "d.png"]


@pytest.mark.parametrize(
    ("row", "rule", "scope"),
    [
        (",100,80,cat,1,2,3,4", "bad-record", "box"),
        ("b.png,100,80,,1,2,3,4", "no-class-name", "box"),
        ('b.png,100,80,"a\nb",1,2,3,4', "no-class-name", "box"),
        ("b.png,100,80,cat,1,2,x,4", "bad-box", "box"),
        ("b.png,100,80,cat,1,2,,4", "bad-box", "box"),
        ("b.png,100,80,cat,1,2,inf,4", "bad-box", "box"),
        ("b.png,100,80,cat,1,2,3", "bad-csv", "record"),
        ("b, png,100,80,cat,1,2,3,4", "bad-csv", "record"),
        ("no.png,100,80,cat,1,2,3,4", "missing-image", "image"),
    ],
)
def test_bad_rows_of_tf_csv(row: str, rule: str, scope: str) -> None:
    tf("a 1.png,100,80,cat,1,2,3,4", row)
    line = 3 + row.count("\n")
    assert faults_of("tf-csv", "set", "out") == [("set/boxes.csv", line, rule, scope)]
    tf("a 1.png,100,80,cat,1,2,3,4", "a 1.png,100,80,cat,5,6,7,8", "b.png,50,40,cat,5,6,7,8", row)
    import_data("tf-csv", "set", "out", on_bad="skip")
    assert text_of("out/all.txt") == ["a 1.png 1,2,3,4,0 5,6,7,8,0", "b.png 5,6,7,8,0"]


def test_bad_csv_files() -> None:
    tf("a 1.png,cat", head="filename,class\n")
    assert faults_of("tf-csv", "set/boxes.csv", "out") == [("set/boxes.csv", 1, "missing-key", "file")]
    Path("set/boxes.csv").write_bytes(TF.encode() + b"a 1.png,100,80,cat,1,2,3,4\ncaf\xe9.png,1,1,cat,1,2,3,4\n")
    assert faults_of("tf-csv", "set", "out") == [("set/boxes.csv", 3, "not-utf8", "record")]
