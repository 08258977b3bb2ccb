"""Data sets as they lie on real disks: folders, spellings and files of other tools, rebuilt small."""

from __future__ import annotations

import csv
import json
import math
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.helpers.drawn_sets import faults_of
from yolopipe.errors import DataError, ProblemsError, UsageError
from yolopipe.importing.import_data import import_data
from yolopipe.importing.leaving_out import IMPORT_PROBLEMS
from yolopipe.importing.source_files import PathFinder, list_images
from yolopipe.project import scaffold

BOX = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox>"
LABEL = "0 .5 .5 .1 .1\n"
"""Of a 640x480 image: 288,216,352,264."""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def draw(*files: str) -> None:
    for number, file in enumerate(files):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        kind = {".bmp": "BMP", ".tif": "TIFF", ".png": "PNG"}.get(Path(file).suffix.lower(), "JPEG")
        Image.new("RGB", (640, 480), (number, 99, 200)).save(file, kind)


def put(file: str, content: str | bytes) -> None:
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).write_bytes(content if isinstance(content, bytes) else content.encode())


def xml(file: str, shapes: str = BOX, filename: str = "other.jpg", head: str = "") -> None:
    put(
        file,
        f"{head}<annotation><filename>{filename}</filename>\n<object><name>cat</name>{shapes}</object></annotation>",
    )


def annotation(**more: Any) -> dict[str, Any]:
    return {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 40]} | more


def coco(file: str, *annotations: dict[str, Any], names: tuple[str, ...] = ("a.jpg",), **lists: Any) -> None:
    document = {
        "images": [{"id": number, "file_name": name} for number, name in enumerate(names, 1)],
        "annotations": list(annotations) or [annotation()],
        "categories": [{"id": 1, "name": "cat"}],
    }
    put(file, json.dumps(document | lists))


def texts(folder: str = "out") -> dict[str, list[str]]:
    return {file.stem: file.read_text().splitlines() for file in sorted(Path(folder).glob("*.txt"))}


def noted() -> list[tuple[str, int, str]]:
    with IMPORT_PROBLEMS.open() as stream:
        return [(row["file"], int(row["line"]), row["rule"]) for row in csv.DictReader(stream)]


@pytest.mark.parametrize(
    ("file", "picture"),
    [
        ("a.xml", "a.jpg"),
        ("Annotations/a.xml", "images/a.jpg"),
        ("annotations/a.xml", "images/a.jpg"),
        ("annots/a.xml", "images/a.jpg"),
        ("labels/a.xml", "data/a.jpg"),
        ("xmls/a.xml", "img/a.jpg"),
        ("Annotations/cam1/a.xml", "JPEGImages/cam1/a.jpg"),
        ("VOCdevkit/VOC2007/Annotations/a.xml", "VOCdevkit/VOC2007/JPEGImages/a.jpg"),
        ("Annotations/a.XML", "JPEGImages/A.JPG"),
        ("Annotations/a.xml", "JPEGImages/a.BMP"),
        ("Annotations/a.xml", "JPEGImages/a.TIF"),
        ("Annotations/a.xml", "JPEGImages/a.Jpg"),
        (f"Annotations/{unicodedata.normalize('NFD', 'é')}.xml", "images/é.jpg"),
        ("Annotations/1.xml", "images/Other.JPG"),
    ],
)
def test_voc_wherever_files_lie(file: str, picture: str) -> None:
    draw(f"V/{picture}")
    xml(f"V/{file}")
    rows = import_data("voc", "V", "out").rows
    assert texts() == {"all": [f"V/{picture} 1,2,30,40,0"]}
    assert (rows["annotations"], rows["pictures"]) == (f"V/{file}", str(Path("V", picture).parent))


def test_voc_folders_named_by_options() -> None:
    draw("elsewhere/a.jpg", "V/JPEGImages/a.jpg")
    xml("boxes/a.xml")
    with pytest.raises(DataError):
        import_data("voc", "V", "out")
    import_data("voc", "V", "out", annotations="boxes", images="elsewhere")
    assert texts() == {"all": ["elsewhere/a.jpg 1,2,30,40,0"]}


def test_voc_nested_folders_and_suffixes() -> None:
    draw("V/JPEGImages/a.jpg", "V/JPEGImages/cam1/b.jpg", "V/JPEGImages/cam2/b.jpg", "V/JPEGImages/c.jpg")
    for file in ("a.xml", "cam1/b.xml", "cam2/b.xml", "c.XML"):
        xml(f"V/Annotations/{file}")
    import_data("voc", "V", "out")
    assert sorted(line.split()[0] for line in texts()["all"]) == sorted(map(str, list_images(Path("V"))))


