from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.helpers.drawn_sets import faults_of, text_of
from yolopipe.errors import DataError, UsageError
from yolopipe.importing.import_data import import_data

NAMES = {"objects": {"category": {"feature": {"names": ["zebra", "ape"], "_type": "ClassLabel"}, "_type": "List"}}}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("set").mkdir()


def picture(number: int = 0, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (100, 80), (number, 99, 200)).save(stream, kind)
    return stream.getvalue()


def row(name: Any, boxes: Any, categories: Any, content: Any = b"", **more: Any) -> dict[str, Any]:
    content = picture() if content == b"" else content
    return {"image": {"bytes": content, "path": name}, "objects": {"bbox": boxes, "category": categories}, **more}


def write(file: str, *rows: Any, features: Any = NAMES) -> None:
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(list(rows))
    if features is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, file)


def test_several_shards_and_splits() -> None:
    write(
        "set/data/train-00000-of-00002.parquet",
        row("a.png", [[10.5, 20, 50, 40]], [1], width=100, height=80),
        row("sub/a.png", [], [], picture(1), width=100, height=80),  # another picture of the same name
    )
    more = {"bytes": picture(2, "JPEG"), "path": None}
    objects = [
        {"bbox": [1.0, 2, 3, 4], "category": 0, "iscrowd": 0},
        {"bbox": [5.0, 5, 5, 5], "category": 0, "iscrowd": 1},
    ]
    write("set/data/train-00001-of-00002.parquet", {"image": more, "objects": objects})
    write("set/data/validation-00000-of-00001.parquet", row("a.png", [[240.54, 2, 57.75, 3]], [0]))
    report = import_data("parquet", "set", "out").report
    assert text_of("out/train.txt") == [
        "a.png 10.5,20,60.5,60,1",
        "a_00000001.png",
        "00000002.jpg 1,2,4,6,0 5,5,10,10,0,1",
    ]
    assert text_of("out/val.txt") == ["a.png 240.54,2,298.29,5,0"]
    assert Path("out/classes.names").read_text() == "zebra\nape\n"
    assert report["splits"]["train"]["crowd_boxes"] == 1
    assert report["notes"] == {"outside-image": 1}
    assert Path("out/images/train/a_00000001.png").read_bytes() == picture(1)
    before = {file: file.stat().st_mtime_ns for file in Path("out/images").rglob("*.*")}
    import_data("parquet", "set", "out")
    assert {file: file.stat().st_mtime_ns for file in Path("out/images").rglob("*.*")} == before


def test_float32_keeps_its_decimals() -> None:
    boxes = pa.array([{"bbox": [[10.1, 2.3, 50.7, 40.2]], "category": [0]}])
    kind = pa.struct({"bbox": pa.list_(pa.list_(pa.float32(), 4)), "category": pa.list_(pa.int64())})
    table = pa.table({"image": pa.array([picture()]), "objects": boxes.cast(kind)})
    pq.write_table(table, "set/test.parquet")
    report = import_data("parquet", "set", "out").report
    assert text_of("out/test.txt") == ["00000000.png 10.1,2.3,60.8,42.5,0"]
    assert report["notes"] == {"class-names": 1}


def test_categories_without_names_are_in_the_order_of_their_numbers() -> None:
    write("set/x.parquet", row("a.png", [[1, 2, 30, 40]] * 3, [10, 2, 7]), features=None)
    assert import_data("parquet", "set", "out").report["classes"] == ["2", "7", "10"]


def test_categories_that_are_text() -> None:
    write("set/x.parquet", row("a.png", [[1, 2, 30, 40], [1, 2, 30, 44]], ["cat", "ape"]), features=None)
    assert import_data("parquet", "set", "out").report["classes"] == ["ape", "cat"]


