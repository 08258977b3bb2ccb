"""Pictures with boxes and legible text, in colours that colour-blind readers can tell apart.

Lines get a dark rim and text a filled ground, so that both are readable on any picture.  Pillow draws, with the
font it carries; nothing here needs a display.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from math import ceil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from yolopipe.files import atomic_file

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "ORANGE",
    "PURPLE",
    "SKY",
    "VERMILLION",
    "WHITE",
    "YELLOW",
    "Colour",
    "Key",
    "Sketch",
    "arrange",
    "legend",
    "save_png",
    "shorten",
    "with_title",
]

Colour = tuple[int, int, int]
Pixels = npt.NDArray[np.uint8]
Box = Sequence[float]

# Okabe and Ito's palette, and neutral ends.
ORANGE: Colour = (230, 159, 0)
SKY: Colour = (86, 180, 233)
GREEN: Colour = (0, 158, 115)
YELLOW: Colour = (240, 228, 66)
BLUE: Colour = (0, 114, 178)
VERMILLION: Colour = (213, 94, 0)
PURPLE: Colour = (204, 121, 167)
WHITE: Colour = (255, 255, 255)
GREY: Colour = (150, 150, 150)

PAPER: Colour = (24, 26, 30)
INK: Colour = (235, 235, 235)
RIM: Colour = (0, 0, 0)

TEXT_PX = 14
DASH_PX = 6
HATCH_PX = 12
"""From one line of a hatch to the next, along a row; a line is 2 px wide, with a rim of 1 px on either side."""

GAP_PX = 10


@lru_cache
def _font(size: int = TEXT_PX) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _text_size(text: str, size: int = TEXT_PX) -> tuple[int, int]:
    left, _, right, _ = _font(size).getbbox(text)
    return ceil(right - left), ceil(size * 1.3)


def _ink_on(colour: Colour) -> Colour:
    """Black or white, whichever reads better on ``colour``."""
    red, green, blue = colour
    return RIM if 0.3 * red + 0.59 * green + 0.11 * blue > 120 else WHITE


def shorten(text: str, width_px: int, size: int = TEXT_PX) -> str:
    """``text``, its front cut away until it fits: the end of a path says which file it is.

    >>> shorten("abc", 1000)
    'abc'
    >>> shorten("a/very/long/path/of/some/image.jpg", 100)[:3]
    '...'
    """
    if _text_size(text, size)[0] <= width_px:
        return text
    fitting = (f"...{text[start:]}" for start in range(1, len(text)))
    return next((cut for cut in fitting if _text_size(cut, size)[0] <= width_px), "...")


class Sketch:
    """One picture under the pen; coordinates are those of the original pixels, whatever the enlargement.

    >>> sketch = Sketch(np.zeros((16, 16, 3), np.uint8), scale=4)
    >>> sketch.box([2, 2, 9, 9], SKY)
    >>> sketch.pixels().shape
    (64, 64, 3)
    """

    def __init__(self, pixels: Pixels, *, scale: float = 1.0, text_px: int = TEXT_PX) -> None:
        height, width = pixels.shape[:2]
        size = max(1, round(width * scale)), max(1, round(height * scale))
        # Enlarged pixels stay squares: what is shown is what is stored.
        how = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX
        self._image = Image.fromarray(pixels).resize(size, how)
        self._draw = ImageDraw.Draw(self._image, "RGBA")
        self._scale, self._text_px = scale, text_px
        self._taken: list[tuple[float, float, float, float]] = []

    def pixels(self) -> Pixels:
        """The picture as it is now, (H, W, 3) uint8."""
        return np.asarray(self._image, np.uint8)

    def dim(self, share: float) -> None:
        """Mix the picture with black so that lines stand out; 0 changes nothing."""
        black = Image.new("RGB", self._image.size)
        self._image.paste(Image.blend(self._image, black, share))

    def fill(self, box_xyxy: Box, colour: Colour, *, share: float = 0.35) -> None:
        """Tint a rectangle."""
        self._draw.rectangle(self._place(box_xyxy), fill=(*colour, round(255 * share)))

    def hatch(self, box_xyxy: Box, colour: Colour) -> None:
        """Cover a rectangle with diagonal lines; those of overlapping rectangles lie on each other."""
        left, top, right, bottom = (max(0, round(side)) for side in self._place(box_xyxy))
        _hatch(self._image, (left, top, right + 1, bottom + 1), colour)

    def box(self, box_xyxy: Box, colour: Colour, *, width: int = 2, dashed: bool = False) -> None:
        """Outline a rectangle, with a dark rim."""
        x1, y1, x2, y2 = self._place(box_xyxy)
        corners = [(x1, y1), (x2, y1), (x2, y2), (x1, y2), (x1, y1)]
        edges = list(pairwise(corners))
        pieces = [piece for edge in edges for piece in _dashes(*edge)] if dashed else edges
        rims = [((*RIM, 150), width + 2)] if width > 1 else []  # around a hairline it would be all one sees
        for ink, thickness in [*rims, (colour, width)]:
            for piece in pieces:
                self._draw.line(piece, fill=ink, width=thickness)

    def grid(self, step_px: float, colour: Colour = WHITE, *, share: float = 0.25) -> None:
        """Thin lines every ``step_px`` original pixels."""
        width, height = self._image.size
        step, ink = step_px * self._scale, (*colour, round(255 * share))
        for n in range(1, round(max(width, height) / step)):
            self._draw.line([(n * step, 0), (n * step, height)], fill=ink)
            self._draw.line([(0, n * step), (width, n * step)], fill=ink)

    def cross(self, x: float, y: float, colour: Colour, *, arm: int = 5) -> None:
        """Mark a point."""
        px, py = x * self._scale, y * self._scale
        for ink, width in ((RIM, 3), (colour, 1)):
            self._draw.line([(px - arm, py), (px + arm, py)], fill=ink, width=width)
            self._draw.line([(px, py - arm), (px, py + arm)], fill=ink, width=width)

    def label(self, box_xyxy: Box, text: str, colour: Colour) -> None:
        """Text at a corner of the box: inside the picture, and clear of other labels where there is room."""
        width, height = _text_size(text, self._text_px)
        place = self._free_place(self._place(box_xyxy), width + 6, height)
        self._taken.append(place)
        self._draw.rectangle(place, fill=(*colour, 235))
        self._draw.text((place[0] + 3, place[1] + 1), text, fill=_ink_on(colour), font=_font(self._text_px))

    def _place(self, box_xyxy: Box) -> tuple[float, float, float, float]:
        """Box in enlarged pixels, its last line drawn inside the picture."""
        width, height = self._image.size
        x1, y1, x2, y2 = (float(v) * self._scale for v in box_xyxy)
        x1, x2 = (min(max(v, -1e4), width - 1.0) for v in (x1, max(x1, x2)))
        y1, y2 = (min(max(v, -1e4), height - 1.0) for v in (y1, max(y1, y2)))
        return x1, y1, x2, y2

    def _free_place(
        self, box: tuple[float, float, float, float], width: float, height: float
    ) -> tuple[float, float, float, float]:
        x1, y1, x2, y2 = box
        lefts, tops = (x1, x2 - width), (y1 - height, y2 + 1, y1, y2 - height)
        beside = [(left, top) for top in tops for left in lefts]
        nearby = [(x1, y1 + n * height) for n in (1, -2, 2)]
        places = [self._inside(left, top, width, height) for left, top in beside + nearby]
        # A later place must save more overlap than it costs in distance from its box.
        costs = 12 * np.arange(len(places)) + _shared(np.array(places), np.array(self._taken).reshape(-1, 4))
        return places[int(costs.argmin())]

    def _inside(self, left: float, top: float, width: float, height: float) -> tuple[float, float, float, float]:
        x = max(0.0, min(left, self._image.width - width - 1))
        y = max(0.0, min(top, self._image.height - height - 1))
        return x, y, x + width, y + height


def _shared(places: npt.NDArray[np.float64], others: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """How much area each of (P, 4) places shares with all of (N, 4) others: (P,)."""
    low = np.maximum(places[:, np.newaxis, :2], others[:, :2])
    high = np.minimum(places[:, np.newaxis, 2:], others[:, 2:])
    return np.asarray(np.clip(high - low, 0.0, None).prod(axis=2).sum(axis=1), np.float64)


def _dashes(
    start: tuple[float, float], end: tuple[float, float]
) -> Iterable[tuple[tuple[float, float], tuple[float, float]]]:
    (x1, y1), (x2, y2) = start, end
    length = max(abs(x2 - x1), abs(y2 - y1), 1.0)
    for begin in np.arange(0.0, length, 2 * DASH_PX).tolist():
        from_, to = begin / length, min(begin + DASH_PX, length) / length
        yield (x1 + (x2 - x1) * from_, y1 + (y2 - y1) * from_), (x1 + (x2 - x1) * to, y1 + (y2 - y1) * to)


def _hatch(image: Image.Image, area: tuple[int, int, int, int], colour: Colour) -> None:
    """Diagonal lines from lower left to upper right, with a dark rim, on the pixels of an area (its end excluded)."""
    left, top, right, bottom = area
    rows, columns = np.ogrid[top:bottom, left:right]
    place = (rows + columns) % HATCH_PX
    for ink, share, where in ((RIM, 150, (place == 2) | (place == HATCH_PX - 1)), (colour, 255, place < 2)):
        image.paste(ink, area, Image.fromarray((where * share).astype(np.uint8)))


class Key(NamedTuple):
    """One entry of a legend."""

    text: str
    colour: Colour
    dashed: bool = False
    hatched: bool = False


def legend(keys: Sequence[Key], *, width: int, note: str = "") -> Pixels:
    """A strip that explains the colours, as many lines high as it needs.

    >>> legend([Key("right", SKY), Key("wrong", ORANGE, dashed=True)], width=300).shape
    (26, 300, 3)
    """
    size = TEXT_PX + 1
    places, x, y, line = [], GAP_PX, 4, 22
    for text in [*(key.text for key in keys), *([note] if note else [])]:
        advance = _text_size(text, size)[0] + 34 + 2 * GAP_PX
        if x > GAP_PX and x + advance - GAP_PX > width:
            x, y = GAP_PX, y + line
        places.append((x, y))
        x += advance
    strip = Image.new("RGB", (width, y + line), PAPER)
    draw = ImageDraw.Draw(strip)
    for key, (left, top) in zip(keys, places, strict=False):
        sample = [(left, top + 9), (left + 28, top + 9)]
        if key.hatched:
            _hatch(strip, (left, top + 2, left + 28, top + 16), key.colour)
        else:
            for piece in _dashes(*sample) if key.dashed else [(sample[0], sample[1])]:
                draw.line(piece, fill=key.colour, width=4)
        draw.text((left + 34, top), key.text, fill=INK, font=_font(size))
    if note:
        draw.text(places[-1], note, fill=GREY, font=_font(size))
    return np.asarray(strip, np.uint8)


def with_title(pixels: Pixels, title: str, note: str = "") -> Pixels:
    """The picture under a line of text: a title, shortened where it must be, and a note that never is."""
    height, width = pixels.shape[:2]
    canvas = Image.new("RGB", (width, height + 20), PAPER)
    canvas.paste(Image.fromarray(pixels), (0, 20))
    draw = ImageDraw.Draw(canvas)
    note_width = _text_size(note)[0] + GAP_PX if note else 0
    title = shorten(title, width - note_width - 2)
    draw.text((1, 1), title, fill=INK, font=_font())
    draw.text((1 + _text_size(title)[0] + GAP_PX, 1), note, fill=GREY, font=_font())
    return np.asarray(canvas, np.uint8)


def arrange(pictures: Sequence[Pixels], *, columns: int) -> Pixels:
    """Pictures in rows on dark paper, left to right.

    >>> arrange([np.zeros((10, 20, 3), np.uint8)] * 3, columns=2).shape
    (50, 70, 3)
    """
    width = max(picture.shape[1] for picture in pictures)
    height = max(picture.shape[0] for picture in pictures)
    rows = ceil(len(pictures) / columns)
    sheet = Image.new("RGB", (columns * (width + GAP_PX) + GAP_PX, rows * (height + GAP_PX) + GAP_PX), PAPER)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        place = GAP_PX + column * (width + GAP_PX), GAP_PX + row * (height + GAP_PX)
        sheet.paste(Image.fromarray(picture), place)
    return np.asarray(sheet, np.uint8)


def save_png(path: str | Path, pixels: Pixels) -> None:
    """Write an image, atomically; equal pixels give equal bytes."""
    with atomic_file(path) as partial:
        Image.fromarray(pixels).save(partial, format="PNG", optimize=False, compress_level=6)
