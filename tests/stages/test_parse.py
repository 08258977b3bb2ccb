from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from yolopipe import paths
from yolopipe.cli import guarded
from yolopipe.config.params import Config
from yolopipe.errors import DataError, ProblemsError
from yolopipe.result import CommandResult
from yolopipe.stages import parse

WIDTH, HEIGHT = 60, 40
Run = Callable[..., CommandResult]


def save(name: str, orientation: int = 1, size: tuple[int, int] = (WIDTH, HEIGHT)) -> None:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", size, (90, 120, 30)).save(path, "JPEG", exif=exif)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A folder with four images and two classes; call with the texts to parse."""
    monkeypatch.chdir(tmp_path)
    for name in "abcd":
        save(f"images/{name}.jpg")
    Path("classes.names").write_text("cat\ndog\n")

    def run(
        train: str,
        val: str = "images/d.jpg 1,1,9,9,0\n",
        workers: int = 1,
        input_size: int | list[int] = 96,
        **options: Any,
    ) -> CommandResult:
        Path("train.txt").write_text(train, encoding="utf-8")
        Path("val.txt").write_text(val, encoding="utf-8")
        named = {"train": "train.txt", "val": "val.txt", "classes": "classes.names", "images": "images"}
        config = Config(data=named, parse=options, precompute={"input_size": input_size})  # type: ignore[arg-type]
        return parse.run(config, workers=workers)

    return run


def rows(split: str = "train") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(paths.PARSED / f"{split}.parquet").to_pylist()
    return found


