from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from yolopipe.errors import DataError, ShardError, UsageError
from yolopipe.inspection.inspect_labels import run
from yolopipe.inspection.inspection_result import Inspection
from yolopipe.inspection.label_request import label_request
from yolopipe.shards.manifest import load_manifest
from yolopipe.shards.reader import read_rows
from yolopipe.shards.targets import assign_rows

SIZE = 96
NAMES = ("cat", "a class name that is much longer than any column")
DEEP = "pictures/" * 12


@pytest.fixture(scope="module", params=["parquet", "tfrecord"])
def folder(request, shards, tmp_path_factory) -> Path:
    def row(path: str, boxes: list, copy: int = 0, list_length: int = 150, wh: tuple[int, int] = (96, 96)):
        classes = [n % 2 for n in range(len(boxes))]
        return shards.build_row(path, boxes, classes, size=SIZE, copy=copy, source_wh=wh)

    near = [[40, 40, 60, 60], [41, 40, 61, 60], [8, 8, 14, 14]]
    splits = {
        "train": [
            row("a/one.png", near, copy=0),
            row("b/one.png", [[0, 0, 3, 2]], copy=0),
            row(f"{DEEP}empty image.png", [], copy=0),
            row("a/one.png", [[40, 40, 60, 60]], copy=1),
            row("b/one.png", [], copy=1),
            row(f"{DEEP}empty image.png", [], copy=1),
        ],
        "val": [row("v/three.jpg", [[10, 10, 190, 95]], wh=(192, 96))],
    }
    path = tmp_path_factory.mktemp("shards") / "shards"
    shards.build_shards(path, splits, size=SIZE, class_names=NAMES, form=request.param)
    return path


def inspect(shards: Path, **options: object) -> Inspection:
    """What the command does with these options."""
    return run(shards, label_request(**options))  # type: ignore[arg-type]


def columns(text: str) -> int:
    return max(len(line) for line in text.splitlines())


def test_totals(folder: Path) -> None:
    result = inspect(folder)
    report = json.loads(json.dumps(result.report, allow_nan=False))
    manifest = load_manifest(folder)
    info = manifest.splits["train"]
    assert (report["images"], report["boxes"], report["backgrounds"]) == (6, 5, 3)
    for name in ("overwritten", "partly_overwritten", "forced", "past_list_end"):
        assert report[name] == getattr(info, name)
    assert report["overwritten"] == 1
    assert report["forced"] == 1
    assert [scale["positives"] for scale in report["scales"]] == [sum(info.positives[s]) for s in ("8", "16", "32")]
    assert [t["path"] for t in report["most_trouble"]] == ["a/one.png", "b/one.png"]
    assert columns(result.text) <= 100
    assert "a/one.png" in (result.next_step or "")


@pytest.mark.parametrize("rule", ["notes", "keep-best-iou", "next-anchor"])
def test_each_collision_rule_and_the_counts_of_the_others(shards, tmp_path: Path, rule: str) -> None:
    boxes = [[40, 40, 60, 60], [41, 40, 61, 60], [40, 41, 60, 61], [8, 8, 14, 14]]
    row = shards.build_row("a.png", boxes, [0] * 4, size=SIZE, collisions=rule)
    shards.build_shards(tmp_path / "s", {"train": [row]}, size=SIZE, class_names=NAMES, collisions=rule)
    result, info = inspect(tmp_path / "s"), load_manifest(tmp_path / "s").splits["train"]
    assert result.report["collisions"] == rule
    assert result.report["without_positive"] == info.without_positive
    assert result.report["overwritten"] == info.without_positive[rule]
    assert info.without_positive["notes"] == 2
    assert info.without_positive["next-anchor"] == 0
    assert f"{rule} (in force) {info.without_positive[rule]} (" in result.text
    assert columns(result.text) <= 100
    one = inspect(tmp_path / "s", image="a.png").text
    assert sum(line.endswith("next anchor") for line in one.splitlines()) == (rule == "next-anchor") * 2


def test_totals_of_one_copy(folder: Path) -> None:
    report = inspect(folder, copy=1).report
    assert (report["images"], report["boxes"], report["most_trouble"]) == (3, 1, [])


