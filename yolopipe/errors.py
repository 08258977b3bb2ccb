"""Every error a user can cause, and the exit code that belongs to it.

    YolopipeError            5   a stage failed while it worked (disk, worker, non-finite loss)
    ├── DifferenceError      1   an exported network does not answer as the one it was made of
    ├── UsageError           2   a command was called the wrong way
    ├── ConfigError          3   params.yaml is wrong
    └── DataError            4   annotation text, images, shards or weights cannot be used
        ├── ProblemsError    4   ... and here is the whole list of what is wrong with them
        ├── ImageError       4   one image cannot be read
        └── ShardError       4   shards are missing, damaged or of another schema

Exit code 1 is kept for "the check found problems" and for "some of the input could not be read", 130 for Ctrl-C.  No
traceback is shown for any of these; anything else that escapes is a bug of ours and does show one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "ConfigError",
    "DataError",
    "DifferenceError",
    "ImageError",
    "Problem",
    "ProblemsError",
    "ShardError",
    "UsageError",
    "YolopipeError",
]


class YolopipeError(Exception):
    """An error with a sentence for the user and, where there is one, what to type next.

    Args:
        message: what was expected, what came, and where.
        hint: the next thing to type or change; shown on a line of its own.

    >>> str(YolopipeError("no shards in data/shards", hint="run: dvc repro precompute"))
    'no shards in data/shards\\n  try: run: dvc repro precompute'
    """

    exit_code = 5

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n  try: {self.hint}"


class DifferenceError(YolopipeError):
    """An exported network does not answer as the one it was made of."""

    exit_code = 1


class UsageError(YolopipeError):
    """A command was called the wrong way."""

    exit_code = 2


class ConfigError(YolopipeError):
    """``params.yaml`` is missing, unreadable, or holds a key or value that cannot be used."""

    exit_code = 3


class DataError(YolopipeError):
    """Input data cannot be used."""

    exit_code = 4


class ImageError(DataError):
    """One image cannot be read; ``rule`` names why in one word (``missing-image``, ...)."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule

    def __reduce__(self) -> tuple[type[ImageError], tuple[str, str]]:
        return type(self), (self.rule, self.message)  # crosses process borders


class ShardError(DataError):
    """Shards are missing, damaged, of other data, or of a schema version this build cannot read."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with the input, where it is, and what was done about it.

    Args:
        file: the text file that says so (not the image it speaks of).
        line: 1-based line; 0 when the file as a whole is meant.
        column: 1-based column; 0 when the line as a whole is meant.
        rule: a short fixed name, e.g. ``outside-image``.
        message: what was expected and what came.
        image: path of the image as written in the text, or ``""``.
        action: ``failed``, ``dropped-box``, ``dropped-image``, ``clipped`` or ``noted``.

    >>> print(Problem("train.txt", 3, 17, "no-area", "box 5,5,5,9 has no area"))
    train.txt:3:17: no-area: box 5,5,5,9 has no area
    """

    file: str
    line: int
    column: int
    rule: str
    message: str
    image: str = ""
    action: str = "failed"

    def __str__(self) -> str:
        place = ":".join([self.file] + [str(n) for n in (self.line, self.column) if n])
        return f"{place}: {self.rule}: {self.message}"


class ProblemsError(DataError):
    """A list of problems, all of them at once; the CLI prints each on a line of its own.

    Args:
        message: what they are in the way of.
        problems: all of them, or the first of a long list.
        hint: what to do.
        more: how many there are beyond ``problems``.
    """

    def __init__(self, message: str, problems: Sequence[Problem], *, hint: str | None = None, more: int = 0) -> None:
        super().__init__(message, hint=hint)
        self.problems = list(problems)
        self.more = more