def problems(file: Path = paths.PARSED / "problems.csv") -> list[tuple[str, ...]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return [(r["line"], r["column"], r["rule"], r["action"]) for r in csv.DictReader(stream)]


def test_boxes_to_be_ignored_follow_the_others(project: Run) -> None:
    """Any class and tiny ones are allowed, class -1 is not without the mark; they count as no object."""
    result = project("images/a.jpg 5,5,5.1,5.1,-1,1 1,2,30,20,0 1,2,30,20,1,1\nimages/b.jpg 1,1,9,9,-1,1\n")
    first, second = rows()
    assert first["classes"] == [0, -1, 1]
    assert first["ignore"] == [False, True, True]
    assert first["origin"] == [[1, 31], [1, 14], [1, 43]]
    assert second["classes"] == [-1]
    train = result.report["splits"]["train"]
    assert (train["boxes"], train["ignored"], train["backgrounds"], train["boxes_read"]) == (1, 3, 1, 4)
    assert train["boxes_per_class"] == {"cat": 1, "dog": 0}
    assert "dropped" not in result.rows
    with pytest.raises(ProblemsError):
        project("images/a.jpg 1,2,30,20,-1 1,2,30,20,2,1 1,2,30,20,-2,1 1,2,1,20,-1,1 9,9,80,20,-1,1\n")
    assert problems(parse.FAILED_PROBLEMS) == [
        ("1", "14", "class-range", "failed"),
        ("1", "27", "class-range", "failed"),
        ("1", "41", "class-range", "failed"),
        ("1", "56", "no-area", "failed"),
        ("1", "70", "outside-image", "failed"),
    ]


BAD = """\
images/a.jpg 1,1,20,20,0 5,5,5,9,1 50,30,70,45,1 1,1,20,20,0 1,2,3 30,30,40,35,9
images/b.jpg 2,2,10,10,1
images/c.jpg 100,100,110,110,0
"""
BAD_PROBLEMS = [
    ("1", "26", "no-area"),
    ("1", "36", "outside-image"),
    ("1", "50", "duplicate-box"),
    ("1", "62", "bad-box-text"),
    ("1", "68", "class-range"),
    ("3", "14", "outside-image"),
]


def test_good_text_becomes_tables(project: Run) -> None:
    train = "# cats\nimages/a.jpg 1,2,30.5,20,0 3,4,10,12,1\n\nimages/b.jpg\n"
    result = project(train)
    first, second = rows()
    assert first == {
        "image": "images/a.jpg",
        "line": 2,
        "width": WIDTH,
        "height": HEIGHT,
        "orientation": 1,
        "boxes_xyxy": [[1.0, 2.0, 30.5, 20.0], [3.0, 4.0, 10.0, 12.0]],
        "classes": [0, 1],
        "ignore": [False, False],
        "origin": [[2, 14], [2, 28]],
    }
    assert (second["image"], second["line"], second["boxes_xyxy"], second["classes"]) == ("images/b.jpg", 4, [], [])
    schema = pq.read_schema(paths.PARSED / "train.parquet")
    assert json.loads(schema.metadata[b"yolopipe"]) == {"schema": 2, "classes": ["cat", "dog"]}
    names = {n: str(schema.field(n).type) for n in schema.names}
    assert names == {
        "image": "string",
        "line": "int32",
        "width": "int32",
        "height": "int32",
        "orientation": "int32",
        "boxes_xyxy": "list<element: fixed_size_list<element: float>[4]>",
        "classes": "list<element: int32>",
        "ignore": "list<element: bool>",
        "origin": "list<element: fixed_size_list<element: int32>[2]>",
    }
    assert (paths.PARSED / "problems.csv").read_text() == "file,line,column,rule,message,image,action\n"
    assert json.loads((paths.PARSED / "counts.json").read_text()) == result.report
    assert result.report["splits"]["train"]["boxes_per_class"] == {"cat": 1, "dog": 1}
    assert result.report["splits"]["train"]["backgrounds"] == 1
    assert result.title == "parse: 3 images, 3 boxes, 2 classes"


def test_exif_turns_width_and_height(project: Run) -> None:
    save("images/t.jpg", orientation=6)
    result = project("images/t.jpg 5,5,35,58,0\n")
    assert (rows()[0]["width"], rows()[0]["height"], rows()[0]["orientation"]) == (HEIGHT, WIDTH, 6)
    assert result.report["splits"]["train"]["orientations_fixed"] == 1
    with pytest.raises(ProblemsError, match="outside-image 1"):
        project("images/t.jpg 5,5,58,35,0\n")


def test_fail_lists_everything_and_writes_nothing_else(project: Run) -> None:
    with pytest.raises(ProblemsError) as caught:
        project(BAD, val="images/nowhere.jpg 1,1,9,9,5\n")
    found = [(str(p.line), str(p.column), p.rule) for p in caught.value.problems]
    assert found == [*BAD_PROBLEMS, ("1", "1", "missing-image"), ("1", "20", "class-range")]
    assert [p.file for p in caught.value.problems] == ["train.txt"] * 6 + ["val.txt"] * 2
    assert str(caught.value.problems[0]) == "train.txt:1:26: no-area: box 5,5,5,9 has no area: width 0"
    assert caught.value.exit_code == 4
    assert "no-area 1, outside-image 2" in caught.value.message
    assert "drop-image" in str(caught.value.hint)
    assert not paths.PARSED.exists()
    assert [p[:3] for p in problems(parse.FAILED_PROBLEMS)] == found
    project("images/a.jpg\n")
    assert not parse.FAILED_PROBLEMS.exists()


def test_a_list_longer_than_a_screen_is_complete_in_the_file(
    project: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Notes before the first problem are not in the list."""
    monkeypatch.setattr(parse, "CHUNK_LINES", 1)
    save("other/x.jpg")
    boxes = [f"{n},5,{n},9,1" for n in range(60)]
    train = f"other/x.jpg\nimages/a.jpg {' '.join(boxes)}\nimages/b.jpg {' '.join(boxes)}\nother/x.jpg\n"
    assert guarded(lambda: project(train)) == 4
    shown = capsys.readouterr().err
    assert shown.count(": no-area: ") == 100
    assert " 21 " in shown
    assert "(duplicate-image 1, no-area 120)" in " ".join(shown.split())
    listed = problems(parse.FAILED_PROBLEMS)
    assert listed[60] == ("3", "14", "no-area", "failed")
    assert [line for line, *_ in listed] == ["2"] * 60 + ["3"] * 60 + ["4"]
    assert not paths.PARSED.exists()


def test_the_file_in_another_format_is_named(project: Run) -> None:
    with pytest.raises(ProblemsError) as caught:
        project("images/a.jpg 1,1,20,20,0\n", val="images/d.jpg 0.1,0.1,0.2,0.3,0\n")
    assert "\nval.txt: " in caught.value.message
    assert "train.txt: " not in caught.value.message
    result = project("images/a.jpg 1,1,20,20,0\n", val="images/d.jpg 0.1,0.1,0.2,0.3,0\n", on_bad="drop-box")
    warning = str(result.rows["warning"])
    assert ("dog; val.txt: " in warning, "cat" in warning) == (True, False)


def test_drop_box_keeps_the_rest(project: Run) -> None:
    result = project(BAD, on_bad="drop-box")
    assert [(r["image"], r["boxes_xyxy"]) for r in rows()] == [
        ("images/a.jpg", [[1, 1, 20, 20]]),
        ("images/b.jpg", [[2, 2, 10, 10]]),
        ("images/c.jpg", []),
    ]
    assert problems() == [(*p, "dropped-box") for p in BAD_PROBLEMS]
    counts = result.report["splits"]["train"]
    assert (counts["images"], counts["backgrounds"], counts["boxes"]) == (3, 1, 2)
    assert (counts["images_read"], counts["boxes_read"]) == (3, 8)
    assert counts["problems"]["outside-image"] == {"dropped-box": 2}
    assert "2 " in str(result.rows["dropped-box outside-image"])
    assert "6 boxes" in str(result.rows["dropped"])


def test_clip_keeps_boxes_that_are_partly_outside(project: Run) -> None:
    project(BAD, on_bad="clip")
    assert rows()[0]["boxes_xyxy"] == [[1, 1, 20, 20], [50, 30, 60, 40]]
    assert rows()[0]["classes"] == [0, 1]
    assert rows()[2]["boxes_xyxy"] == []
    expected = [(*p, "clipped" if p[1] == "36" else "dropped-box") for p in BAD_PROBLEMS]
    assert problems() == expected


def test_clipped_boxes_are_checked_again(project: Run) -> None:
    text = "images/a.jpg 50,30,60,40,0 50,30,70,50,0 59.9,0,90,20,1\n"
    project(text, on_bad="clip")
    assert rows()[0]["boxes_xyxy"] == [[50, 30, 60, 40]]
    assert problems() == [
        ("1", "28", "duplicate-box", "dropped-box"),
        ("1", "28", "outside-image", "clipped"),
        ("1", "42", "outside-image", "clipped"),
        ("1", "42", "tiny", "dropped-box"),
    ]


def test_drop_image_drops_every_image_with_a_problem(project: Run) -> None:
    Path("images/cut.jpg").write_bytes(Path("images/a.jpg").read_bytes()[:-9])
    Path("images/text.jpg").write_text("hello")
    more = "images/cut.jpg\nimages/text.jpg 1,1,9,9,0\nimages/no.jpg\n./images/b.jpg\n1,2,3,4,0\n"
    result = project(BAD + more, on_bad="drop-image")
    assert [r["image"] for r in rows()] == ["images/b.jpg"]
    rules = [(line, rule) for line, _, rule, action in problems() if action == "dropped-image"]
    assert rules[6:] == [
        ("4", "truncated-image"),
        ("5", "not-an-image"),
        ("6", "missing-image"),
        ("7", "duplicate-image"),
        ("8", "no-image-path"),
    ]
    counts = result.report["splits"]["train"]
    assert (counts["images_read"], counts["images"], counts["boxes_read"], counts["boxes"]) == (8, 1, 9, 1)


@pytest.mark.parametrize("policy", ["fail", "clip", "drop-box"])
def test_only_drop_image_handles_bad_images(policy: str, project: Run) -> None:
    with pytest.raises(ProblemsError) as caught:
        project("images/a.jpg 5,5,5,5,0\nimages/no.jpg 1,1,9,9,0\nimages/a.jpg\n", on_bad=policy)
    rules = [p.rule for p in caught.value.problems if p.rule != "no-area"]
    assert rules == ["missing-image", "duplicate-image"]
    assert "drop-image" in str(caught.value.hint)


def test_the_same_image_in_train_and_val(project: Run, tmp_path: Path) -> None:
    leak = f"{tmp_path}/images/a.jpg 1,1,9,9,0\nimages/d.jpg\n"
    with pytest.raises(ProblemsError) as caught:
        project("images/b.jpg\nimages/a.jpg 1,1,9,9,0\n", val=leak)
    assert [(p.file, p.line, p.rule) for p in caught.value.problems] == [("val.txt", 1, "train-val-leak")]
    assert "train.txt:2" in caught.value.problems[0].message
    project("images/b.jpg\nimages/a.jpg 1,1,9,9,0\n", val=leak, on_bad="drop-image")
    assert [r["image"] for r in rows("val")] == ["images/d.jpg"]


def test_images_elsewhere_are_noted_only(project: Run) -> None:
    save("other/x.jpg")
    save("images2/y.jpg")
    project("other/x.jpg 1,1,9,9,0\nimages2/y.jpg\nimages/a.jpg\n")
    assert problems() == [("1", "1", "outside-images-folder", "noted"), ("2", "1", "outside-images-folder", "noted")]
    assert len(rows()) == 3


def test_tiny_is_measured_at_input_size(project: Run) -> None:
    save("images/wide.jpg", size=(960, 100))  # letterboxed to 96: a tenth
    with pytest.raises(ProblemsError, match="tiny 1"):
        project("images/wide.jpg 0,0,9,50,0 0,0,10,50,0\n")
    project("images/wide.jpg 0,0,9,50,0\n", min_box_px=0.5)
    assert len(rows()[0]["classes"]) == 1


def test_tiny_is_measured_at_the_smallest_of_several_sizes(project: Run) -> None:
    save("images/wide.jpg", size=(960, 100))  # 20 px wide: 2 px at 96, 0.67 px at 32
    project("images/wide.jpg 0,0,20,50,0\n", input_size=96)
    with pytest.raises(ProblemsError, match="tiny 1") as caught:
        project("images/wide.jpg 0,0,20,50,0\n", input_size=[96, 32])
    assert "at input size 32" in caught.value.problems[0].message


def test_rounding_errors_past_the_edge_are_moved_to_the_edge(project: Run) -> None:
    project("images/a.jpg -0.0000001,0,60.00003,40.0001,0\n")
    assert rows()[0]["boxes_xyxy"] == [[0, 0, 60, 40]]
    assert problems() == []


def test_paths_with_spaces_commas_and_other_letters(project: Run) -> None:
    names = ["images/two words.jpg", "images/a, b 1,2.jpg", "images/größe.jpg"]
    for name in names:
        save(name)
    project("".join(f"{name} 1,1,9,9,0\n" for name in names))
    assert [r["image"] for r in rows()] == names


def test_class_without_boxes_is_a_warning(project: Run) -> None:
    assert "dog" in str(project("images/a.jpg 1,1,9,9,0\n").rows["warning"])
    assert "warning" not in project("images/a.jpg 1,1,9,9,0 2,2,9,9,1\n").rows


@pytest.mark.parametrize("missing", ["train.txt", "val.txt", "classes.names", "images"])
def test_missing_input_names_the_key(missing: str, project: Run, tmp_path: Path) -> None:
    key = missing.split(".")[0]
    named = {"train": "train.txt", "val": "val.txt", "classes": "classes.names", "images": "images"}
    for name in ("train.txt", "val.txt"):
        Path(name).write_text("images/a.jpg\n")
    with pytest.raises(DataError) as caught:
        parse.run(Config(data={**named, key: "gone"}))  # type: ignore[arg-type]
    assert f"data.{key}: gone" in str(caught.value)
    assert "yolopipe sample" in str(caught.value.hint)


@pytest.mark.parametrize("text", ["", "\n# nothing\n"])
def test_a_text_without_images_is_an_error(text: str, project: Run) -> None:
    with pytest.raises(DataError, match=r"train\.txt"):
        project(text)
    with pytest.raises(DataError, match=r"val\.txt"):
        project("images/a.jpg\n", val=text)


def test_nothing_left_is_an_error(project: Run) -> None:
    with pytest.raises(DataError, match=r"train\.txt"):
        project("images/no.jpg\n", on_bad="drop-image")


@pytest.mark.slow
def test_no_output_depends_on_workers_and_inputs_stay(project: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def digests() -> dict[str, str]:
        files = sorted(p for p in Path().rglob("*") if p.is_file())
        return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}

    monkeypatch.setattr(parse, "CHUNK_LINES", 1)
    project(BAD, on_bad="clip")
    one = digests()
    monkeypatch.setattr(parse, "FEW_IMAGES", 0)
    project(BAD, on_bad="clip", workers=2)
    assert digests() == one
    assert sorted(name for name in one if name.startswith("data")) == [
        "data/parsed/counts.json",
        "data/parsed/problems.csv",
        "data/parsed/train.parquet",
        "data/parsed/val.parquet",
    ]


def test_boxes_survive_the_table_exactly(project: Run) -> None:
    rng = np.random.default_rng(1)
    low = rng.uniform(0, 15, (40, 2))
    boxes = np.hstack([low, low + rng.uniform(5, 20, (40, 2))])
    text = " ".join(f"{','.join(map(repr, box))},{n % 2}" for n, box in enumerate(boxes.tolist()))
    project(f"images/a.jpg {text}\n")
    np.testing.assert_array_equal(np.float32(rows()[0]["boxes_xyxy"]), boxes.astype(np.float32))
    assert rows()[0]["classes"] == [n % 2 for n in range(40)]


def test_a_text_read_in_parts_gives_the_same_rows_and_problems(project: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    save("images/e.jpg")
    save("images/f.jpg")
    train = BAD + "images/e.jpg 1,1,9,9,0\n./images/b.jpg 1,1,9,9,0\n\nimages/no.jpg\n"
    val = "images/a.jpg\nimages/d.jpg 2,2,8,8,1\n# end\nimages/f.jpg\nimages/e.jpg\nimages/f.jpg\n"
    found = []
    for lines in (2048, 3, 2, 1):
        monkeypatch.setattr(parse, "CHUNK_LINES", lines)
        report = project(train, val, on_bad="drop-image").report
        found.append((report, rows(), rows("val"), problems()))
        assert pq.ParquetFile(paths.PARSED / "val.parquet").num_row_groups <= -(-6 // lines)
    assert [row["image"] for row in found[0][1]] == ["images/b.jpg", "images/e.jpg"]
    assert [row["image"] for row in found[0][2]] == ["images/d.jpg", "images/f.jpg"]
    assert found[1:] == found[:1] * 3


@pytest.mark.parametrize("mark", [",", ";", ":"])
def test_a_box_joined_to_the_path_is_named_as_the_cause(project: Run, mark: str) -> None:
    with pytest.raises(ProblemsError) as caught:
        project(f"images/a.jpg{mark}1,2,30,39,0\nimages/e,1.jpg\n")
    joined, missing = caught.value.problems
    assert {(p.line, p.rule) for p in (joined, missing)} == {(1, "missing-image"), (2, "missing-image")}
    assert f"'images/a.jpg' after '{mark}'" in joined.message
    assert mark not in missing.message.partition("e,1.jpg")[2]
