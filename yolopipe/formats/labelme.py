"""labelme JSON: one file an image, a list of shapes.

    {"shapes": [{"label": "cat", "points": [[1, 2], [30, 40]], "shape_type": "rectangle"}],
     "imagePath": "a.jpg", "imageData": null, "imageHeight": 480, "imageWidth": 640}

A shape without ``shape_type`` is a polygon, as in files of the first versions.  Embedded pictures are ignored.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from yolopipe.errors import Problem
from yolopipe.formats.bounds import Box, bounds_of_points
from yolopipe.formats.coco_records import Place, Problems, shown
from yolopipe.formats.json_records import Record, read_object
from yolopipe.formats.text_lines import is_one_line

__all__ = ["LabelmeFile", "LabelmeShape", "read_labelme"]

_CORNERS = {"rectangle": 2, "mask": 2, "polygon": 1, "rotation": 3, "oriented_rectangle": 3, "quadrilateral": 3}
"""Shapes whose points are on their bounds, and the fewest points of each."""

_LEFT_OUT = {"point", "points", "line", "linestrip"}


class LabelmeShape(NamedTuple):
    """A shape with an area.

    Args:
        label: its class.
        kind: its ``shape_type``.
        box_xyxy: its bounds in pixels.
        place: where its record starts.
        difficult: ``"difficult": true``, in the shape or among its flags.
    """

    label: str
    kind: str
    box_xyxy: Box
    place: Place
    difficult: bool = False


@dataclass(slots=True)
class LabelmeFile:
    """The content of a file.

    Args:
        image_path: as written; empty where it is missing.
        size_wh: as written; zeros where it is missing.
        shapes: in the order of the file.
        left_out: points and lines, which have no area.
        problems: ``bad-json``, ``missing-key``, ``duplicate-key``, ``bad-record``, ``no-class-name``, ``bad-box``.
    """

    image_path: str = ""
    size_wh: tuple[int, int] = (0, 0)
    shapes: list[LabelmeShape] = field(default_factory=list)
    left_out: int = 0
    problems: list[Problem] = field(default_factory=list)


def read_labelme(path: str | Path) -> LabelmeFile:
    """Read one file.

    Raises:
        DataError: it cannot be opened or is not UTF-8 text.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "a.json"
    ...     _ = file.write_text('{"shapes": [{"label": "cat", "points": [[9, 8], [1, 2]],'
    ...                         ' "shape_type": "rectangle"}], "imagePath": "a.jpg"}')
    ...     read_labelme(file).shapes[0].box_xyxy
    (1.0, 2.0, 9.0, 8.0)
    """
    found = LabelmeFile()
    problems = Problems(str(path))

    def take(record: Record) -> None:
        place = Place(record.line, record.column)
        if not isinstance(record.value, dict):
            problems.add(place, "bad-record", f"expected a shape, found {shown(record.value)}", "box")
            return
        label, kind = record.value.get("label"), record.value.get("shape_type") or "polygon"
        if not isinstance(kind, str):
            problems.add(place, "bad-record", f"expected text in 'shape_type', found {shown(kind)}", "box")
        elif kind in _LEFT_OUT:
            found.left_out += 1
        elif not isinstance(label, str) or not is_one_line(label):
            problems.add(place, "no-class-name", f"expected a 'label' of one line, found {shown(label)}", "box")
        elif kind != "circle" and kind not in _CORNERS:
            problems.add(place, "bad-record", f"shape_type {shown(kind)} is not known", "box")
        else:
            points = record.value.get("points")
            reason = _why_not(kind, points)
            if reason:
                problems.add(place, "bad-box", f"{kind} {shown(label)}: {reason}", "box")
            else:
                difficult = _is_difficult(record.value)
                found.shapes.append(LabelmeShape(label.strip(), kind, _bounds(kind, points), place, difficult))

    keys = ["imagePath", "imageHeight", "imageWidth"]
    values, broken = read_object(path, {"shapes": take}, keys)
    found.problems = [*problems.all, *broken]
    image_path, height, width = (values.get(key) for key in keys)
    found.image_path = image_path if isinstance(image_path, str) else ""
    if all(type(number) is int and 0 < number < 2**31 for number in (width, height)):
        found.size_wh = (int(str(width)), int(str(height)))
    return found


def _is_difficult(shape: dict[str, Any]) -> bool:
    flags = shape.get("flags")
    return any(of.get("difficult") is True for of in (shape, flags) if isinstance(of, dict))


def _why_not(kind: str, points: Any) -> str:
    """Why points are not usable; empty for good ones."""
    if not isinstance(points, list):
        return f"expected a list of points, found {shown(points)}"
    least = _CORNERS.get(kind, 2)
    if len(points) < least or (kind == "circle" and len(points) != 2):
        return f"expected {least} points, found {len(points)}"
    for point in points:
        good = isinstance(point, list) and len(point) == 2 and all(type(number) in (int, float) for number in point)
        if not good or not all(abs(number) < 1e9 for number in point):
            return f"expected x and y in pixels, found {shown(point)}"
    return ""


def _bounds(kind: str, points: Any) -> Box:
    if kind == "circle":
        (x, y), edge = points
        radius = math.dist((x, y), edge)
        return x - radius, y - radius, x + radius, y + radius
    return bounds_of_points(points)
