"""Pascal VOC: one XML file an image, lists of image names for the splits.

    Annotations/NAME.xml   JPEGImages/NAME.jpg   ImageSets/Main/{train,val,...}.txt

Elements count only where VOC puts them: the ``part`` of an object (a head, a hand) is not an object.  Rotated boxes
(``<robndbox>`` of roLabelImg, CVAT's attribute ``rotation``) and polygons become their upright bounds.  A file that
declares a document type is refused: VOC never does, and entities are how an XML file could do harm.
"""

from __future__ import annotations

import math
import re
import xml.parsers.expat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from yolopipe.errors import DataError, Problem
from yolopipe.formats.text_lines import is_number, read_lines

__all__ = ["VocImage", "VocObject", "is_class_list", "read_voc_list", "read_voc_xml"]

CORNERS = ("xmin", "ymin", "xmax", "ymax")
ROTATED = ("cx", "cy", "w", "h", "angle")
_SHAPES = {"bndbox": CORNERS, "robndbox": ROTATED}
_POINT = re.compile(r"[xy]\d*")
_DECLARED = re.compile(rb"""\s*<\?xml\b[^>]*?\bencoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")
_BY_EXPAT = {"utf-8", "utf-16", "iso-8859-1", "us-ascii"}

Shape = Literal["box", "rotated", "polygon"]


class VocObject(NamedTuple):
    """One labelled object.

    Args:
        name: its class.
        box_xyxy: corners as written, counted from 1; of a rotated box or a polygon its bounds.
        difficult: marked as difficult, which VOC's score leaves out.
        line: where its element starts.
        column: the same.
        shape: what the file has.
    """

    name: str
    box_xyxy: tuple[float, float, float, float]
    difficult: bool
    line: int
    column: int
    shape: Shape = "box"


@dataclass(frozen=True, slots=True)
class VocImage:
    """The content of an XML file.

    Args:
        filename: of the image, as stated; often wrong after a copy, so the name of the XML file is tried first.
        objects: in the order of the file.
        problems: objects that cannot be used, one problem each; or the file as a whole.
        size_wh: size of the image, as stated; 0 where there is no usable statement.
        is_voc: False for XML of another kind.
    """

    filename: str
    objects: list[VocObject]
    problems: list[Problem]
    size_wh: tuple[int, int] = (0, 0)
    is_voc: bool = True


class _NotVoc(Exception):
    """A file that is refused, with the reason."""


class _OtherXml(_NotVoc):
    """XML of another kind."""


class _Place(NamedTuple):
    line: int
    column: int


@dataclass(slots=True)
class _Element:
    """The texts of one object with their places, the places of its boxes, and the points of its polygon."""

    place: _Place
    texts: dict[str, str] = field(default_factory=dict)
    places: dict[str, _Place] = field(default_factory=dict)
    shapes: list[tuple[str, _Place]] = field(default_factory=list)
    points: list[str] = field(default_factory=list)
    attributes: list[str] = field(default_factory=list)


class _Handler:
    """Follows the path of elements and keeps the texts that VOC defines."""

    def __init__(self, parser: xml.parsers.expat.XMLParserType) -> None:
        self.parser = parser
        self.path: list[str] = []
        self.places: list[_Place] = []
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
        path = self.path
        if not path and tag != "annotation":
            raise _OtherXml(f"expected <annotation> at the top, found <{tag}>")
        path.append(tag)
        self.text.clear()
        if len(path) > 1 and path[1] == "object":
            place = _Place(self.parser.CurrentLineNumber, self.parser.CurrentColumnNumber + 1)
            self.places.append(place)
            if len(path) == 2:
                self.objects.append(_Element(place))
            elif len(path) == 3 and (tag in _SHAPES or tag == "polygon"):
                self.objects[-1].shapes.append((tag, place))

    def end(self, tag: str) -> None:
        path = self.path
        if len(path) > 1 and path[1] == "object":
            place = self.places.pop()
            if len(path) > 2:
                self._object_text(self.objects[-1], path, place)
        elif len(path) == 2 and tag == "filename":
            self.filename = "".join(self.text).strip()
        elif len(path) == 3 and path[1] == "size" and tag in self.size:
            text = "".join(self.text).strip()
            self.size[tag] = int(text) if text.isdecimal() and len(text) < 10 else 0
        path.pop()
        self.text.clear()

    def _object_text(self, element: _Element, path: Sequence[str], place: _Place) -> None:
        depth, child, tag = len(path), path[2], path[-1]
        if (depth == 3 and tag in ("name", "difficult")) or (depth == 4 and tag in _SHAPES.get(child, ())):
            element.texts.setdefault(tag, "".join(self.text).strip())
            element.places.setdefault(tag, place)
        elif child == "polygon" and depth > 3 and _POINT.fullmatch(tag):
            element.points.append("".join(self.text).strip())
        elif child == "attributes" and depth == 5 and path[3] == "attribute":
            element.attributes.append("".join(self.text).strip())


def read_voc_xml(path: str | Path) -> VocImage:
    """Read one Pascal VOC annotation, in any encoding that Python knows.

    Args:
        path: the XML file.

    Returns:
        Its objects, and its problems with their lines: ``bad-xml``, ``no-class-name``, ``bad-box``,
        ``several-boxes``.

    Raises:
        DataError: the file cannot be opened.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "a.xml"
    ...     _ = file.write_text("<annotation><object><name>cat</name><bndbox><xmin>1</xmin><ymin>2.5</ymin>"
    ...                         "<xmax>30</xmax><ymax>40</ymax></bndbox></object></annotation>")
    ...     read_voc_xml(file).objects[0].box_xyxy
    (1.0, 2.5, 30.0, 40.0)
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None
    place, reason, is_voc = _Place(1, 0), "", True
    try:
        content, encoding = _in_known_encoding(content)
        parser = xml.parsers.expat.ParserCreate(encoding)
        handler = _Handler(parser)
        parser.Parse(content, True)
    except xml.parsers.expat.ExpatError as error:
        place = _Place(error.lineno, error.offset + 1)
        reason = f"not well-formed XML: {xml.parsers.expat.ErrorString(error.code)}"
    except _NotVoc as error:
        place, reason = _Place(parser.CurrentLineNumber, 0), str(error)
        is_voc = not isinstance(error, _OtherXml)
    except (LookupError, ValueError) as error:  # of the codec
        reason = f"cannot be decoded: {error}"
    if reason:
        return VocImage("", [], [Problem(str(path), *place, "bad-xml", reason, scope="image")], is_voc=is_voc)
    return _collect(str(path), handler)


def _in_known_encoding(content: bytes) -> tuple[bytes, str | None]:
    """Content that expat can decode, and the encoding to tell it; expat knows four, Python knows gb2312 as well."""
    declared = _DECLARED.match(content)
    name = declared[1].decode() if declared else "utf-8"
    if name.lower() in _BY_EXPAT:
        return content, None
    return content.decode(name).encode(), "utf-8"


def _collect(file: str, handler: _Handler) -> VocImage:
    image = VocImage(handler.filename, [], [], (handler.size["width"], handler.size["height"]))
    for element in handler.objects:
        faults = list(_faults_of(element))
        if faults:
            rule, place, _ = faults[0]
            message = "; ".join(message for _, _, message in faults)
            image.problems.append(Problem(file, *place, rule, message, scope="box"))
        else:
            box_xyxy, shape = _box_of(element)
            difficult = _is_true(element.texts.get("difficult", "0"))
            image.objects.append(VocObject(element.texts["name"], box_xyxy, difficult, *element.place, shape))
    return image


def _is_true(text: str) -> bool:
    """VOC writes 1; tools also write True, False, 0.0 and Unspecified."""
    return text.lower() in ("true", "yes") or (is_number(text) and float(text) != 0)


def _faults_of(element: _Element) -> Iterator[tuple[str, _Place, str]]:
    """Rule, place and message of each fault of an object."""
    name = element.texts.get("name", "")
    if not name or "\n" in name or "\r" in name:
        place = element.places.get("name", element.place)
        yield "no-class-name", place, "expected a <name> of one line in this <object>"
    boxes = [(tag, place) for tag, place in element.shapes if tag != "polygon"]
    if len(boxes) > 1:
        names = " and ".join(f"<{tag}>" for tag, _ in boxes)
        yield "several-boxes", boxes[1][1], f"an <object> has one box, this one has {names}"
    elif boxes:
        yield from _wrong_numbers(element, boxes[0][0])
    elif len(_points(element)) < 3:
        yield "bad-box", element.place, "this <object> has no <bndbox>"


def _wrong_numbers(element: _Element, shape: str) -> Iterator[tuple[str, _Place, str]]:
    for tag in _SHAPES[shape]:
        text, place = element.texts.get(tag), element.places.get(tag, element.place)
        if text is None:
            yield "bad-box", place, f"the <{shape}> of this <object> has no <{tag}>"
        elif not is_number(text):
            yield "bad-box", place, f"expected a number in <{tag}>, found {text[:60]!r}"


def _points(element: _Element) -> list[tuple[float, float]]:
    """The corners of the polygon; empty where one is not a pair of numbers."""
    if len(element.points) % 2 or not all(map(is_number, element.points)):
        return []
    numbers = list(map(float, element.points))
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _box_of(element: _Element) -> tuple[tuple[float, float, float, float], Shape]:
    numbers = {tag: float(text) for tag, text in element.texts.items() if tag in (*CORNERS, *ROTATED)}
    kinds = [tag for tag, _ in element.shapes]
    if "robndbox" in kinds:
        x, y, width, height, angle = (numbers[tag] for tag in ROTATED)
        return _bounds(x, y, width, height, angle), "rotated"
    if "bndbox" not in kinds:
        xs, ys = zip(*_points(element), strict=True)
        return (min(xs), min(ys), max(xs), max(ys)), "polygon"
    x1, y1, x2, y2 = (numbers[tag] for tag in CORNERS)
    degrees = dict(zip(element.attributes[::2], element.attributes[1::2], strict=False)).get("rotation", "")
    if is_number(degrees) and float(degrees) % 360:
        angle = math.radians(float(degrees))
        return _bounds((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1, angle), "rotated"
    return (x1, y1, x2, y2), "box"


def _bounds(x: float, y: float, width: float, height: float, radians: float) -> tuple[float, float, float, float]:
    """Upright bounds of a box that is rotated around its centre, either way."""
    cos, sin = abs(math.cos(radians)), abs(math.sin(radians))
    half_w, half_h = (width * cos + height * sin) / 2, (width * sin + height * cos) / 2
    return x - half_w, y - half_h, x + half_w, y + half_h


def read_voc_list(file: str | Path) -> list[tuple[int, str]]:
    """Read a list of images.

    Returns:
        (1-based line, image name) of each line that is not blank.

    Raises:
        DataError: it is not UTF-8 text.

    >>> read_voc_list("/dev/null")
    []
    """
    names = []
    for number, line in enumerate(read_lines(file), start=1):
        if line is None:
            raise DataError(f"{file}:{number}: not UTF-8 text")
        if line.strip():
            names.append((number, line.strip()))
    return names


def is_class_list(names: Sequence[tuple[int, str]], is_image: Callable[[str], bool]) -> bool:
    """Whether a list is of one class (``car_train.txt``), with 1, 0 or -1 behind each name, and so no split.

    Args:
        names: from :func:`read_voc_list`.
        is_image: whether a whole line is the name of an image.

    >>> is_class_list([(1, "a -1"), (2, "b  1")], lambda name: False)
    True
    """
    if not names or not all(_is_class_mark(name) for _, name in names):
        return False
    return not is_image(names[0][1])


def _is_class_mark(name: str) -> bool:
    return name.rpartition(" ")[0].strip() != "" and name.rpartition(" ")[2] in ("-1", "0", "1")
