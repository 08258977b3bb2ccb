"""COCO JSON: three lists, of images, of annotations and of categories.

    {"images": [{"id": 1, "file_name": "a.jpg", "width": 640, "height": 480}],
     "categories": [{"id": 18, "name": "dog"}],
     "annotations": [{"id": 7, "image_id": 1, "category_id": 18, "bbox": [x, y, width, height], "iscrowd": 0}]}

Boxes only: segmentations and all other keys are passed over.
"""

from __future__ import annotations

import decimal
import math
import re
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from yolopipe.errors import Problem
from yolopipe.formats.json_records import Record, read_record_lists

__all__ = ["CocoFile", "CocoImage", "Place", "bbox_text", "corners_of", "read_coco"]

ID_LIMIT = 2**63

_BBOX = re.compile(r'"bbox"\s*:\s*\[([^][{}"]*)\]')
_EXACT = decimal.Context(prec=2000)
"""Digits enough for any sum of two floats, which are at most 1e300 and at least 1e-324."""


class Place(NamedTuple):
    """Where something stands: 1-based line and column."""

    line: int
    column: int


class CocoImage(NamedTuple):
    """One image.

    Args:
        file_name: as written.
        size_wh: width and height as written; 0 where they are missing.
        place: where its record starts.
    """

    file_name: str
    size_wh: tuple[int, int]
    place: Place


@dataclass(slots=True)
class CocoFile:
    """What one file holds; boxes in the order of the file.

    Args:
        file: its name.
        images: by id, in the order of the file.
        categories: name and place by id, in the order of the file.
        boxes_xyxy: (N, 4) float64 corners in pixels.
        image_ids: (N,) int64.
        category_ids: (N,) int64.
        places: (N, 2) int64 line and column of each annotation.
        crowds: image id of each box that marks a crowd and was left out.
        problems: all that is wrong; such records are in none of the above.
    """

    file: str
    images: dict[int, CocoImage] = field(default_factory=dict)
    categories: dict[int, tuple[str, Place]] = field(default_factory=dict)
    boxes_xyxy: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 4)))
    image_ids: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    category_ids: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    places: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 2), np.int64))
    crowds: list[int] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def read_coco(path: str | Path) -> CocoFile:
    """Read a COCO file; every mistake in it is returned with line and column of its record.

    Rules: ``bad-json``, ``missing-key``, ``duplicate-key``, ``bad-record``, ``duplicate-id``, ``bad-box``,
    ``no-class-name``, ``unknown-image``, ``unknown-category``.

    Args:
        path: the JSON file.

    Returns:
        Images, categories and boxes, and what is wrong with the rest.

    Raises:
        DataError: the file cannot be opened or is not UTF-8 text.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "a.json"
    ...     _ = file.write_text('{"images": [{"id": 5, "file_name": "a.jpg"}],'
    ...                         ' "categories": [{"id": 9, "name": "cat"}],'
    ...                         ' "annotations": [{"id": 1, "image_id": 5, "category_id": 9, "bbox": [1, 2, 3, 4]}]}')
    ...     read_coco(file).boxes_xyxy.tolist()
    [[1.0, 2.0, 4.0, 6.0]]
    """
    return _Reader(str(path)).read()