def test_voc_masks_are_not_taken_for_images() -> None:
    """VOC2012 and Oxford's pets have PNG masks of the same names."""
    draw("V/JPEGImages/a.jpg", "V/SegmentationClass/a.png", "V/Annotations/trimaps/a.png")
    xml("V/Annotations/xmls/a.xml", filename="a.jpg")
    import_data("voc", "V", "out")
    assert texts() == {"all": ["V/JPEGImages/a.jpg 1,2,30,40,0"]}
    assert {rule for _, _, rule in noted()} == {"folder-without-labels"}


def test_voc_two_images_that_fit_equally() -> None:
    draw("V/one/a.jpg", "V/two/a.jpg")
    xml("V/Annotations/a.xml")
    assert faults_of("voc", "V", "out") == [("V/Annotations/a.xml", 0, "ambiguous-image", "image")]
    import_data("voc", "V", "out", images="V/two")
    assert texts() == {"all": ["V/two/a.jpg 1,2,30,40,0"]}


def test_voc_splits_by_folder() -> None:
    """Roboflow: XML beside the pictures of train, valid and test."""
    draw("V/train/a.jpg", "V/valid/a.jpg", "V/valid/bg.jpg", "V/test/t.jpg")
    xml("V/train/a.xml")
    xml("V/valid/a.xml")
    result = import_data("voc", "V", "out")
    assert texts() == {
        "train": ["V/train/a.jpg 1,2,30,40,0"],
        "val": ["V/valid/a.jpg 1,2,30,40,0", "V/valid/bg.jpg"],
    }
    assert result.report["splits"]["val"]["without_xml_file"] == 1
    assert noted() == [("V/test", 0, "folder-without-labels")]
    assert "warning" in result.rows


def test_voc_lists_of_images_without_xml() -> None:
    """VOC2012 ships the list of its test images."""
    draw("V/JPEGImages/a.jpg", "V/JPEGImages/t.jpg")
    xml("V/Annotations/a.xml")
    put("V/ImageSets/Main/train.txt", "a\n")
    put("V/ImageSets/Main/test.txt", "t\n")
    import_data("voc", "V", "out")
    assert texts() == {"train": ["V/JPEGImages/a.jpg 1,2,30,40,0"]}
    assert noted() == [("V/ImageSets/Main/test.txt", 0, "split-without-labels")]
    put("V/ImageSets/Main/test.txt", "t\na\n")
    assert faults_of("voc", "V", "new") == [("V/ImageSets/Main/test.txt", 1, "missing-xml", "image")]


def test_voc_xml_in_no_list() -> None:
    draw("V/JPEGImages/a.jpg", "V/JPEGImages/b.jpg")
    xml("V/Annotations/a.xml")
    xml("V/Annotations/b.xml")
    put("V/ImageSets/Main/train.txt", "a\n")
    import_data("voc", "V", "out")
    assert noted() == [("V/Annotations/b.xml", 0, "xml-in-no-list")]


def test_voc_what_macos_leaves() -> None:
    draw("V/JPEGImages/a.jpg")
    xml("V/Annotations/a.xml")
    put("V/Annotations/._a.xml", b"\0\5\26\7")
    put("V/__MACOSX/Annotations/._a.xml", b"\0\5\26\7")
    put("V/__MACOSX/b.xml", b"\0\5\26\7")
    import_data("voc", "V", "out")
    assert texts() == {"all": ["V/JPEGImages/a.jpg 1,2,30,40,0"]}


def test_xml_of_another_kind_is_noted() -> None:
    draw("V/a.jpg", "V/b.jpg")
    xml("V/a.xml")
    put("V/pom.xml", "<project/>")
    import_data("voc", "V", "out")
    assert noted() == [("V/pom.xml", 0, "other-xml")]
    put("V/b.xml", "<project/>")
    assert faults_of("voc", "V", "new") == [("V/b.xml", 1, "bad-xml", "image")]


def test_links_are_followed_and_end() -> None:
    draw("disk/a.jpg")
    xml("V/Annotations/a.xml")
    Path("V/JPEGImages").symlink_to(Path("disk").absolute())
    Path("disk/again").symlink_to(Path("V").absolute())
    import_data("voc", "V", "out")
    assert [line.split()[1] for line in texts()["all"]] == ["1,2,30,40,0"]


