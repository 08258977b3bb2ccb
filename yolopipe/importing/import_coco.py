"""COCO JSON reader.

Boxes as floats, ``x,y,width,height`` to corners; an annotation with a segmentation only has its bounds.  Images
without boxes are kept.  Category ids become 0, 1, 2 ... in their order; with a names file, differing files are
matched by name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

import numpy as np

from yolopipe.errors import DataError, Problem, UsageError
from yolopipe.formats.coco import CocoFile, read_coco
from yolopipe.importing.reading import Counted, ImportRequest, Reading, SourceImage, SourceSplit, choose_splits
from yolopipe.importing.source_files import (
    SPLIT_NAMES,
    FileIndex,
    PathFinder,
    folded,
    list_images,
    shown_path,
    walk_files,
)

__all__ = ["read"]

PATTERNS = (
    "annotations/instances_*.json",
    "annotations/*.json",
    "instances_*.json",
    "*/_annotations.coco.json",
    "*.json",
    "*/annotations/instances_*.json",
    "*/labels.json",
    "*/*.json",
    "*/*/*.json",
)
"""Where the files of a folder are looked for, in any case; the first pattern that matches any is used."""

_SPLIT_WORD = re.compile(r"(?<![a-z])(train|valid|validation|val|test)(?![a-z])")


def read(request: ImportRequest) -> Reading:
    """Read a JSON file, those of a folder (``annotations/instances_train2017.json`` ...), or those named.

    Raises:
        DataError: no JSON file found.
        UsageError: a split that does not exist, or two files for one.
    """
    root, classes = request.root, request.classes
    named = _search(request.annotations or root) if request.splits or not request.files else {}
    named |= request.files
    splits = [*(request.splits or []), *request.files] or None
    wanted = choose_splits(list(named), splits, f"no split {{}} in {root}")
    reading = Reading("coco", root, order="by category id")
    reading.inputs = {str(file) for file in named.values()}
    cocos = {name: read_coco(named[name]) for name in wanted}
    reading.problems = [problem for coco in cocos.values() for problem in coco.problems]
    groups = _empty_groups(cocos)
    reading.names = _names(cocos, groups)
    reading.notes += _group_notes(cocos, groups)
    if classes is None:
        reading.problems += _differences(cocos)
    for name, coco in cocos.items():
        finder = _PictureFinder(request, named[name], name)
        reading.splits[name] = _split(reading, coco, finder)
    reading.origins = {
        name: f"category {number}" for coco in cocos.values() for number, (name, _) in coco.categories.items()
    }
    return reading


def _search(root: Path) -> dict[str, Path]:
    """Split to file."""
    if root.is_file():
        return {_split_name(root.parent, root) or "all": root}
    files = {file: file.relative_to(root).as_posix() for file in walk_files(root, (".json",))}
    found: list[Path] = []
    for pattern in PATTERNS:
        found = found or [
            file
            for file, path in files.items()
            if fnmatchcase(folded(path), pattern) and path.count("/") == pattern.count("/")
        ]
    if not found:
        raise DataError(
            f"no COCO JSON in {root}; looked for {', '.join(PATTERNS)}",
            hint="name the files: --annotations FILE, or --train FILE --val FILE",
        )
    named: dict[str, Path] = {}
    for file in found:
        name = _split_name(root, file) or ("all" if len(found) == 1 else file.stem)
        if name in named:
            raise UsageError(f"{named[name]} and {file} are both {name!r}", hint="choose one: --split NAME=FILE")
        named[name] = file
    return named


def _split_name(root: Path, file: Path) -> str:
    """The train, val or test in the name of the file, else in those of its folders below the root; else empty."""
    folders = file.parent.relative_to(root).parts
    if file.parent == root and file.name == "_annotations.coco.json":  # Roboflow's, named by itself
        folders = (file.absolute().parent.name,)
    for text in (file.stem, *reversed(folders)):
        words = _SPLIT_WORD.findall(text.lower())
        if words:
            return SPLIT_NAMES[words[-1]]
    return ""


def _empty_groups(cocos: Mapping[str, CocoFile]) -> set[str]:
    """Names of categories that are only the group of others and have no box: Roboflow's category 0."""
    used = {
        name
        for coco in cocos.values()
        for position, (name, _) in enumerate(coco.categories.values())
        if (coco.category == position).any()
    }
    groups = {coco.categories[number][0] for coco in cocos.values() for number in coco.groups}
    single = {name for name in groups if all(_count(coco, name) < 2 for coco in cocos.values())}
    return single - used


def _count(coco: CocoFile, name: str) -> int:
    return sum(other == name for other, _ in coco.categories.values())


