"""``--on-bad skip`` for every format: bad boxes, images and records are left out, listed and counted."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from PIL import Image

from tests.helpers.drawn_sets import DRAWN, NAME, draw_pictures, faults_of, text_of
from yolopipe.cli import app, guarded
from yolopipe.errors import ProblemsError
from yolopipe.importing.import_data import import_data
from yolopipe.importing.leaving_out import IMPORT_PROBLEMS
from yolopipe.importing.source_files import list_images

WITH_FILES = sorted(set(DRAWN) - {"parquet", "open-images"})
"""Formats whose images are files of their own, with an image that has no box among them."""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def call(*arguments: str) -> int:
    return guarded(lambda: app(list(arguments), standalone_mode=False))


def listed() -> list[tuple[str, int, str, str]]:
    with IMPORT_PROBLEMS.open() as stream:
        return [(row["file"], int(row["line"]), row["rule"], row["action"]) for row in csv.DictReader(stream)]


def spoil(picture: Path, how: str) -> None:
    if how == "missing-image":
        picture.unlink()
    else:
        content = picture.read_bytes()
        picture.write_bytes({"truncated-image": content[:-30], "not-an-image": b"text"}[how])


@pytest.mark.slow
@pytest.mark.parametrize("how", ["missing-image", "truncated-image", "not-an-image"])
@pytest.mark.parametrize("kind", WITH_FILES)
def test_a_bad_image_in_every_format(kind: str, how: str, capsys: pytest.CaptureFixture[str]) -> None:
    DRAWN[kind](Path("set"))
    (picture,) = (file for file in list_images(Path("set")) if file.name == "b.png")
    spoil(picture, how)
    if kind == "yolo" and how == "missing-image":
        return  # no file names it, so that nothing is missing
    assert call("import", kind, "set", "--out", "out") == 4
    assert "--on-bad skip" in capsys.readouterr().err
    assert not Path("out").exists()
    assert {(rule, scope) for _, _, rule, scope in faults_of(kind, "set", "out")} == {(how, "image")}
    assert call("import", kind, "set", "--out", "out", "--on-bad", "skip", "--json") == 0
    lost = json.loads(capsys.readouterr().out)["lost"]
    assert lost == {"images": 1, "boxes": 0, "images_share": 0.5, "boxes_share": 0.0, "rules": {how: 1}}
    assert [(rule, action) for _, _, rule, action in listed()] == [(how, "dropped-image")]
    (text,) = Path("out").glob("*.txt")
    assert text_of(text) == [f"{NAME} 10,20,60,60,1 0,0,50,40,0"]


@pytest.mark.parametrize("kind", WITH_FILES)
def test_more_than_half_lost_is_an_error(kind: str) -> None:
    DRAWN[kind](Path("set"))
    for picture in list_images(Path("set")):
        spoil(picture, "truncated-image")
    with pytest.raises(ProblemsError) as caught:
        import_data(kind, "set", "out", on_bad="skip")
    assert caught.value.exit_code == 4
    assert not Path("out").exists()


def test_more_than_half_of_the_boxes_lost_is_an_error() -> None:
    DRAWN["yolo"](Path("set"))
    Path("set/labels/größe 1,a.txt").write_text("1 .35 .5 .5 .5\n0 x .25 .5 .5\n7 .25 .25 .5 .5\n")
    with pytest.raises(ProblemsError):
        import_data("yolo", "set", "out", on_bad="skip")
    assert not Path("out").exists()


VOC = "<bndbox><xmin>{}</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox>"
GOOD = f"<object><name>cat</name>{VOC.format(1)}</object>\n"


@pytest.mark.parametrize(
    ("bad", "rule"),
    [
        (f"<object><name>cat</name>{VOC.format('x')}</object>", "bad-box"),
        (f"<object><name></name>{VOC.format('x')}</object>", "no-class-name"),
        ("<object><name>cat</name></object>", "bad-box"),
        (f"<object><name>cat</name>{VOC.format(1)}{VOC.format(2)}</object>", "several-boxes"),
        (f"<object><name>cat</name>{VOC.format(30)}</object>", "no-area"),
    ],
)
def test_a_bad_object_of_voc(bad: str, rule: str) -> None:
    draw_pictures(Path("V"), "a.png")
    Path("V/b.png").unlink()
    Path("V/a.xml").write_text(f"<annotation>\n{GOOD}{bad}\n{GOOD.replace('>1<', '>5<')}</annotation>")
    report = import_data("voc", "V", "out", on_bad="skip").report
    assert listed() == [("V/a.xml", 3, rule, "dropped-box")]
    assert (report["lost"]["boxes"], report["lost"]["images"]) == (1, 0)
    assert text_of("out/all.txt") == ["a.png 1,2,30,40,0 5,2,30,40,0"]


def test_a_box_lost_for_two_reasons_is_one_box() -> None:
    draw_pictures(Path("V"), "a.png")
    twice = f"<object><name></name>{VOC.format('x')}</object>"
    Path("V/a.xml").write_text(f"<annotation>{GOOD.strip() * 2}{twice}{twice}</annotation>")
    assert import_data("voc", "V", "out", on_bad="skip").report["lost"]["boxes"] == 2


def test_a_broken_xml_file_loses_its_image() -> None:
    DRAWN["voc"](Path("V"))
    Path("V/Annotations/b.xml").write_text("<annotation>\n<object>")
    import_data("voc", "V", "out", on_bad="skip")
    assert listed() == [("V/Annotations/b.xml", 2, "bad-xml", "dropped-image")]
    assert text_of("out/all.txt") == [f"{NAME} 10,20,60,60,1 0,0,50,40,0"]


def test_bad_lines_of_yolo() -> None:
    DRAWN["yolo"](Path("set"))
    label = "set/labels/größe 1,a.txt"
    good = "0 .25 .25 .5 .5\n1 .35 .5 .5 .5\n0 .3 .3 .5 .5\n0 .4 .4 .5 .5\n0 .5 .5 .5 .5\n"
    Path(label).write_text(f"{good}0 x .25 .5 .5\n7 .25 .25 .5 .5\n0 50 50 9 9\n0 .5 .5 0 .5\n0 .5 .5 .1 .1 .9\n")
    report = import_data("yolo", "set", "out", on_bad="skip").report
    rules = ("bad-label", "class-range", "not-normalised", "confidence-column", "no-area")
    assert report["lost"]["rules"] == dict.fromkeys(rules, 1)
    assert report["lost"]["boxes_share"] == 0.5
    assert {(file, action) for file, _, _, action in listed()} == {(label, "dropped-box")}
    assert sorted(line for _, line, _, _ in listed()) == [6, 7, 8, 9, 10]
    assert report["splits"]["all"]["boxes"] == 5


def coco(*annotations: dict[str, object], **lists: object) -> None:
    draw_pictures(Path("D"), "a.png")
    document = {
        "images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}],
        "annotations": list(annotations),
        "categories": [{"id": 1, "name": "cat"}],
    }
    Path("D/x.json").write_text(json.dumps(document | lists))


def box(number: int, **more: object) -> dict[str, object]:
    return {"id": number, "image_id": 1, "category_id": 1, "bbox": [number, 2, 3, 4]} | more


@pytest.mark.parametrize(
    ("record", "rule"),
    [
        (box(9, bbox=[1, 2]), "bad-box"),
        (box(9, bbox=[1, 2, 0, 4]), "no-area"),
        (box(9, image_id=77), "unknown-image"),
        (box(9, category_id=77), "unknown-category"),
        (box(1, bbox=[9, 9, 9, 9]), "duplicate-id"),
        ({"id": 9}, "missing-key"),
        ({"id": []}, "missing-key"),
        (7, "bad-record"),
    ],
)
def test_a_bad_annotation_of_coco(record: object, rule: str) -> None:
    coco(box(1), record, box(2))  # type: ignore[arg-type]
    report = import_data("coco", "D", "out", on_bad="skip").report
    assert rule in report["lost"]["rules"]
    assert report["lost"]["boxes"] == 1
    assert {action for *_, action in listed()} == {"dropped-box"}
    assert text_of("out/all.txt") == ["a.png 1,2,4,6,0 2,2,5,6,0", "b.png"]


def test_bad_images_and_categories_of_coco() -> None:
    images = [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}, {"id": 3}, "x"]
    coco(box(1), images=images, categories=[{"id": 1, "name": "cat"}, {"id": 2, "name": ""}])
    lost = import_data("coco", "D", "out", on_bad="skip").report["lost"]
    assert (lost["images"], lost["boxes"]) == (2, 0)
    assert [action for *_, action in listed()].count("dropped-record") == 1


def test_an_image_id_with_two_file_names_loses_both() -> None:
    """Nothing says which of them the boxes are of."""
    images = [{"id": 1, "file_name": "b.png"}, {"id": 1, "file_name": "c.png"}, {"id": 2, "file_name": "a.png"}]
    draw_pictures(Path("D"), "c.png", "d.png")
    images.append({"id": 3, "file_name": "d.png"})
    coco(box(1), box(2, image_id=2), box(3, image_id=2), images=images)
    import_data("coco", "D", "out", on_bad="skip")
    assert text_of("out/all.txt") == ["a.png 2,2,5,6,0 3,2,6,6,0", "d.png"]


def test_a_file_that_is_not_json_stays_an_error() -> None:
    coco(box(1))
    Path("D/x.json").write_text('{"images": [')
    with pytest.raises(ProblemsError):
        import_data("coco", "D", "out", on_bad="skip")
    assert not Path("out").exists()


@pytest.mark.parametrize("folder", ["annots", "annotations"])
def test_a_set_from_github(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Folders of other names, and one JPEG without its last bytes."""
    Path(f"set/{folder}").mkdir(parents=True)
    Path("set/images").mkdir()
    for number in range(5):
        Image.new("RGB", (640, 480), (number, 9, 9)).save(f"set/images/{number:05}.jpg")
        Path(f"set/{folder}/{number:05}.xml").write_text(f"<annotation>\n{GOOD}</annotation>")
    picture = Path("set/images/00003.jpg")
    picture.write_bytes(picture.read_bytes()[:-2])
    assert call("import", "voc", "set", "--out", "out") == 4
    assert "truncated-image" in capsys.readouterr().err
    assert call("import", "voc", "set", "--out", "out", "--on-bad", "skip", "--json") == 0
    lost = json.loads(capsys.readouterr().out)["lost"]
    assert (lost["images"], lost["boxes"], lost["images_share"]) == (1, 1, 0.2)
    assert listed() == [(f"set/{folder}/00003.xml", 0, "truncated-image", "dropped-image")]
    assert len(text_of("out/all.txt")) == 4
