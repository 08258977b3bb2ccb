"""Random flip, crop and translation as one affine map a sample, and colour as three gains.

The formulas are in docs/formulas.md, "Augmentation".  No image is read here: a variant is a row of a table.  Its
random numbers depend on (seed, image, copy) alone, not on the order of images, the worker count or other images.
Crop and translation never cut a box: they stay within the margin around all boxes of the image, or around its central
half where it has none.  Boxes to be ignored do not hold them back, and are cut.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from yolopipe.arrays import Floats, Ints, Mask, Pixels
from yolopipe.config.params import Augment
from yolopipe.imaging.geometry import translation_matrix

__all__ = [
    "OPERATIONS",
    "Variants",
    "apply_colour",
    "augment_variants",
    "cut_boxes",
    "draw_numbers",
    "identity_variants",
    "move_boxes",
    "sample_generator",
]

OPERATIONS = ("flip", "flip_vertical", "crop", "translate")
"""In the order they are applied; each is a probability in params and a word in the table's ``operations``."""

NUMBERS = 13
"""Random numbers of a sample: four probabilities, four shares of the margins to crop, two moves, three colours."""


def sample_generator(seed: int, image: str, copy: int) -> np.random.Generator:
    """The random numbers of one sample: a pure function of its three arguments.

    >>> draws = [sample_generator(1, "a.jpg", copy).random() for copy in (0, 0, 1)]
    >>> draws[0] == draws[1], draws[0] == draws[2]
    (True, False)
    """
    digest = hashlib.sha256(f"{seed}\0{copy}\0{image}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))


class Variants(NamedTuple):
    """One sample of each of N images.

    Args:
        matrix: (N, 2, 3) source pixels to frame pixels, corner coordinates.
        frame_wh: (N, 2) width and height of the frame: the cropped image.
        visible_xyxy: (N, 4) the part of the frame that shows the image, frame pixels; the rest is grey.
        colour: (N, 3) hue shift in turns, saturation gain, value gain; (0, 1, 1) changes nothing.
        drawn: (N, 4) bool, in the order of :data:`OPERATIONS`.
    """

    matrix: Floats
    frame_wh: Floats
    visible_xyxy: Floats
    colour: Floats
    drawn: Mask


def draw_numbers(seed: int, images: Sequence[str], copy: int) -> Floats:
    """The (N, 13) random numbers in [0, 1) of one copy of N images, from :func:`sample_generator`.

    >>> draw_numbers(1, ["a.jpg", "b.jpg"], 0).shape
    (2, 13)
    """
    numbers = np.empty((len(images), NUMBERS))
    for index, image in enumerate(images):
        sample_generator(seed, image, copy).random(out=numbers[index])
    return numbers


def identity_variants(sizes_wh: npt.ArrayLike) -> Variants:
    """Variants without any change: those of validation images.

    Args:
        sizes_wh: (N, 2) width and height of the source images in pixels.

    >>> identity_variants([(20, 10)]).visible_xyxy.tolist()
    [[0.0, 0.0, 20.0, 10.0]]
    """
    frame_wh = np.asarray(sizes_wh, np.float64).reshape(-1, 2)
    count = len(frame_wh)
    return Variants(
        np.tile(translation_matrix(0, 0), (count, 1, 1)),
        frame_wh,
        np.hstack([np.zeros((count, 2)), frame_wh]),
        np.tile([0.0, 1.0, 1.0], (count, 1)),
        np.zeros((count, len(OPERATIONS)), bool),
    )


def augment_variants(
    sizes_wh: npt.ArrayLike,
    boxes_xyxy: npt.ArrayLike,
    offsets: Ints,
    params: Augment,
    numbers: Floats,
) -> Variants:
    """Turn random numbers into one variant of each of N images, all at once.

    Args:
        sizes_wh: (N, 2) width and height of the source images in pixels.
        boxes_xyxy: (M, 4) boxes of all images, source pixels.
        offsets: (N + 1,) image n has boxes ``offsets[n]:offsets[n + 1]``.
        params: probabilities and colour ranges.
        numbers: (N, 13) from :func:`draw_numbers`.

    Returns:
        The composed maps; every box lies inside both frame and visible part.
    """
    # All numbers are drawn, used or not, so that a changed probability does not change the other operations.
    chances, crop_share, signed = numbers[:, :4], numbers[:, 4:8], 2.0 * numbers[:, 8:] - 1.0
    drawn = chances < [getattr(params, name) for name in OPERATIONS]
    frame_wh = np.asarray(sizes_wh, np.float64).reshape(-1, 2)
    core = _cores(np.asarray(boxes_xyxy, np.float64).reshape(-1, 4), offsets, frame_wh)
    mirrored = drawn[:, :2]  # left and right, top and bottom: the two axes
    low, high = core[:, :2], core[:, 2:]
    low, high = np.where(mirrored, frame_wh - high, low), np.where(mirrored, frame_wh - low, high)
    shift = np.where(mirrored, frame_wh, 0.0)

    window = np.hstack([np.zeros_like(frame_wh), frame_wh])
    window = np.where(drawn[:, 2:3], _crop_windows(low, high, frame_wh, crop_share), window)
    corner, frame_wh = window[:, :2], window[:, 2:] - window[:, :2]
    shift, low, high = shift - corner, low - corner, high - corner

    move = np.where(drawn[:, 3:], _translations(low, high, frame_wh, signed[:, :2]), 0.0)
    shift = shift + move
    visible = np.clip(np.hstack([move, frame_wh + move]), 0.0, np.tile(frame_wh, 2))

    matrix = np.zeros((len(frame_wh), 2, 3))
    matrix[:, [0, 1], [0, 1]] = np.where(mirrored, -1.0, 1.0)
    matrix[:, :, 2] = shift
    colour = np.array([0.0, 1.0, 1.0]) + signed[:, 2:] * (params.hue, params.saturation, params.value)
    return Variants(matrix + 0.0, frame_wh, visible, colour, drawn)


def move_boxes(variants: Variants, boxes_xyxy: npt.ArrayLike, offsets: Ints) -> Floats:
    """Boxes of all images in the frames of their variants.

    Args:
        variants: of N images.
        boxes_xyxy: (M, 4) source pixels.
        offsets: (N + 1,) image n has boxes ``offsets[n]:offsets[n + 1]``.

    Returns:
        (M, 4) frame pixels, clipped to the frame, which only removes rounding: the maps never cut a box.

    >>> move_boxes(identity_variants([(20, 10)]), [[1, 2, 3, 4]], np.array([0, 1])).tolist()
    [[1.0, 2.0, 3.0, 4.0]]
    """
    frames_xyxy = np.hstack([np.zeros_like(variants.frame_wh), variants.frame_wh])
    return _moved_within(frames_xyxy, variants, boxes_xyxy, offsets)


def cut_boxes(variants: Variants, boxes_xyxy: npt.ArrayLike, offsets: Ints) -> Floats:
    """Boxes of all images in the frames of their variants, cut to the part that shows the image.

    Args:
        variants: of N images.
        boxes_xyxy: (M, 4) source pixels.
        offsets: (N + 1,) image n has boxes ``offsets[n]:offsets[n + 1]``.

    Returns:
        (M, 4) frame pixels; without area where nothing of the box is left.

    >>> cut_boxes(identity_variants([(20, 10)]), [[15, 2, 30, 4]], np.array([0, 1])).tolist()
    [[15.0, 2.0, 20.0, 4.0]]
    """
    return _moved_within(variants.visible_xyxy, variants, boxes_xyxy, offsets)


def _moved_within(limits_xyxy: Floats, variants: Variants, boxes_xyxy: npt.ArrayLike, offsets: Ints) -> Floats:
    """Boxes in frame pixels, clipped to a rectangle of each frame."""
    image = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    low, high = np.split(limits_xyxy[image], 2, axis=1)
    corners = np.asarray(boxes_xyxy, np.float64).reshape(-1, 2, 2)
    scale = variants.matrix[:, [0, 1], [0, 1]][image, np.newaxis]
    moved = corners * scale + variants.matrix[:, :, 2][image, np.newaxis]
    boxes = np.hstack([moved.min(axis=1), moved.max(axis=1)])
    inside: Floats = np.clip(boxes, np.tile(low, 2), np.tile(high, 2))
    return inside


def _cores(boxes_xyxy: Floats, offsets: Ints, size_wh: Floats) -> Floats:
    """(N, 4) the rectangles that must stay in the picture: around all boxes, or the central half."""
    cores = np.tile(size_wh, 2) * (0.25, 0.25, 0.75, 0.75)
    filled = np.flatnonzero(np.diff(offsets))
    if len(filled):
        starts = offsets[:-1][filled]
        cores[filled, :2] = np.minimum.reduceat(boxes_xyxy[:, :2], starts)
        cores[filled, 2:] = np.maximum.reduceat(boxes_xyxy[:, 2:], starts)
    return cores


def _crop_windows(low: Floats, high: Floats, size_wh: Floats, share: Floats) -> Floats:
    """(N, 4) windows around the cores without a random share of each margin, in whole pixels."""
    first = np.floor(low * (1 - share[:, :2]))
    last = np.ceil(high + (size_wh - high) * share[:, 2:])
    return np.hstack([np.maximum(first, 0.0), np.minimum(last, size_wh)])


def _translations(low: Floats, high: Floats, size_wh: Floats, share: Floats) -> Floats:
    """(N, 2) random moves by whole pixels that keep the cores in the frame."""
    room = np.where(share < 0, low, size_wh - high)
    moves: Floats = np.trunc(np.maximum(room, 0.0) * share)
    return moves


def apply_colour(image: Pixels, colour: npt.ArrayLike) -> Pixels:
    """Shift hue and scale saturation and value.

    Args:
        image: (H, W, 3) uint8 RGB.
        colour: (3,) hue shift in turns, saturation gain, value gain.

    Returns:
        (H, W, 3) uint8 RGB; ``image`` itself for (0, 1, 1).

    >>> apply_colour(np.full((1, 1, 3), 100, np.uint8), [0.0, 1.0, 1.5]).tolist()
    [[[150, 150, 150]]]
    """
    hue, saturation, value = (float(part) for part in np.asarray(colour))
    if (hue, saturation, value) == (0.0, 1.0, 1.0):
        return image
    import cv2

    levels = np.arange(256)
    table = np.stack(
        [
            np.round(levels + hue * 180) % 180,  # OpenCV's 8-bit hue counts two degrees
            np.clip(np.round(levels * saturation), 0, 255),
            np.clip(np.round(levels * value), 0, 255),
        ],
        axis=-1,
    ).astype(np.uint8)
    hsv = cv2.LUT(cv2.cvtColor(image, cv2.COLOR_RGB2HSV), table[np.newaxis])
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)
