"""YOLO reader.

Fractions become pixels of the upright image (EXIF applied).  Polygons become their bounding boxes.  An image with an
empty label file, or without one, is a background.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence

from yolopipe import console
from yolopipe.errors import DataError, Problem
from yolopipe.formats.class_names import read_class_names, undefined_class
from yolopipe.formats.yolo import YoloObject, read_yolo_labels
from yolopipe.importing.reading import Counted, ImportRequest, Reading, SourceSplit, SplitBuilder, choose_splits
from yolopipe.importing.source_files import list_images, shown_path
from yolopipe.importing.yolo_layout import ListedImage, YoloLayout, find_layout, label_candidates

__all__ = ["read"]


def read(request: ImportRequest) -> Reading:
    """Read a ``data.yaml``, a darknet ``.data`` file, or a folder; ``docs/formats.md`` lists the layouts.

    Raises:
        DataError: not a YOLO data set, or one without class names.
        UsageError: a split that does not exist, or several data.yaml.
    """
    root, classes = request.root, request.classes
    layout = find_layout(root)
    wanted = choose_splits(list(layout.splits), request.splits, f"no split {{}} in {root}")
    reading = Reading("yolo", root, order=layout.order, problems=layout.problems, notes=layout.notes, fractions=True)
    reading.names = layout.names or (read_class_names(classes) if classes is not None else ())
    if not reading.names and not reading.problems:
        raise DataError(
            f"no class names in {root}: no data.yaml, no obj.names, no classes.txt",
            hint="give them, one a line: --classes FILE",
        )
    reading.inputs = layout.inputs
    for name in wanted:
        reading.splits[name] = _split(reading, name, layout.splits[name])
    reading.notes += _labels_without_image(reading, layout)
    _count_left_out(reading, layout)
    return reading


def _split(reading: Reading, name: str, listed: Sequence[ListedImage]) -> SourceSplit:
    split = SplitBuilder()
    without = polygons = 0
    with console.progress(f"import yolo {name}", len(listed), unit="label files") as advance:
        for entry in listed:
            file = next((file for file in label_candidates(entry.picture) if file.is_file()), None)
            place = (entry.file, entry.line) if file is None else (shown_path(file), 0)
            split.add_image(shown_path(entry.picture), *place)
            without += file is None
            for item in _objects(reading, place[0]) if file is not None else ():
                split.add_box(item.box_xyxy, item.label, item.line)
                polygons += item.corners > 0
            advance(1)
    return split.build(
        Counted("without_label_file", without, "images without label file"),
        Counted("polygons", polygons, "polygons made boxes"),
    )


def _objects(reading: Reading, file: str) -> list[YoloObject]:
    """The objects of a label file whose class has a name; the others are problems."""
    labels = read_yolo_labels(file)
    reading.problems += labels.problems
    reading.inputs.add(file)
    count = len(reading.names)
    for item in labels.objects:
        if item.label >= count:
            message = undefined_class(item.label, count)
            reading.problems.append(Problem(file, item.line, 0, "class-range", message, scope="box"))
    return [item for item in labels.objects if item.label < count]


def _labels_without_image(reading: Reading, layout: YoloLayout) -> Iterator[Problem]:
    """Notes on label files, beside those that were read, that have no image: their boxes are not imported."""
    picture_folders = defaultdict(set)
    for listed in layout.splits.values():
        for entry in listed:
            for file in label_candidates(entry.picture):
                picture_folders[file.parent].add(entry.picture.parent)
    known = {os.path.abspath(file) for file in reading.inputs}
    for folder, pictures in sorted(picture_folders.items()):
        stems = {picture.stem for folder_of in pictures for picture in list_images(folder_of)}
        for file in sorted(folder.glob("*.txt")):
            if file.stem not in stems and str(file) not in known and file.name != "classes.txt":
                message = f"no image {file.stem}.jpg (nor .png, ...) for it: its boxes are not imported"
                yield Problem(shown_path(file), 0, 0, "label-without-image", message)


def _count_left_out(reading: Reading, layout: YoloLayout) -> None:
    if layout.folder is not None:
        used = {entry.picture for listed in layout.splits.values() for entry in listed}
        left = sum(picture not in used for picture in list_images(layout.folder))
        if left:
            reading.rows["left out"] = f"{left:,} images in {layout.folder} outside the folders of the splits"
