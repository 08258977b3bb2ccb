from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from yolopipe.config.params import Config
from yolopipe.errors import DataError, ProblemsError, UsageError
from yolopipe.formats.annotation_text import read_annotations
from yolopipe.imaging.images import read_image
from yolopipe.importing.finishing import IMPORT_PROBLEMS
from yolopipe.importing.import_data import import_data
from yolopipe.stages import parse

BOX = "0 0.5 0.5 0.5 0.5\n"
"""Of a 100x80 image: 25,20,75,60."""
TEXT = "25,20,75,60,0"


def put(file: str, content: str | bytes = "") -> None:
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).write_bytes(content if isinstance(content, bytes) else content.encode())


def draw(*files: str, size: tuple[int, int] = (100, 80), orientation: int = 1) -> None:
    for file in files:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.new("RGB", size).save(file, exif=exif)


def written(folder: str = "out") -> dict[str, list[str]]:
    """Split to the lines of its text."""
    return {file.stem: file.read_text().splitlines() for file in sorted(Path(folder).glob("*.txt"))}


def names() -> list[str]:
    return Path("out/classes.names").read_text().splitlines()


def problems(*arguments: Any, **options: Any) -> list[tuple[str, int, str]]:
    with pytest.raises(ProblemsError) as caught:
        import_data("yolo", *arguments, **options)
    assert not Path(arguments[1]).exists()
    return [(p.file, p.line, p.rule) for p in caught.value.problems]


def listed() -> list[tuple[str, int, str, str]]:
    """File, line, rule and action of what the import wrote to its list."""
    with IMPORT_PROBLEMS.open() as stream:
        return [(row["file"], int(row["line"]), row["rule"], row["action"]) for row in csv.DictReader(stream)]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def ultralytics(yaml: str) -> None:
    """``set/images/{train,val}`` and the labels beside; a space in one name."""
    draw("set/images/train/a b.jpg", "set/images/train/deep/c.png", "set/images/val/d.jpg")
    put("set/labels/train/a b.txt", BOX + "\r\n1 0.1 0.1 0.2 0.1 0.15 0.3\r\n")
    put("set/labels/train/deep/c.txt", "")
    put("set/data.yaml", yaml)


EXPECTED = {
    "train": [f"set/images/train/a b.jpg {TEXT} 10,8,20,24,1", "set/images/train/deep/c.png"],
    "val": ["set/images/val/d.jpg"],
}


@pytest.mark.parametrize(
    "yaml",
    [
        "train: images/train\nval: images/val\nnc: 2\nnames: [cat, traffic light]\n",
        "path: .\ntrain: images/train/\nval: images/val\nnames:\n  1: traffic light\n  0: cat\n",
        "path: ../set\ntrain: [images/train]\nvalid: images/val\nnames: ['cat', 'traffic light']\n",
        "\ufefftrain: ../images/train\r\nval: ../images/val\r\ntest: ../test\r\nnames: [cat, traffic light]\r\n",
        "path: datasets/elsewhere\ntrain: images/train\nval: images/val\nnames: [cat, traffic light]\n",
        "train: train.txt\nval: val.txt\nnames: [cat, traffic light]\n",
    ],
)
@pytest.mark.parametrize("source", ["set", "set/data.yaml"])
def test_data_yaml(yaml: str, source: str) -> None:
    ultralytics(yaml)
    put("set/train.txt", "./images/train/a b.jpg\r\ndata/images/train/deep/c.png\n\n")
    put("set/val.txt", "images/val/d.jpg")
    result = import_data("yolo", source, "out")
    assert written() == EXPECTED
    assert names() == ["cat", "traffic light"]
    assert result.report["splits"]["train"]["polygons"] == 1
    assert result.report["splits"]["val"]["without_label_file"] == 1
    assert "as in set/data.yaml" in str(result.rows["class order"])
    named = {"train": "out/train.txt", "val": "out/val.txt", "classes": "out/classes.names", "images": "set"}
    parse.run(Config(data=named))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("yaml", "place"),
    [
        ("train: images/train\nnc: 3\nnames: [a, b]\n", (2, "class-count")),
        ("train: images/train\n\nnames: {0: a, 2: b}\n", (3, "class-names")),
        ("train: images/train\nnames: [a, a]\n", (2, "class-names")),
        ("train: images/train\nnames: [a, '']\n", (2, "class-names")),
        ("train: images/train\nnames: many\n", (2, "class-names")),
        ("names: [a, b]\ntrain: images/trian\n", (2, "missing-split")),
        ("train: images/train\nnames: [a, b]\nkpt_shape: [17, 3]\n", (3, "key-points")),
    ],
)
def test_broken_data_yaml(yaml: str, place: tuple[int, str]) -> None:
    ultralytics(yaml)
    assert ("set/data.yaml", *place) in problems("set", "out")


