"""``data.corrections`` in a project: applied, counted and placed; every mistake named; sources and bytes stay."""

from __future__ import annotations

import csv
import json
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

from yolopipe import paths
from yolopipe.cli import app, guarded
from yolopipe.stages import parse

Place = tuple[str, int, int, str, str]
TRAIN = "images/a 1.jpg 1,2,30,20,0 3,4,10,12,1 3,4,10,12,1,1\nimages/b.jpg\nimages/c.jpg 5,5,20,20,0 1,1,9,9,7\n"
VAL = "# one\nimages/d.jpg 1,1,9,9,0\n"
GOOD = """\
# image         was                 now

images/a 1.jpg  1,2,30,20,0         1,2,30.5,20,0      # moved
images/a 1.jpg  3,4,10,12,1         3,4,10,12,-1,1     # ignored, any class
images/a 1.jpg  3,4,10,12,1,1       -
images/b.jpg    -                   2,2,9,9,1
images/b.jpg    -                   = 20,20,40,40,-1
./images/b.jpg  -                   1,1,8,8,0,1
images/c.jpg    5,5,20,20,0         =                  # right
images/c.jpg    1,1,9,9,7           1,1,9,9,0          # had a class without a name
images/d.jpg    1,1,9,9,0           2,1,9,9,1
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Four images and two classes; call with the corrections, get the exit code of ``yolopipe parse``."""
    monkeypatch.chdir(tmp_path)
    Path("images").mkdir()
    for name in ("a 1", "b", "c", "d"):
        Image.new("RGB", (60, 40)).save(f"images/{name}.jpg")
    Path("classes.names").write_text("cat\ndog\n")
    Path("train.txt").write_text(TRAIN)
    Path("val.txt").write_text(VAL)

    def run(corrections: str | bytes | None, *options: str, on_bad: str = "fail", name: str = "c.txt") -> int:
        if corrections is not None:
            Path(name).write_bytes(corrections.encode() if isinstance(corrections, str) else corrections)
        named = {"train": "train.txt", "val": "val.txt", "classes": "classes.names", "images": "images"}
        params = {
            "data": {**named, "corrections": name},
            "parse": {"on_bad": on_bad},
            "precompute": {"input_size": 96},
        }
        Path("params.yaml").write_text(json.dumps(params))
        return guarded(lambda: app(["parse", "--workers", "1", *options], standalone_mode=False)) or 0

    return run


def rows(split: str = "train") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(paths.PARSED / f"{split}.parquet").to_pylist()
    return found


def problems(file: Path = paths.PARSED / "problems.csv") -> list[Place]:
    with file.open(encoding="utf-8", newline="") as stream:
        return [(r["file"], int(r["line"]), int(r["column"]), r["rule"], r["action"]) for r in csv.DictReader(stream)]


def failed() -> list[Place]:
    assert not paths.PARSED.exists()
    return problems(parse.FAILED_PROBLEMS)


def contents(*names: str) -> dict[str, bytes]:
    files = [*names, *(str(path) for path in paths.PARSED.glob("*"))]
    return {name: Path(name).read_bytes() for name in files}


