"""Pascal VOC: one XML file an image, lists of image names for the splits.

    Annotations/NAME.xml   JPEGImages/NAME.jpg   ImageSets/Main/{train,val,...}.txt

Elements count only where VOC puts them: the ``part`` of an object (a head, a hand) is not an object.  A file that
declares a document type is refused: VOC never does, and entities are how an XML file could do harm.
"""

from __future__ import annotations

import xml.parsers.expat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from yolopipe.errors import DataError, Problem
from yolopipe.formats.text_lines import is_number, read_lines

__all__ = ["VocImage", "VocObject", "read_voc_splits", "read_voc_xml"]

CORNERS = ("xmin", "ymin", "xmax", "ymax")
_OBJECT = ("annotation", "object")
_WANTED = {
    ("annotation", "filename"),
    ("annotation", "size", "width"),
    ("annotation", "size", "height"),
    (*_OBJECT, "name"),
    (*_OBJECT, "difficult"),
    *((*_OBJECT, "bndbox", corner) for corner in CORNERS),
}


class VocObject(NamedTuple):
    """One labelled object.

    Args:
        name: its class.
        box_xyxy: corners as written, counted from 1.
        difficult: marked as difficult, which VOC's score leaves out.
        line: where its element starts.
    """

    name: str
    box_xyxy: tuple[float, float, float, float]
    difficult: bool
    line: int


@dataclass(frozen=True, slots=True)
class VocImage:
    """The content of an XML file.

    Args:
        filename: of the image, as stated; often wrong after a copy, so the name of the XML file is tried first.
        objects: in the order of the file.
        problems: objects that cannot be used.
        size_wh: size of the image, as stated; 0 where there is no usable statement.
    """

    filename: str
    objects: list[VocObject]
    problems: list[Problem]
    size_wh: tuple[int, int] = (0, 0)


class _NotVoc(Exception):
    """A file that is refused, with the reason."""


@dataclass(slots=True)
class _Element:
    """The texts of one object, and the line of each."""

    line: int
    texts: dict[str, str] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)


class _Handler:
    """Follows the path of elements and keeps the texts that VOC defines."""

    def __init__(self, parser: xml.parsers.expat.XMLParserType) -> None:
        self.parser = parser
        self.path: list[str] = []
        self.text: list[str] = []
        self.filename = ""
        self.size = {"width": 0, "height": 0}
        self.objects: list[_Element] = []
        parser.buffer_text = True
        parser.StartElementHandler = self.start
        parser.EndElementHandler = self.end
        parser.CharacterDataHandler = self.text.append
        parser.StartDoctypeDeclHandler = self.refuse

    def refuse(self, *_: object) -> None:
        raise _NotVoc("declares a document type (DTD), which VOC files never do; refused")

    def start(self, tag: str, _: dict[str, str]) -> None:
        if not self.path and tag != "annotation":
            raise _NotVoc(f"expected <annotation> at the top, found <{tag}>")
        self.path.append(tag)
        self.text.clear()
        if tuple(self.path) == _OBJECT:
            self.objects.append(_Element(self.parser.CurrentLineNumber))

    def end(self, tag: str) -> None:
        path = tuple(self.path)
        if path in _WANTED:
            text = "".join(self.text).strip()
            if path == ("annotation", "filename"):
                self.filename = text
            elif tag in self.size:
                self.size[tag] = int(text) if text.isdecimal() and len(text) < 10 else 0
            else:
                self.objects[-1].texts[tag] = text
                self.objects[-1].lines[tag] = self.parser.CurrentLineNumber
        self.path.pop()
        self.text.clear()


def read_voc_xml(path: str | Path) -> VocImage:
    """Read one Pascal VOC annotation.

    Args:
        path: the XML file.

    Returns:
        Its objects, and its problems with their lines: ``bad-xml``, ``no-class-name``, ``bad-box``.

    Raises:
        DataError: the file cannot be opened.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "a.xml"
    ...     _ = file.write_text("<annotation><object><name>cat</name><bndbox><xmin>1</xmin><ymin>2.5</ymin>"
    ...                         "<xmax>30</xmax><ymax>40</ymax></bndbox></object></annotation>")
    ...     read_voc_xml(file).objects
    [VocObject(name='cat', box_xyxy=(1.0, 2.5, 30.0, 40.0), difficult=False, line=1)]
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None
    parser = xml.parsers.expat.ParserCreate()
    handler = _Handler(parser)
    try:
        parser.Parse(content, True)
    except xml.parsers.expat.ExpatError as error:
        reason = xml.parsers.expat.ErrorString(error.code)
        problem = Problem(
            str(path), error.lineno, error.offset + 1, "bad-xml", f"not well-formed XML: {reason}", scope="image"
        )
        return VocImage("", [], [problem])
    except _NotVoc as error:
        line = parser.CurrentLineNumber
        return VocImage("", [], [Problem(str(path), line, 0, "bad-xml", str(error), scope="image")])
    return _collect(str(path), handler)


def _collect(file: str, handler: _Handler) -> VocImage:
    image = VocImage(handler.filename, [], [], (handler.size["width"], handler.size["height"]))
    for element in handler.objects:
        found = _problems_of(file, element)
        image.problems.extend(found)
        if not found:
            x1, y1, x2, y2 = (float(element.texts[corner]) for corner in CORNERS)
            difficult = element.texts.get("difficult", "0") not in ("", "0")
            image.objects.append(VocObject(element.texts["name"], (x1, y1, x2, y2), difficult, element.line))
    return image


def _problems_of(file: str, element: _Element) -> list[Problem]:
    found = []
    name = element.texts.get("name", "")
    if not name or "\n" in name or "\r" in name:
        line = element.lines.get("name", element.line)
        found.append(Problem(file, line, 0, "no-class-name", "expected a <name> of one line in this <object>"))
    for corner in CORNERS:
        text = element.texts.get(corner)
        line = element.lines.get(corner, element.line)
        if text is None:
            found.append(Problem(file, line, 0, "bad-box", f"the <bndbox> of this <object> has no <{corner}>"))
        elif not is_number(text):
            found.append(Problem(file, line, 0, "bad-box", f"expected a number in <{corner}>, found {text!r}"))
    return found


def read_voc_splits(source: str | Path) -> Mapping[str, list[tuple[int, str]]]:
    """Read the lists of images in ``ImageSets/Main``.

    Lists of one class (``car_train.txt``: names with 1, 0 or -1) are not splits and are left out.

    Args:
        source: the VOC folder.

    Returns:
        Split name to (1-based line, image name), sorted by split name; empty without lists.

    Raises:
        DataError: a list is not UTF-8 text.

    >>> dict(read_voc_splits("nowhere"))
    {}
    """
    splits = {}
    for file in sorted((Path(source) / "ImageSets" / "Main").glob("*.txt")):
        names = []
        for number, line in enumerate(read_lines(file), start=1):
            if line is None:
                raise DataError(f"{file}:{number}: not UTF-8 text")
            if line.strip():
                names.append((number, line.strip()))
        if not _is_class_list(names, Path(source) / "Annotations"):
            splits[file.stem] = names
    return splits


def _is_class_list(names: Sequence[tuple[int, str]], annotations: Path) -> bool:
    """Whether every line ends in a class mark that does not belong to the name of an image."""
    if not names or not all(_is_class_mark(name) for _, name in names):
        return False
    return not (annotations / f"{names[0][1]}.xml").is_file()


def _is_class_mark(name: str) -> bool:
    return name.rpartition(" ")[0].strip() != "" and name.rpartition(" ")[2] in ("-1", "0", "1")
