"""The rules for boxes, applied to all boxes of a split at once: arrays in, masks out.

Rules:

``class-range``    the class has no name;
``no-area``        x1 >= x2 or y1 >= y2 (swapped corners are not repaired: what was meant is unknown);
``outside-image``  a corner is outside the image;
``tiny``           a side is below ``min_box_px`` once the image is letterboxed to the network input;
``duplicate-box``  same corners and class as an earlier box of the image.

A box to be ignored may have class -1, any class, and may be tiny: it holds no cell.

A box without area is not also reported as tiny or outside, nor a box outside as tiny: one cause, one problem.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from yolopipe.formats.annotation_line import number_text
from yolopipe.formats.class_names import undefined_class

__all__ = ["BoxChecker", "BoxFaults", "clip_boxes", "guess_format", "partly_outside", "repeated", "without_area"]

SLACK_PX = 1e-3
"""Up to this far outside, a corner counts as on the edge, and is moved there: float32 rounds by as much at 8,192 px,
and normalised boxes come back as 640.00002."""

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class BoxFaults:
    """The boxes that break each rule.

    Args:
        masks: (N,) bool per rule.
        first: (N,) int64; number of the box that a duplicate repeats, else -1.
    """

    masks: Mapping[str, Mask]
    first: Ints

    @property
    def any(self) -> Mask:
        """(N,) bool: boxes that break at least one rule."""
        return np.asarray(np.logical_or.reduce(list(self.masks.values())), bool)


@dataclass(frozen=True, slots=True)
class BoxChecker:
    """The rules with their limits.

    Args:
        class_count: number of class names.
        input_size: side of the square network input in pixels.
        min_box_px: smallest side of a box at that size.
    """

    class_count: int
    input_size: int
    min_box_px: float

    def check(
        self, boxes_xyxy: Floats, classes: Ints, box_image: Ints, size_wh: Floats, ignore: Mask | None = None
    ) -> BoxFaults:
        """Check every box of a split.

        Args:
            boxes_xyxy: (N, 4) float64 pixels of the oriented image.
            classes: (N,) class numbers.
            box_image: (N,) row of each box's image in ``size_wh``.
            size_wh: (M, 2) float64 oriented image sizes; NaN where the image could not be read.
            ignore: (N,) boxes to be ignored; None for none.

        Returns:
            A mask per rule.

        >>> boxes = np.array([[0, 0, 5, 5], [5, 5, 5, 9], [0, 0, 5, 5], [8, 8, 12, 9]], float)
        >>> checker = BoxChecker(class_count=1, input_size=32, min_box_px=1.0)
        >>> zeros = np.zeros(4, int)
        >>> faults = checker.check(boxes, zeros, zeros, np.array([[10.0, 10.0]]))
        >>> {rule: np.flatnonzero(mask).tolist() for rule, mask in faults.masks.items()}
        {'class-range': [], 'no-area': [1], 'outside-image': [3], 'tiny': [], 'duplicate-box': [2]}
        """
        size = size_wh[box_image]
        ignore = np.zeros(len(classes), bool) if ignore is None else ignore
        no_area = without_area(boxes_xyxy)
        outside = ~no_area & ~np.isnan(size[:, 0]) & _outside(boxes_xyxy, size)
        small = _any(self._sides_at_input(boxes_xyxy, size) < self.min_box_px)
        first = _first_equal(boxes_xyxy, classes, ignore, box_image)
        masks = {
            "class-range": (classes < np.where(ignore, -1, 0)) | (classes >= self.class_count),
            "no-area": no_area,
            "outside-image": outside,
            "tiny": ~no_area & ~outside & small & ~ignore,
            "duplicate-box": first >= 0,
        }
        return BoxFaults(masks, first)

    def _sides_at_input(self, boxes_xyxy: Floats, size_wh: Floats) -> Floats:
        scale = self.input_size / size_wh.max(axis=1, keepdims=True)
        sides: Floats = (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]) * scale
        return sides

    def message(self, rule: str, box_xyxy: Floats, label: int, size_wh: Floats, *, orientation: int = 1) -> str:
        """What is wrong with one box, as a sentence.

        >>> checker = BoxChecker(class_count=3, input_size=416, min_box_px=1.0)
        >>> checker.message("outside-image", np.array([1.0, 2, 700, 9]), 0, np.array([640.0, 480]))
        'box 1,2,700,9 reaches 60 px past the right edge of the 640x480 image'
        """
        box = "box " + ",".join(map(number_text, box_xyxy.tolist()))
        if rule == "class-range":
            return undefined_class(label, self.class_count)
        if rule == "no-area":
            return f"{box} {_why_no_area(box_xyxy)}"
        if rule == "outside-image":
            return f"{box} {_where_outside(box_xyxy, size_wh)}{_exif_hint(box_xyxy, size_wh, orientation)}"
        if rule == "tiny":
            width, height = self._sides_at_input(box_xyxy[None], size_wh[None])[0].tolist()
            at_input = f"{width:.2g}x{height:.2g} px at input size {self.input_size}"
            return f"{box} is {at_input}; parse.min_box_px is {self.min_box_px:g}"
        return f"{box} of class {label} is a duplicate"


def _any(mask: Mask) -> Mask:
    return np.asarray(mask.any(axis=1), np.bool_)


def _outside(boxes_xyxy: Floats, size_wh: Floats) -> Mask:
    low, high = boxes_xyxy[:, :2], boxes_xyxy[:, 2:]
    past = _any(low < -SLACK_PX) | _any(high > size_wh + SLACK_PX)
    return past | _any(low >= size_wh) | _any(high <= 0)


def _first_equal(boxes_xyxy: Floats, classes: Ints, ignore: Mask, box_image: Ints) -> Ints:
    """(N,) number of the first equal box of the same image; -1 where the box is the first itself."""
    keys = [*(boxes_xyxy + 0.0).T, classes, ignore, box_image]  # + 0.0 makes -0.0 equal 0.0 to the sort as well
    order = np.lexsort(keys)  # stable: equal boxes stay in the order of the text
    fresh = np.ones(len(order), bool)
    fresh[1:] = np.logical_or.reduce([key[order[1:]] != key[order[:-1]] for key in keys])
    starts = order[fresh][np.cumsum(fresh) - 1]
    first = np.full(len(order), -1, np.int64)
    first[order[~fresh]] = starts[~fresh]
    return first


def repeated(boxes_xyxy: Floats, classes: Ints, ignore: Mask, box_image: Ints) -> Mask:
    """(N,) boxes that break the rule ``duplicate-box``.

    >>> zeros = np.zeros(2, int)
    >>> repeated(np.array([[1.0, 2, 3, 4]] * 2), zeros, zeros > 0, zeros).tolist()
    [False, True]
    """
    return _first_equal(boxes_xyxy, classes, ignore, box_image) >= 0


def without_area(boxes_xyxy: Floats) -> Mask:
    """Boxes that have no area once they are stored as float32.

    >>> without_area(np.array([[5.0, 5, 5, 9], [5, 5, 6, 9]])).tolist()
    [True, False]
    """
    with np.errstate(over="ignore"):  # 1e300 becomes infinite, and is still outside or empty
        stored = boxes_xyxy.astype(np.float32)
    return _any(stored[:, 2:] <= stored[:, :2])


def partly_outside(boxes_xyxy: Floats, size_wh: Floats) -> Mask:
    """Boxes that can be clipped: some area inside the image, some corner outside.

    Args:
        boxes_xyxy: (N, 4) pixels.
        size_wh: (N, 2) size of each box's image; NaN gives False.

    Returns:
        (N,) bool.

    >>> partly_outside(np.array([[-5.0, 0, 5, 5], [-5, 0, -1, 5]]), np.array([[10.0, 10], [10, 10]])).tolist()
    [True, False]
    """
    clipped = clip_boxes(boxes_xyxy, size_wh)
    mask: Mask = _outside(boxes_xyxy, size_wh) & (clipped[:, 2:] > clipped[:, :2]).all(axis=1)
    return mask


def clip_boxes(boxes_xyxy: Floats, size_wh: Floats) -> Floats:
    """Boxes cut to their images.

    Args:
        boxes_xyxy: (N, 4) pixels.
        size_wh: (N, 2) size of each box's image.

    Returns:
        (N, 4) pixels.

    >>> clip_boxes(np.array([[-5.0, 2, 50, 5]]), np.array([[10.0, 10.0]])).tolist()
    [[0.0, 2.0, 10.0, 5.0]]
    """
    return np.clip(boxes_xyxy, 0.0, np.tile(size_wh, 2))


def _why_no_area(box_xyxy: Floats) -> str:
    width, height = (box_xyxy[2:] - box_xyxy[:2]).tolist()
    if width < 0 or height < 0:
        names = " and ".join(n for n, side in (("x1 > x2", width), ("y1 > y2", height)) if side < 0)
        return f"has {names}: swapped corners, or x,y,width,height?"
    flat = [name for name, side in (("width", width), ("height", height)) if side < 1e-3]
    return f"has no area: {' and '.join(flat)} 0"


def _where_outside(box_xyxy: Floats, size_wh: Floats) -> str:
    size = f"{size_wh[0]:.0f}x{size_wh[1]:.0f}"
    if (box_xyxy[:2] >= size_wh).any() or (box_xyxy[2:] <= 0).any():
        return f"is entirely outside the {size} image"
    past = [*(-box_xyxy[:2]).tolist(), *(box_xyxy[2:] - size_wh).tolist()]
    names = ("left", "top", "right", "bottom")
    parts = [f"{px:.4g} px past the {name}" for name, px in zip(names, past, strict=True) if px > SLACK_PX]
    return f"reaches {' and '.join(parts)} edge of the {size} image"


def _exif_hint(box_xyxy: Floats, size_wh: Floats, orientation: int) -> str:
    """The usual cause with phone photographs: a labelling tool that ignored EXIF."""
    if orientation < 5 or _outside(box_xyxy[None], size_wh[None, ::-1])[0]:
        return ""
    return f" (EXIF orientation {orientation} rotates it; the box would fit the image as stored)"


def guess_format(boxes_xyxy: Floats) -> str:
    """A guess at the wrong format that boxes are in, in words; empty where they look like corners in pixels.

    >>> guess_format(np.array([[0.1, 0.2, 0.5, 0.6]]))
    'all coordinates are between 0 and 1: normalised? Expected pixels'
    """
    if len(boxes_xyxy) and boxes_xyxy.min() >= 0 and boxes_xyxy.max() <= 1:
        return "all coordinates are between 0 and 1: normalised? Expected pixels"
    swapped = (boxes_xyxy[:, 2:] < boxes_xyxy[:, :2]).any(axis=1)
    if len(boxes_xyxy) >= 10 and swapped.mean() > 0.2:
        return f"{swapped.mean():.0%} of the boxes have x1 > x2 or y1 > y2: x,y,width,height? Expected corners"
    return ""
