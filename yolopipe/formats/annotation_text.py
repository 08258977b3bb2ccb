"""Annotation text: one image a line, its path and then its boxes (docs/formulas.md, "Annotation text").

    some/directory/hash.jpg 79,537,107,574,0 297,547,318,575,0

A box is ``x1,y1,x2,y2,class``: corners in pixels of the upright image (EXIF applied), integers or not, and the class
number.  A sixth number marks a box to be ignored, ``x1,y1,x2,y2,class,1``: it is neither learned, nor background, nor
counted in a score; its class may be -1, which stands for any.  The path is everything left of the boxes, so it may
contain spaces, commas and any letters.  A line with a path alone is an image without objects.  Blank lines and lines
that start with ``#`` are skipped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from yolopipe.errors import DataError, Problem
from yolopipe.formats.annotation_line import BLANKS, is_comment, number_text, split_line, why_not_a_box
from yolopipe.formats.path_register import PathRegister
from yolopipe.formats.text_lines import read_lines

__all__ = [
    "Annotation",
    "AnnotationText",
    "LineFault",
    "format_annotation",
    "images_listed_twice",
    "parse_annotation",
    "read_annotation_lines",
    "read_annotations",
]


class Annotation(NamedTuple):
    """One line of annotation text.

    Args:
        image_path: as written.
        bboxes: (N, 5) float64; x1, y1, x2, y2 in pixels and the class.  Where a box of the line is to be ignored it
            is (N, 6), and the last column is 1 for such boxes, else 0.
    """

    image_path: str
    bboxes: npt.NDArray[np.float64]


class LineFault(NamedTuple):
    """A mistake in the text, and its image.

    Args:
        image: row of the image in :attr:`AnnotationText.image_paths`; -1 where the line has none.
        problem: the mistake.
    """

    image: int
    problem: Problem


@dataclass(frozen=True, slots=True)
class AnnotationText:
    """A whole annotation text; M images, N well-formed boxes in the order of the text.

    Args:
        file: its name.
        image_paths: M paths as written.
        lines: (M,) int32; 1-based line of each image.
        boxes_xyxy: (N, 4) float64 pixels.
        classes: (N,) int64; -1 is any class, of boxes to be ignored.
        ignore: (N,) bool; boxes to be ignored.
        box_image: (N,) int64; the row of the image each box belongs to, ascending.
        box_column: (N,) int32; 1-based column where each box starts, in characters.
        faults: mistakes; their boxes are not in the arrays, their images are.
    """

    file: str
    image_paths: list[str]
    lines: npt.NDArray[np.int32]
    boxes_xyxy: npt.NDArray[np.float64]
    classes: npt.NDArray[np.int64]
    ignore: npt.NDArray[np.bool_]
    box_image: npt.NDArray[np.int64]
    box_column: npt.NDArray[np.int32]
    faults: list[LineFault]


def parse_annotation(line: str) -> Annotation:
    """Parse one line of annotation text.

    Args:
        line: ``path x1,y1,x2,y2,class ...``; a path alone is an image without boxes.

    Returns:
        Path and (N, 5) float64 boxes, (N, 6) where one is to be ignored.

    Raises:
        DataError: a bad token, with its column.

    >>> image_path, bboxes = parse_annotation("some/directory/hash.jpg 79,537,107,574,0 297,547,318,575,0")
    >>> image_path, bboxes.tolist()
    ('some/directory/hash.jpg', [[79.0, 537.0, 107.0, 574.0, 0.0], [297.0, 547.0, 318.0, 575.0, 0.0]])
    >>> parse_annotation("a.jpg 1,2,3,4,0 5,6,7,8,-1,1").bboxes.tolist()
    [[1.0, 2.0, 3.0, 4.0, 0.0, 0.0], [5.0, 6.0, 7.0, 8.0, -1.0, 1.0]]
    """
    line = line.rstrip("\r\n").removeprefix("\ufeff")
    path, boxes, bad = split_line(line)
    values = [tuple(map(float, box)) for _, box in boxes]
    bad += [(at, line[at:].split()[0]) for (at, _), v in zip(boxes, values, strict=True) if math.inf in map(abs, v)]
    if not path or is_comment(line):
        raise DataError(f"no image path in {line!r}; expected: path x1,y1,x2,y2,class ...")
    if bad:
        column, token = min(bad)
        raise DataError(f"column {column + 1}: {why_not_a_box(token)}")
    bboxes = np.array(values, np.float64).reshape(-1, 6)
    return Annotation(path, bboxes if bboxes[:, 5].any() else bboxes[:, :5])


def format_annotation(image_path: str, bboxes: npt.ArrayLike) -> str:
    """Write one line of annotation text, such that :func:`parse_annotation` returns the same values.

    Args:
        image_path: path to write.
        bboxes: (N, 5) x1, y1, x2, y2 in pixels and the class; (N, 6) with a last column that is not 0 for boxes to be
            ignored.

    Returns:
        The line, without line break; integers without a point, others with as many digits as they need.

    Raises:
        DataError: a path that could not be read back (spaces at either end, line breaks, a leading #, a box in it).

    >>> format_annotation("my dir/a.jpg", [[1, 2.5, 30, 40, 0]])
    'my dir/a.jpg 1,2.5,30,40,0'
    """
    table = np.asarray(bboxes, np.float64)
    table = table if table.size else np.empty((0, 5))
    tokens = [",".join(map(number_text, box)) for box in table[:, :5].tolist()]
    for ignored in np.flatnonzero(table[:, 5:]).tolist():
        tokens[ignored] += ",1"
    line = " ".join([image_path, *tokens])
    split = split_line(line)
    one_line = image_path and not any(c in image_path for c in "\r\n") and not is_comment(line)
    if split.path != image_path or split.bad or len(split.boxes) != len(tokens) or not one_line:
        raise DataError(f"the image path {image_path!r} cannot be written to annotation text; rename the file")
    return line


def read_annotations(path: str | Path) -> AnnotationText:
    """Read a whole annotation text with the place of every box; mistakes are returned, not raised.

    Rules: ``bad-box-text``, ``no-image-path``, ``not-utf8``, ``duplicate-image``.

    Args:
        path: the text.

    Returns:
        Images, boxes and mistakes, in the order of the text.

    Raises:
        DataError: the file cannot be read.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "train.txt"
    ...     _ = file.write_text("a.jpg 1,2,3,4,0 5,6,7\\nb.jpg\\n")
    ...     text = read_annotations(file)
    >>> text.image_paths, text.boxes_xyxy.tolist(), text.faults[0].problem.column
    (['a.jpg', 'b.jpg'], [[1.0, 2.0, 3.0, 4.0]], 17)
    """
    text = read_annotation_lines(str(path), 1, read_lines(path))
    faults = [*text.faults, *images_listed_twice(text, PathRegister())]
    return replace(text, faults=_in_text_order(faults))


def read_annotation_lines(file: str, first_line: int, lines: Iterable[str | None]) -> AnnotationText:
    """Read some lines of an annotation text.  Unlike :func:`read_annotations` it does not find images listed twice.

    Args:
        file: name of the text.
        first_line: number of the first of ``lines``.
        lines: without their line breaks; None where one is not UTF-8.

    >>> read_annotation_lines("train.txt", 8, ["a.jpg 1,2,3,4,0", "b.jpg"]).lines.tolist()
    [8, 9]
    """
    reader = _Reader(file)
    for number, line in enumerate(lines, start=first_line):
        reader.add(number, line)
    return reader.finish()


def images_listed_twice(text: AnnotationText, register: PathRegister) -> list[LineFault]:
    """Register the images of a text, or of the next part of it; ``duplicate-image`` for those registered already."""
    first_lines = register.enter(text.image_paths, text.lines)
    found = []
    for image in np.flatnonzero(first_lines != text.lines).tolist():
        path = text.image_paths[image]
        message = f"image {path} is already on line {first_lines[image]}; put all its boxes on one line"
        problem = Problem(text.file, int(text.lines[image]), 1, "duplicate-image", message, path)
        found.append(LineFault(image, problem))
    return found


class _Reader:
    """Builds an :class:`AnnotationText` line by line."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.paths: list[str] = []
        self.lines: list[int] = []
        self.values: list[float] = []
        self.box_image: list[int] = []
        self.box_column: list[int] = []
        self.faults: list[LineFault] = []

    def add(self, number: int, line: str | None) -> None:
        """Add a line."""
        if line is None:
            self._fault(-1, number, 0, "not-utf8", "the line is not UTF-8 text")
        elif line.strip(BLANKS) and not is_comment(line):
            self._add_image(number, line)

    def _fault(self, image: int, line: int, column: int, rule: str, message: str) -> None:
        path = self.paths[image] if image >= 0 else ""
        self.faults.append(LineFault(image, Problem(self.file, line, column, rule, message, path)))

    def _add_image(self, number: int, line: str) -> None:
        path, boxes, bad = split_line(line)
        if not path:
            self._fault(-1, number, 1, "no-image-path", "the line starts with a box; expected the image path first")
            return
        image = len(self.paths)
        self.paths.append(path)
        self.lines.append(number)
        for column, token in bad:
            self._fault(image, number, column + 1, "bad-box-text", why_not_a_box(token))
        for column, fields in boxes:
            self.values.extend(map(float, fields))
            self.box_image.append(image)
            self.box_column.append(column + 1)

    def finish(self) -> AnnotationText:
        """The text."""
        values = np.array(self.values, np.float64).reshape(-1, 6)
        box_image = np.array(self.box_image, np.int64)
        box_column = np.array(self.box_column, np.int32)
        finite = np.isfinite(values).all(axis=1)  # all but 1e999 and the like
        for box in np.flatnonzero(~finite):
            image, column = int(box_image[box]), int(box_column[box])
            message = why_not_a_box(",".join(map(_text_of_large, values[box, :5].tolist())))
            self._fault(image, self.lines[image], column, "bad-box-text", message)
        return AnnotationText(
            file=self.file,
            image_paths=self.paths,
            lines=np.array(self.lines, np.int32),
            boxes_xyxy=values[finite, :4],
            classes=values[finite, 4].astype(np.int64),
            ignore=values[finite, 5] > 0,
            box_image=box_image[finite],
            box_column=box_column[finite],
            faults=_in_text_order(self.faults),
        )


def _text_of_large(value: float) -> str:
    return number_text(value) if math.isfinite(value) else "inf"


def _in_text_order(faults: Sequence[LineFault]) -> list[LineFault]:
    return sorted(faults, key=lambda fault: (fault.problem.line, fault.problem.column))
