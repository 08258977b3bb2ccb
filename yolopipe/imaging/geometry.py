"""Affine maps of images and boxes: 2×3 matrices in corner coordinates.

Pixel (row i, column j) covers [j, j+1) × [i, i+1); an image spans [0, width] × [0, height].  Boxes live in these
coordinates.  OpenCV counts from pixel centres instead, so :func:`warp` adds the half-pixel correction; without it
pixels and boxes drift apart by up to half a pixel of the larger image.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "CV_SIDE",
    "FILL",
    "compose",
    "corners_after",
    "fill_outside",
    "invert_affine",
    "letterbox_matrix",
    "scale_of",
    "transform_boxes",
    "translation_matrix",
    "warp",
]

Affine = npt.NDArray[np.float64]

FILL = 128
"""Grey level of every pixel wholly outside the picture, whether letterbox, crop or translation put it there."""

CV_SIDE = 32_767
"""``cv2.warpAffine`` refuses sources of this many pixels a side or more."""


def translation_matrix(x: float, y: float) -> Affine:
    """The matrix (2, 3) that moves right by ``x`` and down by ``y`` pixels.

    >>> translation_matrix(3, -2).tolist()
    [[1.0, 0.0, 3.0], [0.0, 1.0, -2.0]]
    """
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y]])


def letterbox_matrix(size_wh: npt.ArrayLike, input_size: int) -> Affine:
    """The matrix that scales an image to fit the square input, centred, aspect kept (docs/formulas.md, "Letterbox").

    The padding is a whole number of pixels, so that a scale of 1 stays sharp.

    Args:
        size_wh: (..., 2) width and height of the image in pixels.
        input_size: side of the square network input in pixels.

    Returns:
        (..., 2, 3) image pixels to input pixels.

    >>> letterbox_matrix((200, 100), 400).tolist()
    [[2.0, 0.0, 0.0], [0.0, 2.0, 100.0]]
    """
    sides = np.asarray(size_wh, np.float64)
    scale = (input_size / sides).min(axis=-1, keepdims=True)
    matrix = np.zeros((*sides.shape[:-1], 2, 3))
    matrix[..., [0, 1], [0, 1]] = scale
    matrix[..., 2] = np.maximum(0.0, np.floor((input_size - scale * sides) / 2))
    return matrix


def compose(first: npt.ArrayLike, *then: npt.ArrayLike) -> Affine:
    """The matrix (2, 3) that applies ``first`` and then each of ``then``, in order; or (..., 2, 3) of them at once.

    >>> compose([[-1, 0, 10], [0, 1, 0]], translation_matrix(1, 0)).tolist()
    [[-1.0, 0.0, 11.0], [0.0, 1.0, 0.0]]
    """
    result = np.asarray(first, np.float64)
    for matrix in then:
        result = (_square(np.asarray(matrix, np.float64)) @ _square(result))[..., :2, :]
    return result


def invert_affine(matrix: npt.ArrayLike) -> Affine:
    """The matrix that undoes ``matrix``.

    >>> invert_affine([[2, 0, 10], [0, 2, 0]]).tolist()
    [[0.5, 0.0, -5.0], [0.0, 0.5, 0.0]]
    """
    inverse = np.linalg.inv(_square(np.asarray(matrix, np.float64)))[:2]
    return np.asarray(inverse + 0.0, np.float64)  # no negative zeros in tables


def _square(matrix: Affine) -> Affine:
    square = np.zeros((*matrix.shape[:-2], 3, 3))
    square[..., :2, :], square[..., 2, 2] = matrix, 1.0
    return square


def scale_of(matrix: npt.ArrayLike) -> float:
    """The factor by which ``matrix`` enlarges lengths: the square root of its area factor.

    >>> scale_of([[0.5, 0, 3], [0, 0.5, 4]])
    0.5
    """
    (a, b), (c, d) = np.asarray(matrix, np.float64)[:, :2]
    return float(np.sqrt(abs(a * d - b * c)))


def transform_boxes(matrix: npt.ArrayLike, boxes_xyxy: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Boxes after an affine map without rotation: scaling, flipping and moving keep them upright.

    Args:
        matrix: (2, 3) without shear or rotation, or one for each box, (N, 2, 3).
        boxes_xyxy: (N, 4).

    Returns:
        (N, 4) float64, x1 <= x2 and y1 <= y2 also after a flip.

    >>> transform_boxes([[-1, 0, 100], [0, 1, 0]], [[10, 20, 30, 40]]).tolist()
    [[70.0, 20.0, 90.0, 40.0]]
    """
    affine = np.asarray(matrix, np.float64)
    corners = np.asarray(boxes_xyxy, np.float64).reshape(-1, 2, 2)
    moved = corners * affine[..., np.newaxis, [0, 1], [0, 1]] + affine[..., np.newaxis, :, 2]
    return np.concatenate([moved.min(axis=1), moved.max(axis=1)], axis=1)


