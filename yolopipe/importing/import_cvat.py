"""CVAT reader: XML of "CVAT for images 1.1", as a task, a job or a project is exported.

Polygons, ellipses, masks and rotated boxes become their bounds and are counted.  Shapes marked as outside the image,
points, lines, tags, cuboids and skeletons are left out and counted.  The class order is that of the labels in the
file.
"""

from __future__ import annotations

from pathlib import Path

from yolopipe.errors import DataError
from yolopipe.formats.cvat import CvatFile, read_cvat
from yolopipe.importing.gathering import Gathering, data_files, split_of_file, split_of_word
from yolopipe.importing.reading import ImportRequest, Reading

__all__ = ["is_cvat", "read"]

WORDS = {
    "shapes_made_boxes": "polygons, ellipses, masks and rotated boxes made boxes",
    "occluded": "of them occluded",
    "outside_left_out": "shapes marked as outside the image left out",
    "other_shapes_left_out": "points, lines, tags, cuboids and skeletons left out",
}


def read(request: ImportRequest) -> Reading:
    """Read an XML file, or those of a folder and below.

    The split of an image is the subset of the image or of its task, else the word train, val(id) or test in the path
    of the file.

    Raises:
        DataError: no such XML file.
        UsageError: a split that does not exist.
    """
    root = request.root
    files = data_files(request, ".xml", is_cvat)
    if not files:
        hint = "export the task as 'CVAT for images 1.1' and name the folder with its annotations.xml"
        raise DataError(f"no CVAT XML in {root}; expected files with <annotations> at the top", hint=hint)
    gathering = Gathering("cvat", request, order="as in the labels of the file", words=WORDS)
    names: dict[str, None] = {}
    for file in files:
        content = read_cvat(file)
        gathering.reading.inputs.add(str(file))
        gathering.reading.problems += content.problems
        names.update(dict.fromkeys(content.labels))
        _add(gathering, file, content)
        used = {shape.label: None for image in content.images for shape in image.shapes}
        unlisted = sorted(label for label in used if label not in names)
        names.update(dict.fromkeys(unlisted))
    gathering.classes(names)
    return gathering.finish(list(names))


def is_cvat(file: Path) -> bool:
    """Whether an XML file starts as those of CVAT."""
    with file.open("rb") as stream:
        return b"<annotations" in stream.read(4096)


def _add(gathering: Gathering, file: Path, content: CvatFile) -> None:
    for image in content.images:
        split = split_of_word(image.subset)
        split = split_of_file(gathering.request, file) if split == "all" else split
        row = (
            gathering.image(split, [image.name], (file, image.line), size_wh=image.size_wh)
            if image.name.strip()
            else -1
        )
        for shape in image.shapes:
            gathering.box(split, row, shape.label, shape.box_xyxy, shape.line, shape.column)
        gathering.count(split, "shapes_made_boxes", sum(not shape.is_upright for shape in image.shapes))
        gathering.count(split, "occluded", sum(shape.occluded for shape in image.shapes))
        gathering.count(split, "outside_left_out", image.outside)
        gathering.count(split, "other_shapes_left_out", image.left_out)
