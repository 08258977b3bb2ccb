"""A list of problems as a CSV file, for lists that are too long for a screen."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from yolopipe.errors import Problem

__all__ = ["MOST_SHOWN", "ProblemList", "problem_list", "write_problems"]

MOST_SHOWN = 100
"""Problems that are printed; the file has all of them."""


class ProblemList:
    """Writes problems to a CSV file, one a row; only the first ones and the counts stay in memory.

    Args:
        stream: an empty text file.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._writer = csv.writer(stream, lineterminator="\n")
        self.clear()

    def clear(self) -> None:
        """Remove all problems."""
        self._stream.seek(0)
        self._stream.truncate()
        self._writer.writerow(["file", "line", "column", "rule", "message", "image", "action"])
        self.first: list[Problem] = []
        self.by_rule: Counter[str] = Counter()

    def add(self, problems: Sequence[Problem]) -> None:
        """Append problems."""
        self._writer.writerows([p.file, p.line, p.column, p.rule, p.message, p.image, p.action] for p in problems)
        self.first += problems[: MOST_SHOWN - len(self.first)]
        self.by_rule.update(problem.rule for problem in problems)


@contextmanager
def problem_list(file: Path) -> Iterator[ProblemList]:
    """A list in ``file``, complete when the block ends; the caller provides an atomic file."""
    with file.open("w", encoding="utf-8", newline="") as stream:
        yield ProblemList(stream)


def write_problems(file: Path, problems: Sequence[Problem]) -> None:
    """Write problems as CSV, one a row; the caller provides an atomic file."""
    with problem_list(file) as listed:
        listed.add(problems)
