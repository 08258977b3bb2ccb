"""Bounds of a COCO ``segmentation``: polygons, or a mask as run lengths, plain or packed as pycocotools does it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

__all__ = ["bounds_of_segmentation"]

MOST_PIXELS = 2**31

Box = tuple[float, float, float, float]


def bounds_of_segmentation(segmentation: Any) -> Box | None:
    """Upright bounds.

    Args:
        segmentation: a list of polygons ``[x, y, x, y, ...]``, or ``{"size": [height, width], "counts": ...}``.

    Returns:
        x1, y1, x2, y2 in pixels; None where it is neither, or empty.

    >>> bounds_of_segmentation([[10, 20, 110, 20, 110, 220]])
    (10.0, 20.0, 110.0, 220.0)
    >>> bounds_of_segmentation({"size": [3, 4], "counts": [4, 2, 6]})
    (1.0, 1.0, 2.0, 3.0)
    """
    if isinstance(segmentation, dict):
        return _of_mask(segmentation.get("size"), segmentation.get("counts"))
    if not isinstance(segmentation, list) or not segmentation:
        return None
    polygons = segmentation if isinstance(segmentation[0], list) else [segmentation]
    if not all(isinstance(polygon, list) and len(polygon) % 2 == 0 for polygon in polygons):
        return None
    if not all(type(value) in (int, float) and abs(value) < 1e9 for value in chain(*polygons)):
        return None
    xs, ys = ([float(value) for polygon in polygons for value in polygon[start::2]] for start in (0, 1))
    return (min(xs), min(ys), max(xs), max(ys)) if xs else None


def _of_mask(size: Any, counts: Any) -> Box | None:
    """Runs of 0 and 1 in turn, down the columns."""
    if not isinstance(size, list) or len(size) != 2 or not all(type(side) is int and side > 0 for side in size):
        return None
    height, width = size
    runs = _runs(counts)
    if runs is None or math.prod(size) > MOST_PIXELS or sum(runs) > height * width:
        return None
    left, top, right, bottom = width, height, 0, 0
    for start, end in _ones(runs):
        first, last = start // height, (end - 1) // height
        left, right = min(left, first), max(right, last + 1)
        whole = first != last
        top = min(top, 0 if whole else start % height)
        bottom = max(bottom, height if whole else (end - 1) % height + 1)
    return (float(left), float(top), float(right), float(bottom)) if right else None


def _ones(runs: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Start and end of each run of ones."""
    at = 0
    for number, run in enumerate(runs):
        if number % 2 and run:
            yield at, at + run
        at += run


def _runs(counts: Any) -> list[int] | None:
    if isinstance(counts, str):
        return _unpack(counts)
    if isinstance(counts, list) and all(type(run) is int and run >= 0 for run in counts):
        return counts
    return None


def _unpack(text: str) -> list[int] | None:
    """Run lengths from pycocotools' text: five bits a character, the lowest first, differences from the third on."""
    runs: list[int] = []
    value = shift = 0
    for sign in text:
        code = ord(sign) - 48
        if not 0 <= code < 64:
            return None
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            if code & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return None if shift or any(run < 0 for run in runs) else runs
