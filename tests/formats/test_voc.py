from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolopipe.errors import DataError
from yolopipe.formats.voc import VocImage, is_class_list, read_voc_list, read_voc_xml

PERSON = """\
<?xml version="1.0" encoding="UTF-8"?>
<annotation>
  <filename>a &amp; b.jpg</filename>
  <object>
    <name> traffic light </name>
    <difficult>1</difficult>
    <part><name>head</name><bndbox><xmin>900</xmin><ymin>900</ymin><xmax>901</xmax><ymax>901</ymax></bndbox></part>
    <bndbox><ymax>40.25</ymax><xmax>3e1</xmax><ymin>2</ymin><xmin>1.5</xmin></bndbox>
  </object>
  <object><name>größe</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox></object>
</annotation>
"""


def read(tmp_path: Path, text: str | bytes) -> VocImage:
    file = tmp_path / "a.xml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_voc_xml(file)


def places(image: VocImage) -> list[tuple[int, str]]:
    return [(p.line, p.rule) for p in image.problems]


def test_parts_order_and_entities(tmp_path: Path) -> None:
    image = read(tmp_path, PERSON)
    assert image.problems == []
    assert image.filename == "a & b.jpg"
    assert [tuple(o) for o in image.objects] == [
        ("traffic light", (1.5, 2.0, 30.0, 40.25), True, 4, 3, "box"),
        ("größe", (1.0, 2.0, 3.0, 4.0), False, 10, 3, "box"),
    ]


@pytest.mark.parametrize(
    ("text", "difficult"),
    [
        *[(text, True) for text in ("1", " true ", "2.0", "YES")],
        *[(text, False) for text in ("0", "0.0", "False", "Unspecified", "", "nan")],
    ],
)
def test_what_is_difficult(tmp_path: Path, text: str, difficult: bool) -> None:
    image = read(tmp_path, PERSON.replace("<difficult>1<", f"<difficult>{text}<"))
    assert [item.difficult for item in image.objects] == [difficult, False]


def test_other_encodings(tmp_path: Path) -> None:
    latin = PERSON.replace("UTF-8", "ISO-8859-1").encode("latin1")
    assert read(tmp_path, latin).objects[1].name == "größe"
    assert read(tmp_path, PERSON.replace("UTF-8", "UTF-16").encode("utf-16")).objects[1].name == "größe"


def test_an_image_without_objects(tmp_path: Path) -> None:
    image = read(tmp_path, "<annotation><filename>a.jpg</filename></annotation>")
    assert (image.filename, image.objects, image.problems) == ("a.jpg", [], [])


def test_broken_objects_have_their_line_and_the_rest_is_read(tmp_path: Path) -> None:
    broken = PERSON.replace("<xmax>3e1</xmax>", "<xmax>wide</xmax>").replace("<ymin>2</ymin><xmin>1.5", "<xmin>nan")
    image = read(tmp_path, broken)
    assert places(image) == [(8, "bad-box")], "one problem an object"
    assert all(text in image.problems[0].message for text in ("'nan'", "<ymin>", "'wide'"))
    assert [o.name for o in image.objects] == ["größe"]
    assert places(read(tmp_path, PERSON.replace("<name>größe</name>", ""))) == [(10, "no-class-name")]
    assert places(read(tmp_path, PERSON.replace(" traffic light ", "  "))) == [(5, "no-class-name")]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("not xml", 1),
        (PERSON.replace("</annotation>", ""), 12),
        (PERSON.replace("</object>", "</objekt>", 1), 9),
        ("<html></html>", 1),
        ('<?xml version="1.0"?>\n<!DOCTYPE a [<!ENTITY x "y">]>\n<annotation>&x;</annotation>', 2),
        ('<!DOCTYPE annotation SYSTEM "file:///etc/passwd"><annotation/>', 1),
    ],
)
def test_broken_and_harmful_files_are_refused(text: str, line: int, tmp_path: Path) -> None:
    image = read(tmp_path, text)
    assert places(image) == [(line, "bad-xml")]
    assert image.objects == []


def test_billion_laughs_cost_nothing(tmp_path: Path) -> None:
    entities = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 30))
    image = read(tmp_path, f'<!DOCTYPE a [<!ENTITY l0 "ha">{entities}]><annotation>&l29;</annotation>')
    assert places(image) == [(1, "bad-xml")]


@given(
    st.lists(
        st.tuples(
            st.text("abé <&'", min_size=1).map(str.strip).filter(bool),
            st.lists(st.floats(-1e5, 1e5), min_size=4, max_size=4),
        ),
        max_size=4,
    )
)
def test_what_elementtree_writes_is_read(
    tmp_path_factory: pytest.TempPathFactory, objects: list[tuple[str, list[float]]]
) -> None:
    root = ElementTree.Element("annotation")
    for name, corners in objects:
        node = ElementTree.SubElement(root, "object")
        ElementTree.SubElement(node, "name").text = name
        box = ElementTree.SubElement(node, "bndbox")
        for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True):
            ElementTree.SubElement(box, tag).text = repr(value)
    image = read(tmp_path_factory.mktemp("v"), ElementTree.tostring(root, encoding="utf-8"))
    assert [(o.name, list(o.box_xyxy)) for o in image.objects] == objects


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read"):
        read_voc_xml(tmp_path / "no.xml")


def test_lists_of_one_class_are_not_splits(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("b\n\n a 1 \nc d\r\n")
    (tmp_path / "car_train.txt").write_text("a -1\nb  1\nc 0\n")
    train, cars = (read_voc_list(tmp_path / name) for name in ("train.txt", "car_train.txt"))
    assert train == [(1, "b"), (3, "a 1"), (4, "c d")]
    assert [is_class_list(names, lambda name: name == "a 1") for names in ([], train, cars, train[1:2])] == [
        *(False, False, True, False)
    ]
    (tmp_path / "bad.txt").write_bytes(b"a\n\xff\n")
    with pytest.raises(DataError, match=r"bad\.txt:2"):
        read_voc_list(tmp_path / "bad.txt")
