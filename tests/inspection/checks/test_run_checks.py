"""Each rule fires exactly as often as its fault was seeded, and never on the clean project."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from yolopipe.cli import app, guarded
from yolopipe.inspection.checks.check_report import CheckReport, Hit
from yolopipe.inspection.checks.rules import RULES
from yolopipe.inspection.inspect_labels import check_labels, run
from yolopipe.inspection.label_request import ImageRequest

SIZES = ((12, 12), (16, 12), (12, 18), (20, 20), (26, 20), (20, 28), (32, 32), (36, 28), (28, 40))
COCO_ANCHORS = ((10, 13), (16, 30), (33, 23), (30, 61), (62, 45), (59, 119), (116, 90), (156, 198), (373, 326))
Counts = Callable[..., dict[str, int]]


def hits(report: CheckReport, rule: str) -> tuple[Hit, ...]:
    return next(check for check in report.checks if check.rule == rule).hits


def test_nothing_is_wrong_with_the_clean_project(project: Any, counts: Counts) -> None:
    report = project.check()
    assert counts(report) == {}
    assert {check.rule for check in report.checks} == set(RULES)
    assert [check.rule for check in report.checks] == list(RULES)
    assert report.left_out == ()
    assert report.anchors is not None
    assert report.anchors.mean_best_iou == pytest.approx(1.0)
    assert counts(report, "note") == {"small-boxes": 38}  # seven of the nine sizes: 7 * 4 in train, 10 in val
    train = report.splits["train"]
    assert (train.images, train.boxes, train.boxes_per_class) == (12, 36, (18, 18))
    assert (train.images_per_class, dict(train.images_with)) == ((12, 12), {3: 12})
    assert (train.smallest_px, train.largest_px) == (12.0, 40.0)


def copy_image(project: Any, source: tuple[str, int], split: str) -> None:
    """The same bytes under another name, in a split."""
    path = project.path(*source)
    name = f"bilder/Kopie ä {split}{path.suffix}"
    shutil.copy(path, project.folder / name)
    project.lines[split].append(name + "".join(project.boxes(5)))


def save_again(project: Any, source: tuple[str, int], split: str) -> None:
    """The same picture, smaller and of lower quality."""
    pixels = cv2.imdecode(np.fromfile(project.path(*source), np.uint8), cv2.IMREAD_COLOR)
    name = f"bilder/fast ä {split} {source[1]}.jpg"
    smaller = cv2.resize(pixels, (80, 80), interpolation=cv2.INTER_AREA)
    encoded = cv2.imencode(".jpg", smaller, [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
    (project.folder / name).write_bytes(encoded.tobytes())
    project.lines[split].append(name + " 30,30,50,50,0")


def zero_boxes(project: Any) -> None:
    project.add("train", 2, "5,5,5,9,0")
    project.add("val", 1, "60,60,70,60,1")


def outside(project: Any) -> None:
    project.add("train", 3, "80,80,120,90,0")


def clipped(project: Any) -> None:
    project.sections["parse"] = {"on_bad": "clip"}
    project.add("train", 3, "76,72,120,92,0")


def bad_lines(project: Any) -> None:
    project.add("train", 0, "5,5,20,20,7")
    project.add("train", 1, "5,5,20,x,0")
    project.add("val", 0, project.boxes(0)[0].strip())


def double(project: Any) -> None:
    """The same object of 20 x 20 px twice, a pixel apart; the later box takes all places of the earlier."""
    project.add("train", 1, "14,18,34,39,1")
    project.add("val", 3, "38,63,50,82,1")


def two_classes(project: Any) -> None:
    box = project.boxes(4)[1].strip()
    project.add("train", 4, box[:-1] + str(1 - int(box[-1])))


def three_of_one(project: Any) -> None:
    for shift in (0, 1):
        project.add("train", 1, f"14,{18 + shift},34,{39 + shift},1")


def regions(project: Any) -> None:
    """Boxes to be ignored that would be double boxes, of two classes, tiny, collisions and rare if they counted."""
    own = project.boxes(1)[0].strip()
    project.add("train", 1, f"{own},1")
    project.add("train", 1, f"{own[:-1]}{1 - int(own[-1])},1")
    project.add("train", 5, "2,80,5,83,-1,1")
    project.add("val", 2, "0,0,96,96,-1,1")


def tiny(project: Any) -> None:
    project.add("train", 5, "2,80,9,92,0")
    project.add("val", 2, "2,80,14,87.9,0")


def only_in_val(project: Any) -> None:
    project.names.append("neu")
    project.add("val", 0, "70,66,90,86,2")
    project.add("val", 2, "70,66,90,86,2")


def unused(project: Any) -> None:
    project.names += ["nie", "niemals"]


def coco_anchors(project: Any) -> None:
    project.sections["assignment"] = {"anchors": [f"{width}x{height}" for width, height in COCO_ANCHORS]}


def badly_served() -> int:
    """The 36 boxes of train have nine sizes; anchors of those sizes gain each what it lacks to an IoU of 1."""
    lacks = []
    for width, height in SIZES:
        shared = [min(width, w) * min(height, h) for w, h in COCO_ANCHORS]
        best = max(s / (width * height + w * h - s) for s, (w, h) in zip(shared, COCO_ANCHORS, strict=True))
        lacks.append(1 - best)
    return 4 * sum(lack >= 0.05 for lack in lacks)


def folder_of_frames(project: Any) -> None:
    """Five shots of one scene: four repeat an earlier one."""
    rng = np.random.default_rng(1)
    for number in range(5):
        scene = cv2.resize(np.arange(147, dtype=np.uint8).reshape(7, 7, 3) * 7 % 251, (96, 96))
        noisy = np.clip(scene + rng.normal(0, 4, scene.shape), 0, 255).astype(np.uint8)
        name = f"bilder/Film ä{number}.png"
        (project.folder / name).write_bytes(cv2.imencode(".png", noisy)[1].tobytes())
        project.lines["train"].append(name + "".join(project.boxes(number)))


FAULTS: dict[str, tuple[Callable[[Any], None], dict[str, int]]] = {
    "zero": (zero_boxes, {"zero-size": 2}),
    "outside": (outside, {"outside-image": 1}),
    "clipped": (clipped, {"outside-image": 1}),
    "dropped": (bad_lines, {"dropped": 3}),
    "double": (double, {"double-box": 2, "collision": 2}),
    "three": (three_of_one, {"double-box": 2, "collision": 2}),
    "two classes": (two_classes, {"class-conflict": 1, "collision": 1}),
    "regions": (regions, {}),
    "tiny": (tiny, {"tiny": 2}),
    "leak": (lambda p: copy_image(p, ("train", 4), "val"), {"leak": 1}),
    "near leak": (lambda p: save_again(p, ("train", 6), "val"), {"leak-near": 1}),
    "twice": (lambda p: copy_image(p, ("train", 3), "train"), {"duplicate-image": 1}),
    "nearly twice": (lambda p: save_again(p, ("val", 1), "val"), {"near-duplicate": 1}),
    "film": (folder_of_frames, {"near-duplicate": 4}),
    "only in val": (only_in_val, {"val-only-class": 1}),
    "unused": (unused, {"unused-class": 2}),
    "anchors": (coco_anchors, {"anchor-fit": badly_served(), "unused-anchor": 5}),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_counted(project: Any, counts: Counts, fault: str) -> None:
    spoil, expected = FAULTS[fault]
    spoil(project)
    report = project.check()
    assert counts(report) == expected
    assert report.left_out == ()


def test_all_faults_at_once(project: Any, counts: Counts) -> None:
    chosen = [name for name in FAULTS if name not in ("anchors", "three", "clipped")]
    expected: dict[str, int] = {}
    for name in chosen:
        spoil, counted = FAULTS[name]
        spoil(project)
        for rule, count in counted.items():
            expected[rule] = expected.get(rule, 0) + count
    found = counts(project.check())
    assert {rule: found.get(rule) for rule in expected} == expected


def test_corrections_are_applied_and_named(project: Any, counts: Counts) -> None:
    """A corrected box has its place in the text, an added one in the corrections; what parse noted is no loss."""
    box = project.boxes(1)[0].strip()
    image, moved = project.name("train", 1), f"{box[:-2]},{1 - int(box[-1])}"
    close = ",".join([str(float(value) + 0.5) for value in box.split(",")[:4]] + [moved[-1]])
    lines = [f"{image} {box} {moved}", f"{image} - {close}", f"{image} - {close}", "nobody.jpg - 1,2,30,40,0"]
    (project.folder / "c.txt").write_text("\n".join([*lines, ""]), encoding="utf-8")
    project.sections["data"] = {"corrections": "c.txt"}
    report = project.check()
    assert {rule: n for rule, n in counts(report).items() if rule != "collision"} == {"double-box": 1, "dropped": 1}
    [double] = hits(report, "double-box")
    assert double.place == f"c.txt:2:{len(image) + 4}"
    [dropped] = hits(report, "dropped")
    assert (dropped.place, dropped.image) == ("c.txt:4:1", "nobody.jpg")


def test_places_are_named(project: Any) -> None:
    double(project)
    zero_boxes(project)
    save_again(project, ("train", 6), "val")
    report = project.check()
    first, second = hits(report, "double-box")
    assert (first.split, first.file, first.line, first.boxes) == ("train", "train.txt", 3, (0, 3))
    assert first.place == f"train.txt:3:{project.lines['train'][1].index('14,18,34,39,1') + 1}"
    assert first.image == project.name("train", 1)
    assert (second.split, second.file, second.line) == ("val", "val.txt", 5)
    assert "Plättchen" in first.message
    lost = hits(report, "collision")
    assert [hit.boxes for hit in lost] == [first.boxes, second.boxes]
    bad = [("train", 2, "5,5,5,9,0"), ("val", 1, "60,60,70,60,1")]
    assert [hit.place for hit in hits(report, "zero-size")] == [
        f"{split}.txt:{number + 2}:{project.lines[split][number].index(box) + 1}" for split, number, box in bad
    ]
    (leak,) = hits(report, "leak-near")
    assert leak.partner == ("train", project.name("train", 6))
    assert (leak.image, leak.line) == ("bilder/fast ä val 6.jpg", 6)


@pytest.mark.slow
def test_page_check_and_command_print_the_same_nine_anchors(project: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Boxes of odd sizes in a source that is scaled: no side is a whole number of pixels of the network input."""
    coco_anchors(project)
    project.sections["precompute"] = {"input_size": 160}
    rng = np.random.default_rng(3)
    for number in range(12):
        corners = rng.uniform(0, 40, (5, 2))
        sides = rng.uniform(1, 55, (5, 2))
        for (x, y), (w, h) in zip(corners.round(1), sides.round(1), strict=True):
            project.add("train", number, f"{x:.1f},{y:.1f},{x + w:.1f},{y + h:.1f},0")
    project.build()
    assert guarded(lambda: app(["inspect-labels", "--html", "page.html", "--json"], standalone_mode=False)) in (0, 1)
    proposal = json.loads(capsys.readouterr().out)["check_report"]["proposal"]
    assert guarded(lambda: app(["anchors", "--size", "160", "--json"], standalone_mode=False)) == 0
    command = json.loads(capsys.readouterr().out)
    printed = re.findall(r"^    - (\S+)$", command["yaml"], re.MULTILINE)
    assert len(printed) == 9
    assert ["x".join(f"{side:g}" for side in anchor) for anchor in proposal["anchors_wh"]] == printed
    assert proposal["mean_best_iou"] == pytest.approx(command["proposal"]["mean_best_iou"], abs=1e-4)
    page = Path("page.html").read_text(encoding="utf-8")
    (shown,) = re.findall(r"<pre[^>]*>(.*?)</pre>", page, re.DOTALL)
    assert re.findall(r"- (\S+)", shown) == printed
    assert all(f">{anchor}</text>" in page for anchor in printed), "the chart names them too"


