"""YOLO reader.

Fractions become pixels of the upright image (EXIF applied).  Polygons become their bounding boxes.  An image with an
empty label file, or without one, is a background.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from yolopipe import console
from yolopipe.errors import DataError, Problem
from yolopipe.formats.class_names import undefined_class
from yolopipe.formats.text_lines import is_number, read_lines
from yolopipe.formats.yolo import YoloObject, read_yolo_labels
from yolopipe.importing.reading import Counted, ImportRequest, Reading, SourceSplit, SplitBuilder, choose_splits
from yolopipe.importing.source_files import folded, shown_path, walk_files
from yolopipe.importing.yolo_layout import YoloLayout, find_layout, is_names_file, label_candidates

__all__ = ["read"]


def read(request: ImportRequest) -> Reading:
    """Read a ``data.yaml``, a darknet ``.data`` file, or a folder; ``docs/formats.md`` lists the layouts.

    Raises:
        DataError: not a YOLO data set, or one without class names.
        UsageError: a split that does not exist, or several data.yaml.
    """
    root = request.root
    layout = find_layout(request)
    wanted = choose_splits(list(layout.splits), request.splits, f"no split {{}} in {root}")
    reading = Reading("yolo", root, order=layout.order, problems=layout.problems, notes=layout.notes, fractions=True)
    reading.names = layout.names
    if not reading.names and not reading.problems:
        raise DataError(
            f"no class names in {root}: no data.yaml with names, no obj.names, no classes.txt, no _darknet.labels",
            hint="give them, one a line: --classes FILE",
        )
    reading.inputs = layout.inputs
    for name in wanted:
        reading.splits[name] = _split(reading, layout, name)
    reading.notes += _labels_without_image(reading, layout)
    _count_left_out(reading, layout)
    return reading


def _split(reading: Reading, layout: YoloLayout, name: str) -> SourceSplit:
    split, listed = SplitBuilder(), layout.splits[name]
    without = polygons = 0
    with console.progress(f"import yolo {name}", len(listed), unit="label files") as advance:
        for entry in listed:
            file = _label_file(layout, entry.picture)
            place = (entry.file, entry.line) if file is None else (shown_path(file), 0)
            split.add_image(shown_path(entry.picture), *place)
            without += file is None
            for item in _objects(reading, place[0]) if file is not None else ():
                split.add_box(item.box_xyxy, item.label, item.line)
                polygons += item.corners > 0
            advance(1)
    built = split.build(
        Counted("without_label_file", without, "images without label file"),
        Counted("polygons", polygons, "polygons made boxes"),
    )
    if without and without == len(listed):
        candidates = label_candidates(listed[0].picture, layout.request.annotations)
        looked = " and ".join(map(shown_path, candidates[:2]))
        built.no_boxes = f"no label file found, such as {looked}; --annotations DIR names their folder"
    return built


def _label_file(layout: YoloLayout, picture: Path) -> str | None:
    found = map(layout.finder.find, label_candidates(picture, layout.request.annotations))
    return next((file for file in found if file is not None and os.path.isfile(file)), None)


def _objects(reading: Reading, file: str) -> list[YoloObject]:
    """The objects of a label file whose class has a name; the others are problems."""
    labels = read_yolo_labels(file)
    reading.problems += labels.problems
    reading.inputs.add(file)
    count = len(reading.names)
    for item in labels.objects if count else ():
        if item.label >= count:
            message = undefined_class(item.label, count)
            reading.problems.append(Problem(file, item.line, 0, "class-range", message, scope="box"))
    return [item for item in labels.objects if item.label < count]


def _labels_without_image(reading: Reading, layout: YoloLayout) -> Iterator[Problem]:
    """Notes on label files that have no image, in the data set and wherever labels were read."""
    used = {os.path.abspath(file) for file in reading.inputs}
    pictures = defaultdict(list)
    for picture in (
        *(entry.picture for listed in layout.splits.values() for entry in listed),
        *layout.pictures.files,
    ):
        pictures[folded(picture.stem)].append(picture)
    folders = {str(layout.root), *map(os.path.dirname, used)}
    found = {file for folder in folders if os.path.isdir(folder) for file in walk_files(folder, (".txt",))}
    for file in sorted(found):
        path = os.path.abspath(file)
        if path in used or is_names_file(file) or not _looks_like_labels(file):
            continue
        candidates = (
            folded(candidate)
            for picture in pictures[folded(file.stem)]
            for candidate in label_candidates(picture, layout.request.annotations)
        )
        if folded(path) not in candidates:
            message = f"no image {file.stem}.jpg (nor .png, ...) for it: its boxes are not imported"
            yield Problem(shown_path(file), 0, 0, "label-without-image", message)


def _looks_like_labels(file: Path) -> bool:
    """Whether the first line has five numbers or more; an empty file is the label file of a background."""
    fields = next((line.split() for line in read_lines(file) if line and line.strip()), None)
    return fields is None or (len(fields) >= 5 and all(map(is_number, fields)))


def _count_left_out(reading: Reading, layout: YoloLayout) -> None:
    used = {os.path.abspath(entry.picture) for listed in layout.splits.values() for entry in listed}
    left = sum(os.path.abspath(picture) not in used for picture in layout.pictures.files)
    if left:
        reading.rows["left out"] = f"{left:,} images in {layout.root} that are in no split"
