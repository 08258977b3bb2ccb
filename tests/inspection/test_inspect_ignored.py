"""Boxes to be ignored in the viewer: from annotation text through the command line, and as pixels."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from yolopipe.cli import app, guarded
from yolopipe.errors import ShardError
from yolopipe.imaging import drawing
from yolopipe.imaging.drawing import HATCH_PX
from yolopipe.inspection import overlay
from yolopipe.inspection.inspect_labels import run
from yolopipe.inspection.label_request import DatasetRequest
from yolopipe.shards.manifest import load_manifest
from yolopipe.shards.targets import box_targets

SIZE = 96
CROWD = ("1,2,31,40,-1", "5,5,25,25,2", "0,0,12,12,0", "20,20,44,44,1", "8,9,30,31,-1", "1,1,9,9,0", "2,2,40,12,-1")
LISTED = 5

PARAMS = f"""\
data: {{train: train.txt, val: val.txt, classes: classes.names, images: images, corrections: fixes.txt}}
augment: {{copies: 2, flip: 0, crop: 0, translate: 0}}
precompute: {{input_size: [64, 96]}}
assignment: {{max_bbox_per_scale: {LISTED}}}
"""


@pytest.fixture(scope="module")
def crowded(drawn: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project: one image with seven boxes to be ignored and no other; one with a box and two of them, and again one
    each that corrections add."""
    folder = tmp_path_factory.mktemp("crowded project")
    drawn.draw(folder, images=6, size=SIZE)
    (folder / "params.yaml").write_text(PARAMS)
    lines = (folder / "train.txt").read_text().splitlines()
    lines[0] = " ".join([lines[0].split()[0], *(f"{box},1" for box in CROWD)])
    lines[1] = " ".join([lines[1].split()[0], "2,2,22,20,1", "3,3,40,44,-1,1", "30,20,44,44,2,1"])
    (folder / "train.txt").write_text("\n".join(lines) + "\n")
    image = lines[1].split()[0]
    (folder / "fixes.txt").write_text(f"# by hand\n{image} - 3,25,20,44,0\n{image} - 0,0,6,6,-1,1\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for stage in ("parse", "augment", "precompute"):
            assert guarded(lambda name=stage: app([name], standalone_mode=False)) == 0
    return folder


@pytest.fixture
def told(crowded: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """What ``inspect-labels`` prints, in the project."""
    monkeypatch.chdir(crowded)

    def call(*arguments: str) -> str:
        capsys.readouterr()
        assert guarded(lambda: app(["inspect-labels", *arguments], standalone_mode=False)) == 0
        return capsys.readouterr().out

    return call


def place_of(folder: Path, row: dict[str, Any]) -> str:
    """The box that the annotation text has at a place."""
    line = (folder / row["file"]).read_text().splitlines()[row["line"] - 1]
    return line[row["column"] - 1 :].split(" ")[0]


def test_totals_count_them_beside_the_boxes(told, crowded: Path) -> None:
    report = json.loads(told("--json"))
    info = load_manifest(crowded / "data/shards").splits["train"]
    assert report["ignored"] == info.ignored == 2 * 10
    lines = [line.split()[1:] for line in (crowded / "train.txt").read_text().splitlines()]
    real = ["added", *(box for boxes in lines for box in boxes if box.count(",") == 4)]
    assert report["boxes"] == info.boxes == 2 * len(real)
    # Two of the seven find no room in any of three lists, in both copies and at both sizes.
    assert report["past_list_end"] == info.past_list_end == 2 * 3 * 2
    assert report["smaller"]["64"]["past_list_end"] == 2 * 3 * 2
    assert report["most_trouble"][0]["ignored"] == 7
    splits = report["check_report"]["splits"]
    assert (splits["train"]["ignored"], splits["val"]["ignored"]) == (10, 0)
    assert splits["train"]["boxes"] == len(real)
    assert "20" in re.findall(r"\d+", told().splitlines()[1])


def test_every_one_that_is_not_in_a_list_is_a_hit_with_its_place(told, crowded: Path) -> None:
    (check,) = json.loads(told("--only", "past-list-end", "--json"))["check_report"]["checks"]
    assert check["count"] == len(check["hits"]) == 2
    assert [place_of(crowded, hit) for hit in check["hits"]] == [f"{box},1" for box in CROWD[LISTED:]]
    assert [hit["boxes"] for hit in check["hits"]] == [[5], [6]]
    (check,) = json.loads(told("--only", "backgrounds", "--json"))["check_report"]["checks"]
    assert "train0" in check["hits"][0]["image"], "no box to be found"


def test_one_image_lists_them_with_place_and_lists(told, crowded: Path) -> None:
    for extra in ((), ("--scale", "16")):
        report = json.loads(told("--image", "train0", *extra, "--json"))
        assert [place_of(crowded, box) for box in report["ignored"]] == [f"{box},1" for box in CROWD]
        assert [box["class"] for box in report["ignored"]] == [None, "c", "a", "b", None, "a", None]
        assert [box["unlisted_strides"] for box in report["ignored"]] == [[]] * LISTED + [[8, 16, 32]] * 2
        text = told("--image", "train0", *extra)
        assert max(map(len, text.splitlines())) <= 100
        places = [line.strip() for line in text.splitlines() if line.strip().startswith("train.txt:")]
        assert places == [f"{box['file']}:{box['line']}:{box['column']}" for box in report["ignored"]]


def test_boxes_to_be_found_have_their_place_too(told, crowded: Path) -> None:
    report = json.loads(told("--image", "train1", "--json"))
    assert [place_of(crowded, box) for box in report["boxes"]] == ["2,2,22,20,1", "3,25,20,44,0"]
    assert [(box["file"], box["line"]) for box in report["boxes"]] == [("train.txt", 2), ("fixes.txt", 2)]
    assert [box["number"] for box in report["ignored"]] == [2, 3, 4]
    assert place_of(crowded, report["ignored"][2]) == "0,0,6,6,-1,1", "also what corrections add"
    words = told("--image", "train1").split()
    assert all(f"{b['file']}:{b['line']}:{b['column']}" in words for b in report["boxes"] + report["ignored"])


def test_the_page_has_them_beside_the_boxes(told, crowded: Path, tmp_path: Path) -> None:
    told("--html", str(tmp_path / "a.html"))
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    data = json.loads(text.split('id="data">')[1].split("</script>")[0])
    with_some = {image[0]: image[11] for image in data["images"] if len(image) > 11}
    assert {Path(path).stem: len(boxes) for path, boxes in with_some.items()} == {"train0": 7, "train1": 3}
    first = next(boxes for path, boxes in with_some.items() if "train0" in path)
    assert [class_id for class_id, *_ in first] == [-1, 2, 0, 1, -1, 0, -1]
    assert [unlisted for _, _, unlisted, _ in first] == [[]] * LISTED + [[8, 16, 32]] * 2
    assert all(place.startswith("train.txt:1:") for *_, place in first)
    boxes = {Path(image[0]).stem: image[5] for image in data["images"]}
    assert (boxes["train0"], boxes["train1"]) == (0, 2), "counts are of boxes to be found"


def test_a_manifest_with_another_count_is_an_error(shards: ModuleType, tmp_path: Path) -> None:
    row = shards.build_row("a.png", [[10, 10, 30, 30]], [0], size=SIZE, ignored=[[40, 40, 60, 60]])
    shards.build_shards(tmp_path / "s", {"train": [row]}, size=SIZE, class_names=("a",), ignored=2)
    with pytest.raises(ShardError, match=r"^train: ignored .*\b1\b.*\b2\b"):
        run(tmp_path / "s", DatasetRequest())


# ---- pictures

REGION = (20, 30, 70, 80)


@pytest.fixture
def region(shards: ModuleType, tmp_path: Path):
    """A black image with one region and no box; the same without the region."""

    def build(ignored: list[list[float]]):
        pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
        row = shards.build_row("a.png", [], [], size=SIZE, pixels=pixels, ignored=ignored)
        manifest = shards.build_shards(tmp_path / str(len(ignored)), {"train": [row]}, size=SIZE, class_names=("a",))
        return row, box_targets(row, manifest), manifest

    return build


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> list[drawing.Key]:
    """The entries of the legends that are drawn."""
    seen: list[drawing.Key] = []
    draw = drawing.legend

    def legend(entries, **options):
        seen.extend(entries)
        return draw(entries, **options)

    monkeypatch.setattr(drawing, "legend", legend)
    return seen


def hatched(panel: np.ndarray, scale: int) -> None:
    """The region of an enlarged picture has the lines of a hatch, and nothing else has; labels aside."""
    x1, y1, x2, y2 = (side * scale for side in REGION)
    rows, columns = np.indices(panel.shape[:2])
    line = (rows + columns) % HATCH_PX < 2
    inside = (slice((y1 + y2) // 2, y2 - 3), slice(x1 + 3, x2 - 3))
    grey = (panel == drawing.GREY).all(axis=2)
    np.testing.assert_array_equal(grey[inside], line[inside])
    assert not grey[y2 + 3 :].any()
    assert not grey[y1 + 40 :, : x1 - 3].any()
    assert not grey[y1 + 40 :, x2 + 3 :].any()


def test_one_scale_is_hatched(region, keys: list[drawing.Key]) -> None:
    row, targets, manifest = region([REGION])
    picture = overlay.scale_picture(row, targets, manifest, 16, split="train")
    scale = picture.shape[1] // SIZE
    hatched(picture[-SIZE * scale :], scale)
    assert [key.hatched for key in keys] == [True]


def test_every_panel_of_one_image_is_hatched(region, keys: list[drawing.Key]) -> None:
    row, targets, manifest = region([REGION])
    picture = overlay.row_picture(row, targets, manifest, split="train")
    scale = -(-overlay.PANEL_PX // SIZE)
    side, gap = SIZE * scale, drawing.GAP_PX
    bottom, right = picture.shape[0] - gap, picture.shape[1] - gap
    hatched(picture[bottom - side : bottom, right - side : right], scale)
    hatched(picture[bottom - side : bottom, gap : gap + side], scale)
    assert [key.hatched for key in keys] == [True]


def test_the_sheet_is_hatched(region, keys: list[drawing.Key]) -> None:
    row, targets, manifest = region([REGION])
    picture = overlay.sheet_picture([(row, targets)], manifest)
    scale = -(-overlay.TILE_PX // SIZE)
    side, gap = SIZE * scale, drawing.GAP_PX
    hatched(picture[-gap - side : -gap, gap : gap + side], scale)
    assert [key.text for key in keys if key.hatched] == ["to be ignored"]


def test_without_them_no_legend_speaks_of_them(region, keys: list[drawing.Key]) -> None:
    row, targets, manifest = region([])
    overlay.scale_picture(row, targets, manifest, 16, split="train")
    overlay.sheet_picture([(row, targets)], manifest)
    assert not [key for key in keys if key.hatched]


def test_the_command_draws_them(told, tmp_path: Path) -> None:
    for name, arguments in {"a": ("--image", "train0"), "b": ("--image", "train0", "--scale", "8"), "c": ()}.items():
        told(*arguments, "--out", str(tmp_path / f"{name}.png"))
        picture = np.asarray(Image.open(tmp_path / f"{name}.png"))
        assert ((picture == drawing.GREY).all(axis=2)).sum() > 1000
