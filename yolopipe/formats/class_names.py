"""Class names: one a line, the number of the line less one is the class in the annotation text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from yolopipe.errors import DataError
from yolopipe.files import atomic_file
from yolopipe.formats.text_lines import read_lines

__all__ = ["read_class_names", "write_class_names"]


def read_class_names(path: str | Path) -> tuple[str, ...]:
    """Read the names of the classes.

    Args:
        path: text, one name a line; names may hold spaces, blank lines at the end are ignored.

    Returns:
        The names; position is class number.

    Raises:
        DataError: file missing or empty, a blank line among the names, a name twice, not UTF-8; with file and line.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_class_names(Path(folder) / "classes.names", ["cat", "traffic light"])
    ...     read_class_names(Path(folder) / "classes.names")
    ('cat', 'traffic light')
    """
    lines = [line if line is None else line.strip() for line in read_lines(path)]
    while lines and lines[-1] == "":
        lines.pop()
    if not lines:
        raise DataError(f"{path}: no class names; expected one a line")
    mistakes = _mistakes(lines)
    if mistakes:
        raise DataError("\n".join(f"{path}:{number}: {text}" for number, text in mistakes))
    return tuple(line or "" for line in lines)


def _mistakes(lines: Sequence[str | None]) -> list[tuple[int, str]]:
    first: dict[str, int] = {}
    found = []
    for number, name in enumerate(lines, start=1):
        if name is None:
            found.append((number, "not UTF-8 text"))
        elif name == "":
            found.append((number, "a blank line among the class names; it would count as a class"))
        elif name in first:
            found.append((number, f"class name {name!r} is already on line {first[name]}"))
        else:
            first[name] = number
    return found


def write_class_names(path: str | Path, names: Sequence[str]) -> None:
    """Write class names so that :func:`read_class_names` returns them.

    Args:
        path: the file to write, atomically.
        names: distinct, not blank, without line breaks or blanks at either end.

    Raises:
        DataError: when a name could not be read back.

    >>> write_class_names("unwritten", ["a", "a"])
    Traceback (most recent call last):
    yolopipe.errors.DataError: unwritten:2: class name 'a' is already on line 1
    """
    mistakes = _mistakes(names)
    mistakes += [
        (number, f"class name {name!r} has blanks around it or a line break in it")
        for number, name in enumerate(names, start=1)
        if name != name.strip() or "\n" in name or "\r" in name
    ]
    if mistakes or not names:
        lines = [f"{path}:{number}: {text}" for number, text in mistakes] or [f"{path}: no class names"]
        raise DataError("\n".join(lines))
    with atomic_file(path) as partial:
        partial.write_bytes("".join(f"{name}\n" for name in names).encode())
