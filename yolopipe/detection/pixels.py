"""Any picture to network input: decoder, EXIF orientation and letterbox are those of ``precompute``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from yolopipe.errors import DataError
from yolopipe.imaging.geometry import letterbox_matrix, warp
from yolopipe.imaging.images import read_header, read_image

__all__ = ["NetworkInput", "network_input", "upright_pixels"]

Pixels = npt.NDArray[np.uint8]

CHANNELS = (1, 3, 4)


@dataclass(frozen=True)
class NetworkInput:
    """A letterboxed picture, and where its pixels come from.

    Args:
        pixels: (S, S, 3) uint8 RGB.
        matrix: (2, 3) source pixels to network-input pixels, corner coordinates.
        source_wh: width and height of the upright source in pixels.
    """

    pixels: Pixels
    matrix: npt.NDArray[np.float64]
    source_wh: tuple[int, int]


def upright_pixels(image: str | os.PathLike[str] | npt.NDArray[Any]) -> Pixels:
    """The RGB pixels of an image, upright.

    Args:
        image: a file (EXIF orientation is applied); or (H, W, 3) RGB, (H, W, 4) RGB and alpha, which is dropped,
            (H, W) or (H, W, 1) grey; uint8, or uint16, which lose their lower eight bits.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ImageError: the file is missing, cut short, or not an image.
        DataError: an array of another kind.

    >>> upright_pixels(np.full((2, 3), 0x1234, np.uint16))[0, 0].tolist()
    [18, 18, 18]
    """
    if isinstance(image, str | os.PathLike):
        name = os.fspath(image)
        return read_image(name, read_header(name).orientation)
    pixels = image if isinstance(image, np.ndarray) else None
    if pixels is None or pixels.dtype not in (np.uint8, np.uint16):
        kind = type(image).__name__ if pixels is None else f"an array of {pixels.dtype}"
        raise DataError(
            f"expected a path, or an array of uint8 or uint16 from 0 up, got {kind}",
            hint="of numbers from 0 to 1: (255 * image).round().astype(np.uint8)",
        )
    if pixels.ndim == 2:
        pixels = pixels[..., np.newaxis]
    if pixels.ndim != 3 or pixels.shape[2] not in CHANNELS or not pixels.size:
        raise DataError(
            f"expected shape (height, width), with 1, 3 (RGB) or 4 (RGBA) channels last, got {image.shape}",
            hint="a batch is a list of images: detector.predict_batch(list(images))",
        )
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    colour = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels[..., :3]
    return np.ascontiguousarray(colour, np.uint8)


def network_input(pixels: Pixels, size: int) -> NetworkInput:
    """Letterbox upright pixels as ``precompute`` does with a sample that is not augmented.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        size: side of the network input in pixels.

    >>> network_input(np.zeros((2, 4, 3), np.uint8), 4).pixels[:, 0, 0].tolist()
    [128, 0, 0, 128]
    """
    height, width = pixels.shape[:2]
    matrix = letterbox_matrix((width, height), size)
    return NetworkInput(warp(pixels, matrix, size), matrix, (width, height))