def test_one_image(folder: Path) -> None:
    result = inspect(folder, image="a/one.png")
    report = json.loads(json.dumps(result.report, allow_nan=False))
    first, second, third = report["boxes"]
    assert (first["taught"], second["taught"], third["taught"]) == (False, True, True)
    assert {place["taken_by"] for place in first["places"]} == {1}
    assert {place["taken_by"] for place in second["places"]} == {None}
    assert (report["image"], report["copy"], report["split"]) == ("a/one.png", 0, "train")
    lines = result.text.splitlines()
    assert lines[0] == "a/one.png"
    overwritten = [line.split() for line in lines if line.endswith("taken by 1")]
    assert len(overwritten) == len(first["places"])
    assert columns(result.text) <= 100


def test_text_of_a_positive_holds_the_label(folder: Path) -> None:
    """Every stored positive is a line: stride, row, column, anchor, its size, IoU."""
    row = next(row for row in read_rows(folder, load_manifest(folder), "train", copy=0) if row.path == "a/one.png")
    lines = [line.split() for line in inspect(folder, image="a/one.png").text.splitlines()]
    for stride, label in zip((8, 16, 32), row.labels, strict=True):
        for cell in label.cell.tolist():
            place, anchor = divmod(cell, 3)
            y, x = divmod(place, SIZE // stride)
            assert any([str(stride), f"{y},{x}", str(anchor)] == line[i : i + 3] for line in lines for i in range(9))


def test_a_forced_box_is_marked(folder: Path) -> None:
    result = inspect(folder, image="b/one.png")
    assert [place["forced"] for place in result.report["boxes"][0]["places"]] == [True]


def test_an_image_without_boxes(folder: Path) -> None:
    result = inspect(folder, image="empty image")
    assert result.report["boxes"] == []
    assert columns(result.text) <= 100


def test_names_that_are_not_the_whole_path(folder: Path) -> None:
    assert inspect(folder, image="three", split="val").report["image"] == "v/three.jpg"
    assert inspect(folder, image="three.jpg", split="val").report["image"] == "v/three.jpg"
    with pytest.raises(DataError) as several:
        inspect(folder, image="one.png")
    assert all(path in several.value.message for path in ("a/one.png", "b/one.png"))
    with pytest.raises(DataError) as elsewhere:
        inspect(folder, image="three.jpg")
    assert (elsewhere.value.hint or "").endswith("--split val")
    with pytest.raises(DataError) as misspelt:
        inspect(folder, image="thre.jpg", split="val")
    assert "v/three.jpg" in (misspelt.value.hint or "")
    with pytest.raises(DataError) as unknown:
        inspect(folder, image="zzz")
    assert unknown.value.hint is None


@pytest.fixture
def many(shards, tmp_path: Path) -> Path:
    """640 images of 12 kB of pixels and no boxes: ten row groups of Parquet, 7.9 MB."""
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    splits = {
        split: [shards.build_row(f"{split}/{n}.png", [], [], size=64, pixels=pixels) for n in range(count)]
        for split, count in (("train", 640), ("val", 64))
    }
    shards.build_shards(tmp_path / "many", splits, size=64, class_names=NAMES)
    return tmp_path / "many"


def bytes_read(shards: Path, **options: object) -> int:
    """What one call reads of all files, by the kernel's count."""

    def count() -> int:
        return int(Path("/proc/self/io").read_text().split()[1])

    before = count()
    try:
        inspect(shards, **options)
    except DataError:
        assert options["image"] == "typo"
    return count() - before


@pytest.mark.slow
def test_one_image_is_read_with_its_pixels_and_no_other(many: Path) -> None:
    row_group = 64 * 64 * 64 * 3
    inspect(many, image="train/630.png")  # imports
    assert bytes_read(many, image="train/630.png") < 2 * row_group
    assert bytes_read(many, image="630") < 2 * row_group
    assert bytes_read(many, image="typo") < row_group


@pytest.mark.slow
def test_a_sheet_of_the_first_images_reads_no_others(many: Path, tmp_path: Path) -> None:
    assert bytes_read(many, out=tmp_path / "sheet.png", copy=0) < 3 * 64 * 64 * 64 * 3


@pytest.mark.parametrize("options", [{}, {"html": "page.html"}, {"copy": 1}])
def test_labels_are_assigned_once(folder: Path, tmp_path: Path, monkeypatch, options: dict[str, object]) -> None:
    """Totals, checks and charts share one pass; only the images on the page are assigned again."""
    assigned: list[str] = []

    def counted(rows, manifest):
        assigned.extend(f"{row.path} {row.copy}" for row in rows)
        return assign_rows(rows, manifest)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("yolopipe.shards.targets.assign_rows", counted)
    inspect(folder, **options)
    each = 2 if "html" in options else 1
    assert {assigned.count(row) for row in assigned} == {each}
    assert len(assigned) == 7 * each


def test_wrong_calls(folder: Path) -> None:
    for options in ({"copy": 2}, {"copy": -1}, {"split": "test"}, {"image": "one", "copy": 2}):
        with pytest.raises(UsageError):
            inspect(folder, **options)
    with pytest.raises(ShardError):
        inspect(folder / "nowhere")


@pytest.mark.parametrize(
    ("options", "in_hint"),
    [
        ({"image": "a", "only": "tiny"}, ""),
        ({"scale": 8}, "--image NAME --scale 8"),
        ({"only": "tiny", "scale": 8}, "--image NAME --scale 8"),
        ({"image": "a", "html": "a.html"}, "--image"),
        ({"only": "tiny", "open_page": True}, "--only"),
        ({"only": "tiny", "out": "a.png"}, "--out"),
        ({"only": "tiny", "copy": 1}, "--copy"),
        ({"only": "doublebox"}, "--only double-box"),
        ({"only": "zzzzz"}, ""),
        ({"out": "x.jpg"}, "--out x.png"),
        ({"html": "x.png"}, ""),
    ],
)
def test_options_that_exclude_each_other(options: dict, in_hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        label_request(**options)
    assert in_hint in (caught.value.hint or "")


@pytest.mark.slow
@pytest.mark.parametrize("image", [None, "a/one.png", "empty image"])
def test_pictures_are_the_same_twice(folder: Path, tmp_path: Path, image: str | None) -> None:
    files = [tmp_path / "1.png", tmp_path / "2.png"]
    for file in files:
        inspect(folder, image=image, out=file)
    assert files[0].read_bytes() == files[1].read_bytes()
    picture = np.asarray(Image.open(files[0]))
    assert min(picture.shape[:2]) > 300


def test_the_picture_shows_the_stored_pixels(shards, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    row = shards.build_row("a.png", [[10, 10, 30, 30]], [0], size=SIZE, pixels=pixels)
    shards.build_shards(tmp_path / "s", {"train": [row]}, size=SIZE, class_names=NAMES)
    inspect(tmp_path / "s", image="a.png", out=tmp_path / "a.png")
    picture = np.asarray(Image.open(io.BytesIO((tmp_path / "a.png").read_bytes())))
    factor = -(-560 // SIZE)
    top = next(y for y in range(80) if np.array_equal(picture[y + 1, 12 : 12 + 3 * factor : factor], pixels[0, :3]))
    shown = picture[top : top + SIZE * factor, 10 : 10 + SIZE * factor][factor // 2 :: factor, factor // 2 :: factor]
    np.testing.assert_array_equal(shown, pixels)


def test_a_manifest_with_other_counts_is_an_error(shards, tmp_path: Path) -> None:
    row = shards.build_row("a.png", [[10, 10, 30, 30]], [0], size=SIZE)
    shards.build_shards(tmp_path / "s", {"train": [row]}, size=SIZE, class_names=NAMES, forced=7)
    with pytest.raises(ShardError, match=r"^train: forced .*\b0\b.*\b7\b"):
        inspect(tmp_path / "s")


@pytest.mark.slow
def test_inspection_does_not_load_tensorflow(folder: Path) -> None:
    code = f"""import sys
from yolopipe.inspection.inspect_labels import run
from yolopipe.inspection.label_request import DatasetRequest
run({str(folder)!r}, DatasetRequest())
assert not {{"tensorflow", "keras"}} & set(sys.modules)"""
    subprocess.run([sys.executable, "-c", code], check=True)
