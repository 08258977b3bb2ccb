"""Reader of the CSV of the TF Object Detection tutorials and of Roboflow: one box a row, corners in pixels.

    filename,width,height,class,xmin,ymin,xmax,ymax

A row without class and without corners is an image without objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from yolopipe.errors import DataError
from yolopipe.formats.box_csv import BoxTable, Row, header_of
from yolopipe.formats.text_lines import is_number, is_one_line
from yolopipe.importing.gathering import Gathering, data_files, split_of_file
from yolopipe.importing.reading import ImportRequest, Reading

__all__ = ["COLUMNS", "is_tf_csv", "read"]

COLUMNS = {
    "filename": ["filename", "file_name", "image", "path"],
    "class": ["class", "label", "class_name", "name"],
    **{name: [name] for name in ("xmin", "ymin", "xmax", "ymax", "width", "height")},
}
_CORNERS = slice(2, 6)

WORDS = {
    "rows_without_box": "rows without a box, taken as images without objects",
    "unnamed_images": "images without a row, taken as images without objects",
}


def read(request: ImportRequest) -> Reading:
    """Read a CSV file, or those of a folder and below; the split is the word train, val(id) or test in the path.

    Raises:
        DataError: no such CSV file.
        UsageError: a split that does not exist.
    """
    root = request.root
    files = data_files(request, ".csv", is_tf_csv)
    if not files:
        hint = f"the first line should be: {','.join(['filename', 'width', 'height', 'class', 'xmin', '...'])}"
        raise DataError(f"no such CSV in {root}; expected a header with filename, class, xmin ...", hint=hint)
    gathering = Gathering("tf-csv", request, order="by name", words=WORDS)
    for file in files:
        gathering.reading.inputs.add(str(file))
        split = split_of_file(request, file)
        gathering.split(split)
        _read_table(gathering, file, split)
    gathering.add_backgrounds(str(root))
    return gathering.finish()


def is_tf_csv(file: Path) -> bool:
    """Whether a CSV file has the columns of this format."""
    header = set(header_of(file)[0])
    return all(not header.isdisjoint(COLUMNS[name]) for name in ("filename", "class", "xmin", "ymax"))


def _read_table(gathering: Gathering, file: Path, split: str) -> None:
    rows: dict[str, int] = {}  # of the images of this file
    for row in BoxTable(file, COLUMNS, ["width", "height"], gathering.reading.problems):
        reason = _why_not(row)
        if reason:
            gathering.problem(str(file), row.line, 0, *reason, "box")
            continue
        name, label = row.fields[0].replace("\\", "/"), row.fields[1]
        if name not in rows:
            size = _size(row.fields[6:])
            rows[name] = gathering.image(split, [name], (file, row.line), size_wh=size)
        if label:
            gathering.box(split, rows[name], label, [float(text) for text in row.fields[_CORNERS]], row.line)
        else:
            gathering.count(split, "rows_without_box")


def _why_not(row: Row) -> tuple[str, str] | None:
    """Rule and message for a row that cannot be used."""
    name, label, *_ = row.fields
    corners = row.fields[_CORNERS]
    if not name:
        return "bad-record", "expected a file name, found none"
    if not label and not any(corners):
        return None
    if not is_one_line(label):
        return "no-class-name", f"expected a class of one line, found {label!r}"
    wrong = next((text for text in corners if not is_number(text) or abs(float(text)) > 1e9), None)
    return None if wrong is None else ("bad-box", f"expected a number, found {wrong[:60]!r}")


def _size(texts: Sequence[str]) -> tuple[int, int]:
    width, height = (int(float(text)) if is_number(text) and 0 < float(text) < 2**31 else 0 for text in texts)
    return (width, height) if width and height else (0, 0)