def test_notes(project: Any, counts: Counts) -> None:
    project.lines["train"].append("bilder/leer ä.jpg")
    shutil.copy(project.path("train", 0), project.folder / "bilder/leer ä.jpg")
    project.add("val", 0, "0,0,96,92,0")
    for number in range(12):
        project.lines["train"][number] = project.lines["train"][number].replace(",1 ", ",0 ").rstrip("1") + "0"
    project.add("train", 3, "70,66,90,86,1")
    report = project.check()
    found = counts(report, "note")
    assert {rule: found[rule] for rule in ("backgrounds", "huge-box", "class-balance")} == dict.fromkeys(
        ("backgrounds", "huge-box", "class-balance"), 1
    )
    assert [hit.image for hit in hits(report, "backgrounds")] == ["bilder/leer ä.jpg"]


def test_a_missing_and_a_damaged_image(project: Any, counts: Counts) -> None:
    project.build()
    project.path("train", 2).unlink()
    broken = project.path("val", 3)
    broken.write_bytes(broken.read_bytes()[:-100])
    report = check_labels("data/shards")
    assert counts(report) == {"unreadable": 2}
    assert [(hit.split, hit.line) for hit in hits(report, "unreadable")] == [("train", 4), ("val", 5)]
    assert "missing-image" in hits(report, "unreadable")[0].message


