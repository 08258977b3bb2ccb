"""Large JSON files read record by record, each with the line and column where it starts.

The decoder of the standard library can start anywhere in a text and says where it stopped.  So the lists at the top
of a COCO file are walked here, and each of their records is decoded by that decoder, in C: about the time of
``json.load``, with only one record at a time as Python objects.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from yolopipe.errors import DataError, Problem

__all__ = ["Record", "Taker", "read_object", "read_record_lists", "read_records"]

_BLANKS = re.compile(r"[ \t\n\r]*")
_DECODE = json.JSONDecoder().raw_decode


class Record(NamedTuple):
    """One element of a list.

    Args:
        value: whatever JSON it is.
        line: 1-based line where it starts.
        column: 1-based column there, in characters.
        text: the record as written.
    """

    value: Any
    line: int
    column: int
    text: str


Taker = Callable[[Record], None]


def read_record_lists(path: str | Path, takers: Mapping[str, Taker]) -> list[Problem]:
    """Call a function with every record of some lists of a JSON object, in the order of the file.

    Args:
        path: a JSON file whose top is an object.
        takers: key of a list to the function that is called with each of its records.

    Returns:
        Empty, or what makes the file as a whole unusable: ``bad-json``, ``missing-key``, ``duplicate-key``.

    Raises:
        DataError: the file cannot be opened or is not UTF-8 text.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "a.json"
    ...     _ = file.write_text('{"images": [{"id": 1},\\n  {"id": 2}]}')
    ...     read_record_lists(file, {"images": print})
    Record(value={'id': 1}, line=1, column=13, text='{"id": 1}')
    Record(value={'id': 2}, line=2, column=3, text='{"id": 2}')
    []
    """
    return _read(path, takers, _Walk.object)


def read_object(
    path: str | Path, takers: Mapping[str, Taker], keys: Sequence[str]
) -> tuple[dict[str, Any], list[Problem]]:
    """Read a JSON object: its lists record by record, and the values of some other keys.

    Args:
        path: a JSON file whose top is an object.
        takers: as in :func:`read_record_lists`.
        keys: whose values are returned, where they are there.

    Returns:
        Values by key, and problems as :func:`read_record_lists` returns them.

    Raises:
        DataError: the file cannot be opened or is not UTF-8 text.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "a.json"
    ...     _ = file.write_text('{"shapes": [7], "imageWidth": 640, "imageData": "..."}')
    ...     read_object(file, {"shapes": print}, ["imageWidth"])
    Record(value=7, line=1, column=13, text='7')
    ({'imageWidth': 640}, [])
    """
    values: dict[str, Any] = dict.fromkeys(keys)
    problems = _read(path, takers, _Walk.object, values)
    return {key: value for key, value in values.items() if value is not None}, problems


def read_records(path: str | Path, key: str, taker: Taker) -> list[Problem]:
    """Call a function with every record of a JSON list, or of the list under ``key`` of a JSON object.

    Args:
        path: a JSON file.
        key: of the list, if the top is an object.
        taker: called with each record, in the order of the file.

    Returns:
        See :func:`read_record_lists`.

    Raises:
        DataError: the file cannot be opened or is not UTF-8 text.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "a.json"
    ...     _ = file.write_text('[1, 2]')
    ...     read_records(file, "annotations", print)
    Record(value=1, line=1, column=2, text='1')
    Record(value=2, line=1, column=5, text='2')
    []
    """
    return _read(path, {key: taker}, _Walk.list_or_object)


def _read(
    path: str | Path,
    takers: Mapping[str, Taker],
    how: Callable[[_Walk], None],
    values: dict[str, Any] | None = None,
) -> list[Problem]:
    walk = _Walk(_read_text(path), takers, {} if values is None else values)
    try:
        how(walk)
    except json.JSONDecodeError as error:
        return [Problem(str(path), error.lineno, error.colno, "bad-json", _reason(error))]
    except (RecursionError, ValueError) as error:  # a thousand brackets, a number of 5,000 digits
        return [Problem(str(path), walk.line, walk.column, "bad-json", f"cannot be read: {error}")]
    missing = [key for key in takers if key not in walk.seen]
    found = [Problem(str(path), 0, 0, "missing-key", f"expected a list {key!r}, found none") for key in missing]
    return found + [
        Problem(str(path), line, column, "duplicate-key", f"a second {key!r}; expected one")
        for key, line, column in walk.repeated
    ]


def _reason(error: json.JSONDecodeError) -> str:
    return error.msg if error.msg.startswith("expected") else f"not JSON: {error.msg}"


def _read_text(path: str | Path) -> str:
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}:{line}: not UTF-8 text (byte {error.start})") from None


class _Walk:
    """A position in the text, and the steps from it."""

    def __init__(self, text: str, takers: Mapping[str, Taker], values: dict[str, Any]) -> None:
        self.text = text
        self.takers = takers
        self.values = values
        self.at = 0
        self.line = 1
        self.column = 1
        self.seen: set[str] = set()
        self.repeated: list[tuple[str, int, int]] = []
        self._counted = 0
        self._line_start = 0

    def object(self) -> None:
        """The top of the file; the end of the text must follow."""
        self._expect("{", "expected an object: {")
        while not self._ends("}", first=not self.seen):
            key = self._value()
            if not isinstance(key, str):
                raise json.JSONDecodeError("expected a key in quotes", self.text, self.at)
            place = (key, self.line, self.column)
            self._expect(":", "expected :")
            if key in self.seen:
                self.repeated.append(place)
            self.seen.add(key)
            taker = self.takers.get(key)
            if key in self.values:
                self.values[key] = self._value()
            elif taker is None:
                self._value()
            else:
                self._list(f"expected a list for {key!r}: [", taker)
        self._end()

    def list_or_object(self) -> None:
        """A list of records for the only taker, or an object that holds the list; the end of the text must follow."""
        if self._blanks() == "{":
            self.object()
            return
        ((key, taker),) = self.takers.items()
        self.seen.add(key)
        self._list(f"expected a list of records: [, or an object with a list {key!r}: {{", taker)
        self._end()

    def _end(self) -> None:
        if self._blanks() != "":
            raise json.JSONDecodeError("expected the end of the file", self.text, self.at)

    def _list(self, message: str, taker: Taker) -> None:
        self._expect("[", message)
        first = True
        while not self._ends("]", first=first):
            first = False
            value = self._value()
            taker(Record(value, self.line, self.column, self.text[self._counted : self.at]))

    def _value(self) -> Any:
        """Decode what comes next and note where it started."""
        self._blanks()
        text, at = self.text, self.at
        breaks = text.count("\n", self._counted, at)
        if breaks:
            self.line += breaks
            self._line_start = text.rindex("\n", self._counted, at) + 1
        self.column = at - self._line_start + 1
        self._counted = at
        value, self.at = _DECODE(text, at)
        return value

    def _blanks(self) -> str:
        match = _BLANKS.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return self.text[self.at : self.at + 1]

    def _expect(self, sign: str, message: str) -> None:
        if self._blanks() != sign:
            raise json.JSONDecodeError(message, self.text, self.at)
        self.at += 1

    def _ends(self, sign: str, *, first: bool) -> bool:
        """Whether the closing bracket is next; otherwise step over the comma between two elements."""
        if self._blanks() == sign:
            self.at += 1
            return True
        if not first:
            self._expect(",", f"expected , or {sign}")
        return False
