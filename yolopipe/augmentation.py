"""Random flip, crop and translation as one affine map a sample, and colour as three gains (notes 1.1).

No image is read here: a variant is a row of a table.  Its randomness comes from (seed, image, copy) and nothing
else, so neither order nor worker count nor the images beside it change it.  As in the notes, crop and translation
never cut into a box: they stay within the margin around all boxes of the image.  Unlike there, the crop trims all
four sides and images without boxes take part (their "boxes" are the central half).
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from yolopipe.config import Augment
from yolopipe.geometry import compose, flip_matrix, flip_vertical_matrix, transform_boxes, translation_matrix

__all__ = ["OPERATIONS", "Variant", "apply_colour", "augment_sample", "identity_sample", "sample_generator"]

Floats = npt.NDArray[np.float64]


OPERATIONS = ("flip", "flip_vertical", "crop", "translate")
"""In the order they are done; each a probability in params and a word in the table's ``operations``."""


class Variant(NamedTuple):
    """One sample of an image.

    Args:
        matrix: (2, 3) source pixels to frame pixels, corner coordinates.
        frame_wh: width and height of the frame: the cropped image.
        visible_xyxy: the part of the frame that shows the image, frame pixels; the rest is grey.
        colour: (3,) hue shift in turns, saturation gain, value gain; (0, 1, 1) changes nothing.
        operations: which of :data:`OPERATIONS` were drawn, in their order.
    """

    matrix: Floats
    frame_wh: tuple[float, float]
    visible_xyxy: Floats
    colour: Floats
    operations: tuple[str, ...]


def sample_generator(seed: int, image: str, copy: int) -> np.random.Generator:
    """The random numbers of one sample: a pure function of its three names.

    >>> draws = [sample_generator(1, "a.jpg", copy).random() for copy in (0, 0, 1)]
    >>> draws[0] == draws[1], draws[0] == draws[2]
    (True, False)
    """
    digest = hashlib.sha256(f"{seed}\0{copy}\0{image}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))


def identity_sample(size_wh: tuple[int, int]) -> Variant:
    """The image as it is: what every validation image becomes.

    >>> identity_sample((20, 10)).visible_xyxy.tolist()
    [0.0, 0.0, 20.0, 10.0]
    """
    width, height = (float(side) for side in size_wh)
    whole = np.array([0.0, 0.0, width, height])
    return Variant(translation_matrix(0, 0), (width, height), whole, np.array([0.0, 1.0, 1.0]), ())


def augment_sample(
    size_wh: tuple[int, int],
    boxes_xyxy: npt.ArrayLike,
    params: Augment,
    generator: np.random.Generator,
) -> Variant:
    """Draw one variant of an image.

    Args:
        size_wh: width and height of the source image in pixels.
        boxes_xyxy: (N, 4) source pixels; N may be 0.
        params: probabilities and colour ranges.
        generator: from :func:`sample_generator`.

    Returns:
        The composed map; every box lies inside both frame and visible part.

    >>> params = Augment(flip=1.0, crop=0.0, translate=0.0)
    >>> augment_sample((100, 50), [[10, 20, 30, 40]], params, np.random.default_rng(0)).operations
    ('flip',)
    """
    # All numbers are drawn, used or not: a changed probability leaves the other operations' draws alone.
    chances = dict(zip(OPERATIONS, generator.random(len(OPERATIONS)), strict=True))
    drawn = [name for name in OPERATIONS if chances[name] < getattr(params, name)]
    crop_share, move_share, colour_share = (
        generator.random(4),
        generator.uniform(-1, 1, 2),
        generator.uniform(-1, 1, 3),
    )

    variant = identity_sample(size_wh)
    matrix, frame_wh = variant.matrix, variant.frame_wh
    core = _core(boxes_xyxy, frame_wh)
    for name, mirror in (("flip", flip_matrix(frame_wh[0])), ("flip_vertical", flip_vertical_matrix(frame_wh[1]))):
        if name in drawn:
            matrix, core = compose(matrix, mirror), transform_boxes(mirror, core)[0]
    visible = variant.visible_xyxy
    if "crop" in drawn:
        window = _crop_window(core, frame_wh, crop_share)
        shift = translation_matrix(-window[0], -window[1])
        matrix, core = compose(matrix, shift), transform_boxes(shift, core)[0]
        frame_wh = (float(window[2] - window[0]), float(window[3] - window[1]))
        visible = np.array([0.0, 0.0, *frame_wh])
    if "translate" in drawn:
        shift = _translation(core, frame_wh, move_share)
        matrix = compose(matrix, shift)
        visible = np.clip(transform_boxes(shift, visible)[0], 0.0, [*frame_wh, *frame_wh])
    colour = np.array([0.0, 1.0, 1.0]) + colour_share * (params.hue, params.saturation, params.value)
    return Variant(matrix + 0.0, frame_wh, visible, colour, tuple(drawn))


def _core(boxes_xyxy: npt.ArrayLike, size_wh: tuple[float, float]) -> Floats:
    """The rectangle that must stay in the picture: around all boxes, or the central half."""
    boxes = np.asarray(boxes_xyxy, np.float64).reshape(-1, 4)
    if not len(boxes):
        return np.array([*size_wh, *size_wh]) * (0.25, 0.25, 0.75, 0.75)
    return np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])


def _crop_window(core: Floats, size_wh: tuple[float, float], share: Floats) -> Floats:
    """A window around ``core`` that gives up a random share of each margin, in whole pixels."""
    low = np.floor(core[:2] * (1 - share[:2]))
    high = np.ceil(core[2:] + (np.asarray(size_wh) - core[2:]) * share[2:])
    return np.concatenate([np.maximum(low, 0.0), np.minimum(high, size_wh)])


def _translation(core: Floats, size_wh: tuple[float, float], share: Floats) -> Floats:
    """A random move by whole pixels that keeps ``core`` in the frame."""
    room = np.where(share < 0, core[:2], np.asarray(size_wh) - core[2:])
    x, y = np.trunc(np.maximum(room, 0.0) * share)
    return translation_matrix(float(x), float(y))


def apply_colour(image: npt.NDArray[np.uint8], colour: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    """Shift hue and scale saturation and value (two colour conversions and a table look-up, 1 ms at 416 px).

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