def test_shards_alone_report_what_was_not_checked(
    project: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    double(project)
    project.build()
    shutil.copytree("data/shards", tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    report = check_labels("elsewhere")
    rules = {check.rule for check in report.checks}
    missing = {"leak", "leak-near", "duplicate-image", "near-duplicate", "unreadable"}
    missing |= {"zero-size", "outside-image", "dropped", "unwatched"}
    assert rules == set(RULES) - missing
    said = " ".join(report.left_out)
    assert all(rule in said for rule in missing)
    (hit, _) = hits(report, "double-box")
    column = project.lines["train"][1].index("14,18,34,39,1") + 1
    assert (hit.file, hit.line, hit.column, hit.boxes) == ("", 3, column, (0, 3))


def test_shards_of_another_project_are_checked_with_what_lies_there(
    project: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counts: Counts
) -> None:
    copy_image(project, ("train", 4), "val")
    project.build()
    monkeypatch.chdir(tmp_path)
    report = check_labels(project.folder / "data/shards")
    assert (counts(report), report.left_out) == ({"leak": 1}, ())
    assert hits(report, "leak")[0].line == 6


def test_a_parsed_table_of_other_images_is_not_used(project: Any) -> None:
    project.build()
    shutil.move("data/shards", "kept")
    project.lines["train"].pop()
    project.build()
    shutil.rmtree("data/shards")
    shutil.move("kept", "data/shards")
    report = check_labels("data/shards")
    assert any("val.parquet" in reason or "train.parquet" in reason for reason in report.left_out)
    assert "zero-size" not in {check.rule for check in report.checks}


@pytest.mark.parametrize("line_added", [False, True])
def test_decoded_boxes_are_compared_with_the_same_boxes_of_the_text(project: Any, line_added: bool) -> None:
    """By line and column: as many boxes in a table that was parsed from an older text are not the same."""
    if line_added:
        project.lines["train"].insert(0, "# older")
    project.lines["train"][line_added] = (
        project.name("train", line_added) + " 1,1,21,21,0 30,30,50,52,0 60,60,80,80,1"
    )
    project.build()
    shutil.move("data/parsed", "older")
    project.lines["train"] = [line for line in project.lines["train"] if line != "# older"]
    project.lines["train"][0] = project.name("train", 0) + " 2,1,21,21,0 30,30,50,52,0 60,60,80,80,1"
    project.build()
    if line_added:
        shutil.rmtree("data/parsed")
        shutil.move("older", "data/parsed")
    positives = run("data/shards", ImageRequest(image="train ä0", scale=8)).report["positives"]
    assert {positive["box"] for positive in positives} == {0, 1, 2}
    assert max(positive["off_px"] for positive in positives) < 1e-3


@pytest.mark.parametrize("damage", ["counts.json", "problems.csv", "val.parquet"])
def test_half_of_a_parsed_folder_is_left_out(project: Any, damage: str) -> None:
    project.build()
    (project.folder / "data/parsed" / damage).unlink()
    report = check_labels("data/shards")
    assert any("zero-size" in reason for reason in report.left_out)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("counts.json", b"{"),
        ("counts.json", b"[]"),
        ("problems.csv", b"\xff\xfe"),
        ("problems.csv", b"file,line\nx,y\n"),
        ("val.parquet", b"PAR1"),
    ],
)
def test_a_damaged_parsed_folder_is_left_out(project: Any, file: str, content: bytes) -> None:
    project.build()
    (project.folder / "data/parsed" / file).write_bytes(content)
    report = check_labels("data/shards")
    assert any("zero-size" in reason for reason in report.left_out)


