"""Reading lines of UTF-8 text that users or other tools wrote."""

from __future__ import annotations

import math
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path

from yolopipe.errors import DataError

__all__ = ["is_number", "is_one_line", "read_lines"]


def read_lines(path: str | Path) -> Iterator[str | None]:
    """Yield the lines of a UTF-8 text, one at a time; None for a line that is not UTF-8.

    Line breaks are LF, CRLF or CR only (``str.splitlines`` has eight more, all allowed in file names).

    Raises:
        DataError: a file that is missing, cannot be opened, or is UTF-16.

    >>> list(read_lines("/dev/null"))
    []
    """
    try:
        # Bytes that are not UTF-8 become lone surrogates, which valid UTF-8 never gives.
        with open(path, "rb") as raw, TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape") as text:
            if raw.peek(2)[:2] in (b"\xff\xfe", b"\xfe\xff"):
                hint = f"iconv -f UTF-16 -t UTF-8 {path}"
                raise DataError(f"{path} is UTF-16 text, expected UTF-8", hint=hint)
            for line in text:
                yield line.removesuffix("\n") if _is_text(line) else None
    except FileNotFoundError:
        raise DataError(f"no file {path}") from None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None


def _is_text(line: str) -> bool:
    try:
        line.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_one_line(text: str) -> bool:
    """Whether a text, blanks at its ends aside, is not empty and has no line break.

    >>> is_one_line(" cat "), is_one_line("a\\nb"), is_one_line(" ")
    (True, False, False)
    """
    return bool(text.strip()) and "\n" not in text.strip() and "\r" not in text.strip()


def is_number(text: str) -> bool:
    """Whether a text is a finite number, written without Python's underscores.

    >>> is_number("1e3"), is_number("nan"), is_number("1_000")
    (True, False, False)
    """
    try:
        return math.isfinite(float(text)) and "_" not in text
    except ValueError:
        return False
