from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from yolopipe.config.params import Config
from yolopipe.errors import DataError, ProblemsError, UsageError
from yolopipe.formats.annotation_text import read_annotations
from yolopipe.importing.finishing import IMPORT_PROBLEMS
from yolopipe.importing.import_data import import_data
from yolopipe.stages import parse

CATEGORIES = [{"id": 18, "name": "dog"}, {"id": 3, "name": "stop sign"}, {"id": 1, "name": "zebra"}]
PLACES = {"train": "coco/annotations/instances_train2017.json", "val": "coco/annotations/instances_val2017.json"}
Row = tuple[Any, Any, list[Any]]


def write(file: str, pictures: list[str], rows: list[Row], categories: Any = CATEGORIES, **changes: Any) -> None:
    """Image ids count from 5, annotation ids from 1; one record a line."""
    lists = {
        "images": [{"id": n, "file_name": name, "width": 50, "height": 40} for n, name in enumerate(pictures, 5)],
        "annotations": [
            {"id": n, "image_id": i, "category_id": c, "bbox": b, **changes} for n, (i, c, b) in enumerate(rows, 1)
        ],
        "categories": categories,
    }
    text = ",\n".join(f'"{k}": [\n' + ",\n".join(map(json.dumps, v)) + "\n]" for k, v in lists.items())
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).write_text("{" + text + "}")


def draw(*files: str, size: tuple[int, int] = (50, 40), orientation: int = 1) -> None:
    for file in files:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.new("RGB", size).save(file, exif=exif)


def lines(file: str) -> list[str]:
    return Path(file).read_text().splitlines()


def problems(*arguments: Any, **options: Any) -> list[tuple[str, int, str]]:
    with pytest.raises(ProblemsError) as caught:
        import_data("coco", *arguments, **options)
    assert not Path(arguments[1]).exists()
    return [(p.file, p.line, p.rule) for p in caught.value.problems]


def listed() -> list[tuple[str, int, str, str]]:
    """File, line, rule and action of what the import wrote to its list."""
    with IMPORT_PROBLEMS.open() as stream:
        return [(row["file"], int(row["line"]), row["rule"], row["action"]) for row in csv.DictReader(stream)]