@pytest.mark.parametrize(("encoding", "name"), [("gb2312", "猫"), ("windows-1252", "größe"), ("Shift_JIS", "猫")])
def test_voc_encodings_of_python(encoding: str, name: str) -> None:
    draw("V/a.jpg")
    xml("V/a.xml", head=f'<?xml version="1.0" encoding="{encoding}"?>')
    Path("V/a.xml").write_bytes(Path("V/a.xml").read_text().replace("cat", name).encode(encoding))
    assert import_data("voc", "V", "out").report["classes"] == [name]


@pytest.mark.parametrize("encoding", ["nonsense", "zlib", "gb2312"])
def test_voc_encodings_that_fail(encoding: str) -> None:
    draw("V/a.jpg")
    put("V/a.xml", f'<?xml version="1.0" encoding="{encoding}"?><annotation></annotation>'.encode() + b"\xff\xff")
    assert faults_of("voc", "V", "out") == [("V/a.xml", 1, "bad-xml", "image")]


def test_voc_two_boxes_in_one_object() -> None:
    draw("V/a.jpg")
    xml("V/a.xml", shapes=f"{BOX}\n{BOX}")
    assert faults_of("voc", "V", "out") == [("V/a.xml", 3, "several-boxes", "box")]


ROTATED = (
    "<robndbox><cx>100</cx><cy>90</cy><w>40</w><h>20</h><angle>{}</angle></robndbox>",
    "<bndbox><xmin>80</xmin><ymin>80</ymin><xmax>120</xmax><ymax>100</ymax></bndbox>"
    "<attributes><attribute><name>rotation</name><value>{}</value></attribute></attributes>",
)


@pytest.mark.parametrize("radians", [0.5, math.pi / 2, -0.5])
@pytest.mark.parametrize("tool", ["roLabelImg", "CVAT"])
def test_voc_rotated_boxes(radians: float, tool: str) -> None:
    draw("V/a.jpg")
    shape = ROTATED[0].format(radians) if tool == "roLabelImg" else ROTATED[1].format(math.degrees(radians))
    xml("V/a.xml", shapes=shape)
    result = import_data("voc", "V", "out")
    corners = [
        (100 + x * math.cos(radians) - y * math.sin(radians), 90 + x * math.sin(radians) + y * math.cos(radians))
        for x in (-20, 20)
        for y in (-10, 10)
    ]
    (line,) = texts()["all"]
    found = list(map(float, line.split()[1].split(",")[:4]))
    assert found == pytest.approx([*map(min, zip(*corners, strict=True)), *map(max, zip(*corners, strict=True))])
    assert result.report["splits"]["all"]["rotated"] == 1


@pytest.mark.parametrize(
    "points",
    ["<x1>5</x1><y1>9</y1><x2>50</x2><y2>7</y2><x3>20</x3><y3>60</y3>", "<pt><x>5</x><y>9</y></pt>" * 2],
)
def test_voc_polygons(points: str) -> None:
    draw("V/a.jpg")
    xml("V/a.xml", shapes=f"<polygon>{points}</polygon>")
    if "pt" in points:
        assert faults_of("voc", "V", "out") == [("V/a.xml", 2, "bad-box", "box")]
        return
    assert import_data("voc", "V", "out").report["splits"]["all"]["polygons"] == 1
    assert texts() == {"all": ["V/a.jpg 5,7,50,60,0"]}


@pytest.mark.parametrize(
    ("file", "picture", "name", "split"),
    [
        ("labels.json", "data/a.jpg", "a.jpg", "all"),
        ("train/labels.json", "train/data/a.jpg", "a.jpg", "train"),
        ("annotations/instances_default.json", "images/a.jpg", "a.jpg", "all"),
        ("Annotations/instances_val2017.json", "Val2017/A.jpg", "a.jpg", "val"),
        ("x.json", "a.jpg", "/home/me/project/a.jpg", "all"),
        ("x.json", "a.jpg", "C:\\photos\\a.jpg", "all"),
        ("x.json", "deep/cam1/a.jpg", "raw/cam1/a.jpg", "all"),
        ("x.json", "pictures/a.jpg", "http://images.example.org/val2017/a.jpg", "all"),
        ("valid/_annotations.coco.json", "valid/a.jpg", "a.jpg", "val"),
    ],
)
def test_coco_wherever_files_lie(file: str, picture: str, name: str, split: str) -> None:
    draw(f"D/{picture}")
    coco(f"D/{file}", names=(name,))
    rows = import_data("coco", "D", "out").rows
    assert texts() == {split: [f"D/{picture} 1,2,31,42,0"]}
    assert (rows["annotations"], rows["pictures"]) == (f"D/{file}", str(Path("D", picture).parent))


