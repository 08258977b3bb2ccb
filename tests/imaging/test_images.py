from __future__ import annotations

import io
import pickle
import struct
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from yolopipe.errors import ImageError
from yolopipe.imaging.images import decode_image, exif_orientation, orient, read_header, read_image

RNG = np.random.default_rng(5)
SMOOTH = cv2.resize(RNG.integers(0, 255, (4, 5, 3), dtype=np.uint8), (50, 40), interpolation=cv2.INTER_CUBIC)
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def with_orientation(value: int, kind: str = "JPEG", **options: Any) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = value
    return encode(Image.fromarray(SMOOTH), kind, exif=exif, **options)


def pillow_pixels(encoded: bytes) -> npt.NDArray[np.uint8]:
    """What Pillow shows after its own turning: the independent reference."""
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(encoded))).convert("RGB"))


def rule_of(content: bytes, tmp_path: Path) -> str:
    file = tmp_path / "x.img"
    file.write_bytes(content)
    with pytest.raises(ImageError) as caught:
        read_header(file)
    assert str(file) in str(caught.value)
    return caught.value.rule


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_every_orientation_equals_pillow(kind: str, orientation: int, tmp_path: Path) -> None:
    options = {"quality": 95} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    encoded = with_orientation(orientation, kind, **options)
    file = tmp_path / "x"
    file.write_bytes(encoded)
    expected = pillow_pixels(encoded)
    header = read_header(file)
    assert (header.height, header.width) == expected.shape[:2]
    assert header.orientation == (1 if kind == "TIFF" else orientation)
    np.testing.assert_array_equal(read_image(file, header.orientation), expected)


