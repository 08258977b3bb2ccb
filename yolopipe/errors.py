"""Every error that a user can cause, and its exit code.

    YolopipeError            5   a command failed while it worked (disk, worker, non-finite loss)
    ├── DifferenceError      1   an exported network's outputs differ from the original's
    ├── UsageError           2   a command was called the wrong way
    ├── ConfigError          3   params.yaml is wrong
    └── DataError            4   annotation text, images, shards or weights cannot be used
        ├── ProblemsError    4   ... with the whole list of problems
        ├── ImageError       4   one image cannot be read
        └── ShardError       4   shards are missing, damaged or of another schema

Exit code 1 also means that a check found problems or that predict could not read some of its input; 130 is Ctrl-C.
No traceback is shown for any of these; any other exception is a bug of yolopipe and shows one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "ConfigError",
    "DataError",
    "DifferenceError",
    "ImageError",
    "Problem",
    "ProblemsError",
    "Scope",
    "ShardError",
    "UsageError",
    "YolopipeError",
]


class YolopipeError(Exception):
    """An error with a message for the user and, where there is one, what to type next.

    Args:
        message: what was expected, what came, and where.
        hint: what to type or change next; shown on its own line.

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
    """The outputs of an exported network differ from the original's."""

    exit_code = 1


class UsageError(YolopipeError):
    """A wrong call of a command."""

    exit_code = 2


class ConfigError(YolopipeError):
    """``params.yaml`` is missing, unreadable, or has a key or value that cannot be used."""

    exit_code = 3


class DataError(YolopipeError):
    """Input data cannot be used."""

    exit_code = 4


class ImageError(DataError):
    """An image that cannot be read; ``rule`` is the reason in one word (``missing-image``, ...)."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule

    def __reduce__(self) -> tuple[type[ImageError], tuple[str, str]]:
        return type(self), (self.rule, self.message)  # to pass between processes


class ShardError(DataError):
    """Shards that are missing, damaged, of other data, or of a schema version that this yolopipe cannot read."""


Scope = Literal["box", "image", "record", "file"]
"""What a problem makes unusable: a box, an image, a record that is neither, or the file as a whole."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem in the input, its place, and how it was handled.

    Args:
        file: the text file with the problem (not the image).
        line: 1-based line; 0 when the file as a whole is meant.
        column: 1-based column; 0 when the line as a whole is meant.
        rule: a short fixed name, e.g. ``outside-image``.
        message: what was expected and what came.
        image: path of the image as in the text, or ``""``.
        action: ``failed``, ``dropped-box``, ``dropped-image``, ``dropped-record``, ``dropped-correction``,
            ``clipped`` or ``noted``.
        scope: what ``import --on-bad skip`` leaves out for it; a problem of a whole file stays an error.

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
    scope: Scope = "file"

    def __str__(self) -> str:
        place = ":".join([self.file] + [str(n) for n in (self.line, self.column) if n])
        return f"{place}: {self.rule}: {self.message}"


class ProblemsError(DataError):
    """All problems of an input at once; the command line prints each on its own line.

    Args:
        message: what they prevent.
        problems: all of them, or the first of a long list.
        hint: what to do.
        more: number of problems that are not in ``problems``.
    """

    def __init__(self, message: str, problems: Sequence[Problem], *, hint: str | None = None, more: int = 0) -> None:
        super().__init__(message, hint=hint)
        self.problems = list(problems)
        self.more = more
