"""The row of one image, by its path or part of it; only that row is read with its pixels."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from yolopipe.errors import DataError
from yolopipe.shards.manifest import Manifest
from yolopipe.shards.reader import read_chosen, read_paths
from yolopipe.shards.schema import Row

__all__ = ["find_row"]


def find_row(shards: str | Path, manifest: Manifest, split: str, copy: int, image: str) -> Row:
    """The row of an image.

    Args:
        shards: the folder of shards.
        manifest: of the same shards.
        split: ``train`` or ``val``.
        copy: which augmented copy.
        image: the path as in the annotation text, its end, or the file name without suffix.

    Raises:
        DataError: no such image, with the nearest names; or several, with the first of them.
    """
    number = _find_number(shards, manifest, split, copy, image)
    return next(read_chosen(shards, manifest, split, {number: True}, copy=copy))


def _find_number(shards: str | Path, manifest: Manifest, split: str, copy: int, image: str) -> int:
    similar: dict[int, str] = {}
    names: list[str] = []
    for number, path in enumerate(read_paths(shards, manifest, split, copy=copy)):
        if path == image:
            return number
        names.append(path)
        if _is_end_of(image, path):
            similar[number] = path
    if len(similar) == 1:
        return next(iter(similar))
    if similar:
        shown = ", ".join([*similar.values()][:5]) + (", ..." if len(similar) > 5 else "")
        raise DataError(f"{image!r} fits {len(similar)} images of {split}: {shown}", hint="give more of the path")
    raise DataError(f"{split} has no image {image!r}", hint=_nearest(shards, manifest, split, image, names))


def _is_end_of(image: str, path: str) -> bool:
    return path.endswith(f"/{image}") or PurePosixPath(path).name == image or PurePosixPath(path).stem == image


def _nearest(shards: str | Path, manifest: Manifest, split: str, image: str, names: Sequence[str]) -> str | None:
    for other in sorted(set(manifest.splits) - {split}):
        paths = read_paths(shards, manifest, other, copy=0)
        if any(path == image or _is_end_of(image, path) for path in paths):
            return f"it is in {other}: --split {other}"
    by_name = {PurePosixPath(name).name: name for name in names}
    near = difflib.get_close_matches(PurePosixPath(image).name, by_name, n=3, cutoff=0.6)
    return "did you mean " + ", ".join(by_name[name] for name in near) + "?" if near else None
