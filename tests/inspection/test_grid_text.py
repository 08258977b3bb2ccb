"""One scale as text: what is drawn and what it decodes to, against the stored label and the boxes themselves."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from yolopipe.errors import UsageError
from yolopipe.inspection.grid_text import class_letters, positives_of, scale_text
from yolopipe.inspection.inspect_labels import run
from yolopipe.inspection.label_request import ImageRequest
from yolopipe.inspection.target_codes import decode_box
from yolopipe.shards.manifest import Manifest, load_manifest
from yolopipe.shards.reader import read_rows
from yolopipe.shards.targets import box_targets

SIZE = 96
NAMES = ("cat", "car", "a class name that is much longer than any column " * 3)


def manifest_of(shards, size: int = SIZE) -> Manifest:
    anchors = tuple(tuple(map(tuple, scale)) for scale in shards.ANCHORS_PX.tolist())
    return Manifest("parquet", "raw", 95, size, (size,), (8, 16, 32), anchors, 0.3, 150, "notes", NAMES, {})


def random_row(shards, seed: int, count: int, size: int = SIZE, wh: tuple[int, int] = (120, 80)):
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 70, (count, 2)) * (wh[0] / 120)
    boxes = np.concatenate([corner, corner + rng.uniform(2, 9, (count, 2)) ** 1.6], axis=1)
    boxes = np.minimum(boxes, [*wh, *wh])
    return shards.build_row(
        "a/ä.png", boxes.tolist(), rng.integers(0, 3, count).tolist(), size=size, source_wh=wh
    ), boxes


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 20), stride=st.sampled_from([8, 16, 32]))
def test_every_positive_decodes_to_its_box(shards, seed: int, count: int, stride: int) -> None:
    row, boxes = random_row(shards, seed, count)
    manifest = manifest_of(shards)
    targets = box_targets(row, manifest)
    found = positives_of(row, targets, manifest, stride, boxes)
    label = row.labels[(8, 16, 32).index(stride)]
    grid = SIZE // stride
    flat = [(p.cell_yx[0] * grid + p.cell_yx[1]) * 3 + p.anchor for p in found]
    assert flat == label.cell.tolist()
    assert [p.box for p in found] == label.box.tolist()
    for positive in found:
        assert positive.decoded_xyxy == pytest.approx(boxes[positive.box], abs=1e-3)
        assert positive.off_px < 1e-3
        assert all(0 <= offset <= 1 for offset in positive.offset_xy)
        assert {(t.number) for t in targets for p in t.overwritten if p.taken_by == positive.box} >= set(
            positive.contested_by
        )
    contested = {
        (place.cell_yx, place.anchor) for box in targets for place in box.overwritten if place.stride == stride
    }
    assert {(p.cell_yx, p.anchor) for p in found if p.contested_by} == contested
    text = scale_text(row, found, manifest, stride, split="train")
    assert max(map(len, text.splitlines())) <= 100


def test_decoding_is_the_networks() -> None:
    """The reference formula on raw outputs: sigmoid and exp."""
    raw_x, raw_y, raw_w, raw_h = 0.4, -1.2, 0.3, -0.5
    sigmoid = [1 / (1 + math.exp(-raw)) for raw in (raw_x, raw_y)]
    x, y = ((s + cell) * 16 for s, cell in zip(sigmoid, (7, 3), strict=True))
    width, height = math.exp(raw_w) * 62, math.exp(raw_h) * 45
    expected = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    assert decode_box((3, 7), (62, 45), (sigmoid[0], sigmoid[1]), (raw_w, raw_h), 16) == pytest.approx(expected)


def drawn_cells(text: str) -> dict[tuple[int, int], str]:
    """What stands in which cell, read back from the picture made of letters, two columns a cell."""
    lines = text.splitlines()
    start = next(n for n, line in enumerate(lines) if line.strip().split()[:1] and line.startswith("      "))
    first = int(lines[start].split()[0])
    cells = {}
    for line in lines[start + 1 :]:
        if not line.strip():
            break
        row, signs = line.split(maxsplit=1)
        cells |= {(int(row), first + n): sign for n, sign in enumerate(signs.split()) if sign != "."}
    return cells


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 9), stride=st.sampled_from([8, 16, 32]))
def test_the_drawn_grid_holds_the_stored_label(shards, seed: int, count: int, stride: int) -> None:
    row, _ = random_row(shards, seed, count)
    manifest = manifest_of(shards)
    found = positives_of(row, box_targets(row, manifest), manifest, stride)
    text = scale_text(row, found, manifest, stride, split="train")
    if not found:
        assert not [line for line in text.splitlines() if line.startswith("      ")]
        return
    here: dict[tuple[int, int], list] = {}
    for positive in found:
        here.setdefault(positive.cell_yx, []).append(positive)
    letters = class_letters([p.class_id for p in found], NAMES)
    expected = {
        cell: "#"
        if any(p.contested_by for p in ps)
        else "+"
        if len({p.box for p in ps}) > 1
        else letters[ps[0].class_id]
        for cell, ps in here.items()
    }
    assert drawn_cells(text) == expected


@pytest.mark.parametrize("size", [416, 608, 1024, 4096])
def test_a_grid_of_any_size_fits(shards, size: int) -> None:
    row, _ = random_row(shards, 4, 40, size, (size, size))
    manifest = manifest_of(shards, size)
    for stride in (8, 16, 32):
        found = positives_of(row, box_targets(row, manifest), manifest, stride)
        lines = scale_text(row, found, manifest, stride, split="train").splitlines()
        assert max(map(len, lines)) <= 100
        assert any("cells" in line for line in lines[:4])


@pytest.mark.parametrize("boxes", [[[8, 8, 20, 20]], [[8, 8, 20, 20], [9, 9, 15, 15]], [[8, 8, 20, 20]] * 2])
def test_the_legend_explains_the_signs_that_are_drawn(shards, boxes: list[list[float]]) -> None:
    row = shards.build_row("a.png", boxes, [0] * len(boxes), size=SIZE)
    manifest = manifest_of(shards)
    found = positives_of(row, box_targets(row, manifest), manifest, 8)
    text = scale_text(row, found, manifest, 8, split="train")
    explained = {line.split()[0] for line in text.splitlines() if line.startswith("  ") and line[2] in "#+C"}
    assert explained == set(drawn_cells(text).values()) | {"C"}


def test_letters() -> None:
    assert class_letters([0, 1], NAMES) == {0: "C", 1: "A"}
    assert class_letters([2, 0], ["xx", "", "xX"]) == {0: "X", 2: "a"}
    many = class_letters(range(70), ["é"] * 70)
    assert len(set(many.values()) - {"?"}) == 62
    assert list(many.values())[62:] == ["?"] * 8


@pytest.fixture
def folder(shards, tmp_path: Path) -> Path:
    near = [[40, 40, 60, 60], [41, 40, 61, 60], [8, 8, 14, 14]]
    rows = [
        shards.build_row("a/one ä.png", near, [0, 1, 2], size=SIZE),
        shards.build_row("a/none.png", [], [], size=SIZE),
    ]
    shards.build_shards(tmp_path / "shards", {"train": rows}, size=SIZE, class_names=NAMES)
    return tmp_path / "shards"


def test_the_command(folder: Path, tmp_path: Path) -> None:
    result = run(folder, ImageRequest(image="one ä.png", scale=16, out=tmp_path / "grid.png"))
    assert "stride 16: 6 x 6 cells, anchors 0 20x20, 1 28x28, 2 36x36" in result.text
    assert "overwrites box 0" in result.text
    assert ("  #  " in result.text, "  +  " in result.text) == (True, False)
    report = json.loads(json.dumps(result.report, allow_nan=False))
    stored = next(iter(read_rows(folder, load_manifest(folder), "train"))).labels[1]
    assert len(report["positives"]) == len(stored.cell)
    assert report["positives"][0]["contested_by"] == [0]
    assert report["positives"][0]["class"] == "car"
    assert min(np.asarray(Image.open(tmp_path / "grid.png")).shape[:2]) > 1000
    assert result.exit_code == 0
    empty = run(folder, ImageRequest(image="none", scale=8, out=tmp_path / "none.png"))
    assert empty.report["positives"] == []
    with pytest.raises(UsageError, match=r"8, 16, 32\b.*12"):
        run(folder, ImageRequest(image="none", scale=12))
