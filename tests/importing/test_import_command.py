"""``yolopipe import`` and ``convert`` as commands; the tests of the readers have the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from yolopipe.cli import app, guarded


def call(*arguments: str) -> int:
    return guarded(lambda: app(list(arguments), standalone_mode=False))


@pytest.fixture(autouse=True)
def _data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same three pictures as COCO and as YOLO."""
    monkeypatch.chdir(tmp_path)
    Path("set/images/train").mkdir(parents=True)
    Path("set/labels/train").mkdir(parents=True)
    for name in ("a", "b"):
        Image.new("RGB", (100, 80)).save(f"set/images/train/{name}.png")
    Path("set/labels/train/a.txt").write_text("1 0.5 0.5 0.5 0.5\n")
    Path("set/data.yaml").write_text("train: images/train\nnames: [cat, dog]\n")
    document: dict[str, Any] = {
        "images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 8, "bbox": [25, 20, 50, 40]}],
        "categories": [{"id": 8, "name": "dog"}, {"id": 5, "name": "cat"}],
    }
    Path("set/train.json").write_text(json.dumps(document))


def test_both_formats_give_the_same_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("import", "yolo", "set", "--out", "y") == 0
    shown = capsys.readouterr().out
    assert "class 1 dog" in shown
    assert "y/..." in shown
    assert "yolopipe parse" in shown
    assert call("import", "coco", "set", "--out", "c", "--train", "set/train.json") == 0
    assert "category 8" in capsys.readouterr().out
    for file in ("train.txt", "classes.names"):
        assert Path("y", file).read_text() == Path("c", file).read_text()
    assert call("import", "coco", "set/train.json", "--out", "d", "--images", "set/images/train", "--json") == 0
    assert json.loads(capsys.readouterr().out)["classes"] == ["cat", "dog"]


def test_problems_are_listed_with_exit_code_4(capsys: pytest.CaptureFixture[str]) -> None:
    Path("set/labels/train/b.txt").write_text("2 0.5 0.5 0.5 0.5\n\n0 0.5 0.5\n")
    assert call("import", "yolo", "set", "--out", "y") == 4
    shown = capsys.readouterr()
    assert "set/labels/train/b.txt:1: class-range: " in shown.err
    assert "set/labels/train/b.txt:3: bad-label: " in shown.err
    assert "bad-label 1, class-range 1" in shown.err
    assert shown.out == ""
    assert not Path("y").exists()


@pytest.mark.slow
@pytest.mark.parametrize("split", ["train=", "=a.json", "a/b=c.json", "../x=c.json"])
def test_wrong_splits(split: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("import", "coco", "set", "--out", "c", "--split", split) == 2
    assert "NAME=FILE" in capsys.readouterr().err
    assert call("import", "coco", "set", "--out", "c", "--train", "a", "--split", "train=b") == 2
    assert "--split train" in capsys.readouterr().err


@pytest.mark.slow
def test_convert_reads_params_or_named_files(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("import", "yolo", "set", "--out", "y") == 0
    assert call("convert", "coco", "--out", "c") == 3  # no params.yaml, no files named
    assert "params.yaml" in capsys.readouterr().err
    assert call("convert", "coco", "--out", "c", "--train", "y/train.txt", "--classes", "y/classes.names") == 0
    assert [p.name for p in Path("c/annotations").iterdir()] == ["instances_train.json"]
    Path("y/val.txt").write_text("set/images/train/b.png\n")
    data = "data:\n  train: y/train.txt\n  val: y/val.txt\n  classes: y/classes.names\n  images: set\n"
    Path("params.yaml").write_text(data)
    capsys.readouterr()
    assert call("convert", "yolo", "--out", "z", "--json") == 0
    assert json.loads(capsys.readouterr().out)["splits"] == {
        "train": {"images": 2, "boxes": 1, "ignored": 0, "ignored_left_out": 0},
        "val": {"images": 1, "boxes": 0, "ignored": 0, "ignored_left_out": 0},
    }
    assert Path("z/labels/train/a.txt").read_text() == "1 0.50000000 0.50000000 0.50000000 0.50000000\n"
    assert call("convert", "yolo", "--out", "z") == 2
    assert "--out" in capsys.readouterr().err