def test_coco_two_records_of_one_image() -> None:
    """Base names must not give two images' boxes to one."""
    draw("D/a.jpg")
    coco("D/x.json", names=("cam1/a.jpg", "cam2/a.jpg"))
    assert faults_of("coco", "D", "out") == [("D/x.json", 1, "ambiguous-image", "image")]


def test_coco_text_ids() -> None:
    draw("D/a.jpg")
    coco("D/x.json", annotation(image_id="a", id="one"), images=[{"id": "a", "file_name": "a.jpg"}])
    import_data("coco", "D", "out")
    assert texts() == {"all": ["D/a.jpg 1,2,31,42,0"]}


@pytest.mark.parametrize(
    ("segmentation", "box"),
    [
        ([[10, 20, 110, 20, 110, 220]], "10,20,110,220"),
        ([[10, 20, 30, 20, 30, 40], [100, 90, 120, 90, 120, 99]], "10,20,120,99"),
        ({"size": [3, 4], "counts": [4, 2, 6]}, "1,1,2,3"),
        ({"size": [3, 4], "counts": "426"}, "1,1,2,3"),
    ],
)
@pytest.mark.parametrize("bbox", [None, []])
def test_coco_segmentation_without_box(segmentation: Any, box: str, bbox: Any) -> None:
    draw("D/a.jpg")
    coco("D/x.json", annotation(bbox=bbox, segmentation=segmentation))
    assert import_data("coco", "D", "out").report["splits"]["all"]["outlines"] == 1
    assert texts() == {"all": [f"D/a.jpg {box},0"]}


def test_coco_masks_as_pycocotools_packs_them() -> None:
    mask = pytest.importorskip("pycocotools.mask")
    import numpy as np

    draw("D/a.jpg")
    for corners in ((3, 5, 90, 400), (0, 0, 640, 480), (639, 479, 640, 480), (100, 0, 300, 480)):
        x1, y1, x2, y2 = corners
        pixels = np.zeros((480, 640), np.uint8, order="F")
        pixels[y1:y2, x1:x2] = 1
        packed = mask.encode(pixels)
        counts = packed["counts"].decode()
        coco("D/x.json", annotation(bbox=None, segmentation={"size": packed["size"], "counts": counts}))
        import_data("coco", "D", "out")
        assert texts() == {"all": [f"D/a.jpg {x1},{y1},{x2},{y2},0"]}


def group(number: int, name: str, above: str) -> dict[str, Any]:
    return {"id": number, "name": name, "supercategory": above}


@pytest.mark.parametrize(
    ("categories", "classes"),
    [
        ([group(0, "pothole", "none"), group(1, "pothole", "pothole")], ["pothole"]),
        ([group(1, "pothole", "pothole"), group(0, "pothole", "none")], ["pothole"]),
        ([group(0, "fishes", "none"), group(1, "fish", "fishes")], ["fish"]),
    ],
)
def test_coco_groups_of_roboflow(categories: Any, classes: list[str]) -> None:
    draw("D/train/a.jpg")
    coco("D/train/_annotations.coco.json", categories=categories)
    assert import_data("coco", "D", "out").report["classes"] == classes
    assert texts() == {"train": ["D/train/a.jpg 1,2,31,42,0"]}
    assert [rule for _, _, rule in noted()] == ["group-category"]


def test_coco_group_with_boxes_stays_a_class() -> None:
    draw("D/a.jpg")
    coco("D/x.json", annotation(category_id=0), categories=[group(0, "fishes", "none"), group(1, "fish", "fishes")])
    assert import_data("coco", "D", "out").report["classes"] == ["fishes", "fish"]


def test_coco_crowds_only() -> None:
    draw("D/images/a.jpg")
    coco("D/annotations/instances_default.json", annotation(iscrowd=1))
    result = import_data("coco", "D", "out")
    assert noted() == [("D", 0, "no-boxes")]
    assert "--crowds keep" in str(result.rows["warning"])
    import_data("coco", "D", "kept", crowds="keep")
    assert texts("kept") == {"all": ["D/images/a.jpg 1,2,31,42,0"]}


