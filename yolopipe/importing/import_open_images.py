"""Open Images reader: CSV with one box a row, fractions of the upright image, classes by id (``/m/01g317``).

Boxes of a group of objects (``IsGroupOf``) are what crowds are in COCO.  Class names come from
``class-descriptions*.csv``; the class order is that of this file, of the classes that have boxes.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from yolopipe.errors import DataError, Problem
from yolopipe.formats.box_csv import BoxTable, header_of
from yolopipe.formats.text_lines import is_number, read_lines
from yolopipe.importing.gathering import Gathering, data_files, split_of_file
from yolopipe.importing.reading import ImportRequest, Reading

__all__ = ["is_open_images", "read"]

COLUMNS = {name: [name.lower()] for name in ("ImageID", "LabelName", "XMin", "YMin", "XMax", "YMax", "IsGroupOf")}

WORDS = {
    "unnamed_images": "images without a row, taken as images without objects",
}

_SLACK = 0.01
"""How far past an edge a fraction may be, as of YOLO labels."""


def read(request: ImportRequest) -> Reading:
    """Read a CSV file of boxes, or those of a folder and below; the split is the word train, val(id) or test.

    Raises:
        DataError: no such CSV file.
        UsageError: a split that does not exist.
    """
    root = request.root
    files = data_files(request, ".csv", is_open_images)
    if not files:
        hint = "name the folder with train-annotations-bbox.csv and class-descriptions-boxable.csv"
        raise DataError(f"no Open Images CSV in {root}; expected a header with ImageID, LabelName, XMin", hint=hint)
    gathering = Gathering("open-images", request, order="by class id", words=WORDS)
    gathering.reading.fractions = True
    names = _descriptions(gathering, files)
    used: dict[str, None] = {}
    for file in files:
        gathering.reading.inputs.add(str(file))
        split = split_of_file(request, file)
        gathering.split(split)
        _read_table(gathering, file, split, names, used)
    gathering.add_backgrounds(str(root))
    reading = gathering.finish(_order(names, used))
    reading.origins = {names.get(mid, mid): mid for mid in used}
    return reading


def is_open_images(file: Path) -> bool:
    """Whether a CSV file has the columns of this format."""
    return {"imageid", "labelname", "xmin", "ymax"} <= set(header_of(file)[0])


def _descriptions(gathering: Gathering, files: Sequence[Path]) -> dict[str, str]:
    """Class id to name, from the folder that was named or that of the boxes; without, ids are the names (a note)."""
    reading = gathering.reading
    folder = reading.root if reading.root.is_dir() else files[0].parent
    names: dict[str, str] = {}
    taken: set[str] = set()
    for file in sorted(folder.rglob("*class-descriptions*.csv")):
        reading.inputs.add(str(file))
        reading.order = f"as in {file}"
        for line, fields in enumerate(csv.reader(text or "" for text in read_lines(file)), start=1):
            mid, name = (field.strip() for field in fields[:2]) if len(fields) >= 2 else ("", "")
            if mid not in names and name in taken:
                gathering.problem(str(file), line, 0, "duplicate-id", f"class name {name!r} is used before", "file")
            elif mid and mid != "LabelName" and mid not in names:
                names[mid] = name
                taken.add(name)
    if not names:
        message = "no class-descriptions*.csv: the ids are taken as names"
        reading.notes.append(Problem(str(folder), 0, 0, "class-names", message))
    return names


def _order(names: Mapping[str, str], used: Iterable[str]) -> list[str]:
    known = set(used)
    return [name for mid, name in names.items() if mid in known] + sorted(known - names.keys())


def _read_table(
    gathering: Gathering, file: Path, split: str, names: Mapping[str, str], used: dict[str, None]
) -> None:
    rows: dict[str, int] = {}  # of the images of this file
    for line, (image, mid, *corners, group) in BoxTable(file, COLUMNS, ["IsGroupOf"], gathering.reading.problems):
        rule, message = _why_not(image, mid, corners, names)
        if rule:
            gathering.problem(str(file), line, 0, rule, message, "box")
            continue
        if image not in rows:
            rows[image] = gathering.image(split, [image], (file, line))
        used[mid] = None
        box_xyxy = [float(text) for text in corners]
        gathering.box(split, rows[image], names.get(mid, mid), box_xyxy, line, ignore=group == "1")


def _why_not(image: str, mid: str, corners: Sequence[str], names: Mapping[str, str]) -> tuple[str, str]:
    """Rule and message for a row that cannot be used; empty for a good one."""
    if not image:
        return "bad-record", "expected an ImageID, found none"
    if not mid or (names and mid not in names):
        return "unknown-category", f"the class {mid!r} is not in class-descriptions*.csv"
    for text in corners:
        if not is_number(text):
            return "bad-box", f"expected a number, found {text[:60]!r}"
        if not -_SLACK <= float(text) <= 1 + _SLACK:
            return "not-normalised", f"{text} is not between 0 and 1; expected fractions of width and height"
    return "", ""
