"""The lines of a text that somebody else wrote."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from yolopipe.errors import DataError

__all__ = ["read_lines"]


def read_lines(path: str | Path) -> Iterator[str | None]:
    """Yield the lines of a UTF-8 text; None for a line that is not UTF-8.

    Line breaks are LF, CRLF or CR and nothing else (``str.splitlines`` knows eight more, all allowed in a file name).

    Raises:
        DataError: no such file, cannot be opened, or UTF-16.

    >>> list(read_lines("/dev/null"))
    []
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise DataError(f"no file {path}") from None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{path} is UTF-16 text, expected UTF-8", hint=f"iconv -f UTF-16 -t UTF-8 {path}")
    content = content.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    for line in content.removesuffix(b"\n").split(b"\n") if content else ():
        try:
            yield line.decode()
        except UnicodeDecodeError:
            yield None
