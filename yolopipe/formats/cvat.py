"""CVAT for images 1.1: one XML file, a list of images with their shapes.

    <annotations><meta><task><labels><label><name>cat</name></label></labels></task></meta>
      <image id="0" name="a.jpg" width="640" height="480" subset="train">
        <box label="cat" occluded="0" xtl="1.00" ytl="2.00" xbr="30.00" ybr="40.00" rotation="0.00"/>
        <polygon label="cat" points="1,2;30,2;30,40"/>
      </image></annotations>

A file that declares a document type is refused: CVAT never does, and entities are how an XML file could do harm.
CVAT for video (tracks instead of images) is refused too.
"""

from __future__ import annotations

import xml.parsers.expat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from yolopipe.errors import DataError, Problem, Scope
from yolopipe.formats.bounds import Box, bounds_of_ellipse, bounds_of_points, bounds_of_rotated
from yolopipe.formats.text_lines import is_number, is_one_line

__all__ = ["CvatFile", "CvatImage", "CvatShape", "read_cvat"]

_SHAPES = ("box", "polygon", "ellipse", "mask")
_LEFT_OUT = ("polyline", "points", "tag", "cuboid", "skeleton")


class CvatShape(NamedTuple):
    """A shape with an area.

    Args:
        label: its class.
        box_xyxy: its bounds in pixels.
        is_upright: a box that is not rotated.
        occluded: marked as partly hidden.
        line: where its element starts.
        column: the same.
    """

    label: str
    box_xyxy: Box
    is_upright: bool
    occluded: bool
    line: int
    column: int


@dataclass(slots=True)
class CvatImage:
    """One image.

    Args:
        name: as written, with the folders of the task.
        size_wh: as written; zeros where it is missing.
        subset: of the task or the image; empty for none.
        line: where its element starts.
        shapes: in the order of the file.
        left_out: points, lines, tags, cuboids and skeletons.
        outside: shapes marked as outside the image, left out.
    """

    name: str
    size_wh: tuple[int, int]
    subset: str
    line: int
    shapes: list[CvatShape] = field(default_factory=list)
    left_out: int = 0
    outside: int = 0


@dataclass(slots=True)
class CvatFile:
    """The content of a file.

    Args:
        labels: class names in the order of the task; labels inside skeletons are no classes.
        images: in the order of the file.
        problems: ``bad-xml``, ``bad-record``, ``no-class-name``, ``bad-box``.
    """

    labels: list[str] = field(default_factory=list)
    images: list[CvatImage] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


class _NotCvat(Exception):
    """A file that is refused, with the reason."""


class _Unusable(Exception):
    """A shape that cannot be used."""

    def __init__(self, rule: str, message: str) -> None:
        self.rule, self.message = rule, message


def read_cvat(path: str | Path) -> CvatFile:
    """Read one file.

    Raises:
        DataError: it cannot be opened.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "a.xml"
    ...     _ = file.write_text('<annotations><image name="a.jpg"><box label="cat" xtl="1" ytl="2" xbr="3" ybr="4"/>'
    ...                         '</image></annotations>')
    ...     read_cvat(file).images[0].shapes[0].box_xyxy
    (1.0, 2.0, 3.0, 4.0)
    """
    found = CvatFile()
    parser = xml.parsers.expat.ParserCreate()
    _Handler(str(path), parser, found)
    try:
        with open(path, "rb") as stream:
            parser.ParseFile(stream)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None
    except xml.parsers.expat.ExpatError as error:
        reason = xml.parsers.expat.ErrorString(error.code)
        message = f"not well-formed XML: {reason}"
        found.problems.append(Problem(str(path), error.lineno, error.offset + 1, "bad-xml", message))
    except (_NotCvat, ValueError, LookupError) as error:  # an encoding that Python does not know is a LookupError
        found.problems.append(Problem(str(path), parser.CurrentLineNumber, 0, "bad-xml", str(error)))
    return found


