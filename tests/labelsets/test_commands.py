"""``yolopipe labels`` from files to files: split, select, merge, diff."""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from yolopipe.cli import app, guarded
from yolopipe.formats.annotation_text import read_annotations
from yolopipe.formats.class_names import read_class_names
from yolopipe.labelsets.label_set import read_label_set


def yolopipe(*arguments: object) -> int:
    return guarded(lambda: app([str(argument) for argument in arguments], standalone_mode=False)) or 0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two texts in which every image has one box of ``cat`` and every third one of ``dog``, too; no pictures."""
    monkeypatch.chdir(tmp_path)
    for name, count in (("a", 24), ("b b", 6)):
        lines = []
        for number in range(count):
            dog = " 5,5,20.5,20,1" if number % 3 == 0 else ""
            lines.append(f"shots é/{name}_{number // 4}_frame{number % 4}.jpg 1,2,30,40,0{dog}\n")
        (tmp_path / f"{name}.txt").write_text("".join(lines))
    (tmp_path / "classes.names").write_text("cat\ndog\n")
    return tmp_path


def images(file: Path) -> list[str]:
    return read_annotations(file).image_paths


def test_split_takes_each_image_once_and_cuts_no_group(folder: Path) -> None:
    rule = r"(.*)_frame\d+"
    arguments = ("labels", "split", "a.txt", "b b.txt", "--group", rule, "--no-near-duplicates")
    assert (
        yolopipe(*arguments, "--share", "train=.5", "--share", "val=25%", "--share", "test=0.25", "--out", "o") == 0
    )
    parts = {name: images(folder / "o" / f"{name}.txt") for name in ("train", "val", "test")}
    whole = images(folder / "a.txt") + images(folder / "b b.txt")
    assert sorted(path for part in parts.values() for path in part) == sorted(whole)
    groups = [{path.rpartition("_frame")[0] for path in part} for part in parts.values()]
    assert sum(map(len, groups)) == len(set.union(*groups))
    for part, share in zip(parts.values(), (0.5, 0.25, 0.25), strict=True):
        assert abs(len(part) / 30 - share) < 0.1
    table = list(csv.DictReader((folder / "o/split.csv").read_text().splitlines()))
    assert {row["image"]: row["split"] for row in table} == {
        path: name for name, part in parts.items() for path in part
    }
    assert read_class_names(folder / "o/classes.names") == ("cat", "dog")


def test_split_depends_on_the_seed_and_on_no_order(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("labels", "split", "--no-near-duplicates", "--json", "--classes", "classes.names")
    reports = []
    (folder / "reversed.txt").write_text("".join(reversed((folder / "a.txt").read_text().splitlines(keepends=True))))
    for seed, text in ((0, "a.txt"), (0, "reversed.txt"), (1, "a.txt")):
        assert yolopipe(*arguments, text, "--seed", seed, "--out", f"o{len(reports)}") == 0
        reports.append(json.loads(capsys.readouterr().out))
    chosen = [sorted(images(folder / f"o{number}/val.txt")) for number in range(3)]
    assert chosen[0] == chosen[1]
    assert chosen[0] != chosen[2]
    assert reports[0]["splits"]["val"]["boxes_per_class"] == reports[1]["splits"]["val"]["boxes_per_class"]


def test_folds_are_val_once_each(folder: Path) -> None:
    assert yolopipe("labels", "split", "a.txt", "--folds", 3, "--no-near-duplicates", "--out", "o") == 0
    vals = [images(folder / f"o/fold-{number}/val.txt") for number in (1, 2, 3)]
    whole = sorted(images(folder / "a.txt"))
    assert sorted(path for val in vals for path in val) == whole
    for number, val in enumerate(vals, start=1):
        assert sorted(val + images(folder / f"o/fold-{number}/train.txt")) == whole
        assert len(val) == 8


def test_near_duplicates_stay_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames of drawn films, of which a split by image would part most; compared here by their difference."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(6)
    lines = []
    for film in range(12):
        scene = cv2.resize(rng.integers(0, 256, (9, 9, 3)).astype(np.uint8), (96, 96), interpolation=cv2.INTER_CUBIC)
        for frame in range(5):
            noisy = np.clip(scene + rng.normal(0, 1.5, scene.shape), 0, 255).astype(np.uint8)
            cv2.imwrite(f"{frame}{film:02}.png", noisy)
            lines.append(f"{frame}{film:02}.png 10,10,40,40,0\n")
    (tmp_path / "whole.txt").write_text("".join(sorted(lines)))
    (tmp_path / "classes.names").write_text("thing\n")
    assert yolopipe("labels", "split", "whole.txt", "--no-near-duplicates", "--out", "parted") == 0
    assert yolopipe("labels", "split", "whole.txt", "--out", "o", "--workers", 1) == 0

    def shared_films(out: str) -> int:
        films = [{path[1:3] for path in images(tmp_path / out / f"{name}.txt")} for name in ("train", "val")]
        return len(films[0] & films[1])

    assert shared_films("parted") > 3
    assert shared_films("o") == 0
    assert 5 <= len(images(tmp_path / "o/val.txt")) <= 20


def test_select_renames_keeps_and_drops(folder: Path) -> None:
    arguments = ("labels", "select", "a.txt", "b b.txt", "--keep", "hound", "--rename", "dog=hound")
    assert yolopipe(*arguments, "--backgrounds", "drop", "--out", "o") == 0
    label_set, left_out = read_label_set(["o/a.txt", "o/b b.txt"])
    assert (label_set.names, left_out) == (("hound",), [])
    assert len(label_set.image_paths) == len(label_set.classes) == 10
    assert label_set.boxes_xyxy[0].tolist() == [5, 5, 20.5, 20]
    assert read_annotations("a.txt").boxes_xyxy.shape == (32, 4), "the source is as it was"


def test_select_by_pattern_and_map_file(folder: Path) -> None:
    (folder / "map.txt").write_text("# one animal\ncat = animal\ndog=animal\n")
    assert yolopipe("labels", "select", "a.txt", "--map", "map.txt", "--images", "*_0_frame*", "--out", "o") == 0
    label_set, _ = read_label_set(["o/a.txt"])
    assert (label_set.names, len(label_set.image_paths), len(label_set.classes)) == (("animal",), 4, 6)


def test_merge_matches_classes_by_name(folder: Path) -> None:
    (folder / "other").mkdir()
    (folder / "other/c.txt").write_text("c.jpg 1,1,9,9,0\n")
    (folder / "other/classes.names").write_text("dog\n")
    assert yolopipe("labels", "merge", "a.txt", "other/c.txt", "--out", "o/all.txt") == 0
    label_set, _ = read_label_set(["o/all.txt"])
    assert label_set.names == ("cat", "dog")
    assert (label_set.image_paths[-1], int(label_set.classes[-1])) == ("c.jpg", 1)


def test_an_image_with_other_boxes_stops_a_merge(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "x.txt").write_text("shots é/a_0_frame1.jpg 1,2,30,41,0\n")
    assert yolopipe("labels", "merge", "a.txt", "x.txt", "--out", "o.txt") == 4
    assert "x.txt:1:1: merge-conflict" in capsys.readouterr().err
    assert not (folder / "o.txt").exists()
    assert yolopipe("labels", "merge", "a.txt", "x.txt", "--on-bad", "skip", "--out", "o/o.txt") == 0
    assert (folder / "o/o.txt").read_bytes() == (folder / "a.txt").read_bytes()


def test_diff_of_a_git_revision(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["init", "-q"], ["add", "."], ["-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "m"]):
        subprocess.run(["git", *command], check=True)
    lines = (folder / "a.txt").read_text().splitlines()
    lines[0] = lines[0].replace("30,40,0", "30,44,0").replace("20,1", "20,0")
    lines[1] += " 50,50,60,60,1"
    lines[2] = lines[2].split(" 1,2")[0]
    (folder / "a.txt").write_text("\n".join(lines[:-1]) + "\n")
    assert yolopipe("labels", "diff", "HEAD:a.txt", "a.txt", "--markdown", "d.md", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    kinds = [(change["kind"], change["place"]) for change in report["changes"]]
    assert kinds == [
        ("moved", "a.txt:1"),
        ("re-classed", "a.txt:1"),
        ("added", "a.txt:2"),
        ("removed", "a.txt:3"),
        ("removed", "HEAD:a.txt:24"),
    ]
    assert (report["equal"], report["images_removed"]) == (28, 1)
    table = (folder / "d.md").read_text()
    assert table.count("\n| `shots é/") == 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (("split", "a.txt", "--share", "train=1"), 2, "train=1"),
        (("split", "a.txt", "--share", "train"), 2, "--share train"),
        (("split", "a.txt", "--group", "(("), 2, "(("),
        (("split", "a.txt", "--folds", "40", "--no-near-duplicates"), 4, "24 groups"),
        (("split", "a.txt", "a.txt"), 4, "a.txt:1:1: duplicate-image"),
        (("split", "no.txt"), 4, "no.txt"),
        (("split", "bad.txt"), 4, "bad.txt:1:7: bad-box-text"),
        (("select", "a.txt", "--keep", "cow"), 2, "cow"),
        (("select", "a.txt", "--fraction", "0"), 2, "--fraction"),
        (("select", "a.txt", "--images", "none*"), 4, "a.txt"),
        (("select", "range.txt"), 4, "range.txt:1:7: class-range"),
        (("select", "a.txt", "--map", "wrong.txt"), 4, "wrong.txt:1"),
    ],
)
def test_what_cannot_be_done_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, named: str
) -> None:
    (folder / "bad.txt").write_text("x.jpg 1,2,3\n")
    (folder / "range.txt").write_text("x.jpg 1,2,3,4,9\n")
    (folder / "wrong.txt").write_text("cat>dog\n")
    assert yolopipe("labels", *arguments, "--out", "o") == code
    assert named in capsys.readouterr().err
    assert not (folder / "o").exists()


def test_skipping_counts_what_is_left_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bad.txt").write_text("x.jpg 1,2,3 5,5,9,9,1\ny.jpg 1,2,3,4,9\nx.jpg 1,1,4,4,0\n")
    assert yolopipe("labels", "select", "bad.txt", "--on-bad", "skip", "--out", "o", "--json") == 0
    assert json.loads(capsys.readouterr().out)["left_out"] == 3
    assert (folder / "o/bad.txt").read_text() == "x.jpg 5,5,9,9,1\ny.jpg\n"


def test_inputs_are_never_overwritten(folder: Path) -> None:
    before = {file: file.read_bytes() for file in folder.iterdir()}
    assert yolopipe("labels", "select", "a.txt", "--out", ".") == 2
    assert yolopipe("labels", "merge", "a.txt", "b b.txt", "--out", "b b.txt") == 2
    assert {file: file.read_bytes() for file in folder.iterdir()} == before


@pytest.fixture
def marked(folder: Path) -> Path:
    """An ignored cat, an ignored region of any class, a dog twice, an image with nothing but an ignored dog."""
    file = folder / "marked.txt"
    file.write_text("x.jpg 1,2,9,9,0,1 1,2,9,9,-1,1 3,3,8,8,1 3,3,8,8,1,1\ny.jpg 4,4,9,9,1,1\nz.jpg 1,1,5,5,0\n")
    return file


@pytest.mark.parametrize(
    ("options", "lines", "facts"),
    [
        ((), ["x 1,2,9,9,0,1 1,2,9,9,-1,1", "y", "z 1,1,5,5,0"], (1, 2, 0, 0)),
        (
            ("--others", "ignore"),
            ["x 1,2,9,9,0,1 1,2,9,9,-1,1 3,3,8,8,-1,1", "y 4,4,9,9,-1,1", "z 1,1,5,5,0"],
            (1, 2, 1, 0),
        ),
        (("--others", "ignore", "--backgrounds", "drop"), ["z 1,1,5,5,0"], (1, 2, 1, 0)),
        (("--ignored", "drop"), ["x", "y", "z 1,1,5,5,0"], (1, 2, 0, 2)),
    ],
)
def test_select_ignores(
    marked: Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    lines: list[str],
    facts: tuple[int, ...],
) -> None:
    assert yolopipe("labels", "select", marked, "--keep", "cat", *options, "--out", "o", "--json") == 0
    assert (marked.parent / "o/marked.txt").read_text().replace(".jpg", "").splitlines() == lines
    report = json.loads(capsys.readouterr().out)
    keys = ("boxes_of_other_classes", "ignored_of_other_classes", "ignored_equal", "ignored_dropped")
    assert tuple(report[key] for key in keys) == facts
    tokens = [token for line in lines for token in line.split()[1:]]
    ignored = sum(token.endswith(",1") and token.count(",") == 5 for token in tokens)
    assert report["files"]["marked.txt"] == {
        **{"images": len(lines), "ignored": ignored, "boxes": len(tokens) - ignored}
    }


def test_ignored_boxes_are_counted_beside_the_boxes(marked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--group", "(.)", "--no-near-duplicates", "--json", "--out")
    assert yolopipe("labels", "split", marked, *arguments, "o") == 0
    splits = json.loads(capsys.readouterr().out)["splits"].values()
    assert [sum(split[key] for split in splits) for key in ("images", "boxes", "ignored")] == [3, 2, 4]
    assert {name: sum(split["boxes_per_class"][name] for split in splits) for name in ("cat", "dog")} == {
        "cat": 1,
        "dog": 1,
    }
    written = [line for name in ("train", "val") for line in Path(f"o/{name}.txt").read_text().splitlines()]
    assert sorted(written) == marked.read_text().splitlines()
    assert yolopipe("labels", "merge", marked, "a.txt", "--out", "m/m.txt", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["boxes"], report["ignored"]) == (34, 4)
    assert Path("m/m.txt").read_text() == marked.read_text() + Path("a.txt").read_text()


def test_any_class_is_for_ignored_boxes_only(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bad.txt").write_text("x.jpg 1,2,9,9,-1,1 1,2,9,9,-1 1,2,9,9,-2,1 1,2,9,9,2,1\n")
    assert yolopipe("labels", "select", "bad.txt", "--out", "o") == 4
    shown = capsys.readouterr().err
    assert [f"bad.txt:1:{column}: class-range" in shown for column in (7, 20, 31, 44)] == [False, True, True, True]
    assert yolopipe("labels", "select", "bad.txt", "--on-bad", "skip", "--out", "o") == 0
    assert (folder / "o/bad.txt").read_text() == "x.jpg 1,2,9,9,-1,1\n"


def test_diff_of_what_is_ignored(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "old.txt").write_text("x.jpg 1,2,9,9,0 20,20,29,29,1 40,40,49,49,-1,1 60,60,69,69,1,1\n")
    (folder / "new.txt").write_text(
        "x.jpg 1,2,9,9,0,1 20,20,29,29,-1,1 40,40,49,49,0 60,60,69,69,1,1 80,80,89,89,0,1\n"
    )
    assert yolopipe("labels", "diff", "old.txt", "new.txt", "--markdown", "d.md") == 0
    expected = [
        ("re-classed", "1,2,9,9 cat", "1,2,9,9 ignored cat"),
        ("re-classed", "20,20,29,29 dog", "20,20,29,29 ignored any class"),
        ("re-classed", "40,40,49,49 ignored any class", "40,40,49,49 cat"),
        ("added", "", "80,80,89,89 ignored cat"),
    ]
    shown, table = capsys.readouterr().out, (folder / "d.md").read_text()
    for kind, was, now in expected:
        assert f"new.txt:1: {kind}: {' -> '.join(filter(None, (was, now)))}" in shown
        assert f"| {kind} | {f'`{was}`' if was else ''} | `{now}` |" in table
    assert yolopipe("labels", "diff", "old.txt", "new.txt", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert [(change["kind"], change["was"] or "", change["now"]) for change in report["changes"]] == expected
    assert (report["re_classed"], report["added"], report["equal"]) == (3, 1, 1)