def corners_after(matrix: npt.ArrayLike, image: npt.NDArray[Any]) -> Affine:
    """(4,) where :func:`transform_boxes` puts the rectangle of a whole (H, W, ...) image."""
    height, width = image.shape[:2]
    (corners,) = transform_boxes(matrix, [[0, 0, width, height]])
    return np.asarray(corners, np.float64)


def fill_outside(image: npt.NDArray[np.uint8], visible_xyxy: npt.ArrayLike) -> None:
    """Paint grey, in place, every pixel that lies wholly outside a rectangle.

    Args:
        image: (H, W, ...) uint8, changed.
        visible_xyxy: (4,) the rectangle in pixels of ``image``, corner coordinates.

    >>> image = np.zeros((3, 3), np.uint8)
    >>> fill_outside(image, [1, 0, 2.5, 3])
    >>> image[0].tolist()
    [128, 0, 0]
    """
    x1, y1, x2, y2 = np.round(np.asarray(visible_xyxy, np.float64), 6).tolist()  # rounding errors decide no row
    image[: max(0, math.floor(y1))] = FILL
    image[math.ceil(y2) :] = FILL
    image[:, : max(0, math.floor(x1))] = FILL
    image[:, math.ceil(x2) :] = FILL


def warp(image: npt.NDArray[np.uint8], matrix: npt.ArrayLike, size: int) -> npt.NDArray[np.uint8]:
    """Resample ``image`` once into a square of ``size`` pixels; those wholly outside of it are grey.

    ``cv2.warpAffine`` reads four neighbours, so shrinking by more than two would skip pixels (it ignores
    ``INTER_AREA``): then the image is first reduced by area averaging, and the rest is left to the warp.

    Args:
        image: (H, W, 3) uint8.
        matrix: (2, 3) image pixels to output pixels, corner coordinates, without shear or rotation.
        size: side of the output in pixels.

    Returns:
        (size, size, 3) uint8.  Pixels on the image's edge are mixed with grey.

    >>> warp(np.full((2, 4, 3), 9, np.uint8), letterbox_matrix((4, 2), 4), 4)[:, 0, 0].tolist()
    [128, 9, 9, 128]
    """
    import cv2

    affine = np.asarray(matrix, np.float64)
    visible_xyxy = corners_after(affine, image)
    scale = scale_of(affine)
    if scale < 0.5:
        height, width = image.shape[:2]
        small_wh = tuple(max(1, round(side * scale * 1.5)) for side in (width, height))
        image = np.asarray(cv2.resize(image, small_wh, interpolation=cv2.INTER_AREA), np.uint8)
        affine = affine @ np.diag([width / small_wh[0], height / small_wh[1], 1.0])
    if max(image.shape[:2]) >= CV_SIDE:
        image, affine = _part_in_sight(image, affine, size)
    centres = affine.copy()
    centres[:, 2] += affine[:, :2] @ [0.5, 0.5] - 0.5
    warped = np.asarray(
        cv2.warpAffine(
            image,
            centres,
            (size, size),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(FILL, FILL, FILL),
        ),
        np.uint8,
    )
    fill_outside(warped, visible_xyxy)  # enlarging mixes the edge into more than one pixel beyond it
    return warped


def _part_in_sight(image: npt.NDArray[np.uint8], affine: Affine, size: int) -> tuple[npt.NDArray[np.uint8], Affine]:
    """The part of ``image`` that ``affine`` shows, with the neighbours the warp reads, and the map from there."""
    x1, y1, x2, y2 = transform_boxes(invert_affine(affine), [[0, 0, size, size]])[0]
    height, width = image.shape[:2]
    left, top = (int(np.clip(math.floor(side) - 2, 0, most - 1)) for side, most in ((x1, width), (y1, height)))
    right, bottom = (int(np.clip(math.ceil(side) + 2, 1, most)) for side, most in ((x2, width), (y2, height)))
    return image[top:bottom, left:right], compose(translation_matrix(left, top), affine)
