"""One line of annotation text, split into path, boxes and malformed tokens."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

__all__ = [
    "BLANKS",
    "Line",
    "is_comment",
    "looks_like_box",
    "number_text",
    "split_box",
    "split_line",
    "why_no_such_image",
    "why_not_a_box",
]

# Possessive quantifiers: a long wrong number costs one pass, not its square.
_NUMBER = r"[+-]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d++)?"
_CLASS = r"[+-]?\d{1,9}(?:\.0*+)?"
_BOX_TEXT = rf"({_NUMBER}),({_NUMBER}),({_NUMBER}),({_NUMBER}),({_CLASS})(?:,(0|1|ignore))?"
_BOX = re.compile(_BOX_TEXT, re.ASCII)
# ASCII blanks only: file names of screenshots contain U+202F, which str.split treats as a blank.
_FIRST_BOX = re.compile(rf"(?<=[ \t]){_BOX_TEXT}(?=[ \t]|$)", re.ASCII)
_TOKEN = re.compile(r"[^ \t]+")
_IMAGE_END = re.compile(r"\.(?:jpe?g|png|bmp|webp|tiff?|gif|jfif|heic|avif)$", re.IGNORECASE)
_JOINED = re.compile(r"\.(?:jpe?g|png|bmp|webp|tiff?|gif|jfif|heic|avif)([,;:|])[+-]?\d", re.IGNORECASE | re.ASCII)
BLANKS = " \t\v\f"


class Line(NamedTuple):
    """One line, split.

    Args:
        path: as written, without blanks around it; empty where the line starts with a box.
        boxes: 0-based column and six number texts of each well-formed box; the last is "1" for one to be ignored.
        bad: 0-based column and text of each malformed token.
    """

    path: str
    boxes: list[tuple[int, tuple[str, ...]]]
    bad: list[tuple[int, str]]


def split_line(line: str) -> Line:
    """Split a line; every token is in path, boxes or bad.

    >>> split_line("my dir/a.jpg 1,2,3,4,0 5,6")
    Line(path='my dir/a.jpg', boxes=[(13, ('1', '2', '3', '4', '0', '0'))], bad=[(23, '5,6')])
    """
    first = _FIRST_BOX.search(line)
    start = first.start() if first else len(line)
    path = line[:start].strip(BLANKS)
    bad: list[tuple[int, str]] = []
    if _IMAGE_END.search(path) is None:
        path, bad = _split_path(line[:start])
    boxes = []
    for token in _TOKEN.finditer(line, start):
        box = split_box(token[0])
        if box is None:
            bad.append((token.start(), token[0]))
        else:
            boxes.append((token.start(), box))
    return Line(path, boxes, bad)


def split_box(token: str) -> tuple[str, ...] | None:
    """The six number texts of a well-formed box, the last "1" for one to be ignored, else "0"; None for other text.

    >>> split_box("1,2,3,4,0"), split_box("1,2,3,4,-1,1"), split_box("1,2")
    (('1', '2', '3', '4', '0', '0'), ('1', '2', '3', '4', '-1', '1'), None)
    """
    box = _BOX.fullmatch(token)
    if box is None:
        return None
    texts = box.groups("0")
    return texts if texts[5] != "ignore" else (*texts[:5], "1")


def _split_path(text: str) -> tuple[str, list[tuple[int, str]]]:
    """Path and malformed tokens of ``text``: those after the last image name, or from the first box-like token on."""
    tokens = [(match.start(), match[0]) for match in _TOKEN.finditer(text.rstrip(BLANKS))]
    ends = [i + 1 for i, (_, token) in enumerate(tokens) if _IMAGE_END.search(token)]
    likes = [i for i, (_, token) in enumerate(tokens) if looks_like_box(token)]
    cut = ends[-1] if ends else likes[0] if likes else len(tokens)
    bad = tokens[cut:]
    return text[: bad[0][0] if bad else None].strip(BLANKS), bad


def looks_like_box(token: str) -> bool:
    """Whether a word may be meant as a box.

    >>> looks_like_box("1,2,x"), looks_like_box("a/b,1,2")
    (True, False)
    """
    separators = token.count(",") + token.count(";")
    return separators >= 2 and "/" not in token and "\\" not in token


def why_no_such_image(path: str) -> str:
    """A guess why a path names no image: a box that is joined to it, not separated by a space; empty for no guess.

    >>> why_no_such_image("a.jpg,1,2,30,40,0")
    "; a box seems to follow 'a.jpg' after ',': expected a space between the path and its boxes"
    >>> why_no_such_image("a,b.jpg")
    ''
    """
    match = _JOINED.search(path)
    if match is None:
        return ""
    image = path[: match.start(1)]
    return f"; a box seems to follow {image!r} after {match[1]!r}: expected a space between the path and its boxes"


def is_comment(line: str) -> bool:
    """Whether a line is a comment.

    >>> is_comment("  # night shots below"), is_comment("a#1.jpg")
    (True, False)
    """
    return line.lstrip(BLANKS).startswith("#")


def number_text(value: float) -> str:
    """A number as annotation text writes it: the shortest text that reads back as the same float64.

    >>> number_text(12.0), number_text(0.1)
    ('12', '0.1')
    """
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def why_not_a_box(token: str) -> str:
    """What is wrong with a malformed box.

    Args:
        token: a token that :func:`split_line` found bad, or whose numbers are not finite.

    Returns:
        A sentence.

    >>> why_not_a_box("12,13,abc,4,0")
    "box 12,13,abc,4,0: 'abc' is not a number; expected x1,y1,x2,y2,class"
    >>> why_not_a_box("12,13,30,40,0,2")
    'box 12,13,30,40,0,2: the sixth value, ignore, is 2 instead of 0 or 1; expected x1,y1,x2,y2,class'
    """
    fields = token.split(",")
    if ";" in token:
        reason = "numbers are separated by commas, not semicolons"
    elif len(fields) not in (5, 6):
        reason = f"{len(fields)} value{'s' if len(fields) > 1 else ''} instead of 5"
    elif why := next(filter(None, map(_why_not_a_number, fields[:5])), "") or _why_not_a_class(fields[4]):
        reason = why
    else:
        reason = f"the sixth value, ignore, is {fields[5] or 'missing'} instead of 0 or 1"
    shown = token if len(token) <= 60 else token[:57] + "..."
    return f"box {shown}: {reason}; expected x1,y1,x2,y2,class"


def _why_not_a_number(field: str) -> str:
    if re.fullmatch(_NUMBER, field, re.ASCII):
        return "" if math.isfinite(float(field)) else f"{field} is too large"
    if field.strip("+-").lower() in ("nan", "inf", "infinity"):
        return f"{field} is not a finite number"
    return f"{field!r} is not a number" if field else "a number is missing"


def _why_not_a_class(field: str) -> str:
    if re.fullmatch(_CLASS, field, re.ASCII):
        return ""
    if len(field.strip("+-")) > 9 and field.strip("+-").isdigit():
        return f"class {field} is too large"
    return f"class {field} is not an integer"