def test_orient_moves_a_marked_corner_where_exif_says() -> None:
    stored = np.zeros((2, 3, 1), np.uint8)
    stored[0, 0] = 1  # EXIF: "the 0th row is the visual ..., the 0th column is the visual ..."
    corner = {1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0), 5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0)}
    for orientation, (row, column) in corner.items():
        turned = orient(stored, orientation)
        assert turned.shape[:2] == ((2, 3) if orientation < 5 else (3, 2))
        assert turned[row, column] == 1
        assert turned.flags.c_contiguous


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_orientation_out_of_range_is_upright(value: int, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(with_orientation(value))
    header = read_header(tmp_path / "a.jpg")
    assert (header.width, header.height, header.orientation) == (50, 40, 1)


@pytest.mark.slow
@given(st.binary(max_size=60))
def test_any_bytes_are_some_orientation(noise: bytes) -> None:
    for block in (noise, b"II*\0" + noise, b"Exif\0\0MM\0*\0\0\0\x08" + noise):
        assert 1 <= exif_orientation(block) <= 8


def test_big_endian_and_long_orientation() -> None:
    for order, mark in ((">", b"MM"), ("<", b"II")):
        for kind, form in ((3, "HHIH2x"), (4, "HHII")):
            entries = struct.pack(order + "HHII", 0x0100, 4, 1, 77) + struct.pack(order + form, 0x0112, kind, 1, 8)
            block = mark + struct.pack(order + "HIH", 42, 8, 2) + entries
            assert exif_orientation(block) == 8


@pytest.mark.parametrize("mode", ["L", "1", "LA", "RGB", "RGBA", "P", "CMYK"])
@pytest.mark.parametrize("kind", FORMATS)
def test_colour_kinds_equal_pillow(mode: str, kind: str, tmp_path: Path) -> None:
    try:
        encoded = encode(Image.fromarray(SMOOTH).convert(mode), kind)
    except OSError:
        return  # the format has no such kind
    file = tmp_path / "x"
    file.write_bytes(encoded)
    if kind == "TIFF" and mode == "RGBA":
        assert rule_of(encoded, tmp_path) == "unsupported-image"
        return
    header = read_header(file)
    pixels = read_image(file, header.orientation)
    assert pixels.shape == (header.height, header.width, 3)
    difference = np.abs(pixels.astype(int) - pillow_pixels(encoded)).max()
    assert difference <= (1 if mode == "CMYK" else 0)


def test_alpha_is_dropped_not_multiplied() -> None:
    alpha = RNG.integers(0, 255, SMOOTH.shape[:2], dtype=np.uint8)
    encoded = encode(Image.fromarray(np.dstack([SMOOTH, alpha])), "PNG")
    np.testing.assert_array_equal(decode_image(encoded), SMOOTH)


def test_sixteen_bits_keep_the_upper_eight() -> None:
    deep = SMOOTH.astype(np.uint16) * 256 + 200
    encoded = cv2.imencode(".png", deep[..., ::-1])[1].tobytes()
    np.testing.assert_array_equal(decode_image(encoded), SMOOTH)
    grey = encode(Image.fromarray(deep[..., 0]), "PNG")
    np.testing.assert_array_equal(decode_image(grey), np.repeat(SMOOTH[..., :1], 3, axis=2))


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("lost", [1, 30, 0.5])
def test_cut_files_are_named_and_never_decoded(kind: str, lost: float, tmp_path: Path) -> None:
    whole = encode(Image.fromarray(SMOOTH), kind)
    cut = whole[: int(len(whole) * lost) if lost < 1 else -int(lost)]
    if not (kind == "TIFF" and lost == 1):  # Pillow pads TIFF: its last byte may hold no pixel
        assert rule_of(cut, tmp_path) == "truncated-image"
        with pytest.raises(ImageError):
            decode_image(cut)


def test_what_cameras_append_is_no_damage(tmp_path: Path) -> None:
    for kind in ("JPEG", "PNG"):
        encoded = encode(Image.fromarray(SMOOTH), kind) + b"ftypmp42 a film of a second" * 50
        (tmp_path / "x").write_bytes(encoded)
        assert read_header(tmp_path / "x").width == 50
        assert decode_image(encoded).shape == (40, 50, 3)


def test_end_marker_of_the_thumbnail_does_not_count(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "a thumbnail \xff\xd9 ends here".encode("latin1").decode("latin1")
    whole = encode(Image.fromarray(SMOOTH), "JPEG", exif=exif.tobytes() + b"\xff\xd9")
    assert whole.count(b"\xff\xd9") >= 2
    assert rule_of(whole[:-2], tmp_path) == "truncated-image"


def test_files_that_are_no_images(tmp_path: Path) -> None:
    assert rule_of(b"", tmp_path) == "not-an-image"
    assert rule_of(b"hello, I am text", tmp_path) == "not-an-image"
    assert rule_of(b"\xff\xd8\xff", tmp_path) == "truncated-image"
    assert rule_of(encode(Image.fromarray(SMOOTH), "GIF"), tmp_path) == "unsupported-image"
    assert rule_of(b"\0\0\0\x18ftypheic" + bytes(30), tmp_path) == "unsupported-image"
    for path, rule in ((tmp_path, "not-an-image"), (tmp_path / "no", "missing-image"), ("a\0b", "missing-image")):
        with pytest.raises(ImageError) as caught:
            read_header(path)
        assert caught.value.rule == rule


def damaged_at(kind: str, at: int, noise: bytes) -> bytes:
    whole = encode(Image.fromarray(SMOOTH), kind)
    return whole[:at] + noise + whole[at + len(noise) :]


@pytest.mark.parametrize(
    ("kind", "at", "noise"),
    [
        ("JPEG", 4, b"\xff\xff"),  # length of the first segment: past the end of the file
        ("JPEG", 20, bytes(600)),  # no frame header: Pillow reads on to the end
        ("PNG", 8, bytes(50)),
        ("PNG", 16, b"\x7f"),  # the checksum of IHDR
        ("WEBP", 12, b"JUNK"),
        ("BMP", 14, b"\x07\0\0\0"),  # length of the second header
        ("TIFF", 8, b"\0\0"),  # no entries
    ],
)
def test_a_broken_header_of_a_whole_file_is_not_called_truncated(
    kind: str, at: int, noise: bytes, tmp_path: Path
) -> None:
    damaged = damaged_at(kind, at, noise)
    assert len(damaged) == len(encode(Image.fromarray(SMOOTH), kind))
    assert rule_of(damaged, tmp_path) == "broken-header"


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_cut_inside_its_header_is_truncated(kind: str, tmp_path: Path) -> None:
    for length in (16, 20, 24, 30):
        assert rule_of(encode(Image.fromarray(SMOOTH), kind)[:length], tmp_path) == "truncated-image", length


def test_decoding_names_the_rule_that_the_header_has(tmp_path: Path) -> None:
    png = damaged_at("PNG", 8, bytes(50))
    for content, rule in ((png, "broken-header"), (png[:60], "broken-header"), (png[:12], "truncated-image")):
        assert rule_of(content, tmp_path) == rule
        with pytest.raises(ImageError) as caught:
            decode_image(content)
        assert caught.value.rule == rule


@pytest.mark.slow
@settings(max_examples=60)  # a damaged size may cost a large allocation
@given(st.sampled_from(FORMATS), st.binary(max_size=8), st.integers(0, 60))
def test_damaged_headers_raise_image_errors_only(kind: str, noise: bytes, at: int) -> None:
    try:
        pixels = decode_image(damaged_at(kind, at, noise))
    except ImageError:
        return
    assert pixels.shape[2] == 3


def test_a_gigantic_image_is_no_crash(tmp_path: Path) -> None:
    """40,000 x 20,000 is past Pillow's bomb limits: its header is read in peace; past cv2's it is refused."""

    def png_header(width: int, height: int) -> bytes:
        small = encode(Image.fromarray(SMOOTH), "PNG")
        body = b"IHDR" + struct.pack(">II", width, height) + small[24:29]
        import zlib

        return small[:12] + body + struct.pack(">I", zlib.crc32(body)) + small[33:]

    (tmp_path / "big.png").write_bytes(png_header(40_000, 20_000))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_header(tmp_path / "big.png").width == 40_000
    assert rule_of(png_header(40_000, 40_000), tmp_path) == "unsupported-image"


def test_errors_cross_process_borders() -> None:
    error = pickle.loads(pickle.dumps(ImageError("missing-image", "no image file a.jpg")))
    assert (error.rule, error.message) == ("missing-image", "no image file a.jpg")


def test_decoding_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    for kind in FORMATS:
        with pytest.raises(ImageError):
            decode_image(encode(Image.fromarray(SMOOTH), kind)[:-200])
    assert capfd.readouterr().err == ""