def test_coco_only_some_classes() -> None:
    draw("D/a.jpg")
    two = [{"id": 1, "name": "cat"}, {"id": 2, "name": "bicycle"}]
    coco("D/x.json", annotation(), annotation(id=2, category_id=2), categories=two)
    put("n.txt", "cat\n")
    assert faults_of("coco", "D", "out", classes="n.txt") == [("D/x.json", 1, "unknown-class", "box")]
    report = import_data("coco", "D", "out", classes="n.txt", others="drop").report
    assert texts() == {"all": ["D/a.jpg 1,2,31,42,0"]}
    assert report["splits"]["all"]["other_classes_left_out"] == 1
    assert report["lost"]["boxes"] == 0


def test_yolo_case_of_folders() -> None:
    draw("D/Images/train/a.jpg")
    put("D/Labels/train/A.TXT", LABEL)
    put("D/data.yaml", "train: images/train\nnames: [cat]\n")
    import_data("yolo", "D", "out")
    assert texts() == {"train": ["D/Images/train/a.jpg 288,216,352,264,0"]}


@pytest.mark.parametrize("folders", [("JPEGImages", "labels"), ("img", "Labels"), ("images", "annotations")])
def test_yolo_other_names_of_folders(folders: tuple[str, str]) -> None:
    draw(f"D/{folders[0]}/a.jpg")
    put(f"D/{folders[1]}/a.txt", LABEL)
    put("D/classes.txt", "cat\n")
    assert import_data("yolo", "D", "out").report["notes"] == {}
    assert texts() == {"all": [f"D/{folders[0]}/a.jpg 288,216,352,264,0"]}


def test_yolo_split_without_labels() -> None:
    draw("D/pictures/a.jpg")
    put("D/boxes/a.txt", LABEL)
    put("D/data.yaml", "train: pictures\nnames: [cat]\n")
    import_data("yolo", "D", "out")
    assert set(noted()) == {("D", 0, "no-boxes"), ("D/boxes/a.txt", 0, "label-without-image")}
    import_data("yolo", "D", "found", annotations="D/boxes")
    assert texts("found") == {"train": ["D/pictures/a.jpg 288,216,352,264,0"]}
    assert not IMPORT_PROBLEMS.exists()


def test_yolo_slack_past_the_edge() -> None:
    draw("D/images/a.jpg")
    put("D/classes.txt", "cat\n")
    put("D/labels/a.txt", "0 .5 .5 1.002 .5\n0 .9 .5 .4 .1\n0 -.01 .5 1.01 .1\n")
    assert import_data("yolo", "D", "out").report["notes"] == {"outside-image": 3}
    assert texts()["all"][0].split()[1] == "-0.64,120,640.64,360,0"
    put("D/labels/a.txt", "0 .5 .5 1.011 .5\n0 -.011 .5 .1 .5\n")
    assert faults_of("yolo", "D", "new") == [("D/labels/a.txt", line, "not-normalised", "box") for line in (1, 2)]


