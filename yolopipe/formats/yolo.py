"""YOLO label files: one object a line, fractions of the upright image.

CLASS CX CY W H                  a box: centre and size
CLASS X1 Y1 X2 Y2 X3 Y3 ...      a polygon of three or more corners (four: also a turned box); its bounds
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from yolopipe.errors import Problem
from yolopipe.formats.text_lines import is_number, read_lines

__all__ = ["DIGITS", "ROUNDING", "SLACK", "YoloLabels", "YoloObject", "label_line", "read_yolo_labels", "to_pixels"]

ROUNDING = 2e-6
"""Labels usually have six digits, and a corner is computed from two of them, so a box along an edge may reach past it
by this share of a side.  Such corners are moved to the edge."""

SLACK = 0.01
"""A value up to this far from 0 to 1 is a box past the edge, as Ultralytics takes it; further, it is no fraction."""

DIGITS = 8
"""Decimals written: 0.0001 px at 10,000 px."""


class YoloObject(NamedTuple):
    """One line of a label file.

    Args:
        label: class number.
        box_xyxy: corners as fractions of width and height.
        line: 1-based.
        corners: number of corners of the polygon; 0 for a box.
    """

    label: int
    box_xyxy: tuple[float, float, float, float]
    line: int
    corners: int


@dataclass(slots=True)
class YoloLabels:
    """The content of a label file.

    Args:
        objects: in the order of the file.
        problems: lines that cannot be used.
    """

    objects: list[YoloObject] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def read_yolo_labels(path: str | Path) -> YoloLabels:
    """Read one label file; blank lines, CRLF and a byte order mark are accepted.

    Args:
        path: the text.

    Returns:
        Its objects, and its problems with their lines: ``bad-label``, ``confidence-column``, ``not-normalised``,
        ``not-utf8``.

    Raises:
        DataError: the file cannot be opened.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "a.txt"
    ...     _ = file.write_text("0 0.5 0.5 0.5 0.25\\n1 0.1 0.2 0.3 0.2 0.2 0.4\\n")
    ...     for item in read_yolo_labels(file).objects: print(item)
    YoloObject(label=0, box_xyxy=(0.25, 0.375, 0.75, 0.625), line=1, corners=0)
    YoloObject(label=1, box_xyxy=(0.1, 0.2, 0.3, 0.4), line=2, corners=3)
    """
    labels = YoloLabels()
    for number, line in enumerate(read_lines(path), start=1):
        fields = [] if line is None else line.split()
        rule, message = ("not-utf8", "the line is not UTF-8 text") if line is None else _why_not(fields)
        if rule:
            labels.problems.append(Problem(str(path), number, 0, rule, message, scope="box"))
        elif fields:
            labels.objects.append(_object(fields, number))
    return labels


def _object(fields: Sequence[str], line: int) -> YoloObject:
    label, values = int(float(fields[0])), [float(text) for text in fields[1:]]
    if len(values) == 4:
        x, y, width, height = values
        return YoloObject(label, (x - width / 2, y - height / 2, x + width / 2, y + height / 2), line, 0)
    xs, ys = values[::2], values[1::2]
    return YoloObject(label, (min(xs), min(ys), max(xs), max(ys)), line, len(xs))


def _why_not(fields: Sequence[str]) -> tuple[str, str]:
    """Rule and message for a line that cannot be used; empty for a good or blank one."""
    if not fields:
        return "", ""
    for text in fields:
        if not is_number(text):
            return "bad-label", f"{text[:60]!r} is not a number"
    if not float(fields[0]).is_integer() or not 0 <= float(fields[0]) < 1e9:
        return "bad-label", f"expected a class number from 0, found {fields[0]}"
    if len(fields) == 6:
        return (
            "confidence-column",
            "6 fields: a box with a score is a prediction, not a label; remove the last column",
        )
    if len(fields) != 5 and (len(fields) < 7 or len(fields) % 2 == 0):
        message = "a box (class cx cy w h) or a polygon (class x1 y1 x2 y2 x3 y3 ...)"
        return "bad-label", f"{len(fields)} fields; expected {message}"
    outside = next((text for text in fields[1:] if not -SLACK <= float(text) <= 1 + SLACK), None)
    if outside is not None:
        return (
            "not-normalised",
            f"{outside} is not between 0 and 1; expected fractions of width and height, not pixels",
        )
    return "", ""


def to_pixels(
    fractions_xyxy: npt.NDArray[np.float64], size_wh: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], int]:
    """Fractions to corners in pixels.

    Args:
        fractions_xyxy: (N, 4) of width and height.
        size_wh: (N, 2) pixels of the upright image.

    Returns:
        (N, 4) pixels, and how many boxes had a corner moved to the edge (see :data:`ROUNDING`).

    >>> to_pixels(np.array([[-1e-6, 0, 0.5, 1.000001]]), np.array([[640.0, 480]]))
    (array([[  0.,   0., 320., 480.]]), 1)
    """
    on_edge = np.clip(fractions_xyxy, 0.0, 1.0)
    moved = (on_edge != fractions_xyxy) & (abs(on_edge - fractions_xyxy) <= ROUNDING)
    # Nine decimals keep eight-digit fractions exact; without rounding 0.9 + 0.25 of 100 px is 114.99999999999999.
    boxes_xyxy = np.round(np.where(moved, on_edge, fractions_xyxy) * np.tile(size_wh, 2), 9)
    return boxes_xyxy, int(moved.any(axis=1).sum())


def label_line(label: int, box_xyxy: Sequence[float], size_wh: Sequence[int]) -> str:
    """A box as a line of a label file.

    Args:
        label: class number.
        box_xyxy: corners in pixels.
        size_wh: of the upright image.

    Returns:
        Class, centre and size, with :data:`DIGITS` decimals.

    >>> label_line(3, [0, 0, 320, 120], [640, 480])
    '3 0.25000000 0.12500000 0.50000000 0.25000000'
    """
    return " ".join([str(label), *(f"{value:.{DIGITS}f}" for value in _centre_size(box_xyxy, size_wh))])


def _centre_size(box_xyxy: Sequence[float], size_wh: Sequence[int]) -> Iterator[float]:
    (x1, y1, x2, y2), (width, height) = box_xyxy, size_wh
    yield (x1 + x2) / 2 / width
    yield (y1 + y2) / 2 / height
    yield (x2 - x1) / width
    yield (y2 - y1) / height
