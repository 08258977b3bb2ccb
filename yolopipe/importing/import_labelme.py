"""labelme reader: one JSON file a picture, beside it or anywhere below the folder.

Polygons, circles, masks and rotated rectangles become their bounds and are counted; points and lines have no area and
are left out and counted.  Shapes may be marked difficult.  A file without shapes is an image without objects.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from yolopipe import console
from yolopipe.errors import DataError, Problem
from yolopipe.formats.labelme import LabelmeFile, read_labelme
from yolopipe.importing.gathering import Gathering, data_files, split_of_file
from yolopipe.importing.reading import ImportRequest, Reading

__all__ = ["read"]

WORDS = {
    "shapes_made_boxes": "polygons, circles and rotated shapes made boxes",
    "points_and_lines_left_out": "points and lines left out",
    "unnamed_images": "images without a JSON file, taken as images without objects",
}


def read(request: ImportRequest) -> Reading:
    """Read a JSON file, or those of a folder and below; a split is a folder named train, val(id) or test.

    Raises:
        DataError: no labelme JSON.
        UsageError: a split that does not exist.
    """
    root = request.root
    files = data_files(request, ".json", lambda _: True)
    gathering = Gathering("labelme", request, order="by name", words=WORDS)
    found = 0
    with console.progress("import labelme", len(files), unit="files") as advance:
        for file in files:
            content = _read_file(file)
            if any(problem.rule == "missing-key" and not problem.line for problem in content.problems):
                note = Problem(str(file), 0, 0, "other-json", "no list 'shapes': not a labelme file; passed over")
                gathering.reading.notes.append(note)
            else:
                found += 1
                _add(gathering, file, content)
            advance(1)
    if not found:
        hint = "name the folder with the JSON files, or: yolopipe import auto FOLDER --out DIR"
        raise DataError(f"no labelme JSON in {root}; expected files with a list 'shapes'", hint=hint)
    gathering.add_backgrounds(str(root))
    return gathering.finish()


def _read_file(file: Path) -> LabelmeFile:
    """A file that cannot be read is an image that is lost, not the whole data set."""
    try:
        content = read_labelme(file)
    except DataError as error:
        content = LabelmeFile(problems=[Problem(str(file), 0, 0, "bad-json", error.message)])
    content.problems = [
        replace(problem, scope="image") if problem.scope == "file" else problem for problem in content.problems
    ]
    return content


def _add(gathering: Gathering, file: Path, content: LabelmeFile) -> None:
    reading = gathering.reading
    reading.inputs.add(str(file))
    reading.problems += content.problems
    split = split_of_file(gathering.request, file.parent)
    gathering.split(split)
    if any(problem.rule == "bad-json" for problem in content.problems):
        return
    names = content.image_path or file.stem, file.stem
    row = gathering.image(split, names, (file, 0), size_wh=content.size_wh)
    for shape in content.shapes:
        gathering.box(split, row, shape.label, shape.box_xyxy, *shape.place, ignore=shape.difficult)
    gathering.count(split, "shapes_made_boxes", sum(shape.kind != "rectangle" for shape in content.shapes))
    gathering.count(split, "points_and_lines_left_out", content.left_out)