@pytest.mark.parametrize("yaml", ["names: [a\n", "names: [a]\nnames: [b]\n", "- names\nnames: x", "names:\n"])
def test_invalid_data_yaml(yaml: str) -> None:
    put("set/data.yaml", yaml)
    with pytest.raises(DataError):
        import_data("yolo", "set/data.yaml", "out")


def test_darknet_and_cvat_yolo() -> None:
    """CVAT writes paths from a folder ``data`` that does not exist; labels are beside the images."""
    put(
        "set/obj.data",
        "classes = 2\ntrain = data/train.txt\nvalid = data/test.txt\nnames = data/obj.names\n",
    )
    put("set/obj.names", "cat\ntraffic light\n")
    put("set/train.txt", "data/obj_train_data/a.jpg\n")
    put("set/test.txt", "data/obj_train_data/b.jpg\n")
    draw("set/obj_train_data/a.jpg", "set/obj_train_data/b.jpg")
    put("set/obj_train_data/a.txt", BOX)
    for source in ("set", "set/obj.data"):
        import_data("yolo", source, "out")
        assert written() == {"train": [f"set/obj_train_data/a.jpg {TEXT}"], "val": ["set/obj_train_data/b.jpg"]}
        assert names() == ["cat", "traffic light"]
    Path("set/obj.data").unlink()
    import_data("yolo", "set", "out2")
    assert set(written("out2")) == {"test", "train"}
    put("set/obj.data", "# two\nclasses = 3\ntrain = data/train.txt\nnames = data/obj.names\n")
    put("set/train.txt", "data/obj_train_data/a.jpg\ndata/obj_train_data/gone.jpg\n")
    assert problems("set", "out3") == [("set/obj.data", 2, "class-count"), ("set/train.txt", 2, "missing-image")]