def test_boxes_are_corrected_counted_and_placed(
    project: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents("train.txt", "val.txt")
    assert project(GOOD) == 0
    [line] = [line for line in capsys.readouterr().out.splitlines() if "data.corrections" in line]
    assert re.findall(r"\d+", line) == ["7", "1", "2", "1", "2", "1", "1", "1"]
    first, second, third = rows()
    assert first["boxes_xyxy"] == [[1, 2, 30.5, 20], [3, 4, 10, 12]]
    assert (first["classes"], first["ignore"]) == ([0, -1], [False, True])
    assert first["origin"] == [[1, 16], [1, 28]]
    assert (second["classes"], second["ignore"], second["origin"]) == ([1, 0], [False, True], [[-6, 37], [-8, 37]])
    assert (third["classes"], third["origin"]) == ([0, 0], [[3, 14], [3, 26]])
    assert rows("val")[0]["boxes_xyxy"] == [[2, 1, 9, 9]]
    counts = json.loads((paths.PARSED / "counts.json").read_text())["corrections"]
    assert counts == {
        **{"moved": 1, "re_classed": 2, "moved_and_re_classed": 1, "added": 2, "removed": 1},
        **{"confirmed": 1, "nothing_missing": 1, "problems": {}},
    }
    assert contents("train.txt", "val.txt").items() >= before.items(), "the sources stay as they are"


@pytest.mark.slow
def test_results_depend_on_neither_workers_nor_the_order_of_lines(
    project: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert project(GOOD) == 0
    once = contents()
    assert project(GOOD) == 0
    assert contents() == once
    monkeypatch.setattr(parse, "FEW_IMAGES", 0)
    monkeypatch.setattr(parse, "CHUNK_LINES", 1)
    assert project(GOOD, "--workers", "1") == 0
    chunks = contents()
    assert project(GOOD, "--workers", "2") == 0
    assert contents() == chunks
    lines = [line for line in GOOD.splitlines() if "images/b" not in line]
    for seed in range(4):
        random.Random(seed).shuffle(lines)
        assert project("\n".join([*lines, ""])) == 0
        shuffled = rows(), rows("val")
        assert project("\n".join([*sorted(lines), ""])) == 0
        assert (rows(), rows("val")) == shuffled


@pytest.mark.parametrize("content", [b"", b"# nothing yet\n", b"\xef\xbb\xbf\r\n\r\n"])
def test_a_file_without_corrections_changes_no_byte_of_the_tables(
    project: Callable[..., int], content: bytes
) -> None:
    Path("train.txt").write_text(TRAIN.replace(" 1,1,9,9,7", ""))
    assert project(None, name="") == 0
    without = {name: data for name, data in contents().items() if "counts" not in name}
    assert "corrections" not in json.loads((paths.PARSED / "counts.json").read_text())
    assert project(content) == 0
    assert {name: data for name, data in contents().items() if "counts" not in name} == without


def test_windows_line_ends_and_a_byte_order_mark(project: Callable[..., int]) -> None:
    assert project(GOOD) == 0
    tables = rows(), rows("val")
    assert project(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode()) == 0
    assert (rows(), rows("val")) == tables


BAD = """\
images/a 1.jpg 1,2,30,20,0 1,2,30,20,1
images/a 1.jpg 1,2,30,20,0 -
images/a 1.jpg 3,4,10,13,1 -
images/a 1.jpg 3,4,10,12,1 3,4,10,12,5
images/c.jpg 5,5,20,20,0 5,5,20
images/c.jpg 1,1,9,9,7 1,1,9,9,0
images/d.jpg 1,1,9,9,0 =
images/d.jpg 1,1,9,9,0 = # again
other/x.jpg - 1,2,3,4,0
images/d.jpg - 5,5,90,20,0
images/b.jpg - 5,5,20,2"""
BAD_PLACES = [
    (1, 16, "conflicting-correction"),
    (2, 16, "conflicting-correction"),
    (3, 16, "stale-correction"),
    (4, 28, "class-range"),
    (5, 26, "bad-correction"),
    (9, 1, "unknown-image"),
    (11, 24, "half-written"),
]
OUTSIDE = ("c.txt", 10, 16, "outside-image")


def test_every_mistake_is_named_at_once(project: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert project(BAD) == 4
    assert failed() == [(*OUTSIDE, "failed"), *(("c.txt", *place, "failed") for place in BAD_PLACES)]
    shown = capsys.readouterr().err
    assert all(f"c.txt:{line}:{column}: {rule}: " in shown for line, column, rule in BAD_PLACES)
    assert "Traceback" not in shown
    notes = project("images/d.jpg 1,1,9,9,0 =\nimages/d.jpg 1,1,9,9,0 =\nimages/c.jpg 1,1,9,9,7 -\n")
    assert notes == 0
    assert problems() == [("c.txt", 2, 14, "repeated-correction", "noted")]


@pytest.mark.parametrize("policy", ["clip", "drop-box", "drop-image"])
def test_other_policies_leave_bad_corrections_out(project: Callable[..., int], policy: str) -> None:
    Path("val.txt").write_text(VAL.replace("9,9,0", "9,9,0\nimages/e.jpg 1,1,9,9,0"))
    shutil.copy("images/d.jpg", "images/e.jpg")
    assert project(BAD, on_bad=policy) == 0
    action = {"clip": "clipped", "drop-box": "dropped-box", "drop-image": "dropped-image"}[policy]
    places = [(*place, "dropped-correction") for place in BAD_PLACES]
    assert problems() == [
        (*OUTSIDE, action),
        *(("c.txt", *place) for place in sorted([*places, (8, 14, "repeated-correction", "noted")])),
    ]
    counts = json.loads((paths.PARSED / "counts.json").read_text())["corrections"]
    assert (counts["re_classed"], counts["confirmed"], counts["added"]) == (1, 1, 1)
    assert counts["problems"]["conflicting-correction"] == {"dropped-correction": 2}
    assert rows()[0]["boxes_xyxy"][0] == [1, 2, 30, 20], "the box stays as the text has it"


def test_corrections_of_another_data_set(project: Callable[..., int]) -> None:
    assert project("".join(f"img/{n}.jpg 1,2,3,4,0 -\n" for n in range(150))) == 4
    listed = failed()
    assert {place[3] for place in listed} == {"unknown-image", "class-range"}
    assert [place[1] for place in listed if place[3] == "unknown-image"] == list(range(1, 151))


def test_a_correction_is_stale_only_if_no_listing_of_its_image_has_the_box(project: Callable[..., int]) -> None:
    """An image that is listed twice is one mistake, not two."""
    Path("train.txt").write_text("images/b.jpg 1,1,9,9,0\n./images/b.jpg 2,2,9,9,1\nimages/c.jpg 1,2,30,20,1\n")
    assert project("images/b.jpg 1,1,9,9,0 1,1,9,8,0\n", on_bad="drop-image") == 0
    assert [(line, rule) for _, line, _, rule, _ in problems()] == [(2, "duplicate-image")]
    assert rows()[0]["boxes_xyxy"] == [[1, 1, 9, 8]]


def test_a_duplicate_that_a_correction_made_names_both_places(
    project: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    fix = "images/c.jpg 1,1,9,9,7 -\n"
    assert project(f"{fix}images/c.jpg 5,5,20,20,0 6,5,20,20,0\nimages/c.jpg - 6,5,20,20,0\n") == 4
    assert failed() == [("c.txt", 3, 16, "duplicate-box", "failed")]
    assert "c.txt:2:26" in capsys.readouterr().err


def test_lines_that_are_not_utf8_and_files_that_are_not_there(project: Callable[..., int]) -> None:
    assert project(b"images/c.jpg 1,1,9,9,7 -\nimages/\xff.jpg 1,2,3,4,0 -\n") == 4
    assert failed() == [("c.txt", 2, 0, "not-utf8", "failed")]
    assert project(GOOD.encode("utf-16")) == 4
    Path("c.txt").unlink()
    assert project(None) == 4
    Path("c.txt").mkdir()
    assert project(None) == 4


def test_a_merge_that_git_could_not_finish(project: Callable[..., int]) -> None:
    a, b = "images/c.jpg 1,1,9,9,7 1,1,9,9,0", "images/c.jpg 1,1,9,9,7 -"
    assert project(f"<<<<<<< HEAD\n{a}\n=======\n{b}\n>>>>>>> other\n") == 4
    rules = [(line, rule) for _, line, _, rule, _ in failed()]
    assert rules[-5:] == [
        (1, "bad-correction"),
        (2, "conflicting-correction"),
        (3, "bad-correction"),
        (4, "conflicting-correction"),
        (5, "bad-correction"),
    ]


def test_a_file_changed_during_the_run_is_refused(
    project: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parse, "sha256_file", lambda path: "0" * 64)
    assert project(GOOD) == 4
    assert not paths.PARSED.exists()
