"""What the network is shown: the pixels of training, whatever the picture comes as."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from yolopipe.detection.pixels import network_input, upright_pixels
from yolopipe.detection.to_source import to_source
from yolopipe.errors import DataError, ImageError
from yolopipe.shards.manifest import load_manifest
from yolopipe.shards.reader import read_rows
from yolopipe.shards.schema import decode_pixels
from yolopipe.stages import precompute


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["png", "raw"])
def test_bit_for_bit_those_of_the_stored_validation_rows(
    project: Path, drawn: ModuleType, encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = project / "data/shards"
    if encoding == "raw":
        monkeypatch.setattr("yolopipe.paths.SHARDS", tmp_path / "shards")
        precompute.run(drawn.make_config(precompute={"input_size": 64, "encoding": "raw"}), workers=1)
        shards = tmp_path / "shards"
    manifest = load_manifest(shards)
    assert manifest.encoding == encoding
    rows = list(read_rows(shards, manifest, "val"))
    assert len(rows) >= 4
    for row in rows:
        seen = network_input(upright_pixels(row.path), manifest.input_size)
        stored = decode_pixels(row.image, encoding=encoding, input_size=manifest.input_size)
        np.testing.assert_array_equal(seen.pixels, stored)
        np.testing.assert_array_equal(seen.matrix, row.matrix)
        assert seen.source_wh == row.source_wh


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_as_pillow_turns_it(tmp_path: Path, orientation: int) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (7, 12, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "ünter wegs.png"
    picture.save(path, exif=exif)
    with Image.open(path) as opened:
        np.testing.assert_array_equal(upright_pixels(path), np.asarray(ImageOps.exif_transpose(opened)))
    np.testing.assert_array_equal(upright_pixels(str(path)), upright_pixels(path))


def test_arrays_of_every_kind() -> None:
    rng = np.random.default_rng(1)
    for height, width in ((1, 1), (1, 900), (37, 5), *rng.integers(1, 60, (20, 2)).tolist()):
        colour = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        grey = colour[..., 0]
        alpha = np.dstack([colour, rng.integers(0, 256, (height, width), dtype=np.uint8)])
        wide = colour.astype(np.uint16) * 256 + rng.integers(0, 256, colour.shape, dtype=np.uint16)
        for given in (colour, alpha, wide, colour[::-1, ::-1][::-1, ::-1]):
            np.testing.assert_array_equal(upright_pixels(given), colour)
        for given in (grey, grey[..., np.newaxis], grey.astype(np.uint16) << 8):
            np.testing.assert_array_equal(upright_pixels(given), np.dstack([grey] * 3))
        seen = network_input(colour, 32)
        assert seen.pixels.shape == (32, 32, 3)
        corners = to_source(seen, np.float32([[0, 0, 32, 32]]))
        np.testing.assert_allclose(corners, [[0, 0, width, height]], atol=1e-4)


def test_a_file_and_its_pixels_are_the_same_picture(tmp_path: Path) -> None:
    pixels = np.random.default_rng(2).integers(0, 65536, (20, 30), dtype=np.uint16)
    cv2.imwrite(str(tmp_path / "grey16.png"), pixels)
    np.testing.assert_array_equal(upright_pixels(tmp_path / "grey16.png"), upright_pixels(pixels))


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (np.zeros((4, 4, 3), np.float32), "got an array of float32"),
        (np.zeros((4, 4, 3), np.int64), "got an array of int64"),
        (np.zeros((4, 4, 3), np.bool_), "got an array of bool"),
        ([[0]], "got list"),
        (None, "got NoneType"),
        (np.zeros((2, 4, 4, 3), np.uint8), r"got \(2, 4, 4, 3\)"),
        (np.zeros((4, 4, 2), np.uint8), r"got \(4, 4, 2\)"),
        (np.zeros((3, 40, 40), np.uint8), r"got \(3, 40, 40\)"),
        (np.zeros((0, 4, 3), np.uint8), r"got \(0, 4, 3\)"),
        (np.zeros(9, np.uint8), r"got \(9,\)"),
    ],
)
def test_what_is_no_image_is_said(image: object, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        upright_pixels(image)  # type: ignore[arg-type]


def test_a_file_that_is_none() -> None:
    with pytest.raises(ImageError) as missing:
        upright_pixels("nowhere.jpg")
    assert missing.value.rule == "missing-image"
