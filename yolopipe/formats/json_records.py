"""Large JSON files read record by record, each with the line and column where it starts.

The decoder of the standard library can start anywhere in a text and says where it stopped.  So the lists at the top
of a COCO file are walked here, and each of their records is decoded there, in C: about the time of ``json.load``, and
only one record at a time as Python objects.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from yolopipe.errors import DataError, Problem

__all__ = ["Record", "read_record_lists"]

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
    """Hand every record of some lists of a JSON object to whoever takes them, in the order of the file.

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
    walk = _Walk(_read_text(path), takers)
    try:
        walk.object()
    except json.JSONDecodeError as error:
        return [Problem(str(path), error.lineno, error.colno, "bad-json", f"not JSON: {error.msg}")]
    except (RecursionError, ValueError) as error:  # a thousand brackets, a number of 5,000 digits
        return [Problem(str(path), walk.line, walk.column, "bad-json", f"cannot be read: {error}")]
    found = [Problem(str(path), 0, 0, "missing-key", f"no list {key!r}") for key in takers if key not in walk.seen]
    return found + [
        Problem(str(path), line, column, "duplicate-key", f"{key!r} stands here a second time")
        for key, line, column in walk.repeated
    ]


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
    """A place in the text, and how to move on from it."""

    def __init__(self, text: str, takers: Mapping[str, Taker]) -> None:
        self.text = text
        self.takers = takers
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
            if taker is None:
                self._value()
            else:
                self._list(key, taker)
        if self._blanks() != "":
            raise json.JSONDecodeError("something follows the end", self.text, self.at)

    def _list(self, key: str, taker: Taker) -> None:
        self._expect("[", f"expected a list for {key!r}: [")
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
