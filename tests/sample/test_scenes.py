from __future__ import annotations

import hashlib
import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolopipe.config.params import Config
from yolopipe.formats.annotation_text import parse_annotation, read_annotations
from yolopipe.formats.class_names import read_class_names
from yolopipe.sample.scenes import DIGIT_PX, MAX_OVERLAP, NETWORK_PX, Scene, compose_scene, split_handwriting
from yolopipe.stages import parse, sample

INK, DIGITS = sample.load_handwriting()
GLYPHS = (INK / 16).astype(np.float32)


def scene_of(seed: int, size: int = 192, max_digits: int = 6) -> Scene:
    return compose_scene(GLYPHS, DIGITS, np.random.default_rng([seed, 9]), size=size, max_digits=max_digits)


def config(**options: int) -> Config:
    folder = "data/sample"
    named = {
        "train": f"{folder}/train.txt",
        "val": f"{folder}/val.txt",
        "classes": f"{folder}/classes.names",
        "images": f"{folder}/images",
    }
    return Config(data=named, sample=options, precompute={"input_size": 160})  # type: ignore[arg-type]


@given(st.integers(0, 2**32))
def test_train_and_val_share_no_handwriting(seed: int) -> None:
    train, val = split_handwriting(DIGITS, seed)
    assert len(GLYPHS) == 1797
    assert sorted([*train.tolist(), *val.tolist()]) == list(range(1797))
    assert np.bincount(DIGITS[val], minlength=10).min() >= 30
    pictures = {glyph.tobytes() for glyph in GLYPHS[train]}
    assert not any(glyph.tobytes() in pictures for glyph in GLYPHS[val])


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.sampled_from([40, 96, 192]), st.integers(1, 12))
def test_every_scene_keeps_its_promises(seed: int, size: int, max_digits: int) -> None:
    image, boxes, classes = scene_of(seed, size, max_digits)
    height, width = image.shape[:2]
    assert image.dtype == np.uint8
    assert 0.7 * size <= min(width, height) <= max(width, height) <= 1.4 * size
    assert len(boxes) == len(classes) <= max_digits
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= (width, height)).all()
    assert (boxes[:, 2:] - boxes[:, :2] >= 3).all()
    for a, b in itertools.combinations(boxes, 2):
        shared = np.maximum(0, np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])).prod()
        assert shared <= MAX_OVERLAP * min((box[2:] - box[:2]).prod() for box in (a, b)) + 1e-9


def test_digits_have_the_promised_size_at_network_input() -> None:
    heights = []
    for seed in range(60):
        scene = scene_of(seed)
        heights.extend((scene.boxes_xyxy[:, 3] - scene.boxes_xyxy[:, 1]) * NETWORK_PX / max(scene.image.shape))
    assert len(heights) > 100
    assert min(heights) >= DIGIT_PX[0] - 0.5
    assert max(heights) <= DIGIT_PX[1] + 0.5
    assert np.percentile(heights, 90) > 2 * np.percentile(heights, 10)


@pytest.mark.slow
def test_boxes_are_tight_around_the_ink() -> None:
    """On scenes with one digit and no clutter: the ink, found by its contrast alone, fills the box to its edges."""
    checked = 0
    for seed in range(150):
        image, boxes, _ = scene_of(seed, max_digits=1)
        if len(boxes) != 1:
            continue
        x1, y1, x2, y2 = boxes[0]
        grey = cv2.GaussianBlur(image, (0, 0), 0.8).astype(np.float32)
        ground = np.median(grey.reshape(-1, 3), axis=0)
        contrast = np.abs(grey - ground).sum(axis=2)
        inside = contrast[y1:y2, x1:x2]
        outside = contrast.copy()
        outside[y1 - 2 : y2 + 2, x1 - 2 : x2 + 2] = 0
        if outside.max() > 0.3 * inside.max():
            continue  # clutter or ruled lines
        ink = inside > 0.4 * inside.max()
        rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
        assert rows[0] <= 2
        assert columns[0] <= 2
        assert rows[-1] >= y2 - y1 - 3
        assert columns[-1] >= x2 - x1 - 3
        checked += 1
    assert checked >= 15


@pytest.mark.slow
def test_scenes_vary() -> None:
    scenes = [scene_of(seed) for seed in range(80)]
    assert {len(scene.classes) for scene in scenes} >= {0, 1, 2, 3, 4, 5}
    assert {int(label) for scene in scenes for label in scene.classes} == set(range(10))
    shapes = [scene.image.shape for scene in scenes]
    assert any(h > w for h, w, _ in shapes)
    assert any(h < w for h, w, _ in shapes)
    means = [scene.image.mean() for scene in scenes]
    assert min(means) < 90 < 180 < max(means)


def test_stage_writes_what_parse_accepts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("data/sample")
    folder.mkdir(parents=True)
    (folder / "dvc.yaml").write_text("stages: {}\n")
    result = sample.run(config(train_images=12, val_images=5, size=96, max_digits=4))
    assert (folder / "dvc.yaml").read_text() == "stages: {}\n"
    assert sorted(p.name for p in folder.iterdir()) == ["classes.names", "dvc.yaml", "images", "train.txt", "val.txt"]
    assert len(list((folder / "images/train").iterdir())) == 12
    assert read_class_names(folder / "classes.names")[3] == "three"
    first = parse_annotation((folder / "train.txt").read_text().splitlines()[0])
    assert first.image_path == "data/sample/images/train/000001.jpg"
    text = read_annotations(folder / "val.txt")
    assert text.faults == []
    parsed = parse.run(config(train_images=12, val_images=5, size=96, max_digits=4))
    for split in ("train", "val"):
        counts = parsed.report["splits"][split]
        assert {key: counts[key] for key in result.report[split]} == result.report[split]
        assert counts["problems"] == {}


def digests(options: dict[str, int], workers: int) -> dict[str, str]:
    sample.run(config(**options), workers=workers)
    files = sorted(p for p in Path("data").rglob("*") if p.is_file())
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.mark.slow
def test_same_seed_same_bytes_for_any_worker_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sample, "CHUNK_SCENES", 5)
    one = digests({"train_images": 14, "val_images": 3, "size": 48}, workers=1)
    assert digests({"train_images": 14, "val_images": 3, "size": 48}, workers=2) == one
    other = digests({"train_images": 14, "val_images": 3, "size": 48, "seed": 8}, workers=1)
    assert not set(one.values()) & {v for k, v in other.items() if "images" in k}
    # Scene k does not know how many there are.
    fewer = digests({"train_images": 4, "val_images": 2, "size": 48}, workers=1)
    pictures = {k: v for k, v in fewer.items() if "images" in k}
    assert len(pictures) == 6
    assert pictures.items() <= one.items()
