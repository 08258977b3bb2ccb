"""Annotation text to other formats and back, and read by other tools."""

from __future__ import annotations

import contextlib
import io
import json
import os
import unicodedata
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from PIL import Image
from ruamel.yaml import YAML

from yolopipe.converting.convert import convert
from yolopipe.converting.convert_formats import CONVERTERS
from yolopipe.errors import DataError, ProblemsError, UsageError, YolopipeError
from yolopipe.formats.annotation_text import (
    AnnotationText,
    format_annotation,
    parse_annotation,
    read_annotations,
)
from yolopipe.formats.class_names import write_class_names
from yolopipe.importing.import_data import import_data

SIZES = {
    "img/a b.jpg": (100, 80),
    "img/größe.png": (31, 77),
    "more/a b.png": (1000, 10),
    "x/images/y/A B.jpg": (5, 5),
}
TRAIN = (
    "img/a b.jpg 79,37,97.25,64,0 0.1,0.2,60.3,79.9,2\nmore/a b.png\nx/images/y/A B.jpg 0,0,5,5,1\n"
    "img/größe.png 30.7,76.9,30.7,77,1\n"
)


@pytest.fixture(autouse=True, scope="module")
def _project(tmp_path_factory: pytest.TempPathFactory) -> Any:
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("a project"))
    for path, size in SIZES.items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size).save(path)
    Path("train.txt").write_text(TRAIN, encoding="utf-8")
    Path("val.txt").write_text("img/größe.png 1,2,30,40,2\n", encoding="utf-8")
    Path("classes.names").write_text("red cell\n'no': yes\nblue # cell\n")
    yield
    os.chdir(before)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder that does not exist yet."""
    return tmp_path / "out"


TEXTS = {"train": "train.txt", "val": "val.txt"}


def to_format(kind: str, texts: Any, out: Path) -> None:
    convert(kind, out, texts=texts, classes="classes.names")


def test_coco_and_back_is_the_same_text(out: Path, tmp_path: Path) -> None:
    to_format("coco", TEXTS, out)
    import_data("coco", out, tmp_path / "back")
    for file in ("train.txt", "val.txt", "classes.names"):
        assert (tmp_path / "back" / file).read_bytes() == Path(file).read_bytes()


def test_pycocotools_reads_what_was_written(out: Path) -> None:
    from pycocotools.coco import COCO

    to_format("coco", TEXTS, out)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(out / "annotations/instances_train.json")
    text = read_annotations("train.txt")
    assert [(coco.imgs[n]["file_name"], coco.imgs[n]["width"], coco.imgs[n]["height"]) for n in coco.getImgIds()] == [
        (path, *SIZES[path]) for path in text.image_paths
    ]
    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == ["red cell", "'no': yes", "blue # cell"]
    annotations = coco.loadAnns(sorted(coco.getAnnIds()))
    assert [a["id"] for a in annotations] == [1, 2, 3, 4]
    assert [a["image_id"] - 1 for a in annotations] == text.box_image.tolist()
    assert [a["category_id"] - 1 for a in annotations] == text.classes.tolist()
    assert {a["iscrowd"] for a in annotations} == {0}
    x, y, width, height = np.array([a["bbox"] for a in annotations]).T
    np.testing.assert_allclose(np.stack([x, y, x + width, y + height], axis=1), text.boxes_xyxy, rtol=1e-15)
    np.testing.assert_allclose([a["area"] for a in annotations], width * height)


def test_what_ultralytics_would_find(out: Path) -> None:
    """Its rules, written down again: paths of a list that start with ./ start at it, /images/ becomes /labels/."""
    to_format("yolo", TEXTS, out)
    data = YAML(typ="safe", pure=True).load((out / "data.yaml").read_text(encoding="utf-8"))
    assert data["names"] == {0: "red cell", 1: "'no': yes", 2: "blue # cell"}
    assert data["nc"] == 3
    boxes, sizes = [], []
    for line in (out / data["train"]).read_text(encoding="utf-8").splitlines():
        image = line.replace("./", f"{out}/")
        label = "/labels/".join(image.rsplit("/images/", 1)).rsplit(".", 1)[0] + ".txt"
        with Image.open(image) as picture:
            sizes.append(picture.size)
        for row in Path(label).read_text().splitlines():
            number, cx, cy, w, h = map(float, row.split())
            scale = np.tile(sizes[-1], 2)
            boxes.append([*(np.array([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]) * scale), number])
    text = read_annotations("train.txt")
    assert sizes == [SIZES[path] for path in text.image_paths]
    np.testing.assert_allclose(boxes, np.column_stack([text.boxes_xyxy, text.classes]), atol=1e-5)


def test_yolo_and_back(out: Path, tmp_path: Path) -> None:
    to_format("yolo", TEXTS, out)
    import_data("yolo", out, tmp_path / "back")
    assert (tmp_path / "back/classes.names").read_bytes() == Path("classes.names").read_bytes()
    for file in ("train.txt", "val.txt"):
        before, after = read_annotations(file), read_annotations(tmp_path / "back" / file)
        assert [os.path.realpath(p) for p in after.image_paths] == [os.path.realpath(p) for p in before.image_paths]
        np.testing.assert_allclose(after.boxes_xyxy, before.boxes_xyxy, atol=1e-3)
        assert after.classes.tolist() == before.classes.tolist()
        assert after.box_image.tolist() == before.box_image.tolist()


def test_images_are_linked_under_distinct_names(out: Path) -> None:
    to_format("yolo", TEXTS, out)
    links = sorted(p.name for p in (out / "images/train").iterdir())
    assert links == ["A B_3.jpg", "a b.jpg", "a b_2.png", "größe.png"]
    assert all((out / "images/train" / name).is_symlink() for name in links)
    assert not os.path.isabs((out / "images/train/a b.jpg").readlink())
    assert (out / "labels/train/a b_2.txt").read_bytes() == b""


def test_the_same_input_gives_the_same_bytes(out: Path, tmp_path: Path) -> None:
    for kind in CONVERTERS:
        for name in ("one", "two"):
            to_format(kind, TEXTS, out / name / kind)

    def content(folder: Path) -> dict[str, bytes]:
        return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    assert content(out / "one") == content(out / "two")


@pytest.mark.parametrize("kind", CONVERTERS)
@pytest.mark.parametrize(
    ("line", "rule", "column"),
    [
        ("img/a b.jpg 1,2,3,4", "bad-box-text", 13),
        ("img/a b.jpg 1,2,3,4,3", "class-range", 13),
        ("img/a b.jpg 1,2,3,4,3,1", "class-range", 13),
        ("img/a b.jpg 1,2,3,4,-1", "class-range", 13),
        ("img/a b.jpg 1,2,3,4,0 5,2,3,4,0", "no-area", 23),
        ("img/none.jpg 1,2,3,4,0", "missing-image", 1),
    ],
)
def test_what_no_format_can_hold(kind: str, line: str, rule: str, column: int, out: Path, tmp_path: Path) -> None:
    file = tmp_path / "bad.txt"
    file.write_text(f"# a comment\n{line}\nimg/größe.png 1,2,x,4,0\n", encoding="utf-8")
    with pytest.raises(ProblemsError) as caught:
        to_format(kind, {"train": file}, out)
    assert [(p.file, p.line, p.column, p.rule) for p in caught.value.problems] == [
        (str(file), 2, column, rule),
        (str(file), 3, 15, "bad-box-text"),
    ]
    assert not out.exists()


@pytest.mark.parametrize("box", ["-90,2,50,4", "1,-9,3,4", "60,2,160,4", "-1,2,101,4"])
def test_what_yolo_cannot_hold(box: str, out: Path, tmp_path: Path) -> None:
    """Centre outside or larger than the image; COCO can hold these, and both a box that reaches a little outside."""
    file = tmp_path / "bad.txt"
    file.write_text(f"img/a b.jpg -2,-2,50,90,0 {box},0\n")
    with pytest.raises(ProblemsError) as caught:
        to_format("yolo", {"train": file}, out)
    assert [(p.line, p.column, p.rule) for p in caught.value.problems if p.column > 13] == [(1, 27, "outside-image")]
    to_format("coco", {"train": file}, out)
    import_data("coco", out, tmp_path / "back")
    assert (tmp_path / "back/train.txt").read_text() == file.read_text()


@pytest.mark.parametrize("kind", CONVERTERS)
def test_only_into_a_new_or_empty_folder(kind: str, out: Path) -> None:
    out.mkdir()
    to_format(kind, TEXTS, out)
    before = sorted(out.rglob("*"))
    with pytest.raises(UsageError, match=r"out.*\n.*--out"):
        to_format(kind, TEXTS, out)
    assert sorted(out.rglob("*")) == before
    with pytest.raises(DataError, match=r"no\.txt"):
        to_format(kind, {"train": "no.txt"}, out / "new")


def test_a_disk_without_links(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    with pytest.raises(YolopipeError, match=r"a b\.jpg.*Operation not permitted\n.*--out"):
        to_format("yolo", TEXTS, out)
    assert not out.exists()


KINDS = st.one_of(st.tuples(st.integers(0, 2), st.just(0)), st.tuples(st.integers(-1, 2), st.just(1)))
"""Class, and whether it is ignored."""


@st.composite
def texts(draw: Any) -> str:
    """Images in any order, each with boxes inside it, some on its edges, whole, of two decimals or of seventeen.

    Some of them are to be ignored, also of any class.
    """
    lines = []
    for path in draw(st.lists(st.sampled_from(sorted(SIZES)), unique=True, min_size=1)):
        width, height = SIZES[path]
        boxes = []
        for _ in range(draw(st.integers(0, 5))):
            digits = draw(st.sampled_from([0, 2, 17]))
            x1, x2 = sorted(round(draw(st.floats(0, width)), digits) for _ in range(2))
            y1, y2 = sorted(round(draw(st.floats(0, height)), digits) for _ in range(2))
            boxes.append([x1, y1, x2, y2, *draw(KINDS)])
        lines.append(format_annotation(path, boxes))
    return "".join(f"{line}\n" for line in lines)


def there_and_back(kind: str, file: Path, classes: Path, folder: Path) -> tuple[AnnotationText, AnnotationText]:
    """What the format should hold of a text, and what is imported from its conversion, as annotation texts."""
    facts = convert(kind, folder / kind, texts={"train": file}, classes=classes).report["splits"]["train"]
    import_data(kind, folder / kind, folder / f"from {kind}", classes=classes)
    before, held = read_annotations(file), folder / f"held by {kind}.txt"
    lines, left_out = [], 0
    for line in map(parse_annotation, file.read_text(encoding="utf-8").split("\n")[:-1]):
        boxes = []
        for *box, label, ignore in [[*box, 0][:6] for box in line.bboxes.tolist()]:
            if not ignore or (label >= 0 and kind in ("coco", "voc")):
                boxes.append([*box, label, ignore])
            elif kind == "coco":
                boxes += [[*box, number, 1] for number in range(3)]
            else:
                left_out += 1
        lines.append(format_annotation(line.image_path, boxes))
    held.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    assert facts == {
        "images": len(before.image_paths),
        "boxes": int((~before.ignore).sum()),
        "ignored": int(before.ignore.sum()),
        "ignored_left_out": left_out,
    }
    return read_annotations(held), read_annotations(folder / f"from {kind}/train.txt")


def assert_same(before: AnnotationText, after: AnnotationText, atol: float) -> None:
    """The same images, also where VOC and YOLO name links to them."""
    real = [[os.path.realpath(path) for path in text.image_paths] for text in (before, after)]
    assert real[0] == real[1]
    np.testing.assert_allclose(after.boxes_xyxy, before.boxes_xyxy, atol=atol, rtol=0)
    assert after.classes.tolist() == before.classes.tolist()
    assert after.ignore.tolist() == before.ignore.tolist()
    assert after.box_image.tolist() == before.box_image.tolist()


ATOL = {"coco": 0, "yolo": 1e-3, "voc": 0, "cvat": 0, "label-studio": 1e-3}
"""How far a corner may move, in pixels."""


@pytest.mark.slow
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(texts())
def test_round_trips(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("trip")
    file = folder / "train.txt"
    file.write_text(text, encoding="utf-8")
    for kind in CONVERTERS:
        before, after = there_and_back(kind, file, Path("classes.names"), folder)
        assert_same(before, after, ATOL[kind])
        if kind in ("coco", "cvat"):
            after = (folder / f"from {kind}/train.txt").read_text(encoding="utf-8")
            assert after == (folder / f"held by {kind}.txt").read_text(encoding="utf-8")


LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="/\0\n\r")
NAMES = st.lists(st.text(LETTERS, min_size=1, max_size=20), unique=True, min_size=1, max_size=4)


@pytest.mark.slow
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], deadline=None)
@given(NAMES, NAMES, st.sampled_from([".jpg", ".PNG", ".tiff"]), st.sampled_from(["voc", "cvat", "label-studio"]))
@example([" a", ".b", "c.xml", "\\d", "e\\f", "%41 1"], ["x<&>\"'", "\u2028y", "1"], ".jpg", "voc")
@example([" a", ".b", "c.xml", "\\d", "e\\f", "%41 1"], ["x<&>\"'", "\u2028y", "1"], ".jpg", "cvat")
@example([" a", ".b", "c.xml", "\\d", "e\\f", "%41 1"], ["x<&>\"'", "\u2028y", "1"], ".jpg", "label-studio")
@example(["ß", "ss", "Ss", "a.jpg", "a", "é", "e\u0301"], ["1"], ".jpg", "voc")
@example(["0f1e2d3c-a", "a", "a?d=b", "s3://x&d=1"], ["\t a"], ".jpg", "label-studio")
def test_nasty_names(
    tmp_path_factory: pytest.TempPathFactory, stems: list[str], names: list[str], suffix: str, kind: str
) -> None:
    """Names of files and of classes come back as they were, or are refused by name before anything is written."""
    folder = tmp_path_factory.mktemp("names")
    (folder / "img").mkdir()
    lines = []
    for stem in stems:
        picture = folder / "img" / f"{stem.replace('/', '_')}{suffix}"
        with contextlib.suppress(DataError, OSError):  # OSError: a name that is too long
            Image.new("RGB", (100, 80)).save(picture, "PNG")
            lines.append(format_annotation(str(picture), [[len(lines), 2.5, 30.1, 40, 0]]))
    classes, file = folder / "classes.names", folder / "train.txt"
    try:
        write_class_names(classes, [name.strip() for name in names])
    except DataError:
        assume(False)
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    assume(lines)
    try:
        before, after = there_and_back(kind, file, classes, folder)
    except DataError:  # XML holds no control characters
        assert any(unicodedata.category(c) == "Cc" or ord(c) >= 0xFFFE for c in "".join([*stems, *names]))
        assert not (folder / kind).exists()
    else:
        assert_same(before, after, ATOL[kind])


def test_a_crowd_of_each_class_is_a_region_of_any_class(out: Path, tmp_path: Path) -> None:
    """In pycocotools: detections inside it are no false positives, whatever their class."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    file = tmp_path / "ignored.txt"
    objects = " ".join(f"1,{9 * label},9,{9 * label + 8},{label}" for label in range(3))
    file.write_text(f"img/a b.jpg 50,10,90,70,-1,1 {objects}\n")
    to_format("coco", {"train": file}, out)
    found = [{"bbox": [1, 9 * label, 8, 8], "score": 0.5, "category_id": label + 1} for label in range(3)]
    found += [{"bbox": [55, 20, 20, 30], "score": 0.9, "category_id": label} for label in (1, 2, 3)]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(out / "annotations/instances_train.json")
        results = truth.loadRes([{"image_id": 1, **one} for one in found])
        evaluation = COCOeval(truth, results, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1)
    assert {one["iscrowd"] for one in truth.loadAnns(truth.getAnnIds())} == {0, 1}


