from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.drawn_sets import draw_pictures, faults_of, text_of
from yolopipe.errors import DataError
from yolopipe.importing.import_data import import_data


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    draw_pictures(Path("set"), "a.png", "b.png")


def shape(kind: Any, *points: Any, label: Any = "cat") -> dict[str, Any]:
    return {"label": label, "points": list(points), "shape_type": kind}


def write(file: str, *shapes: Any, **changes: Any) -> None:
    """A shape a line, from line 2 on."""
    head = {"imagePath": f"{Path(file).stem}.png", "imageData": "iVBORw0KGgo=", "imageHeight": 80, "imageWidth": 100}
    shown = ",\n".join(json.dumps(one) for one in shapes)
    rest = ", ".join(f'"{key}": {json.dumps(value)}' for key, value in (head | changes).items())
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).write_text(f'{{"shapes": [\n{shown}\n], {rest}}}', encoding="utf-8")


def test_shapes_become_bounds() -> None:
    write(
        "set/a.json",
        shape("rectangle", [30, 40], [1.5, 2]),  # drawn from the lower right
        shape("polygon", [5, 9], [20, 3], [11, 30]),
        shape("circle", [50, 40], [53, 44]),
        shape("mask", [10, 10], [12, 14]),
        shape("rotation", [10, 5], [15, 10], [10, 15], [5, 10]),
        {"label": "cat", "points": [[1, 1], [2, 3], [1, 2]]},  # of the first versions: a polygon
        shape("point", [1, 2]),
        shape("linestrip", [1, 2], [3, 4]),
        shape("line", [1, 2], [3, 4], label="other"),
    )
    report = import_data("labelme", "set", "out").report["splits"]["all"]
    assert text_of("out/all.txt") == [
        "a.png 1.5,2,30,40,0 5,3,20,30,0 45,35,55,45,0 10,10,12,14,0 5,5,15,15,0 1,1,2,3,0"
    ]
    assert report["shapes_made_boxes"] == 5
    assert report["points_and_lines_left_out"] == 3
    assert Path("out/classes.names").read_text() == "cat\n"


def test_pictures_are_found_by_windows_paths_and_by_the_name_of_the_json_file() -> None:
    write("set/labels/x.json", shape("rectangle", [1, 2], [3, 4]), imagePath="..\\a.png")
    write("set/labels/b.json", imagePath="D:\\old\\renamed.png", imageWidth=50, imageHeight=40)
    report = import_data("labelme", "set", "out").report
    assert text_of("out/all.txt") == ["b.png", "a.png 1,2,3,4,0"]
    assert report["notes"] == {}
    assert report["splits"]["all"]["backgrounds"] == 1


def test_pictures_without_json_are_left_out_or_taken_from_the_named_folder() -> None:
    write("set/a.json", shape("rectangle", [1, 2], [3, 4]))
    result = import_data("labelme", "set", "out")
    assert str(result.rows["left out"]).startswith("1 ")
    assert text_of("out/all.txt") == ["a.png 1,2,3,4,0"]
    report = import_data("labelme", "set", "out", images="set").report
    assert text_of("out/all.txt") == ["a.png 1,2,3,4,0", "b.png"]
    assert report["splits"]["all"]["unnamed_images"] == 1


def test_folders_are_splits() -> None:
    for number, folder in enumerate(("train", "valid")):
        draw_pictures(Path("two", folder), f"a{number}.png", f"b{number}.png")
        write(f"two/{folder}/a{number}.json", shape("rectangle", [1, 2], [3, 4], label=f"class {number}"))
    import_data("labelme", "two", "out")
    assert text_of("out/train.txt") == ["a0.png 1,2,3,4,0"]
    assert text_of("out/val.txt") == ["a1.png 1,2,3,4,1"]


@pytest.mark.parametrize(
    ("bad", "rule"),
    [
        (7, "bad-record"),
        ({"points": [[1, 2], [3, 4]], "shape_type": "rectangle"}, "no-class-name"),
        (shape("rectangle", [1, 2], [3, 4], label=" "), "no-class-name"),
        (shape("rectangle", [1, 2], [3, 4], label="a\nb"), "no-class-name"),
        (shape("rectangle", [1, 2], [3, 4], label=5), "no-class-name"),
        (shape("banana", [1, 2], [3, 4]), "bad-record"),
        (shape(["x"], [1, 2], [3, 4]), "bad-record"),
        (shape("rectangle", [1, 2]), "bad-box"),
        (shape("circle", [1, 2], [3, 4], [5, 6]), "bad-box"),
        (shape("polygon"), "bad-box"),
        (shape("polygon", [1, 2, 3]), "bad-box"),
        (shape("polygon", [1, "2"]), "bad-box"),
        (shape("polygon", [1, True]), "bad-box"),
        (shape("polygon", [1, float("nan")]), "bad-box"),
        (shape("polygon", 5), "bad-box"),
        ({"label": "cat", "shape_type": "polygon"}, "bad-box"),
    ],
)
def test_bad_shapes(bad: Any, rule: str) -> None:
    write("set/a.json", shape("rectangle", [1, 2], [3, 4]), bad, shape("rectangle", [9, 9], [20, 20]))
    assert faults_of("labelme", "set", "out") == [("set/a.json", 3, rule, "box")]
    lost = import_data("labelme", "set", "out", on_bad="skip").report["lost"]
    assert text_of("out/all.txt") == ["a.png 1,2,3,4,0 9,9,20,20,0"]
    assert (lost["boxes"], lost["images"], lost["rules"]) == (1, 0, {rule: 1})


def test_bad_files() -> None:
    write("set/a.json", shape("rectangle", [1, 2], [3, 4]))
    write("set/b.json", imageWidth=50, imageHeight=40)
    Path("set/broken.json").write_text('{"shapes": [\n{"label"')
    Path("set/latin.json").write_bytes(b'{"shapes": [], "imagePath": "\xe9.png"}')
    write("set/gone.json")
    assert faults_of("labelme", "set", "out") == [
        ("set/broken.json", 2, "bad-json", "image"),
        ("set/gone.json", 0, "missing-image", "image"),
        ("set/latin.json", 0, "bad-json", "image"),
    ]


def test_another_json_file_is_noted() -> None:
    write("set/a.json", shape("rectangle", [1, 2], [3, 4]))
    Path("set/._a.json").write_bytes(b"\0\5")
    Path("set/settings.json").write_text("{}")
    assert import_data("labelme", "set", "out").report["notes"] == {"other-json": 1}
    Path("set/a.json").unlink()
    with pytest.raises(DataError):
        import_data("labelme", "set", "new")


def test_another_size_is_noted() -> None:
    write("set/a.json", shape("rectangle", [1, 2], [3, 4]), imageWidth=640)
    assert import_data("labelme", "set", "out").report["notes"] == {"image-size": 1}