@pytest.mark.parametrize("prefix", ["Hat/", "/content/Hat/", "../", "..\\Hat\\", "datasets/hats/Hat/", ""])
@pytest.mark.parametrize("inside", [False, True])
def test_yolo_paths_of_tools(prefix: str, inside: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    draw("Hat/train/images/a.jpg")
    put("Hat/train/labels/a.txt", LABEL)
    put("Hat/data.yaml", f"train: '{prefix}train/images'\nnames: [head]\n")
    if inside:
        monkeypatch.chdir("Hat")
    import_data("yolo", "." if inside else "Hat", "out")
    assert texts()["train"][0].endswith("train/images/a.jpg 288,216,352,264,0")


def test_yolo_paths_of_roboflow_with_init(tmp_path: Path) -> None:
    draw("Hat/train/images/a.jpg", "Hat/valid/images/b.jpg")
    put("Hat/train/labels/a.txt", LABEL)
    put("Hat/data.yaml", "train: Hat/train/images\nval: Hat/valid/images\nnames: [head]\n")
    put("Hat/valid/labels/b.txt", "5 .5 .5 .1 .1\n" + LABEL)
    with pytest.raises(ProblemsError):
        scaffold.run("P", source=("yolo", Path("Hat")))
    scaffold.run("P", source=("yolo", Path("Hat")), options={"on_bad": "skip"})
    assert texts("P/data/annotations")["val"] == [f"{tmp_path}/Hat/valid/images/b.jpg 288,216,352,264,0"]


def test_yolo_missing_test_folder_is_not_a_folder_above() -> None:
    draw("D/images/a.jpg")
    put("D/labels/a.txt", LABEL)
    put("D/data.yaml", "train: images\ntest: ../test/images\nnames: [cat]\n")
    import_data("yolo", "D", "out")
    assert list(texts()) == ["train"]


def test_yolo_lists_of_another_machine() -> None:
    draw("D/obj/a.jpg", "D/obj/b.jpg")
    put("D/obj/a.txt", LABEL)
    put("D/train.txt", "/home/me/darknet/data/obj/a.jpg\nC:\\x\\b.jpg\n")
    put("D/obj.names", "cat\n")
    import_data("yolo", "D", "out")
    assert texts() == {"train": ["D/obj/a.jpg 288,216,352,264,0", "D/obj/b.jpg"]}


@pytest.mark.parametrize(
    "names", ["labels/classes.txt", "Classes.txt", "train/_darknet.labels", "obj.names", "labels/train/classes.txt"]
)
def test_yolo_names_files(names: str) -> None:
    draw("D/images/train/a.jpg")
    put("D/labels/train/a.txt", LABEL)
    put(f"D/{names}", "cat\n")
    report = import_data("yolo", "D", "out").report
    assert (report["classes"], report["notes"]) == (["cat"], {})


def test_yolo_yaml_without_names() -> None:
    draw("D/i/images/a.jpg", "D/images/b.jpg")
    put("D/i/labels/a.txt", LABEL)
    put("D/data.yaml", "train: i/images\nnc: 1\n")
    put("n.txt", "cat\n")
    assert faults_of("yolo", "D", "out") == [("D/data.yaml", 0, "class-names", "file")]
    for source in ("D", "D/data.yaml"):
        import_data("yolo", source, "out", classes="n.txt")
        assert texts() == {"train": ["D/i/images/a.jpg 288,216,352,264,0"]}


def test_yolo_label_files_that_are_not_used() -> None:
    draw("D/images/y.jpg", "D/images/z.jpg")
    for file in ("cam2/q.txt", "cam2/r.TXT", "y.txt", "z.TXT"):
        put(f"D/labels/{file}", LABEL)
    put("D/readme.txt", "no labels\n")
    put("D/data.yaml", "train: images\nnames: [cat]\n")
    import_data("yolo", "D", "out")
    assert [line.split()[1] for line in texts()["train"]] == ["288,216,352,264,0"] * 2
    assert noted() == [(f"D/labels/cam2/{name}", 0, "label-without-image") for name in ("q.txt", "r.TXT")]


@pytest.mark.parametrize("kind", ["voc", "coco", "yolo"])
def test_splits_from_lists(kind: str) -> None:
    draw("D/images/a.jpg", "D/images/B.jpg", "D/images/c.jpg")
    for name in ("a", "b", "c"):
        xml(f"D/xml/{name}.xml") if kind == "voc" else None
        put(f"D/labels/{name}.txt", LABEL) if kind == "yolo" else None
    put("D/classes.txt", "cat\n")
    if kind == "coco":
        coco("D/x.json", names=("a.jpg", "B.jpg", "c.jpg"))
    put("train.list", "a\nimages/b.JPG\n")
    put("val.list", "/elsewhere/D/images/c.jpg\n\n")
    result = import_data(kind, "D", "out", files={"train": "train.list", "val": "val.list"})
    assert {name: len(lines) for name, lines in texts().items()} == {"train": 2, "val": 1}
    import_data(kind, "D", "one", files={"train": "train.list"})
    assert list(texts("one")) == ["train"]
    assert "left out" not in result.rows
    put("val.list", "c\nnobody\n")
    assert faults_of(kind, "D", "new", files={"val": "val.list"}) == [("val.list", 2, "missing-image", "image")]
    put("val.list", "\n")
    with pytest.raises(DataError):
        import_data(kind, "D", "new", files={"val": "val.list"})
    with pytest.raises(UsageError):
        import_data(kind, "D", "new", splits=["holdout"])


def test_paths_in_another_case_and_unicode_form() -> None:
    draw("Ordner/É.jpg")
    finder = PathFinder()
    assert finder.find(unicodedata.normalize("NFD", "ordner/é.JPG")) == "Ordner/É.jpg"
    assert finder.find("ordner/e.jpg") is None
    assert finder.find_file("ordner") is None