def test_darknet_from_its_own_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual way: paths in the lists start at the folder that darknet runs in."""
    put("darknet/data/obj.data", "train = data/train.txt\nvalid = data/none.txt\nnames = data/obj.names\n")
    put("darknet/data/obj.names", "cat\n")
    put("darknet/data/train.txt", "data/obj/a.jpg\n")
    draw("darknet/data/obj/a.jpg")
    assert problems("darknet/data/obj.data", "out") == [("darknet/data/obj.data", 2, "missing-split")]
    put("darknet/data/none.txt", "")
    monkeypatch.chdir("darknet")
    import_data("yolo", "data/obj.data", "out")
    assert written() == {"train": ["data/obj/a.jpg"], "val": []}


@pytest.mark.parametrize(
    ("file", "content", "line"),
    [
        ("set/data.yaml", "train: images/train\nval: images/val\ntest: images/test\nnames: [cat, dog]\n", 3),
        ("set/obj.data", "train = train.txt\ntest = test.txt\nnames = obj.names\n", 2),
    ],
)
def test_a_missing_test_split_is_a_note(file: str, content: str, line: int) -> None:
    """Many data sets ship without it: the import succeeds, and no empty list is written."""
    ultralytics("names: []\n")
    Path("set/data.yaml").unlink()
    put("set/obj.names", "cat\ndog\n")
    put("set/train.txt", "images/train/a b.jpg\n")
    put(file, content)
    assert import_data("yolo", file, "out").report["notes"]["missing-split"] == 1
    assert (file, line, "missing-split", "noted") in listed()
    assert "test" not in written()


def test_label_studio() -> None:
    draw("set/images/a.jpg", "set/images/b.jpg")
    put("set/labels/a.txt", BOX)
    put("set/classes.txt", "ant\nbee\n")
    put("set/notes.json", "{}")
    result = import_data("yolo", "set", "out")
    assert written() == {"all": [f"set/images/a.jpg {TEXT}", "set/images/b.jpg"]}
    assert result.report["notes"] == {"class-order": 1}
    assert listed() == [("set/classes.txt", 0, "class-order", "noted")]
    put("set/classes.txt", "bee\nant\n")
    assert import_data("yolo", "set", "out").report["notes"] == {}


@pytest.mark.parametrize(
    ("pictures", "labels"),
    [
        (("set/images/train/a.jpg", "set/images/val/b.jpg"), "set/labels/train/a.txt"),
        (("set/train/images/a.jpg", "set/valid/images/b.jpg"), "set/train/labels/a.txt"),
        (("set/train/a.jpg", "set/val/b.jpg"), "set/train/a.txt"),
    ],
)
def test_folders_without_a_data_yaml(pictures: tuple[str, str], labels: str) -> None:
    draw(*pictures)
    put(labels, BOX)
    put("my.names", "cat\n")
    with pytest.raises(DataError, match="--classes FILE"):
        import_data("yolo", "set", "out")
    import_data("yolo", "set", "out", classes="my.names")
    assert written() == {"train": [f"{pictures[0]} {TEXT}"], "val": [pictures[1]]}


def test_the_last_images_of_a_path_becomes_labels() -> None:
    draw("set/images/night/images/a.jpg")
    put("set/images/night/labels/a.txt", BOX)
    put("set/data.yaml", "train: images/night\nnames: [a]\n")
    import_data("yolo", "set", "out")
    assert written()["train"] == [f"set/images/night/images/a.jpg {TEXT}"]


def test_a_list_deeper_down_names_images_from_its_own_folder() -> None:
    draw("set/lists/a.jpg")
    put("set/lists/a.txt", BOX)
    put("set/lists/train.txt", "./a.jpg\n")
    put("set/data.yaml", "train: lists/train.txt\nnames: [a]\n")
    result = import_data("yolo", "set", "out")
    assert written()["train"] == [f"set/lists/a.jpg {TEXT}"]
    assert result.report["notes"] == {}, "the list beside the images is no label file"


def test_images_outside_the_splits_are_counted() -> None:
    draw("set/images/train/a.jpg", "set/images/extra/b.jpg", "set/images/c.jpg")
    put("set/classes.txt", "cat\n")
    assert str(import_data("yolo", "set", "out").rows["left out"]).startswith("2 ")


def test_labels_without_image_are_named() -> None:
    ultralytics("train: images/train\nval: images/val\nnames: [a, b]\n")
    put("set/labels/train/lost.txt", BOX)
    put("set/labels/train/classes.txt", "a\nb\n")
    result = import_data("yolo", "set", "out")
    assert result.report["notes"] == {"label-without-image": 1, "no-boxes": 1}
    assert listed()[0] == ("set/labels/train/lost.txt", 0, "label-without-image", "noted")
    assert written()["train"] == EXPECTED["train"]


def test_labels_of_unlisted_images_are_not_noted() -> None:
    ultralytics("train: train.txt\nnames: [a, b]\n")
    put("set/train.txt", "./images/train/deep/c.png\n")
    put("set/labels/train/deep/e.txt", BOX)
    draw("set/images/train/deep/e.jpg")
    assert import_data("yolo", "set", "out").report["notes"] == {"no-boxes": 1}


def test_all_problems_at_once_and_nothing_written() -> None:
    ultralytics("train: images/train\nval: images/val\nnames: [a, b]\n")
    put("set/labels/train/a b.txt", "0 0.5 0.5 0.5\n2 0.5 0.5 0.5 0.5\n1 0.5 0.5 0.5 0.5 0.9\n0 50 50 20 20\n")
    put("set/labels/val/d.txt", b"\xff\n")
    put("set/images/val/e.jpg", "no image")
    put("set/labels/val/e.txt", BOX)
    a = "set/labels/train/a b.txt"
    assert problems("set", "out") == [
        (a, 1, "bad-label"),
        (a, 2, "class-range"),
        (a, 3, "confidence-column"),
        (a, 4, "not-normalised"),
        ("set/labels/val/d.txt", 1, "not-utf8"),
        ("set/labels/val/e.txt", 0, "not-an-image"),
    ]


def test_a_names_file_puts_classes_into_another_order() -> None:
    ultralytics("train: images/train\nval: images/val\nnames: [cat, dog]\n")
    put("my.names", "dog\nowl\ncat\n")
    import_data("yolo", "set", "out", classes="my.names")
    assert written()["train"][0].endswith("25,20,75,60,2 10,8,20,24,0")
    put("my.names", "cat\n")
    assert problems("set", "out2", classes="my.names") == [("set/labels/train/a b.txt", 3, "unknown-class")]


def test_boxes_that_parse_reports_are_noted_and_written() -> None:
    ultralytics("train: images/train\nval: images/val\nnames: [a, b]\n")
    put("set/labels/val/d.txt", "0 0.9 0.5 0.5 0.5\n0 0.5 0.5 0 0.5\n0 0.5 0.5 0.25 0.25\n0 0.5 0.5 0.25 0.25\n")
    assert import_data("yolo", "set", "out").report["notes"] == {"duplicate-box": 1, "no-area": 1, "outside-image": 1}
    assert written()["val"] == [
        "set/images/val/d.jpg 65,20,115,60,0 50,20,50,60,0 37.5,30,62.5,50,0 37.5,30,62.5,50,0"
    ]
    assert {(file, line) for file, line, *_ in listed()} == {("set/labels/val/d.txt", line) for line in (1, 2, 4)}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_fractions_are_of_the_upright_picture(orientation: int) -> None:
    """The label marks the one bright patch of the upright picture, found with cv2, which applies EXIF itself."""
    pixels = np.zeros((60, 90, 3), np.uint8)
    pixels[8:24, 48:80] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Path("set/images").mkdir(parents=True)
    Image.fromarray(pixels).save("set/images/p.png", exif=exif)
    upright = cv2.imread("set/images/p.png", cv2.IMREAD_GRAYSCALE)
    assert upright is not None
    height, width = upright.shape
    x, y, w, h = cv2.boundingRect(upright)
    put("set/labels/p.txt", f"0 {(x + w / 2) / width} {(y + h / 2) / height} {w / width} {h / height}")
    put("set/classes.txt", "patch\n")
    result = import_data("yolo", "set", "out")
    np.testing.assert_allclose(read_annotations("out/all.txt").boxes_xyxy, [[x, y, x + w, y + h]], atol=1e-9)
    assert read_image("set/images/p.png", orientation)[y : y + h, x : x + w].min() == 255
    assert result.report["splits"]["all"]["orientations_fixed"] == (orientation != 1)


def test_boxes_along_the_edge_of_a_large_image_survive_six_digits() -> None:
    """1/3 + 2/3 written with six digits reach 0.0000005 past the edge: 0.005 px here, outside to parse."""
    draw("set/images/p.png", size=(10_000, 30))
    put("set/labels/p.txt", "0 0.333333 0.5 0.666667 1\n")
    put("set/classes.txt", "a\n")
    result = import_data("yolo", "set", "out")
    assert result.report["notes"] == {}
    assert result.report["splits"]["all"]["put_on_edge"] == 1
    assert read_annotations("out/all.txt").boxes_xyxy[0, 0] == 0


def test_source_files_are_not_overwritten() -> None:
    ultralytics("train: train.txt\nnames: [a, b]\n")
    put("set/train.txt", "./images/train/deep/c.png\n")
    with pytest.raises(UsageError, match=r"set/train\.txt"):
        import_data("yolo", "set", "set")
    assert Path("set/train.txt").read_text() == "./images/train/deep/c.png\n"


def test_wrong_calls() -> None:
    put("set/readme.md", "names: x")
    with pytest.raises(DataError, match="set"):
        import_data("yolo", "set", "out")
    with pytest.raises(DataError, match=r"set/readme\.md.*data\.yaml"):
        import_data("yolo", "set/readme.md", "out")
    put("set/a.yaml", "names: [a]\n")
    put("set/b.yaml", "names: [a]\n")
    put("set/params.yaml", "seed: 1\n")
    with pytest.raises(UsageError, match=r"set/a\.yaml.*set/b\.yaml"):
        import_data("yolo", "set", "out")
    with pytest.raises(DataError, match=r"set/a\.yaml"):
        import_data("yolo", "set/a.yaml", "out")
    with pytest.raises(UsageError, match=r"val.*set/a\.yaml"):
        import_data("yolo", "set/a.yaml", "out", splits=["val"])


def test_sources_are_not_touched_and_the_result_is_the_same_again() -> None:
    ultralytics("train: images/train\nval: images/val\nnames: [a, b]\n")
    before = {p: p.read_bytes() for p in Path("set").rglob("*") if p.is_file()}
    import_data("yolo", "set", "out")
    import_data("yolo", "set", "again")
    assert written("again") == written("out") == EXPECTED
    assert {p: p.read_bytes() for p in Path("set").rglob("*") if p.is_file()} == before
