from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.drawn_sets import DRAWN, labelme, voc
from yolopipe.errors import DataError, UsageError
from yolopipe.importing.import_auto import recognise
from yolopipe.importing.import_data import import_data


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("kind", DRAWN)
def test_every_format_is_recognised(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    DRAWN[kind](Path("set"))
    found, reason = recognise(Path("set"))
    assert found == kind
    assert reason.startswith("set/")
    result = import_data("auto", "set", "out")
    assert result.report["format"] == kind
    assert f"{kind}: {reason}" in capsys.readouterr().err.replace("\n", " ")
    expected = import_data(kind, "set", "other")
    assert result.report["splits"] == expected.report["splits"]


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("data.yaml", "train: images\nval: images\nnames: [cat]\n", "yolo"),
        ("obj.data", "classes = 1\ntrain = data/train.txt\nnames = data/obj.names\n", "yolo"),
        ("labels/a.txt", "0 0.1 0.2 0.3 0.4 0.5 0.6\n", "yolo"),
        ("a.json", '\ufeff[{"image": "/data/upload/1/a.jpg", "annotation_id": 1}]', "label-studio"),
        ("a.json", '{"images":[' + '{"id": 1},' * 99999 + '{"id": 2}],"annotations":[],"categories":[]}', "coco"),
        ("a.xml", '<?xml version="1.0"?>\n<!-- labelImg -->\n<annotation verified="yes">', "voc"),
        ("A.XML", "<annotations>", "cvat"),
    ],
)
def test_files(name: str, text: str, kind: str) -> None:
    Path("set", name).parent.mkdir(parents=True)
    Path("set", name).write_text(text, encoding="utf-8")
    assert recognise(Path("set"))[0] == kind
    assert recognise(Path("set", name))[0] == kind


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("notes.json", '{"categories": [], "info": {}}'),
        ("results.json", '[{"image_id": 1, "category_id": 1, "bbox": [], "score": 1}]'),
        ("readme.txt", "1 2 3\n"),
        ("params.yaml", "names: [a]\n"),
        ("page.xml", "<html/>"),
        ("table.csv", "a,b,c\n1,2,3\n"),
        ("table.parquet", "PAR1"),
        ("empty.json", ""),
    ],
)
def test_other_files_are_no_data_set(name: str, text: str) -> None:
    Path(name).write_text(text)
    for path in (Path(), Path(name)):
        with pytest.raises(DataError):
            recognise(path)


def test_two_formats_are_not_chosen_from() -> None:
    voc(Path("set/one"))
    labelme(Path("set/two"))
    with pytest.raises(UsageError) as caught:
        import_data("auto", "set", "out")
    assert "labelme: set/two/b.json" in str(caught.value)
    assert "voc: set/one/Annotations/b.xml" in str(caught.value)
    assert not Path("out").exists()
    assert import_data("auto", "set/one", "out").report["format"] == "voc"
    assert import_data("auto", "set", "out", annotations="set/two").report["format"] == "labelme"