class _Handler:
    """Follows the path of elements."""

    def __init__(self, file: str, parser: xml.parsers.expat.XMLParserType, found: CvatFile) -> None:
        self.file, self.parser, self.found = file, parser, found
        self.path: list[str] = []
        self.text: list[str] = []
        self.label = {"name": "", "parent": ""}
        self.subset = ""
        parser.buffer_text = True
        parser.StartElementHandler = self.start
        parser.EndElementHandler = self.end
        parser.CharacterDataHandler = self.text.append
        parser.StartDoctypeDeclHandler = self.refuse

    def refuse(self, *_: object) -> None:
        raise _NotCvat("declares a document type (DTD), which CVAT files never do; refused")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if not self.path and tag != "annotations":
            raise _NotCvat(f"expected <annotations> at the top, found <{tag}>")
        self.path.append(tag)
        self.text.clear()
        if len(self.path) == 2 and tag == "track":
            raise _NotCvat("<track>: this is CVAT for video; export the task as 'CVAT for images 1.1'")
        if len(self.path) == 2 and tag == "image":
            self.image(attributes)
        elif len(self.path) == 3 and self.path[1] == "image":
            self.shape(tag, attributes)
        elif tag == "label" and self.path[1] == "meta":
            self.label = {"name": "", "parent": ""}

    def end(self, tag: str) -> None:
        text = "".join(self.text).strip()
        if self.path[1:2] == ["meta"]:
            if self.path[-2:-1] == ["label"] and tag in self.label:
                self.label[tag] = text
            elif tag == "label" and self.label["name"] and not self.label["parent"]:
                self.found.labels.append(self.label["name"])
            elif self.path[3:] == ["subset"]:
                self.subset = text
        self.path.pop()
        self.text.clear()

    def problem(self, rule: str, message: str, scope: Scope, image: str = "") -> None:
        line, column = self.parser.CurrentLineNumber, self.parser.CurrentColumnNumber + 1
        self.found.problems.append(Problem(self.file, line, column, rule, message, image, scope=scope))

    def image(self, attributes: Mapping[str, str]) -> None:
        name = attributes.get("name", "")
        if not name.strip():
            self.problem("bad-record", "expected a name in this <image>", "image")
        texts = [attributes.get(key, "") for key in ("width", "height")]
        good = all(text.isdecimal() and len(text) < 10 for text in texts)
        size = (int(texts[0]), int(texts[1])) if good else (0, 0)
        subset = attributes.get("subset", self.subset)
        self.found.images.append(CvatImage(name, size, subset, self.parser.CurrentLineNumber))

    def shape(self, tag: str, attributes: Mapping[str, str]) -> None:
        image = self.found.images[-1]
        if tag in _LEFT_OUT:
            image.left_out += 1
        elif tag not in _SHAPES:
            self.problem("bad-record", f"the shape <{tag}> is not known", "box", image.name)
        elif attributes.get("outside", "0") == "1":
            image.outside += 1
        else:
            try:
                label, box_xyxy = _label(attributes), _bounds(tag, attributes)
            except _Unusable as error:
                self.problem(error.rule, error.message, "box", image.name)
            else:
                upright = tag == "box" and float(attributes.get("rotation") or 0) == 0
                occluded = attributes.get("occluded", "0") == "1"
                place = self.parser.CurrentLineNumber, self.parser.CurrentColumnNumber + 1
                image.shapes.append(CvatShape(label, box_xyxy, upright, occluded, *place))


def _label(attributes: Mapping[str, str]) -> str:
    label = attributes.get("label", "")
    if not is_one_line(label):
        raise _Unusable("no-class-name", f"expected a label of one line, found {label!r}")
    return label.strip()


def _bounds(tag: str, attributes: Mapping[str, str]) -> Box:
    if tag == "polygon":
        return bounds_of_points(_points(attributes.get("points", "")))
    rotation = _number(attributes, "rotation") if attributes.get("rotation") else 0.0
    if tag == "ellipse":
        x, y, rx, ry = (_number(attributes, key) for key in ("cx", "cy", "rx", "ry"))
        return bounds_of_ellipse((x, y), (rx, ry), rotation)
    if tag == "mask":
        x, y, width, height = (_number(attributes, key) for key in ("left", "top", "width", "height"))
        return x, y, x + width, y + height
    x1, y1, x2, y2 = (_number(attributes, key) for key in ("xtl", "ytl", "xbr", "ybr"))
    return bounds_of_rotated((x1, y1, x2, y2), rotation)


def _number(attributes: Mapping[str, str], key: str) -> float:
    text = attributes.get(key)
    if text is None:
        raise _Unusable("bad-box", f"expected {key}, found none")
    if not is_number(text):
        raise _Unusable("bad-box", f"expected a number in {key}, found {text[:60]!r}")
    return float(text)


def _points(text: str) -> list[tuple[float, float]]:
    points = []
    for pair in filter(None, text.split(";")):
        x, _, y = pair.partition(",")
        if not (is_number(x) and is_number(y)):
            raise _Unusable("bad-box", f"expected points as x,y;x,y, found {pair[:60]!r}")
        points.append((float(x), float(y)))
    if not points:
        raise _Unusable("bad-box", "expected points as x,y;x,y, found none")
    return points