class _Reader:
    """Gathers a :class:`CocoFile` record by record; columns, since there may be a million boxes."""

    def __init__(self, file: str) -> None:
        self.coco = CocoFile(file)
        self.boxes_xyxy = array("d")
        self.columns = array("q")  # annotation id, image id, category id, line, column: five a box
        self.annotation_ids: set[int] = set()

    def read(self) -> CocoFile:
        takers = {"images": self._image, "annotations": self._annotation, "categories": self._category}
        broken = read_record_lists(self.coco.file, takers)
        self.coco.problems.extend(broken)
        self._finish(whole=not broken)
        return self.coco

    def _problem(self, place: Place, rule: str, message: str, image: str = "") -> None:
        self.coco.problems.append(Problem(self.coco.file, *place, rule, message, image))

    def _usable(self, record: Record, what: str, keys: Mapping[str, type]) -> bool:
        """Whether the record is an object with these keys and types; ids fit 64 bits."""
        place, value = Place(record.line, record.column), record.value
        if not isinstance(value, dict):
            self._problem(place, "bad-record", f"expected an object in the list of {what}s, found {_shown(value)}")
            return False
        name = f"{what} {_shown(value['id'])}" if "id" in value else f"{what} without id"
        missing = [key for key in keys if key not in value]
        if missing:
            self._problem(place, "missing-key", f"{name} has no {' and no '.join(map(repr, missing))}")
            return False
        wrong = [key for key, kind in keys.items() if not _is(value[key], kind)]
        for key in wrong:
            wanted = {int: "a whole number", str: "text", list: "a list"}[keys[key]]
            rule = "bad-box" if key == "bbox" else "bad-record"
            self._problem(place, rule, f"{name}: {key!r} should be {wanted}, found {_shown(value[key])}")
        return not wrong

    def _image(self, record: Record) -> None:
        if not self._usable(record, "image", {"id": int, "file_name": str}):
            return
        value, place = record.value, Place(record.line, record.column)
        first = self.coco.images.get(value["id"])
        if first is not None:
            self._problem(place, "duplicate-id", f"image id {value['id']} is already on {_at(first.place)}")
        elif not value["file_name"].strip():
            self._problem(place, "bad-record", f"image {value['id']}: 'file_name' is blank")
        else:
            width, height = value.get("width"), value.get("height")
            size = (width, height) if _is(width, int) and _is(height, int) else (0, 0)
            self.coco.images[value["id"]] = CocoImage(value["file_name"], size, place)

    def _category(self, record: Record) -> None:
        if not self._usable(record, "category", {"id": int, "name": str}):
            return
        number, name, place = record.value["id"], record.value["name"].strip(), Place(record.line, record.column)
        same = {other: at for other, at in self.coco.categories.values()}
        if number in self.coco.categories:
            first = self.coco.categories[number][1]
            self._problem(place, "duplicate-id", f"category id {number} is already on {_at(first)}")
        elif not name or "\n" in name or "\r" in name:
            self._problem(place, "no-class-name", f"category {number}: 'name' should be one line of text")
        elif name in same:
            self._problem(place, "duplicate-id", f"category name {name!r} is already on {_at(same[name])}")
        else:
            self.coco.categories[number] = (name, place)

    def _annotation(self, record: Record) -> None:
        keys = {"id": int, "image_id": int, "category_id": int, "bbox": list}
        value = record.value
        if isinstance(value, dict) and value.get("iscrowd") == 1:
            keys.pop("bbox")
        if not self._usable(record, "annotation", keys):
            return
        number, place = value["id"], Place(record.line, record.column)
        if number in self.annotation_ids:
            self._problem(place, "duplicate-id", f"annotation id {number} is used before")
            return
        self.annotation_ids.add(number)
        if value.get("iscrowd") == 1:
            self.coco.crowds.append(value["image_id"])
            return
        reason = _why_no_box(value["bbox"])
        if reason:
            self._problem(place, "bad-box", f"annotation {number}: {reason}; expected x,y,width,height")
            return
        self.boxes_xyxy.extend(corners_of(value["bbox"], record.text))
        self.columns.extend((number, value["image_id"], value["category_id"], *place))

    def _finish(self, *, whole: bool) -> None:
        """Boxes as arrays; those of unknown images and categories are named, if the lists were read to the end."""
        columns = np.array(self.columns, np.int64).reshape(-1, 5)
        boxes = np.array(self.boxes_xyxy, np.float64).reshape(-1, 4)
        known = np.ones(len(columns), bool)
        for rule, what, column, ids in (
            ("unknown-image", "image", 1, self.coco.images),
            ("unknown-category", "category", 2, self.coco.categories),
        ):
            bad = ~np.isin(columns[:, column], np.fromiter(ids, np.int64, len(ids)))
            known &= ~bad
            for number, *others, line, column_at in columns[bad].tolist() if whole else ():
                message = f"annotation {number}: there is no {what} with id {others[column - 1]}"
                self._problem(Place(line, column_at), rule, message)
        self.coco.boxes_xyxy = boxes[known]
        self.coco.image_ids, self.coco.category_ids = columns[known, 1], columns[known, 2]
        self.coco.places = columns[known, 3:]


def _is(value: Any, kind: type) -> bool:
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool) and -ID_LIMIT <= value < ID_LIMIT
    return isinstance(value, kind)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _at(place: Place) -> str:
    return f"line {place.line}, column {place.column}"


def _why_no_box(bbox: list[Any]) -> str:
    if len(bbox) != 4:
        return f"'bbox' has {len(bbox)} values"
    for value in bbox:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"{_shown(value)} in 'bbox' is not a number"
        if not abs(value) <= 1e300 or not math.isfinite(value):
            return f"{_shown(value)} in 'bbox' is too large or not a number"
    return f"'bbox' has the negative size {bbox[2]:g} x {bbox[3]:g}" if bbox[2] < 0 or bbox[3] < 0 else ""


def corners_of(bbox: Sequence[float], text: str) -> tuple[float, float, float, float]:
    """Corners of a box, added as the decimals that are written: 240.54 and 57.75 make 298.29.

    The sum of the two floats is 298.28999999999996; and what :func:`bbox_text` wrote is read back to the last bit.

    Args:
        bbox: x, y, width, height as decoded.
        text: the JSON of the record that holds it.

    Returns:
        x1, y1, x2, y2.

    >>> corners_of([240.54, 2, 57.75, 3], '{"bbox": [240.54, 2, 57.75, 3]}')
    (240.54, 2.0, 298.29, 5.0)
    """
    match = _BBOX.search(text)
    written = match[1].split(",") if match else []
    if list(map(float, written)) != list(bbox):  # an escaped key, or one of another object inside
        written = list(map(repr, bbox))
    x, y, width, height = (Decimal(number.strip()) for number in written)
    return float(x), float(y), float(_EXACT.add(x, width)), float(_EXACT.add(y, height))


def bbox_text(box_xyxy: Sequence[float]) -> str:
    """The ``bbox`` of a box, sizes as exact decimals so that :func:`corners_of` returns the same corners.

    Args:
        box_xyxy: x1, y1, x2, y2.

    Returns:
        JSON.

    >>> bbox_text([0.1, 0, 0.7, 12.5])
    '[0.1, 0, 0.6, 12.5]'
    """
    x1, y1, x2, y2 = (Decimal(repr(value)) for value in map(float, box_xyxy))
    numbers = x1, y1, _EXACT.subtract(x2, x1), _EXACT.subtract(y2, y1)
    return f"[{', '.join(map(_decimal_text, numbers))}]"


def _decimal_text(value: Decimal) -> str:
    if not value:
        return "0"  # not -0 and not 0E-17
    short = value.normalize(_EXACT)
    return f"{short:f}" if -20 < short.adjusted() < 20 else str(short)
