"""COCO JSON to annotation text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from yolopipe.errors import DataError, Problem, UsageError
from yolopipe.formats.coco import CocoFile, read_coco
from yolopipe.importing.checks import measure
from yolopipe.importing.finishing import finish, with_classes
from yolopipe.importing.reading import Aside, Reading, SourceImage, SourceSplit, chosen, shown_path
from yolopipe.result import CommandResult

__all__ = ["import_coco"]

PATTERNS = (
    "annotations/instances_*.json",
    "annotations/*.json",
    "instances_*.json",
    "*/_annotations.coco.json",
    "*.json",
)
"""Where the files of a folder are looked for; the first that finds any counts."""

_SPLIT_WORD = re.compile(r"(?<![a-z])(train|valid|validation|val|test)(?![a-z])")


def import_coco(
    source: str | Path,
    out: str | Path,
    *,
    splits: Sequence[str] | None = None,
    classes: str | Path | None = None,
    files: Mapping[str, str | Path] | None = None,
    images: str | Path | None = None,
) -> CommandResult:
    """Turn COCO JSON into annotation text.

    Boxes only, as floats, ``x,y,width,height`` to corners.  Boxes that mark a crowd are left out and counted; images
    without boxes are kept.  Category ids, with whatever gaps, become 0, 1, 2 ... in their order.

    Args:
        source: a JSON file, or a folder that holds some (``annotations/instances_train2017.json`` ...).
        out: folder for ``SPLIT.txt`` and ``classes.names``.
        splits: which splits to take; all by default.
        classes: a names file that fixes the order; files whose categories differ are then matched by name.
        files: split name to JSON file, instead of searching ``source``.
        images: the folder that file names start at; by default it is searched.

    Returns:
        What was read and written.

    Raises:
        DataError: no JSON file there.
        UsageError: a split that is not there, or two files for one.
        ProblemsError: everything broken, at once; nothing is written then.
    """
    root = Path(source)
    named = {name: Path(file) for name, file in files.items()} if files else _search(root)
    wanted = chosen(list(named), splits, f"no split {{}} in {root}")
    reading = Reading("coco", root, order="by category id")
    reading.inputs = {str(file) for file in named.values()}
    cocos = {name: read_coco(named[name]) for name in wanted}
    reading.problems = [problem for coco in cocos.values() for problem in coco.problems]
    reading.names = _names(cocos)
    if classes is None:
        reading.problems += _differences(cocos)
    for name, coco in cocos.items():
        reading.splits[name] = _split(coco, reading.names, _folders(root, named[name], name, images))
    measure(reading)
    reading.origins = {
        name: f"category {number}" for coco in cocos.values() for number, (name, _) in coco.categories.items()
    }
    with_classes(reading, classes)
    return finish(reading, out)


def _search(root: Path) -> dict[str, Path]:
    """Split to file."""
    if root.is_file():
        return {_split_name(root) or "all": root}
    found = next(filter(None, (sorted(root.glob(pattern)) for pattern in PATTERNS)), [])
    if not found:
        raise DataError(
            f"no COCO JSON in {root}; looked for {', '.join(PATTERNS)}",
            hint="name the files: yolopipe import coco FOLDER --train FILE --val FILE --out DIR",
        )
    named: dict[str, Path] = {}
    for file in found:
        name = _split_name(file) or ("all" if len(found) == 1 else file.stem)
        if name in named:
            raise UsageError(f"{named[name]} and {file} are both {name!r}", hint="say which: --split NAME=FILE")
        named[name] = file
    return named


def _split_name(file: Path) -> str:
    """train, val or test where the file's name, or for Roboflow its folder's, has the word; else nothing."""
    text = file.parent.name if file.name == "_annotations.coco.json" else file.stem
    words = _SPLIT_WORD.findall(text.lower())
    return {"valid": "val", "validation": "val"}.get(words[-1], words[-1]) if words else ""


def _names(cocos: Mapping[str, CocoFile]) -> tuple[str, ...]:
    """All names in the order of their ids; the first file to name one decides."""
    ids: dict[str, int] = {}
    for coco in cocos.values():
        for number, (name, _) in coco.categories.items():
            ids.setdefault(name, number)
    return tuple(sorted(ids, key=lambda name: (ids[name], name)))


def _differences(cocos: Mapping[str, CocoFile]) -> list[Problem]:
    """Categories that two files do not agree on: one number would mean two things."""
    whole = [coco for coco in cocos.values() if coco.categories]
    found = []
    for coco in whole[1:]:
        first = whole[0]
        for number in sorted(first.categories.keys() | coco.categories.keys()):
            here, there = coco.categories.get(number), first.categories.get(number)
            if here is None or there is None or here[0] != there[0]:
                place = here[1] if here else (0, 0)
                names = [entry[0] if entry else "missing" for entry in (here, there)]
                message = f"category {number} is {names[0]} here and {names[1]} in {first.file}"
                found.append(
                    Problem(coco.file, *place, "category-mismatch", f"{message}; --classes FILE matches names")
                )
    return found


def _folders(root: Path, file: Path, split: str, images: str | Path | None) -> list[Path]:
    """Where the images of a file may lie, the likeliest first."""
    if images is not None:
        return [Path(images)]
    inside = file.resolve().parent.name == "annotations"
    base = file.parent / ".." if inside else root if root.is_dir() else file.parent
    year = re.sub(r"^instances_", "", file.stem)
    inner = [f"{year}", f"images/{year}", split, f"images/{split}", f"{split}/images", f"{split}2017", "images", ""]
    return [file.parent, *(base / name for name in dict.fromkeys(inner)), Path()]


def _find(file_name: str, folders: Sequence[Path]) -> Path:
    """The image, in the first folder that has it; where none does, its path in the first, to be reported missing."""
    name = file_name.replace("\\", "/")
    return next((folder / name for folder in folders if (folder / name).is_file()), folders[0] / name)


def _split(coco: CocoFile, names: Sequence[str], folders: Sequence[Path]) -> SourceSplit:
    number = {name: index for index, name in enumerate(names)}
    rows = np.array(list(coco.images), np.int64)
    by_id = np.argsort(rows)
    image = by_id[np.searchsorted(rows[by_id], coco.image_ids)] if len(rows) else np.empty(0, np.int64)
    order = np.argsort(image, kind="stable")
    labels = [number[coco.categories[category][0]] for category in coco.category_ids[order].tolist()]
    sources = [
        SourceImage(shown_path(_find(entry.file_name, folders)), coco.file, entry.place.line, entry.size_wh)
        for entry in coco.images.values()
    ]
    crowded = Counter(coco.crowds)
    asides = [
        Aside("crowd_boxes_left_out", len(coco.crowds), f"crowd boxes left out (in {len(crowded):,} images)"),
    ]
    return SourceSplit(
        sources, coco.boxes_xyxy[order], np.array(labels, np.int64), image[order], coco.places[order], asides
    )
