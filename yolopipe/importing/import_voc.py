"""Pascal VOC reader.

Coordinates are kept as written: VOC counts pixels from 1, so its boxes are half a pixel to a pixel too far right and
down, as in every tool that reads VOC.  Objects marked difficult are kept and counted.  By default the class order is
that of all names in ``Annotations``, sorted, so that it is the same on every machine and for every choice of splits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from yolopipe import console
from yolopipe.errors import DataError, Problem
from yolopipe.formats.voc import VocImage, read_voc_splits, read_voc_xml
from yolopipe.importing.reading import Counted, ImportRequest, Reading, SourceSplit, SplitBuilder, choose_splits
from yolopipe.importing.source_files import find_image, shown_path

__all__ = ["read"]


def read(request: ImportRequest) -> Reading:
    """Read a folder with ``Annotations``, ``JPEGImages`` and, usually, ``ImageSets/Main`` (without: one ``all.txt``).

    Raises:
        DataError: not a VOC folder.
        UsageError: a split that does not exist.
    """
    root = request.root
    files = {file.stem: file for file in sorted((root / "Annotations").glob("*.xml"))}
    if not files:
        raise DataError(
            f"no Annotations/*.xml in {root}; expected a Pascal VOC folder",
            hint="name the folder that contains Annotations, JPEGImages and ImageSets",
        )
    lists = read_voc_splits(root)
    names = choose_splits(list(lists), request.splits, f"no ImageSets/Main/{{}}.txt in {root}")
    listed = {name: lists[name] for name in names} or {"all": [(0, name) for name in files]}
    images = _read_images(files)
    reading = Reading("voc", root, order="by name")
    reading.names = tuple(sorted({item.name for image in images.values() for item in image.objects}))
    reading.problems = [problem for image in images.values() for problem in image.problems]
    main = root / "ImageSets" / "Main"
    reading.inputs = {str(main / f"{name}.txt") for name in lists}
    for name, entries in listed.items():
        pictures = _find_pictures(reading, main / f"{name}.txt", entries, images)
        reading.splits[name] = _split(reading.names, images, files, pictures)
    left_out = sum(file.stem not in lists for file in main.glob("*.txt"))
    if left_out:
        reading.rows["left out"] = f"{left_out:,} lists of one class in ImageSets/Main (names with -1, 0 or 1)"
    return reading


def _read_images(files: Mapping[str, Path]) -> dict[str, VocImage]:
    images = {}
    with console.progress("import voc", len(files), unit="files") as advance:
        for name, file in files.items():
            images[name] = read_voc_xml(file)
            advance(1)
    return images


def _find_pictures(
    reading: Reading, split_file: Path, entries: Sequence[tuple[int, str]], images: Mapping[str, VocImage]
) -> list[tuple[str, str]]:
    """Name and path of the image of each entry; a missing image or XML file is a problem at the entry's line."""
    found = []
    for line, name in entries:
        file = str(split_file if line else reading.root)
        if name not in images:
            message = f"image {name} has no Annotations/{name}.xml"
            reading.problems.append(Problem(file, line, 0, "missing-xml", message, name, scope="image"))
            continue
        picture = _picture(reading.root / "JPEGImages", name, images[name].filename)
        if picture is None:
            message = f"image {name} has no JPEGImages/{name}.jpg (nor .png, ...)"
            reading.problems.append(Problem(file, line, 0, "missing-image", message, name, scope="image"))
        else:
            found.append((name, shown_path(picture)))
    return found


def _picture(folder: Path, name: str, filename: str) -> Path | None:
    """The image of an XML file: by the XML file's own name, else by the name written in it."""
    written = folder / Path(filename.replace("\\", "/")).name
    return find_image(folder, name) or (written if written.is_file() else None)


def _split(
    names: Sequence[str],
    images: Mapping[str, VocImage],
    files: Mapping[str, Path],
    pictures: Sequence[tuple[str, str]],
) -> SourceSplit:
    number = {name: index for index, name in enumerate(names)}
    split = SplitBuilder()
    for name, path in pictures:
        split.add_image(path, str(files[name]), size_wh=images[name].size_wh)
        for item in images[name].objects:
            split.add_box(item.box_xyxy, number[item.name], item.line)
    difficult = sum(item.difficult for name, _ in pictures for item in images[name].objects)
    return split.build(Counted("difficult", difficult, "of them difficult"))
