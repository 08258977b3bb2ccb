"""The embedded data: scenes composed of real handwriting, as photographs of paper and boards might look.

The handwriting is the digits set that comes with scikit-learn (1,797 digits, 8x8, from the UCI machine learning
repository).  A scene depends on its own random generator and nothing else.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from yolopipe.sample.paper import clutter, ink_colour, photograph, surface, vary_colour

__all__ = ["CLASS_NAMES", "Scene", "compose_scene", "split_handwriting"]

CLASS_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

NETWORK_PX = 160
DIGIT_PX = (18.0, 70.0)
"""Height of a digit once a scene is letterboxed to a network input of :data:`NETWORK_PX`."""

MAX_OVERLAP = 0.1
"""Boxes share at most this part of the smaller one: digits may touch, none is hidden."""

BACKGROUND_SHARE = 0.05
"""Scenes without a digit."""

PLACING_ATTEMPTS = 30
OVERSAMPLE = 10

Floats = npt.NDArray[np.float32]
Random = np.random.Generator


class Scene(NamedTuple):
    """One composed picture.

    Args:
        image: (H, W, 3) uint8 RGB.
        boxes_xyxy: (N, 4) int64 pixels, tight around the ink.
        classes: (N,) int64.
    """

    image: npt.NDArray[np.uint8]
    boxes_xyxy: npt.NDArray[np.int64]
    classes: npt.NDArray[np.int64]


def split_handwriting(
    digits: npt.NDArray[np.int64], seed: int, *, val_share: float = 0.2
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Part the digits so that no stroke of handwriting is in both train and val.

    Args:
        digits: (N,) class of each handwritten digit.
        seed: of the permutation.
        val_share: part of each class that goes to val.

    Returns:
        Indices for train and for val, disjoint, together all; each class in both.

    >>> train, val = split_handwriting(np.repeat([0, 1], 10), seed=1)
    >>> len(train), len(val), sorted({*train, *val}) == list(range(20))
    (16, 4, True)
    """
    random = np.random.default_rng([seed, 2])
    parts = []
    for label in np.unique(digits):
        members = random.permutation(np.flatnonzero(digits == label))
        parts.append(np.split(members, [len(members) - max(1, round(len(members) * val_share))]))
    train, val = (np.sort(np.concatenate(side)) for side in zip(*parts, strict=True))
    return train, val


def compose_scene(
    glyphs: Floats, digits: npt.NDArray[np.int64], random: Random, *, size: int, max_digits: int
) -> Scene:
    """Compose one scene.

    Args:
        glyphs: (G, 8, 8) float32 ink, 0 to 1.
        digits: (G,) what each glyph shows.
        random: the scene's own generator.
        size: typical side of a scene in pixels; sides vary between 0.75 and 1.3 of it.
        max_digits: up to so many digits; fewer where no free place is found.

    Returns:
        The picture and its boxes; boxes overlap by at most :data:`MAX_OVERLAP` of the smaller one.

    >>> scene = compose_scene(np.ones((1, 8, 8), np.float32), np.array([3]), np.random.default_rng(0), size=64,
    ...                       max_digits=2)
    >>> scene.image.dtype, set(scene.classes.tolist()) <= {3}
    (dtype('uint8'), True)
    """
    width, height = _size_wh(random, size)
    dark = bool(random.random() < 0.3)
    canvas = surface(random, width, height, dark=dark)
    clutter(random, canvas, dark=dark)
    count = 0 if random.random() < BACKGROUND_SHARE else int(random.integers(1, max_digits + 1))
    ink = ink_colour(random, dark=dark)
    boxes: list[tuple[int, int, int, int]] = []
    classes: list[int] = []
    for _ in range(count):
        glyph = int(random.integers(len(glyphs)))
        mask = _draw(random, glyphs[glyph], height_px=_digit_height(random, max(width, height)))
        place = _place(random, mask.shape, (width, height), boxes)
        if place is None:
            continue
        _blend(canvas, mask, place, vary_colour(random, ink, 0.06))
        boxes.append((place[0], place[1], place[0] + mask.shape[1], place[1] + mask.shape[0]))
        classes.append(int(digits[glyph]))
    image = photograph(random, canvas)
    return Scene(image, np.array(boxes, np.int64).reshape(-1, 4), np.array(classes, np.int64))


