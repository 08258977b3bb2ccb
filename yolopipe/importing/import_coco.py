"""COCO JSON reader.

Boxes only, as floats, ``x,y,width,height`` to corners.  Crowd boxes are left out and counted; images without boxes
are kept.  Category ids become 0, 1, 2 ... in their order; with a names file, differing files are matched by name.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from yolopipe.errors import DataError, Problem, UsageError
from yolopipe.formats.coco import CocoFile, read_coco
from yolopipe.importing.reading import Counted, ImportRequest, Reading, SourceImage, SourceSplit, choose_splits
from yolopipe.importing.source_files import shown_path

__all__ = ["read"]

PATTERNS = (
    "annotations/instances_*.json",
    "annotations/*.json",
    "instances_*.json",
    "*/_annotations.coco.json",
    "*.json",
)
"""Where the files of a folder are looked for; the first pattern that matches any is used."""

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
    reading.names = _names(cocos)
    if classes is None:
        reading.problems += _differences(cocos)
    for name, coco in cocos.items():
        reading.splits[name] = _split(coco, reading.names, _folders(root, named[name], name, request.images))
    reading.origins = {
        name: f"category {number}" for coco in cocos.values() for number, (name, _) in coco.categories.items()
    }
    return reading


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
            raise UsageError(f"{named[name]} and {file} are both {name!r}", hint="choose one: --split NAME=FILE")
        named[name] = file
    return named


def _split_name(file: Path) -> str:
    """The train, val or test in the name of the file (Roboflow: of its folder); else empty."""
    text = file.parent.name if file.name == "_annotations.coco.json" else file.stem
    words = _SPLIT_WORD.findall(text.lower())
    return {"valid": "val", "validation": "val"}.get(words[-1], words[-1]) if words else ""


def _names(cocos: Mapping[str, CocoFile]) -> tuple[str, ...]:
    """All names in the order of their ids; where files differ, the first counts."""
    ids: dict[str, Any] = {}
    for coco in cocos.values():
        for number, (name, _) in coco.categories.items():
            ids.setdefault(name, number)
    return tuple(sorted(ids, key=lambda name: (ids[name], name)))


def _differences(cocos: Mapping[str, CocoFile]) -> list[Problem]:
    """Category ids that have different names in two files."""
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
    """Folders that may hold the images of a file, the likeliest first."""
    if images is not None:
        return [Path(images)]
    inside = file.resolve().parent.name == "annotations"
    base = file.parent / ".." if inside else root if root.is_dir() else file.parent
    year = re.sub(r"^instances_", "", file.stem)
    inner = [f"{year}", f"images/{year}", split, f"images/{split}", f"{split}/images", f"{split}2017", "images", ""]
    return [file.parent, *(base / name for name in dict.fromkeys(inner)), Path()]


def _find(file_name: str, folders: Sequence[Path]) -> Path:
    """The image in the first folder that has it, else its path in the first folder (reported as missing later)."""
    name = file_name.replace("\\", "/")
    return next((folder / name for folder in folders if (folder / name).is_file()), folders[0] / name)


def _split(coco: CocoFile, names: Sequence[str], folders: Sequence[Path]) -> SourceSplit:
    number = {name: index for index, name in enumerate(names)}
    order = np.argsort(coco.image, kind="stable")
    label_of = np.array([number[name] for name, _ in coco.categories.values()], np.int64)
    sources = [
        SourceImage(shown_path(_find(entry.file_name, folders)), coco.file, entry.place.line, entry.size_wh)
        for entry in coco.images.values()
    ]
    crowded = Counter(coco.crowds)
    counted = [
        Counted("crowd_boxes_left_out", len(coco.crowds), f"crowd boxes left out (in {len(crowded):,} images)"),
    ]
    return SourceSplit(
        sources,
        coco.boxes_xyxy[order],
        label_of[coco.category[order]],
        coco.image[order],
        coco.places[order],
        counted,
    )
