"""Single records of COCO JSON: their checks, shared by all readers, and their boxes in exact decimals."""

from __future__ import annotations

import decimal
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from yolopipe.errors import Problem, Scope
from yolopipe.formats.json_records import Record

__all__ = [
    "AREA",
    "BOX",
    "FLAG",
    "ID",
    "SCOPES",
    "SCORE",
    "TEXT",
    "WHOLE",
    "Kind",
    "Place",
    "Problems",
    "bbox_text",
    "corners_of",
    "normal_id",
    "shown",
]

_BBOX = re.compile(r'"bbox"\s*:\s*\[([^][{}"]*)\]')
_EXACT = decimal.Context(prec=2000)
"""Digits enough for any sum of two floats, which are at most 1e300 and at least 1e-324."""

LARGEST = 1e9
"""Coordinates and scores beyond this are taken for mistakes; NaN and infinity are too."""


class Place(NamedTuple):
    """Position in a file: 1-based line and column."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}"


class Kind(NamedTuple):
    """What the value of a key should be.

    Args:
        rule: id of the problem with a value of another kind.
        expected: the kind, in words.
        fits: whether a value is of this kind.
    """

    rule: str
    expected: str
    fits: Callable[[Any], bool]


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def _is_number(value: Any, largest: float = LARGEST) -> bool:
    return type(value) in (int, float) and -largest < value < largest  # no bool; NaN and infinity compare false


def normal_id(value: Any) -> int | str | None:
    """An id as a whole number where it is one, as text otherwise; programs write 139, 139.0 and "139".

    >>> [normal_id(value) for value in (139, 139.0, "139", "0139", "a", True, None)]
    [139, 139, 139, '0139', 'a', None, None]
    """
    if isinstance(value, str):
        is_number = value.isascii() and value.isdigit() and len(value) < 19 and str(int(value)) == value
        return int(value) if is_number else value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if _is_whole(value) else None


WHOLE = Kind("bad-record", "a whole number", _is_whole)
ID = Kind("bad-record", "a whole number or text", lambda value: _is_whole(value) or normal_id(value) is not None)
TEXT = Kind("bad-record", "text", lambda value: isinstance(value, str) and _is_unicode(value))
BOX = Kind("bad-box", "x, y, width, height", lambda value: not _why_no_box(value))
SCORE = Kind("bad-score", "a finite number", _is_number)
AREA = Kind("bad-area", "a finite number of at least 0", lambda value: _is_number(value, LARGEST**2) and value >= 0)
FLAG = Kind("bad-flag", "0 or 1", lambda value: isinstance(value, int) and value in (0, 1))


SCOPES: dict[str, Scope] = {"image": "image", "annotation": "box", "prediction": "box", "category": "record"}
"""What is lost without a record of each list."""


class Problems:
    """The list of what is wrong in one file.

    Args:
        file: its name.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self.all: list[Problem] = []

    def add(self, place: Place, rule: str, message: str, scope: Scope = "file") -> None:
        """Add one."""
        self.all.append(Problem(self.file, *place, rule, message, scope=scope))

    def check(
        self, record: Record, what: str, keys: Mapping[str, Kind], optional: Mapping[str, Kind] | None = None
    ) -> bool:
        """Whether a record is an object with these keys, each of its kind; every fault is added.

        Args:
            record: of a list.
            what: ``image``, ``annotation``, ``category`` or ``prediction``.
            keys: each must be there.
            optional: each may be there.
        """
        value, optional = record.value, optional or {}
        if not isinstance(value, dict):
            place = Place(record.line, record.column)
            message = f"expected an object in the list of {what}s, found {shown(value)}"
            self.add(place, "bad-record", message, SCOPES[what])
            return False
        missing = [key for key in keys if key not in value]
        wrong = [
            (key, kind)
            for kinds in (keys, optional)
            for key, kind in kinds.items()
            if key in value and not kind.fits(value[key])
        ]
        if missing or wrong:
            self._explain(record, what, missing, wrong)
        return not missing and not wrong

    def _explain(self, record: Record, what: str, missing: list[str], wrong: list[tuple[str, Kind]]) -> None:
        place, value = Place(record.line, record.column), record.value
        name = f"{what} {shown(value['id'])}" if "id" in value else what
        if missing:
            self.add(place, "missing-key", f"{name} has no {' and no '.join(map(repr, missing))}", SCOPES[what])
        for key, kind in wrong:
            reason = _why_no_box(value[key]) if kind is BOX else f"found {shown(value[key])}"
            self.add(place, kind.rule, f"{name}: {key!r} should be {kind.expected}, {reason}", SCOPES[what])


def shown(value: Any) -> str:
    """A value for a message: as Python writes it, shortened.

    >>> shown("x" * 99)
    "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx..."
    """
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _is_unicode(text: str) -> bool:
    """Whether it can be written as UTF-8: JSON can hold half a character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _why_no_box(bbox: Any) -> str:
    if not isinstance(bbox, list):
        return f"found {shown(bbox)}"
    if len(bbox) != 4:
        return f"found {len(bbox)} values"
    for value in bbox:
        if type(value) not in (int, float):
            return f"found {shown(value)}, which is not a number"
        if not _is_number(value):
            return f"found {shown(value)}, which is too large or not finite"
    return f"found the negative size {bbox[2]:g} x {bbox[3]:g}" if bbox[2] < 0 or bbox[3] < 0 else ""


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
