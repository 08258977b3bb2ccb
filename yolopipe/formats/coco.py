"""COCO JSON: three lists, of images, of annotations and of categories; and the list of results that refers to them.

    {"images": [{"id": 1, "file_name": "a.jpg", "width": 640, "height": 480}],
     "categories": [{"id": 18, "name": "dog"}],
     "annotations": [{"id": 7, "image_id": 1, "category_id": 18, "bbox": [x, y, width, height], "iscrowd": 0}]}

    [{"image_id": 1, "category_id": 18, "bbox": [x, y, width, height], "score": 0.9}]

Boxes only: a segmentation counts only where there is no box, and all other keys are ignored.

Every reader here names a problem by the line and column of its record and one of these rules: ``bad-json``,
``missing-key``, ``duplicate-key``, ``bad-record`` (not an object, or a value of another kind), ``duplicate-id`` (an
id or a category name that is used before), ``bad-box``, ``bad-area``, ``bad-flag``, ``bad-score``, ``no-class-name``,
``unknown-image``, ``unknown-category``.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from yolopipe.errors import Problem, Scope
from yolopipe.formats.coco_masks import bounds_of_segmentation
from yolopipe.formats.coco_records import (
    AREA,
    BOX,
    FLAG,
    ID,
    SCORE,
    TEXT,
    WHOLE,
    Kind,
    Place,
    Problems,
    corners_of,
    normal_id,
    shown,
)
from yolopipe.formats.json_records import Record, Taker, read_record_lists, read_records

__all__ = [
    "CocoFile",
    "CocoImage",
    "CocoResults",
    "CocoTruth",
    "Place",
    "read_coco",
    "read_coco_names",
    "read_coco_results",
    "read_coco_truth",
]

_WITHOUT_BOX = {"id": ID, "image_id": ID, "category_id": ID}
_WITH_BOX = {**_WITHOUT_BOX, "bbox": BOX}

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class CocoImage(NamedTuple):
    """One image.

    Args:
        file_name: as written; empty where it is missing.
        size_wh: width and height as written; 0 where they are missing.
        place: where its record starts.
    """

    file_name: str
    size_wh: tuple[int, int]
    place: Place


@dataclass(slots=True)
class CocoFile:
    """Images, categories and boxes of a file, in the order of the file.

    Args:
        file: its name.
        images: by id as written.
        categories: name and place by id as written.
        boxes_xyxy: (N, 4) float64 corners in pixels.
        image: (N,) position in ``images``.
        category: (N,) position in ``categories``.
        places: (N, 2) int64 line and column of each annotation.
        crowd: (N,) bool ``iscrowd``.
        outlines: number of boxes that are bounds of a segmentation.
        groups: ids of categories that are only the ``supercategory`` of others, as Roboflow writes them.
        unclear: ids of images that two records with different file names have.
        problems: all that is wrong; such records are in none of the above.
    """

    file: str
    images: dict[int | str, CocoImage] = field(default_factory=dict)
    categories: dict[int | str, tuple[str, Place]] = field(default_factory=dict)
    boxes_xyxy: Floats = field(default_factory=lambda: np.empty((0, 4)))
    image: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    category: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    places: Ints = field(default_factory=lambda: np.empty((0, 2), np.int64))
    crowd: npt.NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, bool))
    outlines: int = 0
    groups: list[int | str] = field(default_factory=list)
    unclear: set[int | str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)


@dataclass(slots=True)
class CocoTruth:
    """Annotations to score against: crowds are among the boxes, and ids of annotations are not used.

    Args:
        coco: images, categories, boxes and problems; corners are float sums of what is written.
        sizes_wh: (N, 2) width and height as written.
        area: (N,) square pixels as written, else width times height.
        crowd: (N,) ``iscrowd``.
        difficult: (N,) ``difficult``.
    """

    coco: CocoFile
    sizes_wh: Floats
    area: Floats
    crowd: npt.NDArray[np.bool_]
    difficult: npt.NDArray[np.bool_]


@dataclass(slots=True)
class CocoResults:
    """Predictions in the order of their file.

    Args:
        boxes_xyxy: (K, 4) float64 corners in pixels.
        sizes_wh: (K, 2) width and height as written.
        scores: (K,).
        image: (K,) position among the images of the truth.
        category: (K,) position among its categories.
        problems: all that is wrong; such records are in none of the above.
    """

    boxes_xyxy: Floats
    sizes_wh: Floats
    scores: Floats
    image: Ints
    category: Ints
    problems: list[Problem]


def read_coco(path: str | Path) -> CocoFile:
    """Read a COCO file to import: ids of annotations are unique, images have a file name.

    Returns:
        Images, categories and boxes, and what is wrong with the rest.

    Raises:
        DataError: the file cannot be opened or is not UTF-8 text.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "a.json"
    ...     _ = file.write_text('{"images": [{"id": 5, "file_name": "a.jpg"}],'
    ...                         ' "categories": [{"id": 9, "name": "cat"}],'
    ...                         ' "annotations": [{"id": 1, "image_id": 5, "category_id": 9, "bbox": [1, 2, 3, 4]}]}')
    ...     read_coco(file).boxes_xyxy.tolist()
    [[1.0, 2.0, 4.0, 6.0]]
    """
    frame = _Frame(str(path), ID, named=("file_name", "name"), merge_groups=True)
    boxes = _Boxes("annotation", frame.problems)
    annotation_ids: set[int | str | None] = set()
    outlines = 0

    def take(record: Record) -> None:
        nonlocal outlines
        value, place, outline = record.value, Place(record.line, record.column), None
        keys = _WITH_BOX
        if isinstance(value, dict) and not value.get("bbox") and value.get("segmentation"):
            outline = bounds_of_segmentation(value["segmentation"])
            keys = _WITH_BOX if outline is None else _WITHOUT_BOX
        if not frame.problems.check(record, "annotation", keys):
            return
        number = value["id"] if type(value["id"]) is int else normal_id(value["id"])
        if number in annotation_ids:
            frame.problems.add(place, "duplicate-id", f"annotation id {shown(value['id'])} is used before", "box")
            return
        annotation_ids.add(number)
        if outline is not None:
            outlines += 1
        box_xyxy = outline or corners_of(value["bbox"], record.text)
        boxes.add(value, place, (*box_xyxy, 1.0 if value.get("iscrowd") == 1 else 0.0))

    whole = frame.read(take)
    rows, image, category, places = boxes.finish(frame.images, frame.categories, whole=whole, width=5)
    return CocoFile(
        file=str(path),
        images=frame.images,
        categories=frame.categories,
        boxes_xyxy=rows[:, :4],
        image=image,
        category=category,
        places=places,
        crowd=rows[:, 4] == 1,
        outlines=outlines,
        groups=frame.groups(),
        unclear=frame.unclear,
        problems=frame.problems.all,
    )


def read_coco_names(path: str | Path) -> CocoFile:
    """Read images and categories of a COCO file, and no boxes; ids are whole numbers or text.

    Raises:
        DataError: the file cannot be opened or is not UTF-8 text.
    """
    frame = _Frame(str(path), ID, named=("file_name", "name"))
    frame.read(None)
    return CocoFile(str(path), frame.images, frame.categories, problems=frame.problems.all)


def read_coco_truth(path: str | Path) -> CocoTruth:
    """Read a COCO file to score against: ids are whole numbers or text, file names and class names not needed.

    A category without a name is called by its id.

    Raises:
        DataError: the file cannot be opened or is not UTF-8 text.
    """
    frame = _Frame(str(path), ID, named=())
    boxes = _Boxes("annotation", frame.problems)
    keys = {"image_id": ID, "category_id": ID, "bbox": BOX}
    optional = {"area": AREA, "iscrowd": FLAG, "difficult": FLAG}

    def take(record: Record) -> None:
        if frame.problems.check(record, "annotation", keys, optional):
            value = record.value
            area = value.get("area", value["bbox"][2] * value["bbox"][3])
            row = [*value["bbox"], area, value.get("iscrowd", 0), value.get("difficult", 0)]
            boxes.add(value, Place(record.line, record.column), row)

    whole = frame.read(take)
    rows, image, category, places = boxes.finish(frame.images, frame.categories, whole=whole, width=7)
    coco = CocoFile(str(path), frame.images, frame.categories, _corners(rows), image, category, places)
    coco.problems = frame.problems.all
    return CocoTruth(coco, rows[:, 2:4], rows[:, 4], rows[:, 5] == 1, rows[:, 6] == 1)


def read_coco_results(path: str | Path, truth: CocoFile) -> CocoResults:
    """Read a list of results, or an object that holds this list under ``annotations``.

    Args:
        path: the JSON file.
        truth: whose images and categories the ids are of; ``139`` and ``"139"`` are the same id.

    Raises:
        DataError: the file cannot be opened or is not UTF-8 text.
    """
    problems = Problems(str(path))
    boxes = _Boxes("prediction", problems)
    keys = {"image_id": ID, "category_id": ID, "bbox": BOX, "score": SCORE}

    def take(record: Record) -> None:
        if problems.check(record, "prediction", keys):
            boxes.add(record.value, Place(record.line, record.column), [*record.value["bbox"], record.value["score"]])

    broken = read_records(path, "annotations", take)
    problems.all += broken
    rows, image, category, _ = boxes.finish(truth.images, truth.categories, whole=not broken, width=5)
    return CocoResults(_corners(rows), rows[:, 2:4], rows[:, 4], image, category, problems.all)


class _Frame:
    """Images and categories of a file.

    Args:
        file: its name.
        ids: what an id may be.
        named: the keys, of ``file_name`` and ``name``, that must be there.
        merge_groups: two categories may have one name if one of them is the group of the other.
    """

    def __init__(self, file: str, ids: Kind, *, named: Sequence[str], merge_groups: bool = False) -> None:
        self.problems = Problems(file)
        self.images: dict[int | str, CocoImage] = {}
        self.categories: dict[int | str, tuple[str, Place]] = {}
        self.unclear: set[int | str] = set()
        self._ids, self._named, self._merge_groups = ids, named, merge_groups
        self._above: dict[int | str, str] = {}
        self._seen: dict[tuple[str, object], Place] = {}

    def read(self, annotation: Taker | None) -> bool:
        """Read the lists, annotations if they are wanted; whether the file could be read to its end."""
        takers: dict[str, Taker] = {"images": self._image, "categories": self._category}
        if annotation is not None:
            takers["annotations"] = annotation
        broken = read_record_lists(self.problems.file, takers)
        self.problems.all += broken
        return not broken

    def _usable(self, record: Record, what: str, name: str) -> bool:
        text = {name: TEXT}
        needed, optional = (text, {}) if name in self._named else ({}, text)
        return self.problems.check(record, what, {"id": self._ids, **needed}, optional)

    def _image(self, record: Record) -> None:
        if not self._usable(record, "image", "file_name"):
            return
        value, place = record.value, Place(record.line, record.column)
        file_name = value.get("file_name", "")
        if "file_name" in value and not file_name.strip():
            self.problems.add(place, "bad-record", f"image {shown(value['id'])}: 'file_name' is blank", "image")
            return
        size = value.get("width"), value.get("height")
        image = CocoImage(file_name, size if all(map(WHOLE.fits, size)) else (0, 0), place)
        if self._is_new("image id", normal_id(value["id"]), place, "image"):
            self.images[value["id"]] = image
        else:
            first = next(key for key in self.images if normal_id(key) == normal_id(value["id"]))
            if self.images[first].file_name != file_name:
                self.unclear.add(first)

    def _category(self, record: Record) -> None:
        if not self._usable(record, "category", "name"):
            return
        number, place = record.value["id"], Place(record.line, record.column)
        name = record.value.get("name", str(number)).strip()
        if not name or "\n" in name or "\r" in name:
            self.problems.add(
                place, "no-class-name", f"category {shown(number)}: 'name' should be one line of text", "record"
            )
            return
        above = record.value.get("supercategory")
        above = "" if not isinstance(above, str) or above.lower() == "none" else above.strip()
        if not self._is_new("category id", normal_id(number), place, "file"):
            return
        others = [self._above[key] for key, (other, _) in self.categories.items() if other == name]
        group = self._merge_groups and others and {above, *others} == {"", name}
        if group or self._is_new("category name", name, place, "record"):
            self.categories[number] = (name, place)
            self._above[number] = above

    def groups(self) -> list[int | str]:
        """Ids of categories without a group that are the group of another."""
        above = set(self._above.values())
        return [number for number, (name, _) in self.categories.items() if not self._above[number] and name in above]

    def _is_new(self, what: str, value: object, place: Place, scope: Scope) -> bool:
        first = self._seen.setdefault((what, value), place)
        if first is not place:
            self.problems.add(place, "duplicate-id", f"{what} {shown(value)} is already on {first}", scope)
        return first is place


class _Boxes:
    """Boxes as columns, since there may be millions; ids are looked up at the end, as lists come in any order."""

    def __init__(self, what: str, problems: Problems) -> None:
        self._what, self._problems = what, problems
        self._values = array("d")
        self._columns = array("q")  # number of the image id, of the category id, line, column: four a box
        self._numbers: dict[int | str | None, int] = {}

    def add(self, record: Mapping[str, Any], place: Place, values: Sequence[float]) -> None:
        """Add a box: the ids of its record, and the numbers to keep."""
        self._values.extend(values)
        self._columns.extend((self._number(record["image_id"]), self._number(record["category_id"]), *place))

    def _number(self, key: Any) -> int:
        return self._numbers.setdefault(key if type(key) is int else normal_id(key), len(self._numbers))

    def finish(
        self, images: Iterable[int | str], categories: Iterable[int | str], *, whole: bool, width: int
    ) -> tuple[Floats, Ints, Ints, Ints]:
        """Values, image and category positions, and places of the boxes whose ids are known.

        Args:
            images: ids by position.
            categories: ids by position.
            whole: the others are problems; not so when the list of ids is cut off.
            width: numbers kept of each box.
        """
        columns = np.array(self._columns, np.int64).reshape(-1, 4)
        known = np.ones(len(columns), bool)
        positions = []
        for what, column, ids in (("image", 0, images), ("category", 1, categories)):
            position_of = {normal_id(key): position for position, key in enumerate(ids)}
            of_number = np.array([position_of.get(key, -1) for key in self._numbers], np.int64)
            positions.append(of_number[columns[:, column]])
            unknown = positions[-1] < 0
            known &= ~unknown
            names = list(self._numbers)
            for number, line, at in columns[unknown][:, [column, 2, 3]].tolist() if whole else ():
                message = f"{self._what}: no {what} has the id {shown(names[number])}"
                self._problems.add(Place(line, at), f"unknown-{what}", message, "box")
        values = np.array(self._values, np.float64).reshape(-1, width)
        return values[known], positions[0][known], positions[1][known], columns[known, 2:]


def _corners(rows: Floats) -> Floats:
    return np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], axis=1)