def _group_notes(cocos: Mapping[str, CocoFile], left_out: set[str]) -> Iterator[Problem]:
    for coco in cocos.values():
        for number in coco.groups:
            name, place = coco.categories[number]
            if name in left_out:
                message = f"category {number} {name!r} is the group of others and has no box: it is no class"
            elif _count(coco, name) > 1:
                message = f"category {number} {name!r} is the group of a category of the same name: one class"
            else:
                continue
            yield Problem(coco.file, *place, "group-category", message)


def _id_order(number: int | str) -> tuple[bool, int | str]:
    """Numbers before texts."""
    return isinstance(number, str), number


def _names(cocos: Mapping[str, CocoFile], left_out: set[str]) -> tuple[str, ...]:
    """All names in the order of their ids; where files differ, the first counts."""
    ids: dict[str, int | str] = {}
    for coco in cocos.values():
        for number, (name, _) in coco.categories.items():
            ids.setdefault(name, number)
    return tuple(sorted(ids.keys() - left_out, key=lambda name: (*_id_order(ids[name]), name)))


def _differences(cocos: Mapping[str, CocoFile]) -> list[Problem]:
    """Category ids that have different names in two files."""
    whole = [coco for coco in cocos.values() if coco.categories]
    found = []
    for coco in whole[1:]:
        first = whole[0]
        for number in sorted(first.categories.keys() | coco.categories.keys(), key=_id_order):
            here, there = coco.categories.get(number), first.categories.get(number)
            if here is None or there is None or here[0] != there[0]:
                place = here[1] if here else (0, 0)
                names = [entry[0] if entry else "missing" for entry in (here, there)]
                message = f"category {number} is {names[0]} here and {names[1]} in {first.file}"
                found.append(
                    Problem(coco.file, *place, "category-mismatch", f"{message}; --classes FILE matches names")
                )
    return found


class _PictureFinder:
    """Finds the images of a file by their names.

    Args:
        request: its folder of images, if it names one, is the only one.
        file: the JSON file.
        split: its split.
    """

    def __init__(self, request: ImportRequest, file: Path, split: str) -> None:
        root = request.root
        self.root = request.images or (root if root.is_dir() else file.parent)
        self.finder = PathFinder()
        inside = folded(file.resolve().parent.name) == "annotations"
        base = file.parent / ".." if inside else root if root.is_dir() else file.parent
        year = re.sub(r"^instances_", "", file.stem)
        inner = [year, f"images/{year}", split, f"images/{split}", f"{split}/images", f"{split}2017", "images"]
        inner += [f"{split}/data", "data", ""]
        folders = [file.parent, *(base / name for name in dict.fromkeys(inner)), Path()]
        if request.images is not None:
            folders = [request.images]
        found = [self.finder.find(folder) if folder != Path() else "" for folder in folders]
        self.folders = [folder for folder in dict.fromkeys(found) if folder is not None]

    @cached_property
    def pictures(self) -> FileIndex:
        """All images below the root."""
        return FileIndex(list_images(self.root))

    def find(self, file_name: str) -> str:
        """The image in the first folder that has it.

        Else the one whose path is most alike; where there is none, the path in the first folder, which is reported as
        missing later.
        """
        name = file_name.replace("\\", "/")
        for folder in self.folders:
            path = os.path.join(folder, name)
            if os.path.isfile(path):
                return path
        last = name.rpartition("/")[2]
        for folder in self.folders:
            for part in dict.fromkeys((name, last)):
                found = self.finder.find_file(os.path.join(folder, part))
                if found is not None:
                    return str(found)
        alike = self.pictures.find(name)
        return str(alike[0]) if len(alike) == 1 else os.path.join(self.folders[0], name)


def _split(reading: Reading, coco: CocoFile, finder: _PictureFinder) -> SourceSplit:
    number = {name: index for index, name in enumerate(reading.names)}
    order = np.argsort(coco.image, kind="stable")
    label_of = np.array([number.get(name, -1) for name, _ in coco.categories.values()], np.int64)
    sources: list[SourceImage] = []
    name_of: dict[str, str] = {}
    for key, entry in coco.images.items():
        path, line = shown_path(finder.find(entry.file_name)), entry.place.line
        other = name_of.setdefault(path, entry.file_name)
        if other != entry.file_name:
            message = f"{other} and {entry.file_name} are both found as {path}; name their folder: --images DIR"
            problem = Problem(coco.file, *entry.place, "ambiguous-image", message, path, scope="image")
            reading.problems.append(problem)
        if key in coco.unclear:
            message = f"another image has the id {key}, so that the boxes of both are unclear"
            problem = Problem(coco.file, *entry.place, "duplicate-id", message, path, scope="image")
            reading.problems.append(problem)
        sources.append(SourceImage(path, coco.file, line, entry.size_wh))
    return SourceSplit(
        sources,
        coco.boxes_xyxy[order],
        label_of[coco.category[order]],
        coco.crowd[order],
        coco.image[order],
        coco.places[order],
        [Counted("outlines", coco.outlines, "segmentations made boxes")],
    )
