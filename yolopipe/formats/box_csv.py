"""CSV tables of boxes, one a row, read row by row with the line of each."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from yolopipe.errors import Problem, Scope
from yolopipe.formats.text_lines import read_lines

__all__ = ["BoxTable", "Row", "header_of"]


class Row(NamedTuple):
    """One row.

    Args:
        line: 1-based line where it ends.
        fields: texts of the wanted columns, in their order; empty for an optional column that is not there.
    """

    line: int
    fields: list[str]


class BoxTable:
    """A CSV file with a header; columns may be in any order, and further ones are ignored.

    Args:
        path: the file; separated by commas, semicolons or tabs.
        columns: each wanted column and the names that it may have, in lower case.
        optional: those that may be missing.
        problems: faults are added here: ``bad-csv``, ``missing-key``, ``not-utf8``.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "a.csv"
    ...     _ = file.write_text("class,filename\\ncat,a.jpg\\n")
    ...     list(BoxTable(file, {"filename": ["filename"], "class": ["class", "label"]}, [], []))
    [Row(line=2, fields=['a.jpg', 'cat'])]
    """

    def __init__(
        self,
        path: str | Path,
        columns: Mapping[str, Sequence[str]],
        optional: Sequence[str],
        problems: list[Problem],
    ) -> None:
        self.path, self.columns, self.optional, self.problems = path, columns, optional, problems

    def __iter__(self) -> Iterator[Row]:
        header, delimiter = header_of(self.path)
        at = [next((header.index(name) for name in names if name in header), -1) for names in self.columns.values()]
        missing = [
            name for name, index in zip(self.columns, at, strict=True) if index < 0 and name not in self.optional
        ]
        if missing:
            message = f"expected the columns {', '.join(self.columns)} in the header, found no {', '.join(missing)}"
            self._problem(1, "missing-key", message, "file")
            return
        reader = csv.reader(self._lines(), delimiter=delimiter)
        try:
            next(reader, None)
            for fields in reader:
                if len(fields) == len(header):
                    yield Row(reader.line_num, [fields[index].strip() if index >= 0 else "" for index in at])
                elif any(map(str.strip, fields)):
                    message = f"{len(fields)} fields; the header has {len(header)} columns"
                    self._problem(reader.line_num, "bad-csv", message)
        except csv.Error as error:
            self._problem(reader.line_num, "bad-csv", f"cannot be read: {error}")

    def _lines(self) -> Iterator[str]:
        for number, line in enumerate(read_lines(self.path), start=1):
            if line is None:
                self._problem(number, "not-utf8", "the line is not UTF-8 text")
            yield "\n" if line is None else f"{line}\n"

    def _problem(self, line: int, rule: str, message: str, scope: Scope = "record") -> None:
        self.problems.append(Problem(str(self.path), line, 0, rule, message, scope=scope))


def header_of(path: str | Path) -> tuple[list[str], str]:
    """The names in the first line, in lower case and without blanks around them, and what separates them.

    Raises:
        DataError: the file cannot be read.

    >>> header_of("/dev/null")
    ([], ',')
    """
    first = next(read_lines(path), None) or ""
    delimiter = max(",;\t", key=first.count)
    fields = next(csv.reader([first[:65536]], delimiter=delimiter), [""])
    return [name.strip().lower() for name in fields], delimiter