@pytest.fixture(autouse=True)
def _coco(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(
        PLACES["train"],
        ["b b.jpg", "a.png"],
        [(6, 18, [1, 2, 3, 4]), (5, 3, [0.5, 1, 2.25, 3]), (6, 1, [0, 0, 9, 9])],
    )
    write(PLACES["val"], ["c.jpg"], [])
    draw("coco/train2017/b b.jpg", "coco/train2017/a.png", "coco/val2017/c.jpg")


def test_a_folder_becomes_text_that_parse_reads() -> None:
    result = import_data("coco", "coco", "out")
    assert Path("out/classes.names").read_text() == "zebra\nstop sign\ndog\n"
    assert lines("out/train.txt") == [
        "coco/train2017/b b.jpg 0.5,1,2.75,4,1",
        "coco/train2017/a.png 1,2,4,6,2 0,0,9,9,0",
    ]
    assert lines("out/val.txt") == ["coco/val2017/c.jpg"]
    assert "category 3" in str(result.rows["class 1 stop sign"])
    assert result.report["splits"]["train"]["boxes_per_class"] == {"zebra": 1, "stop sign": 1, "dog": 1}
    assert result.report["splits"]["val"]["backgrounds"] == 1
    assert result.report["notes"] == {"no-boxes": 1}
    assert listed() == [("coco", 0, "no-boxes", "noted")]
    named = {"train": "out/train.txt", "val": "out/val.txt", "classes": "out/classes.names", "images": "coco"}
    parse.run(Config(data=named))  # type: ignore[arg-type]


def test_boxes_keep_their_order_within_an_image() -> None:
    """Annotations of two images in turn, as COCO lists them; the later image of the list first."""
    write(PLACES["train"], ["b b.jpg", "a.png"], [(6 - n % 2, 1, [n / 4, 1, 5, 5]) for n in range(100)])
    import_data("coco", "coco", "out")
    text = read_annotations("out/train.txt")
    expected = [n / 4 for first in (1, 0) for n in range(first, 100, 2)]
    assert text.boxes_xyxy[:, 0].tolist() == expected


@pytest.mark.parametrize(
    ("file", "picture", "split"),
    [
        ("set/annotations/instances_train2014.json", "set/train2014/p.jpg", "train"),
        ("set/annotations/instances_val.json", "set/images/val/p.jpg", "val"),
        ("set/annotations/anything.json", "set/images/p.jpg", "all"),
        ("set/train/_annotations.coco.json", "set/train/p.jpg", "train"),
        ("set/valid/_annotations.coco.json", "set/valid/p.jpg", "val"),
        ("set/my_validation_set.json", "set/p.jpg", "val"),
        ("set/result.json", "set/images/p.jpg", "all"),
        ("set/training.json", "set/p.jpg", "all"),
    ],
)
def test_shapes_of_folders(file: str, picture: str, split: str) -> None:
    write(file, ["p.jpg"], [(5, 1, [1, 2, 3, 4])])
    draw(picture)
    import_data("coco", "set", "out")
    assert lines(f"out/{split}.txt") == [f"{picture} 1,2,4,6,0"]
    import_data("coco", file, "out2")
    assert lines(f"out2/{split}.txt") == [f"{picture} 1,2,4,6,0"]


def test_named_files_and_images() -> None:
    write("a.json", ["x/p.jpg"], [])
    draw("elsewhere/x/p.jpg")
    import_data("coco", "coco", "out", files={"night": "a.json"}, images="elsewhere")
    assert [p.name for p in sorted(Path("out").iterdir())] == ["classes.names", "night.txt"]
    assert lines("out/night.txt") == ["elsewhere/x/p.jpg"]
    import_data("coco", "coco", "some", splits=["val"])
    assert not Path("some/train.txt").exists()


def test_two_files_for_a_split_are_an_error() -> None:
    write("coco/annotations/instances_train2014.json", [], [])
    with pytest.raises(UsageError, match=r"'train'.*\n.*--split NAME=FILE"):
        import_data("coco", "coco", "out")


def test_categories_that_differ_between_files() -> None:
    other = [{"id": 18, "name": "dog"}, {"id": 3, "name": "cat"}, {"id": 4, "name": "zebra"}]
    write(PLACES["val"], ["c.jpg"], [(5, 3, [1, 2, 3, 4]), (5, 4, [0, 0, 5, 5])], other)
    where = PLACES["val"]
    assert problems("coco", "out") == [(where, at, "category-mismatch") for at in (0, 10, 11)]
    Path("my.names").write_text("cat\ndog\nzebra\nstop sign\n")
    import_data("coco", "coco", "out", classes="my.names")
    assert lines("out/val.txt") == ["coco/val2017/c.jpg 1,2,4,6,0 0,0,5,5,2"]
    assert lines("out/train.txt")[0].endswith("4,3")


def test_a_names_file_that_lacks_a_class() -> None:
    Path("my.names").write_text("stop sign\ndog\n")
    assert problems("coco", "out", classes="my.names") == [(PLACES["train"], 8, "unknown-class")]


def test_all_problems_at_once_and_nothing_written() -> None:
    rows = [(5, 1, [1, 2, 3]), (99, 1, [1, 2, 3, 4]), (6, 77, [1, 2, 3, 4]), (6, 1, [1, 2, -3, 4])]
    write(PLACES["train"], ["gone.jpg", "a.png"], rows)
    Path(PLACES["val"]).write_text('{"images": [\n')
    assert problems("coco", "out") == [
        (PLACES["train"], 2, "missing-image"),
        (PLACES["train"], 6, "bad-box"),
        (PLACES["train"], 7, "unknown-image"),
        (PLACES["train"], 8, "unknown-category"),
        (PLACES["train"], 9, "bad-box"),
        (PLACES["val"], 2, "bad-json"),
    ]
    assert not IMPORT_PROBLEMS.exists()


def test_a_list_longer_than_a_screen_becomes_a_file() -> None:
    write(PLACES["train"], ["a.png"], [(99, 1, [1, 2, 3, 4])] * 101)
    assert len(problems("coco", "out")) == 101
    assert len(listed()) == 101
    assert listed()[0] == (PLACES["train"], 5, "unknown-image", "failed")


def test_boxes_that_parse_reports_are_noted_and_written(capsys: pytest.CaptureFixture[str]) -> None:
    """A list of its own for each rule, at the line of the record, and the box as it was."""
    boxes = [[5, 5, 0, 9], [40, 30, 20, 5], [1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 0.05, 9]]
    write(PLACES["val"], ["c.jpg"], [(5, 1, box) for box in boxes])
    result = import_data("coco", "coco", "out")
    assert result.report["notes"] == {"duplicate-box": 1, "no-area": 1, "outside-image": 1, "tiny": 1}
    assert lines("out/val.txt") == ["coco/val2017/c.jpg 5,5,5,14,0 40,30,60,35,0 1,1,3,3,0 1,1,3,3,0 3,3,3.05,12,0"]
    noted = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    places = {text.split(": ")[2]: text.split(": ")[1] for text in noted}
    assert places == {
        "no-area": f"{PLACES['val']}:5:1",
        "outside-image": f"{PLACES['val']}:6:1",
        "duplicate-box": f"{PLACES['val']}:8:1",
        "tiny": f"{PLACES['val']}:9:1",
    }
    assert "(line 7)" in next(text for text in noted if "duplicate-box" in text)
    assert len(IMPORT_PROBLEMS.read_text().splitlines()) == 5


def test_notes_on_images() -> None:
    draw("coco/train2017/a.png", size=(60, 40))
    draw("coco/val2017/c.jpg", size=(50, 40), orientation=6)
    draw("coco/val2017/d.jpg", size=(60, 70), orientation=6)
    write(PLACES["val"], ["c.jpg", "d.jpg", "d.jpg", "../train2017/a.png"], [])
    result = import_data("coco", "coco", "out")
    assert result.report["notes"] == {"duplicate-image": 1, "image-size": 5, "no-boxes": 1, "train-val-leak": 1}
    assert result.report["splits"]["val"]["orientations_fixed"] == 3
    messages = IMPORT_PROBLEMS.read_text().splitlines()
    assert all(line.endswith(",noted") for line in messages[1:])
    assert ["EXIF" in line for line in messages if ",image-size," in line] == [False, True, False, False, False]


def test_source_files_are_not_overwritten() -> None:
    write("set/train.txt", ["p.jpg"], [])
    draw("set/p.jpg")
    before = Path("set/train.txt").read_bytes()
    with pytest.raises(UsageError, match=r"set/train\.txt"):
        import_data("coco", "set", "set", files={"train": "set/train.txt"})
    assert Path("set/train.txt").read_bytes() == before
    assert not Path("set/classes.names").exists()


def test_nothing_to_import() -> None:
    Path("empty").mkdir()
    with pytest.raises(DataError, match=r"empty.*annotations/instances"):
        import_data("coco", "empty", "out")
    with pytest.raises(UsageError, match="train, val"):
        import_data("coco", "coco", "out", splits=["test"])
    write("none.json", [], [], [])
    with pytest.raises(DataError, match="no class"):
        import_data("coco", "none.json", "out")


def test_sources_are_not_touched_and_the_result_is_the_same_again() -> None:
    before = {p: p.read_bytes() for p in Path("coco").rglob("*") if p.is_file()}
    import_data("coco", "coco", "out")
    first = {p.name: p.read_bytes() for p in Path("out").iterdir()}
    import_data("coco", "coco", "out")
    assert {p.name: p.read_bytes() for p in Path("out").iterdir()} == first
    assert {p: p.read_bytes() for p in Path("coco").rglob("*") if p.is_file()} == before
    assert len(read_annotations("out/train.txt").boxes_xyxy) == 3