def test_what_is_left_out_is_said(out: Path, tmp_path: Path) -> None:
    file = tmp_path / "ignored.txt"
    file.write_text("img/a b.jpg 50,10,90,70,-1,1 1,2,3,4,0,1 1,2,3,4,0\n")
    for kind, left_out in (("coco", 0), ("voc", 1), ("yolo", 2), ("cvat", 2), ("label-studio", 2)):
        result = convert(kind, out / kind, texts={"train": file}, classes="classes.names")
        shown = [str(row).split(":")[0] for name, row in result.rows.items() if "left out" in name]
        assert shown == [str(left_out)][: left_out > 0]
        assert result.report["splits"]["train"]["ignored_left_out"] == left_out


def test_links_of_voc(out: Path) -> None:
    to_format("voc", TEXTS, out)
    assert sorted(p.name for p in (out / "JPEGImages").iterdir()) == [
        *("A B_3.jpg", "a b.jpg", "a b_2.png", "größe.png", "größe_2.png")
    ]
    assert (out / "ImageSets/Main/val.txt").read_text(encoding="utf-8") == "größe_2\n"
    assert not os.path.isabs((out / "JPEGImages/a b.jpg").readlink())
    root = ElementTree.parse(out / "Annotations/a b.xml").getroot()
    assert [e.text for e in root.iterfind("size/*")] == ["100", "80", "3"]
    assert [e.text for e in root.iterfind("object/name")] == ["red cell", "blue # cell"]
    assert [e.text for e in root.iterfind("object/bndbox/*")] == [
        *("79", "37", "97.25", "64", "0.1", "0.2", "60.3", "79.9")
    ]


