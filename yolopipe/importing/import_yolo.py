"""YOLO label files to annotation text."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from yolopipe import console
from yolopipe.errors import DataError, Problem
from yolopipe.formats.class_names import read_class_names
from yolopipe.formats.yolo import YoloObject, read_yolo_labels, to_pixels
from yolopipe.importing.checks import measure
from yolopipe.importing.finishing import finish, with_classes
from yolopipe.importing.reading import Aside, Reading, SourceImage, SourceSplit, box_arrays, chosen, shown_path
from yolopipe.importing.yolo_layout import Listed, YoloLayout, find_layout, label_files, list_images
from yolopipe.result import CommandResult

__all__ = ["import_yolo"]


def import_yolo(
    source: str | Path,
    out: str | Path,
    *,
    splits: Sequence[str] | None = None,
    classes: str | Path | None = None,
) -> CommandResult:
    """Turn YOLO label files into annotation text.

    Fractions become pixels of the image as a person sees it (EXIF applied).  Polygons become their bounds.  An image
    with an empty label file, or with none, is a background.

    Args:
        source: a ``data.yaml``, a darknet ``.data`` file, or a folder; see ``docs/formats.md`` for its shapes.
        out: folder for ``SPLIT.txt`` and ``classes.names``.
        splits: which splits to take; all by default.
        classes: a names file that fixes the order; the names themselves where the source has none.

    Returns:
        What was read and written.

    Raises:
        DataError: not a YOLO data set, or one without class names.
        UsageError: a split that is not there, or several data.yaml.
        ProblemsError: everything broken, at once; nothing is written then.
    """
    root = Path(source)
    layout = find_layout(root)
    wanted = chosen(list(layout.splits), splits, f"no split {{}} in {root}")
    reading = Reading("yolo", root, order=layout.order, problems=layout.problems, notes=layout.notes)
    reading.names = layout.names or (read_class_names(classes) if classes is not None else ())
    if not reading.names and not reading.problems:
        raise DataError(
            f"no class names in {root}: no data.yaml, no obj.names, no classes.txt",
            hint="give them, one a line: --classes FILE",
        )
    reading.inputs = layout.inputs
    for name in wanted:
        reading.splits[name] = _split(reading, name, layout.splits[name])
    measure(reading)
    for split in reading.splits.values():
        _scale(split)
    reading.notes += _without_image(reading, layout)
    _count_left_out(reading, layout)
    with_classes(reading, classes)
    return finish(reading, out)


def _split(reading: Reading, name: str, listed: Sequence[Listed]) -> SourceSplit:
    images: list[SourceImage] = []
    rows: list[tuple[float, ...]] = []
    without = polygons = 0
    with console.progress(f"import yolo {name}", len(listed), unit="label files") as advance:
        for row, entry in enumerate(listed):
            file = next((file for file in label_files(entry.picture) if file.is_file()), None)
            objects = [] if file is None else _objects(reading, shown_path(file))
            without += file is None
            polygons += sum(item.corners > 0 for item in objects)
            rows += [(*item.box_xyxy, item.label, row, item.line, 0) for item in objects]
            place = (entry.file, entry.line) if file is None else (shown_path(file), 0)
            images.append(SourceImage(shown_path(entry.picture), *place))
            advance(1)
    fractions, columns = box_arrays(rows)
    split = SourceSplit(images, fractions, columns[:, 0], columns[:, 1], columns[:, 2:])
    split.asides = [
        Aside("without_label_file", without, "images without label file"),
        Aside("polygons", polygons, "polygons made boxes"),
    ]
    return split


def _scale(split: SourceSplit) -> None:
    """Fractions to pixels, now that the sizes are known."""
    split.boxes_xyxy, on_edge = to_pixels(split.boxes_xyxy, split.size_wh[split.box_image].astype(np.float64))
    split.asides.append(Aside("put_on_edge", on_edge, "boxes a rounding past an edge, put on it"))


def _objects(reading: Reading, file: str) -> list[YoloObject]:
    """The objects of a label file whose class has a name; the rest become problems."""
    labels = read_yolo_labels(file)
    reading.problems += labels.problems
    reading.inputs.add(file)
    count = len(reading.names)
    for item in labels.objects:
        if item.label >= count:
            message = f"class {item.label} has no name; {count} names mean classes 0 to {count - 1}"
            reading.problems.append(Problem(file, item.line, 0, "class-range", message))
    return [item for item in labels.objects if item.label < count]


def _without_image(reading: Reading, layout: YoloLayout) -> Iterator[Problem]:
    """Label files beside those that were read whose image is nowhere: their boxes are not imported."""
    picture_folders = defaultdict(set)
    for listed in layout.splits.values():
        for entry in listed:
            for file in label_files(entry.picture):
                picture_folders[file.parent].add(entry.picture.parent)
    known = {os.path.abspath(file) for file in reading.inputs}
    for folder, pictures in sorted(picture_folders.items()):
        stems = {entry.picture.stem for place in pictures for entry in list_images(place)}
        for file in sorted(folder.glob("*.txt")):
            if file.stem not in stems and str(file) not in known and file.name != "classes.txt":
                message = f"no image {file.stem}.jpg (nor .png, ...) for it: its boxes are not imported"
                yield Problem(shown_path(file), 0, 0, "label-without-image", message, action="noted")


def _count_left_out(reading: Reading, layout: YoloLayout) -> None:
    if layout.folder is not None:
        used = {entry.picture for listed in layout.splits.values() for entry in listed}
        left = sum(entry.picture not in used for entry in list_images(layout.folder))
        if left:
            reading.rows["left out"] = f"{left:,} images in {layout.folder} that lie in no split's folder"
