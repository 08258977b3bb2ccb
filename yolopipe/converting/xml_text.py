"""Text that XML can hold."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from yolopipe.converting.splits import TextSplit, raise_problems
from yolopipe.errors import DataError, Problem

__all__ = ["check_text", "without_controls"]

_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def without_controls(text: str) -> str:
    """``text`` with ``_`` for each character that XML cannot hold.

    >>> without_controls("a\\x07b")
    'a_b'
    """
    return _NOT_XML.sub("_", text)


def check_text(splits: Mapping[str, TextSplit], names: Sequence[str], *, paths: bool) -> None:
    """Refuse class names, and paths where they are written, with characters that XML cannot hold.

    Raises:
        DataError: such a class name.
        ProblemsError: such paths, all of them.
    """
    for number, name in enumerate(names):
        if _NOT_XML.search(name):
            raise DataError(f"class {number} {name!r} has a control character, which XML cannot hold")
    if paths:
        raise_problems([problem for split in splits.values() for problem in _bad_paths(split)])


def _bad_paths(split: TextSplit) -> Iterator[Problem]:
    text = split.text
    for path, line in zip(text.image_paths, text.lines.tolist(), strict=True):
        if _NOT_XML.search(path):
            message = f"the image path {path!r} has a control character, which XML cannot hold"
            yield Problem(text.file, line, 1, "bad-path", message, path)