def test_pictures_that_are_not_inside() -> None:
    Path("set/images").mkdir()
    Path("set/images/a.png").write_bytes(picture())
    write("set/x.parquet", row("images/a.png", [[1, 2, 30, 40]], [0], None), row("no.png", [[1, 2, 3, 4]], [0], None))
    assert faults_of("parquet", "set", "out") == [("set/x.parquet", 2, "missing-image", "image")]
    import_data("parquet", "set", "out", on_bad="skip")
    assert Path("out/all.txt").read_text() == "set/images/a.png 1,2,31,42,0\n"


@pytest.mark.parametrize(
    ("boxes", "categories", "rule", "scope"),
    [
        ([[1.0, 2, 3, 4], [1.0, 2, 3]], [0, 0], "bad-box", "box"),
        ([[1.0, 2, 3, 4], [1.0, 2, -3, 4]], [0, 0], "bad-box", "box"),
        ([[1.0, 2, 3, 4], [1.0, 2, float("nan"), 4]], [0, 0], "bad-box", "box"),
        ([[1.0, 2, 3, 4], [1.0, 2, 3, None]], [0, 0], "bad-box", "box"),
        ([[1.0, 2, 3, 4], None], [0, 0], "bad-box", "box"),
        ([[1.0, 2, 3, 4], [1.0, 2, 3, 4]], [0, 9], "unknown-category", "box"),
        ([[1.0, 2, 3, 4], [1.0, 2, 3, 4]], [0, -1], "unknown-category", "box"),
        ([[1.0, 2, 3, 4], [1.0, 2, 3, 4]], [0, None], "unknown-category", "box"),
        ([[1.0, 2, 3, 4]], [0, 0], "bad-record", "image"),
    ],
)
def test_bad_rows_leave_no_picture_behind(boxes: Any, categories: Any, rule: str, scope: str) -> None:
    write("set/x.parquet", row("a.png", [[1.0, 2, 3, 4]], [1]), row("b.png", boxes, categories, picture(1)))
    assert faults_of("parquet", "set", "out") == [("set/x.parquet", 2, rule, scope)]
    import_data("parquet", "set", "out", on_bad="skip")
    assert text_of("out/all.txt") == ["a.png 1,2,4,6,1", *(["b.png 1,2,4,6,0"] if scope == "box" else [])]


def test_bad_pictures_and_files() -> None:
    write("set/x.parquet", row("a.png", [[1.0, 2, 3, 4]], [1], b"not a picture"))
    assert faults_of("parquet", "set", "out") == [("set/x.parquet", 1, "not-an-image", "image")]
    write("set/y.parquet", row("a.png", [], []), features={"objects": {"category": {"names": ["other"]}}})
    assert ("set/y.parquet", 0, "category-mismatch", "file") in faults_of("parquet", "set", "out")
    Path("set/y.parquet").write_bytes(Path("set/x.parquet").read_bytes()[:-9])
    with pytest.raises(DataError):
        import_data("parquet", "set/y.parquet", "out")
    assert not Path("out").exists()


def test_other_pictures_are_not_overwritten() -> None:
    write("set/x.parquet", row("a.png", [[1.0, 2, 3, 4]], [1], picture(1)), row("b.png", [], []))
    Path("out/images/all").mkdir(parents=True)
    Path("out/images/all/b.png").write_bytes(b"mine")
    with pytest.raises(UsageError):
        import_data("parquet", "set", "out")
    assert [file.name for file in Path("out").rglob("*.*")] == ["b.png"]
    assert Path("out/images/all/b.png").read_bytes() == b"mine"


@pytest.mark.parametrize(
    "name", ["../../evil.png", "/etc/evil.png", "..\\..\\evil.png", "x" * 300, "a 1,2,3,4,0.jpg", ".", "a\nb"]
)
def test_names_cannot_leave_the_folder(name: str) -> None:
    write("set/x.parquet", row(name, [[1.0, 2, 30, 40]], [1]))
    import_data("parquet", "set", "out")
    [written] = [file for file in Path().rglob("*.*") if file.suffix in (".png", ".jpg")]
    assert written.parent == Path("out/images/all")
    assert Path("out/all.txt").read_text() == f"{written} 1,2,31,42,1\n"
