"""Corrections of annotation text, one change a line: a text for people, git and ``parse`` (docs/corrections.md).

    # image        was                now
    img/b37.jpg    388,11,481,111,1   388,11,481,111,2    # another class
    img/b37.jpg    -                  260,1,374,83,1      # added
    img/b02.jpg    130,10,190,60,0    -                   # removed
    img/b11.jpg    79,537,107,574,0   =                   # looked at, right
    img/b11.jpg    -                  = 10,10,90,90,1     # nothing is missing here

A box is written as in annotation text, ``x1,y1,x2,y2,class`` or ``x1,y1,x2,y2,class,1`` for one to be ignored.  The
path is everything left of the columns.  Blank lines and lines that start with ``#`` are skipped, and so is the rest
of a line from a ``#`` after the last column.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from yolopipe.errors import DataError, Problem
from yolopipe.files import atomic_file
from yolopipe.formats.annotation_line import (
    BLANKS,
    is_comment,
    looks_like_box,
    number_text,
    split_box,
    split_line,
    why_not_a_box,
)
from yolopipe.formats.text_lines import read_lines

__all__ = [
    "Correction",
    "CorrectionKind",
    "CorrectionsText",
    "LabelBox",
    "count_kinds",
    "format_corrections",
    "read_correction_lines",
    "read_corrections",
    "write_corrections",
]

CorrectionKind = Literal[
    "moved", "re-classed", "moved+re-classed", "added", "removed", "confirmed", "nothing-missing"
]

_TOKEN = re.compile(r"[^ \t]+")
_MERGE_MARK = re.compile(r"(?:<<<<<<<|>>>>>>>|\|\|\|\|\|\|\|)(?: |$)|=======$")
_EXPECTED = "expected IMAGE WAS NOW, where WAS is a box or -, and NOW a box, - or ="

WIDEST = 48
"""Longer paths and boxes stand out to the right of their column instead of moving that of all other lines."""


class LabelBox(NamedTuple):
    """One box: corners in pixels, class number (-1 for any class), and whether it is to be ignored."""

    x1: float
    y1: float
    x2: float
    y2: float
    label: int
    ignore: bool = False

    def __str__(self) -> str:
        return ",".join([*map(number_text, map(float, self[:4])), str(self.label), *("1" * self.ignore)])


class Correction(NamedTuple):
    """One line of a corrections file.

    Args:
        image: path as written.
        was: the box in the annotation text; None for ``-``.
        now: the box in its place, equal to ``was`` for ``=``; None for a removed one, and where a region is given.
        region: of ``- = REGION``, where nothing is missing; its class may be -1, any.
        comment: without ``#`` and blanks around it.
        line: 1-based line; 0 if not from a file.
        column: 1-based column of WAS.
        now_column: of NOW, or of the region.
    """

    image: str
    was: LabelBox | None = None
    now: LabelBox | None = None
    region: LabelBox | None = None
    comment: str = ""
    line: int = 0
    column: int = 0
    now_column: int = 0

    @property
    def change(self) -> tuple[str, LabelBox | None, LabelBox | None, LabelBox | None]:
        """What the line says, without its comment and its place."""
        return self[:4]

    @property
    def kind(self) -> CorrectionKind:
        """What becomes of the box; the mark of a box to be ignored counts as its class.

        >>> box = LabelBox(1, 2, 3, 4, 0)
        >>> Correction("a.jpg", box, box._replace(label=1)).kind, Correction("a.jpg", box, box).kind
        ('re-classed', 'confirmed')
        """
        if self.was is None:
            return "added" if self.region is None else "nothing-missing"
        if self.now is None:
            return "removed"
        moved, reclassed = self.was[:4] != self.now[:4], self.was[4:] != self.now[4:]
        if moved:
            return "moved+re-classed" if reclassed else "moved"
        return "re-classed" if reclassed else "confirmed"

    def sort_key(self) -> tuple[str, tuple[float, ...], bool, tuple[float, ...], str]:
        """By image, then by place: the order in which lines are written."""
        place = self.was or self.now or self.region or ()
        return self.image, place, self.was is None, self.now or (), self.comment


def count_kinds(corrections: Iterable[Correction]) -> dict[str, int]:
    """How many corrections there are of each kind, by the keys of the JSON reports.

    >>> count_kinds([Correction("a.jpg", LabelBox(1, 2, 3, 4, 0), None)])["removed"]
    1
    """
    kinds = Counter(correction.kind for correction in corrections)
    return {kind.replace("+", "_and_").replace("-", "_"): kinds[kind] for kind in get_args(CorrectionKind)}


@dataclass(frozen=True, slots=True)
class CorrectionsText:
    """A whole corrections file.

    Args:
        file: its name.
        corrections: its well-formed lines, in their order.
        problems: the others.
    """

    file: str
    corrections: list[Correction]
    problems: list[Problem]


def read_corrections(path: str | Path) -> CorrectionsText:
    """Read a corrections file; mistakes are returned, not raised.

    Rules: ``bad-correction``, ``half-written`` (the last line ends without a line break), ``not-utf8``.

    Raises:
        DataError: the file cannot be read.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "corrections.txt"
    ...     _ = file.write_text("a b.jpg 1,2,3,4,0 = # right\\nb.jpg 5,6,7,8,1 -\\nb.jpg - 5,6,7\\n")
    ...     text = read_corrections(file)
    >>> [(c.image, c.kind) for c in text.corrections], [(p.line, p.column) for p in text.problems]
    ([('a b.jpg', 'confirmed'), ('b.jpg', 'removed')], [(3, 9)])
    """
    lines = list(read_lines(path))
    with open(path, "rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(size - 1, 0))
        complete = stream.read(1) in (b"\n", b"\r", b"")
    return read_correction_lines(str(path), lines, complete=complete)


def read_correction_lines(file: str, lines: Sequence[str | None], *, complete: bool = True) -> CorrectionsText:
    """Read the lines of a corrections file.

    Args:
        file: its name.
        lines: without their line breaks; None where one is not UTF-8.
        complete: whether the last line ends with a line break.
    """
    text = CorrectionsText(file, [], [])
    for number, line in enumerate(lines, start=1):
        if line is None:
            text.problems.append(Problem(file, number, 0, "not-utf8", "the line is not UTF-8 text"))
        elif line.strip(BLANKS) and not is_comment(line):
            found = _read_line(line, number)
            if number == len(lines) and not complete and _may_lack_more(line, found):
                message = f"the line breaks off after {line[-20:]!r}: expected a line break at the end of the file"
                text.problems.append(Problem(file, number, len(line) + 1, "half-written", message))
            elif isinstance(found, Correction):
                text.corrections.append(found)
            else:
                column, message = found
                text.problems.append(Problem(file, number, column + 1, "bad-correction", message))
    return text


def _may_lack_more(line: str, found: Correction | tuple[int, str]) -> bool:
    """Whether a line without a line break may lack more than that: it ends neither with a blank nor in a comment."""
    in_comment = isinstance(found, Correction) and (found.comment or line.endswith("#"))
    return not in_comment and line == line.rstrip(BLANKS)


def _read_line(line: str, number: int) -> Correction | tuple[int, str]:
    """A correction; or the 0-based column of a mistake, and what it is."""
    if _MERGE_MARK.match(line):
        return 0, "a merge conflict of git: keep the lines of both sides that are right, and remove the marks"
    tokens = [(match.start(), match[0]) for match in _TOKEN.finditer(line.rstrip(BLANKS))]
    # No path holds a word that is a box, so the first box is that of WAS, NOW or the region.
    first = next((at for at, (_, word) in enumerate(tokens) if split_box(word)), len(tokens))
    if first in (0, len(tokens)):
        return _why_not(line, tokens, first)
    before = [word for _, word in tokens[max(first - 3, 0) : first]]
    was = now = region = None
    if before[-1:] == ["-"] and _ends(tokens, first + 1) and first > 1:
        start, last = first - 1, first
        now = _box(tokens[first][1])
    elif before[-2:] == ["-", "="] and _ends(tokens, first + 1) and first > 2:
        start, last = first - 2, first
        region = _box(tokens[first][1])
    elif first + 1 < len(tokens) and _is_now(tokens[first + 1][1]) and _ends(tokens, first + 2):
        start, last = first, first + 1
        was, word = _box(tokens[first][1]), tokens[last][1]
        now = _box(word) if split_box(word) else was if word == "=" else None
    else:
        return _why_not(line, tokens, first)
    for column, word in tokens[start : last + 1]:
        if split_box(word) and not all(map(math.isfinite, map(float, split_box(word) or ()))):
            return column, why_not_a_box(word)
    if was is not None and was == now and tokens[last][1] != "=":
        return tokens[last][0], "NOW is the same box as WAS; write = for a box that is right"
    image, _, not_of_path = split_line(line[: tokens[start][0]])
    if not_of_path:
        return not_of_path[0][0], why_not_a_box(not_of_path[0][1])
    comment = line[tokens[last + 1][0] :].strip(BLANKS)[1:].strip(BLANKS) if last + 1 < len(tokens) else ""
    return Correction(image, was, now, region, comment, number, tokens[start][0] + 1, tokens[last][0] + 1)


def _ends(tokens: Sequence[tuple[int, str]], at: int) -> bool:
    return at == len(tokens) or tokens[at][1].startswith("#")


def _is_now(word: str) -> bool:
    return word in ("-", "=") or split_box(word) is not None


def _box(word: str) -> LabelBox:
    x1, y1, x2, y2, label, ignore = map(float, split_box(word) or ())
    # + 0.0 makes -0 the same number as 0
    return LabelBox(x1 + 0.0, y1 + 0.0, x2 + 0.0, y2 + 0.0, int(label), ignore > 0)


def _why_not(line: str, tokens: Sequence[tuple[int, str]], first: int) -> tuple[int, str]:
    """The 0-based column at which a line stops to be a correction, and why."""
    for column, word in tokens[max(first - 2, 0) if first < len(tokens) else 0 : first + 2]:
        if looks_like_box(word) and not split_box(word):
            return column, why_not_a_box(word)
    if first == len(tokens):
        return tokens[0][0], f"no box in this line; {_EXPECTED}"
    if first == 0:
        return tokens[0][0], f"the line starts with a box; {_EXPECTED}"
    complete = tokens[first - 1][1] in ("-", "=") and first > 1
    rest = tokens[first + 1 :]
    if not complete and rest and _is_now(rest[0][1]):
        rest, complete = rest[1:], True
    if not rest:
        return len(line.rstrip(BLANKS)), f"a second box, - or = is missing; {_EXPECTED}"
    column, word = rest[0]
    shown = word if len(word) <= 60 else word[:57] + "..."
    if complete:
        return column, f"{shown!r} follows a whole correction; expected the end of the line, or a # comment"
    return column, f"{shown!r} is neither a box nor - nor =; {_EXPECTED}"


def format_corrections(corrections: Iterable[Correction]) -> str:
    """Write corrections such that :func:`read_corrections` returns the same, in the order of image and place.

    Columns are as wide as their longest text, rounded up to eight characters, so that a new line seldom moves the
    columns of others.

    Raises:
        DataError: a path or a comment that could not be read back (line breaks, a leading #, a box in a path).

    >>> print(format_corrections([Correction("a.jpg", None, LabelBox(1, 2, 30.5, 40, 0), comment="missing")]), end="")
    # image was     now
    a.jpg   -       1,2,30.5,40,0   # missing
    """
    ordered = sorted(corrections, key=Correction.sort_key)
    rows = [("# image", "was", "now", ""), *map(_cells, ordered)]
    longest = [max(len(row[n]) for row in rows if len(row[n]) < WIDEST) for n in (0, 1, 2)]
    widths = [(length // 8 + 1) * 8 for length in longest]
    lines = []
    for row in rows:
        padded = "".join(cell.ljust(width - 1) + " " for cell, width in zip(row, widths, strict=False))
        lines.append((padded + row[3]).rstrip(" "))
    for line, correction in zip(lines[1:], ordered, strict=True):
        whole = "\n" not in line and "\r" not in line and not is_comment(line)
        found = _read_line(line, 0) if whole else None
        if not isinstance(found, Correction) or found[:5] != correction[:5]:
            message = f"the correction of image {correction.image!r} cannot be written as one line"
            raise DataError(f"{message}; rename the file, or shorten the comment {correction.comment!r}")
    return "".join(f"{line}\n" for line in lines)


def _cells(correction: Correction) -> tuple[str, str, str, str]:
    if correction.region is not None:
        now = f"= {correction.region}"
    elif correction.kind == "confirmed":
        now = "="
    else:
        now = "-" if correction.now is None else str(correction.now)
    was = "-" if correction.was is None else str(correction.was)
    return correction.image, was, now, f"# {correction.comment}" if correction.comment else ""


def write_corrections(path: str | Path, corrections: Iterable[Correction]) -> None:
    """Write a corrections file, atomically; see :func:`format_corrections`."""
    text = format_corrections(corrections)
    with atomic_file(path) as partial:
        partial.write_bytes(text.encode())