def test_without_params_the_files_are_not_named(project: Any) -> None:
    double(project)
    project.build()
    (project.folder / "params.yaml").unlink()
    report = check_labels("data/shards")
    assert any("params.yaml" in reason for reason in report.left_out)
    assert (hits(report, "double-box")[0].file, hits(report, "double-box")[0].line) == ("", 3)


def test_format_augmentation_and_workers_do_not_change_the_result(project: Any, counts: Counts) -> None:
    tiny(project)
    double(project)
    zero_boxes(project)
    first = project.check()
    project.sections["precompute"] = {"format": "tfrecord", "shard_rows": 3}
    assert project.check(workers=2) == first
    project.sections["augment"] = {"copies": 2, "crop": 1.0, "translate": 1.0, "flip": 1.0}
    moved = project.check()
    sources = ("double-box", "tiny", "zero-size", "anchor-fit", "small-boxes")
    both = ({c.rule: (c.count, [(h.boxes, h.line) for h in c.hits]) for c in r.checks} for r in (first, moved))
    one, other = both
    assert {rule: one[rule] for rule in sources} == {rule: other[rule] for rule in sources}
    assert moved.splits == first.splits


def test_several_input_sizes_tiny_is_that_of_the_smallest(project: Any, counts: Counts) -> None:
    project.sections["precompute"] = {"input_size": [64, 96]}
    project.add("train", 5, "2,80,13,92,0")
    assert counts(project.check()) == {"tiny": 1}  # 11 px at 96 are 7.3 at 64; 12 px are 8


def test_one_image_and_no_boxes(project: Any, counts: Counts) -> None:
    project.lines = {"train": [project.name("train", 0)], "val": [project.name("val", 0)]}
    report = project.check()
    assert report.anchors is None
    assert counts(report) == {"unused-class": 2}
    assert any(reason.startswith("anchor-fit, unused-anchor:") for reason in report.left_out)
    assert counts(report, "note") == {"backgrounds": 2}


def test_five_hundred_boxes_in_one_image(project: Any, counts: Counts) -> None:
    boxes = [f"{x},{y},{x + 8},{y + 8},0" for x in range(0, 88, 4) for y in range(0, 92, 4)]
    project.lines["train"][0] = " ".join([project.name("train", 0), *boxes])
    report = project.check()
    assert len(boxes) == 506
    found = counts(report)
    assert "double-box" not in found  # half a box apart: IoU 1/3
    assert report.splits["train"].images_with[506] == 1
    project.lines["train"][0] += "".join(f" {x},{y},{x + 8},{y + 9},0" for x in range(0, 88, 8) for y in (0, 40, 80))
    assert counts(project.check())["double-box"] == 33
