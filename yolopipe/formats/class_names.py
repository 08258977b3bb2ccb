"""Class names: a text with one name a line; the first is class 0."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from yolopipe.errors import DataError
from yolopipe.files import atomic_file
from yolopipe.formats.text_lines import read_lines

__all__ = ["read_class_names", "undefined_class", "write_class_names"]


def read_class_names(path: str | Path) -> tuple[str, ...]:
    """Read the names of the classes.

    Args:
        path: text, one name a line; names may contain spaces, blank lines at the end are ignored.

    Returns:
        The names in order of their class numbers.

    Raises:
        DataError: a missing or empty file, a blank line among the names, a repeated name, not UTF-8; with the line.

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
            found.append((number, "blank line among the class names; it would count as a class"))
        elif name in first:
            found.append((number, f"class name {name!r} is already on line {first[name]}"))
        else:
            first[name] = number
    return found


def undefined_class(label: int, count: int) -> str:
    """The message for a class number without a name.

    >>> undefined_class(7, 2)
    'class 7 has no name; the names file defines 2 classes, 0 to 1'
    """
    return f"class {label} has no name; the names file defines {count} class{'es' * (count > 1)}, 0 to {count - 1}"


def write_class_names(path: str | Path, names: Sequence[str]) -> None:
    """Write class names so that :func:`read_class_names` returns them.

    Args:
        path: the file to write, atomically.
        names: distinct, not blank, without line breaks or spaces at either end.

    Raises:
        DataError: a name that could not be read back.

    >>> write_class_names("unwritten", ["a", "a"])
    Traceback (most recent call last):
    yolopipe.errors.DataError: unwritten:2: class name 'a' is already on line 1
    """
    mistakes = _mistakes(names)
    mistakes += [
        (number, f"class name {name!r} has spaces around it or contains a line break")
        for number, name in enumerate(names, start=1)
        if name != name.strip() or "\n" in name or "\r" in name
    ]
    if mistakes or not names:
        lines = [f"{path}:{number}: {text}" for number, text in mistakes] or [f"{path}: no class names"]
        raise DataError("\n".join(lines))
    with atomic_file(path) as partial:
        partial.write_bytes("".join(f"{name}\n" for name in names).encode())