def _size_wh(random: Random, size: int) -> tuple[int, int]:
    area, aspect = random.uniform(0.9, 1.1), np.exp(random.uniform(-0.18, 0.18))
    return max(16, round(size * area * aspect)), max(16, round(size * area / aspect))


def _digit_height(random: Random, long_side: int) -> float:
    low, high = np.log(DIGIT_PX[0] * 1.05), np.log(DIGIT_PX[1] * 0.97)
    return float(np.exp(random.uniform(low, high))) * long_side / NETWORK_PX


def _draw(random: Random, glyph: Floats, *, height_px: float) -> Floats:
    """The glyph as strokes: enlarged, slanted, turned, sharpened, cut tight; (h, w) ink 0 to 1, h near height_px."""
    side = 8 * OVERSAMPLE
    large = cv2.resize(np.pad(glyph, 2), (12 * OVERSAMPLE,) * 2, interpolation=cv2.INTER_CUBIC)
    # Less its surroundings: strokes a pen wide from 8x8 greys, and the holes of 4, 6, 8 and 9 stay open.
    large = 1.6 * cv2.GaussianBlur(large, (0, 0), 0.30 * OVERSAMPLE) - 0.6 * cv2.GaussianBlur(
        large, (0, 0), 1.1 * OVERSAMPLE
    )
    angle, shear = random.uniform(-0.22, 0.22), random.uniform(-0.22, 0.22)
    stretch = np.exp(random.uniform(-0.12, 0.12))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ np.array([[stretch, shear], [0, 1.0]])
    middle = np.full(2, 6 * OVERSAMPLE)
    matrix = np.column_stack([linear, middle - linear @ middle])
    large = np.asarray(cv2.warpAffine(large, matrix, (12 * OVERSAMPLE,) * 2), np.float32)
    ink = _cut(np.asarray(large / max(float(large.max()), 1e-6), np.float32), random.uniform(0.30, 0.44))
    scale = height_px / max(1, ink.shape[0])
    wh = max(3, round(ink.shape[1] * scale)), max(5, round(ink.shape[0] * scale))
    small = cv2.resize(ink, wh, interpolation=cv2.INTER_AREA if wh[1] < side else cv2.INTER_LINEAR)
    return np.asarray(small, np.float32)


def _cut(grey: Floats, threshold: float) -> Floats:
    """Soft-threshold to strokes and cut away what holds no ink."""
    ink = np.clip((grey - threshold) / 0.08 + 0.5, 0, 1).astype(np.float32)
    rows, columns = (np.flatnonzero((ink >= 0.5).any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return np.ones((8, 8), np.float32)
    return np.ascontiguousarray(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


def _place(
    random: Random, mask_hw: tuple[int, ...], size_wh: tuple[int, int], boxes: list[tuple[int, int, int, int]]
) -> tuple[int, int] | None:
    """A free place (left, top) for a mask; None where there is none after some attempts."""
    height, width = mask_hw
    if width + 4 > size_wh[0] or height + 4 > size_wh[1]:
        return None
    for _ in range(PLACING_ATTEMPTS):
        left = int(random.integers(2, size_wh[0] - width - 1))
        top = int(random.integers(2, size_wh[1] - height - 1))
        if all(_overlap((left, top, left + width, top + height), box) <= MAX_OVERLAP for box in boxes):
            return left, top
    return None


def _overlap(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> float:
    """Shared area over the area of the smaller box."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return max(0, width) * max(0, height) / smaller


def _blend(canvas: Floats, mask: Floats, place: tuple[int, int], colour: Floats) -> None:
    left, top = place
    part = canvas[top : top + mask.shape[0], left : left + mask.shape[1]]
    alpha = 0.92 * mask[..., None]
    part += alpha * (colour - part)
