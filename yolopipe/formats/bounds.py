"""Upright bounds of shapes that are not upright boxes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

__all__ = ["Box", "bounds_of_ellipse", "bounds_of_points", "bounds_of_rotated"]

Box = tuple[float, float, float, float]


def bounds_of_points(points: Iterable[Sequence[float]]) -> Box:
    """Bounds of points.

    >>> bounds_of_points([(3, 1), (2, 9), (5, 4)])
    (2.0, 1.0, 5.0, 9.0)
    """
    xs, ys = zip(*points, strict=True)
    return float(min(xs)), float(min(ys)), float(max(xs)), float(max(ys))


def bounds_of_rotated(box_xyxy: Sequence[float], degrees: float, pivot_xy: Sequence[float] | None = None) -> Box:
    """Bounds of a box that is rotated clockwise (y points down).

    Args:
        box_xyxy: before the rotation.
        degrees: angle; 0 returns the box as it is.
        pivot_xy: the point that stays; the centre by default.

    >>> bounds_of_rotated((0, 0, 4, 2), 90)
    (1.0, -1.0, 3.0, 3.0)
    """
    x1, y1, x2, y2 = map(float, box_xyxy)
    if degrees % 360 == 0:
        return x1, y1, x2, y2
    px, py = pivot_xy or ((x1 + x2) / 2, (y1 + y2) / 2)
    cos, sin = _cos_sin(degrees)
    corners = [(x - px, y - py) for x in (x1, x2) for y in (y1, y2)]
    return bounds_of_points((px + x * cos - y * sin, py + x * sin + y * cos) for x, y in corners)


def bounds_of_ellipse(centre_xy: Sequence[float], radius_xy: Sequence[float], degrees: float = 0) -> Box:
    """Bounds of an ellipse that is rotated clockwise around its centre.

    >>> bounds_of_ellipse((5, 5), (3, 1), 90)
    (4.0, 2.0, 6.0, 8.0)
    """
    (x, y), (rx, ry) = centre_xy, radius_xy
    cos, sin = _cos_sin(degrees)
    half_w, half_h = math.hypot(rx * cos, ry * sin), math.hypot(rx * sin, ry * cos)
    return x - half_w, y - half_h, x + half_w, y + half_h


def _cos_sin(degrees: float) -> tuple[float, float]:
    """Exact for quarter turns."""
    angle = degrees % 360
    if angle % 90 == 0:
        return ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))[int(angle // 90)]
    return math.cos(math.radians(angle)), math.sin(math.radians(angle))
