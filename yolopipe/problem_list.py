"""The whole list of problems as a file, for what does not fit on a screen."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from yolopipe.errors import Problem

__all__ = ["write_problems"]


def write_problems(file: Path, problems: Sequence[Problem]) -> None:
    """Write problems as CSV, one a row; the caller makes the file appear whole."""
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["file", "line", "column", "rule", "message", "image", "action"])
        writer.writerows([p.file, p.line, p.column, p.rule, p.message, p.image, p.action] for p in problems)
