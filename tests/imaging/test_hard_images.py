"""Every odd kind of image through the real stages: the shard shows what a person sees, or the problem has a name.

The reference is Pillow alone: its own decoding, its own EXIF turning, its own resampling (eight times too large,
reduced by averaging), on a canvas of the grey that surrounds a letterboxed picture.
"""

import io
import json
from math import ceil

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from yolopipe.cli import app, guarded
from yolopipe.imaging.geometry import invert_affine, letterbox_matrix, translation_matrix, warp
from yolopipe.shards.manifest import load_manifest
from yolopipe.shards.reader import read_rows
from yolopipe.shards.schema import decode_pixels

SIZE = 96
FINE = 8
PARAMS = """\
data: {train: train.txt, val: val.txt, classes: classes.names, images: images}
parse: {on_bad: drop-image, min_box_px: 0}
augment: {copies: 1}
precompute: {input_size: 96, shard_rows: 64, encoding: png}
"""
CORNERS = np.array(
    [[[250, 40, 40], [40, 220, 40]], [[40, 40, 230], [240, 230, 60]]], np.uint8
)  # each corner its own colour: no turn looks like another


def picture(width, height):
    return Image.fromarray(CORNERS).resize((width, height), Image.Resampling.BICUBIC)


def encode(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def turned(orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(picture(150, 90), kind, exif=exif, **({"quality": 95} if kind == "JPEG" else {}))


def deep(channels):
    """A 16-bit PNG and the 8-bit picture that it is: Pillow clips 16-bit grey and cannot read 16-bit colour."""
    shown = np.asarray(picture(150, 90))
    values = shown.astype(np.uint16) * 256 + 77
    stored = values[..., 0] if channels == 1 else values[..., ::-1]
    shown = np.repeat(shown[..., :1], 3, axis=2) if channels == 1 else shown
    return cv2.imencode(".png", stored)[1].tobytes(), Image.fromarray(shown)


def with_alpha(mode):
    image = picture(150, 90).convert("L" if mode == "LA" else "RGB")
    image.putalpha(Image.linear_gradient("L").resize((150, 90)))
    return encode(image, "PNG")


GOOD = {
    "grey.jpg": encode(picture(150, 90).convert("L"), "JPEG", quality=95),
    "grey.png": encode(picture(150, 90).convert("L"), "PNG"),
    "bilevel.png": encode(picture(150, 90).convert("1", dither=Image.Dither.NONE), "PNG"),
    "alpha.png": with_alpha("RGBA"),
    "grey and alpha.png": with_alpha("LA"),
    "palette.png": encode(picture(150, 90).convert("P", palette=Image.Palette.ADAPTIVE), "PNG"),
    "interlaced.webp": encode(picture(150, 90), "WEBP", quality=95),
    "cmyk.jpg": encode(picture(150, 90).convert("CMYK"), "JPEG", quality=95),
    "progressive.jpg": encode(picture(150, 90), "JPEG", quality=95, progressive=True),
    "one high.jpg": encode(picture(180, 1), "JPEG", quality=95),
    "one high.png": encode(picture(180, 1), "PNG"),
    "one wide.png": encode(picture(1, 180), "PNG"),
    "one pixel.png": encode(picture(1, 1), "PNG"),
    "20000 wide.jpg": encode(picture(20_000, 700), "JPEG", quality=95),
    "20000 high.png": encode(picture(500, 20_000), "PNG", compress_level=1),
    "40000 wide.png": encode(picture(40_000, 700).convert("L"), "PNG", compress_level=1),
    "wrong suffix.jpg": encode(picture(150, 90), "PNG"),
    **{f"exif {value}.jpg": turned(value, "JPEG") for value in range(1, 9)},
    **{f"exif {value}.png": turned(value, "PNG") for value in range(1, 9)},
}
DEEP = {"16 bit grey.png": deep(1), "16 bit colour.png": deep(3)}
BAD = {
    "cut.jpg": (encode(picture(150, 90), "JPEG", quality=95)[:-300], "truncated-image"),
    "cut.png": (encode(picture(150, 90), "PNG")[:-300], "truncated-image"),
    "cut.webp": (encode(picture(150, 90), "WEBP")[:-300], "truncated-image"),
    "header only.jpg": (encode(picture(150, 90), "JPEG")[:20], "truncated-image"),
    "text.jpg": (b"I am no image", "not-an-image"),
    "empty.jpg": (b"", "not-an-image"),
    "film.jpg": (encode(picture(150, 90), "GIF"), "unsupported-image"),
    "missing.jpg": (None, "missing-image"),
}


def shown(name):
    """The picture behind a file as Pillow shows it; any picture for a bad file."""
    if name in BAD:
        return picture(9, 9)
    return ImageOps.exif_transpose(DEEP[name][1] if name in DEEP else Image.open(io.BytesIO(GOOD[name])))


def box_text(image):
    """The upper left quarter of the picture, or all of it where a quarter has no pixel."""
    return f"0,0,{max(1, image.width // 2)},{max(1, image.height // 2)},0"


def inside(start, side, scale):
    """Away from the edge, where enlarging blends half a source pixel with the grey; all of it where it is thin."""
    margin = 2 + ceil(scale / 2)
    if side < 8:
        return slice(start, start + ceil(side))
    return slice(start + min(margin, int(side) // 2 - 1), start + int(side) - min(margin, int(side) // 2 - 1))


def reference(image):
    """The letterboxed picture as (SIZE, SIZE, 3) float, and where in it the inside of the picture is."""
    image = ImageOps.exif_transpose(image).convert("RGB")
    scale = SIZE / max(image.size)
    fine_wh = [max(1, round(FINE * scale * side)) for side in image.size]
    corner = tuple(FINE * int((SIZE - scale * side) // 2) for side in image.size)
    canvas = Image.new("RGB", (SIZE * FINE, SIZE * FINE), (128, 128, 128))
    canvas.paste(image.resize(fine_wh, Image.Resampling.BILINEAR), corner)
    columns, rows = (inside(at // FINE, side / FINE, scale) for at, side in zip(corner, fine_wh, strict=True))
    return np.asarray(canvas.reduce(FINE), float), (rows, columns)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Row of each image after parse, augment and precompute as commands, and the problems that parse listed."""
    folder = tmp_path_factory.mktemp("hard")
    (folder / "images").mkdir()
    files = {
        **GOOD,
        **{name: content for name, (content, _) in {**DEEP, **BAD}.items()},
        "plain.png": GOOD["grey.png"],
    }
    for name, content in files.items():
        if content is not None:
            (folder / "images" / name).write_bytes(content)
    lines = [f"images/{name} {box_text(shown(name))}\n" for name in files if name != "plain.png"]
    (folder / "val.txt").write_text("".join(lines))
    (folder / "train.txt").write_text("images/plain.png\n")
    (folder / "classes.names").write_text("corner\n")
    (folder / "params.yaml").write_text(PARAMS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for stage in ("parse", "augment", "precompute"):
            assert guarded(lambda: app([stage, "--workers", "1"], standalone_mode=False)) == 0  # noqa: B023
    manifest = load_manifest(folder / "data/shards")
    found = {row.path.removeprefix("images/"): row for row in read_rows(folder / "data/shards", manifest, "val")}
    return (
        found,
        (folder / "data/parsed/problems.csv").read_text(),
        json.loads((folder / "data/parsed/counts.json").read_text()),
    )


@pytest.mark.slow
def test_nothing_is_lost_in_silence(rows):
    found, problems, counts = rows
    assert set(found) == set(GOOD) | set(DEEP)
    assert counts["splits"]["val"]["images_read"] == len(GOOD) + len(DEEP) + len(BAD)
    for name, (_, rule) in BAD.items():
        assert f"{rule}," in next(line for line in problems.splitlines() if f"images/{name}," in line)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*GOOD, *DEEP])
def test_the_shard_shows_what_a_person_sees(rows, name):
    row, image = rows[0][name], shown(name)
    assert row.source_wh == image.size
    wanted, region = reference(image)
    stored = decode_pixels(row.image, encoding="png", input_size=SIZE).astype(float)
    difference = np.abs(stored - wanted)
    thin = (
        SIZE * min(image.size) / max(image.size) < 8
    )  # a line covers parts of pixels: coverage against interpolation
    assert difference[region].mean() < (8 if thin else 1)
    assert np.percentile(difference[region], 99) < (24 if thin else 12)
    assert thin or min(image.size) == 1 or difference.mean() < 0.6, "nothing but grey around it"


@pytest.mark.slow
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_references_tell_the_turns_apart(orientation):
    """The comparison above would fail for any wrong orientation."""
    others = [reference(Image.open(io.BytesIO(turned(value, "PNG"))))[0] for value in range(1, 9)]
    for value, other in enumerate(others, start=1):
        if value != orientation:
            assert np.abs(other - others[orientation - 1]).mean() > 10


def test_a_small_part_of_an_image_too_wide_for_opencv():
    """A crop of 64 px out of 40,000: cv2.warpAffine itself refuses sources of 32,767 pixels a side."""
    small = np.asarray(picture(64, 64))
    wide = np.full((64, 40_000, 3), 7, np.uint8)
    wide[:, 36_000:36_064] = small
    found = warp(wide, translation_matrix(-36_000, 0), 64)
    np.testing.assert_array_equal(found, small)
    doubled = letterbox_matrix((64, 64), 128)
    moved = doubled @ np.vstack([translation_matrix(-36_000, 0), [0, 0, 1]])
    inside = slice(1, -1)
    np.testing.assert_array_equal(warp(wide, moved, 128)[:, inside], warp(small, doubled, 128)[:, inside])
    assert invert_affine(moved)[0, 2] == 36_000