def test_what_cvat_reads(out: Path) -> None:
    to_format("cvat", TEXTS, out)
    root = ElementTree.parse(out / "annotations.xml").getroot()
    assert root.findtext("version") == "1.1"
    assert [e.text for e in root.iterfind("meta/task/labels/label/name")] == ["red cell", "'no': yes", "blue # cell"]
    images = [(e.get("id"), e.get("name"), e.get("subset"), e.get("width")) for e in root.iterfind("image")]
    assert images[1] == ("1", "more/a b.png", "train", "1000")
    assert images[-1] == ("4", "img/größe.png", "val", "31")
    box = root.find("image/box")
    assert box is not None
    assert [box.get(key) for key in ("label", "xtl", "ytl", "xbr", "ybr")] == ["red cell", "79", "37", "97.25", "64"]


def test_what_label_studio_reads(out: Path) -> None:
    to_format("label-studio", TEXTS, out)
    tasks = json.loads((out / "train.json").read_text(encoding="utf-8"))
    assert tasks[0]["data"]["image"] == "/data/local-files/?d=img/a%20b.jpg"
    [one, two] = tasks[0]["annotations"][0]["result"]
    assert (one["original_width"], one["original_height"], one["type"]) == (100, 80, "rectanglelabels")
    value = {"x": 79, "y": 46.25, "width": 18.25, "height": 33.75, "rotation": 0}
    assert {key: one["value"][key] for key in value} == pytest.approx(value)
    assert two["value"]["rectanglelabels"] == ["blue # cell"]
    assert [len(task["annotations"][0]["result"]) for task in tasks] == [2, 0, 1, 1]
    config = ElementTree.parse(out / "labelling_config.xml").getroot()
    assert [e.get("value") for e in config.iterfind("RectangleLabels/Label")] == [
        *("red cell", "'no': yes", "blue # cell")
    ]
