"""Pascal VOC folders to annotation text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from yolopipe import console
from yolopipe.errors import DataError, Problem
from yolopipe.formats.voc import VocImage, read_voc_splits, read_voc_xml
from yolopipe.importing.checks import measure
from yolopipe.importing.finishing import finish, with_classes
from yolopipe.importing.reading import (
    IMAGE_SUFFIXES,
    Aside,
    Reading,
    SourceImage,
    SourceSplit,
    box_arrays,
    chosen,
    shown_path,
)
from yolopipe.result import CommandResult

__all__ = ["import_voc"]

Names = Mapping[str, Sequence[tuple[int, str]]]
"""Split to (line of its list, image name)."""


def import_voc(
    source: str | Path,
    out: str | Path,
    *,
    splits: Sequence[str] | None = None,
    classes: str | Path | None = None,
) -> CommandResult:
    """Turn a Pascal VOC folder into annotation text.

    Coordinates are kept as written, whole or not: VOC counts pixels from 1, so its boxes sit half a pixel to a pixel
    down and right of the truth, as they do in every tool that reads VOC.  Objects marked difficult are kept and
    counted.  What ``parse`` would object to is noted with file and line, and written all the same.

    Args:
        source: folder with ``Annotations`` and ``JPEGImages``, and mostly ``ImageSets/Main``.
        out: folder for ``SPLIT.txt`` and ``classes.names``.
        splits: which lists of ``ImageSets/Main`` to take; all by default.  Without any lists: one ``all.txt``.
        classes: a names file that fixes the order; by default all names in ``Annotations``, sorted, so that the
            order is the same on every machine and for every choice of splits.

    Returns:
        What was read and written.

    Raises:
        DataError: not a VOC folder.
        UsageError: a split that is not there.
        ProblemsError: everything broken in the XML files and lists, at once; nothing is written then.
    """
    root = Path(source)
    files = {file.stem: file for file in sorted((root / "Annotations").glob("*.xml"))}
    if not files:
        raise DataError(
            f"no Annotations/*.xml in {root}; expected a Pascal VOC folder",
            hint="name the folder that holds Annotations, JPEGImages and ImageSets",
        )
    lists = read_voc_splits(root)
    names = chosen(list(lists), splits, f"no ImageSets/Main/{{}}.txt in {root}")
    listed: Names = {name: lists[name] for name in names} or {"all": [(0, name) for name in files]}
    images = _read_images(files)
    reading = Reading("voc", root, order="by name")
    reading.names = tuple(sorted({item.name for image in images.values() for item in image.objects}))
    reading.problems = [problem for image in images.values() for problem in image.problems]
    reading.inputs = {str(root / "ImageSets" / "Main" / f"{name}.txt") for name in lists}
    for name, entries in listed.items():
        reading.splits[name] = _split(reading, images, files, _pictures(reading, name, entries, images))
    measure(reading)
    left_out = sum(file.stem not in lists for file in (root / "ImageSets" / "Main").glob("*.txt"))
    if left_out:
        reading.rows["left out"] = f"{left_out:,} lists of one class in ImageSets/Main (names with -1, 0 or 1)"
    with_classes(reading, classes)
    return finish(reading, out)


def _read_images(files: Mapping[str, Path]) -> dict[str, VocImage]:
    images = {}
    with console.progress("import voc", len(files), unit="files") as advance:
        for name, file in files.items():
            images[name] = read_voc_xml(file)
            advance(1)
    return images


def _pictures(
    reading: Reading, split: str, entries: Sequence[tuple[int, str]], images: Mapping[str, VocImage]
) -> list[tuple[str, str]]:
    """Name and path of the image of each entry; what is missing becomes a problem at the line of the list."""
    found = []
    for line, name in entries:
        file = str(reading.root / "ImageSets" / "Main" / f"{split}.txt") if line else str(reading.root)
        if name not in images:
            message = f"image {name} has no Annotations/{name}.xml"
            reading.problems.append(Problem(file, line, 0, "missing-xml", message, name))
            continue
        picture = _picture(reading.root / "JPEGImages", name, images[name].filename)
        if picture is None:
            message = f"image {name} has no JPEGImages/{name}.jpg (nor .png, ...)"
            reading.problems.append(Problem(file, line, 0, "missing-image", message, name))
        else:
            found.append((name, shown_path(picture)))
    return found


def _picture(folder: Path, name: str, filename: str) -> Path | None:
    """The image of an XML file: by the XML's own name, else by the name written in it."""
    candidates = [folder / f"{name}{suffix}" for suffix in IMAGE_SUFFIXES]
    if filename:
        candidates.append(folder / Path(filename.replace("\\", "/")).name)
    return next((file for file in candidates if file.is_file()), None)


def _split(
    reading: Reading,
    images: Mapping[str, VocImage],
    files: Mapping[str, Path],
    pictures: Sequence[tuple[str, str]],
) -> SourceSplit:
    number = {name: index for index, name in enumerate(reading.names)}
    rows = [
        (*item.box_xyxy, number[item.name], row, item.line, 0)
        for row, (name, _) in enumerate(pictures)
        for item in images[name].objects
    ]
    boxes, columns = box_arrays(rows)
    difficult = sum(item.difficult for name, _ in pictures for item in images[name].objects)
    sources = [SourceImage(path, str(files[name]), 0, images[name].size_wh) for name, path in pictures]
    asides = [Aside("difficult", difficult, "of them difficult")]
    return SourceSplit(sources, boxes, columns[:, 0], columns[:, 1], columns[:, 2:], asides)
