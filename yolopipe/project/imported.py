"""``yolopipe init --from``: chooses which imported texts to train and to validate on, and finds the images folder."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from yolopipe import paths
from yolopipe.errors import DataError
from yolopipe.files import atomic_file
from yolopipe.formats.annotation_text import parse_annotation
from yolopipe.formats.class_names import read_class_names

__all__ = ["ChosenData", "choose_data"]

VAL_SHARE = 0.2
"""Share of a data set without splits."""

_TRAIN = (r"train", r"train(?!.?val)", r"(.*[\W_])?train(?!.?val)", r"train.?val")
_VAL = (r"val", r"val|dev", r"(?!.*train)(.*[\W_])?val", r"test", r"(?!.*train)(.*[\W_])?test")
"""Patterns of split names, the best first; the first must match the whole name, the others its start."""


class ChosenData(NamedTuple):
    """The values for ``data:`` in ``params.yaml``, and what to print about them.

    Args:
        data: ``train``, ``val``, ``classes`` and ``images``, relative to the project folder where they are in it.
        images: number of images by split.
        classes: the names.
        notes: a sentence for each choice that was made.
    """

    data: dict[str, str]
    images: dict[str, int]
    classes: tuple[str, ...]
    notes: list[str]


def choose_data(folder: Path, final: Path) -> ChosenData:
    """Choose train and val among the splits that an importer wrote.

    A data set without splits is divided into ``train.txt`` and ``val.txt``: a fifth of the images, in the order of a
    hash of their paths, goes to val.

    Args:
        folder: with ``SPLIT.txt`` files and ``classes.names``; the current folder is the project's.
        final: the name ``folder`` will have.

    Raises:
        DataError: no choice can be made.
    """
    texts = {file.stem: file.read_text(encoding="utf-8").splitlines() for file in sorted(folder.glob("*.txt"))}
    notes = []
    if len(texts) == 1:
        ((name, lines),) = texts.items()
        texts = _divide(lines)
        (folder / f"{name}.txt").unlink()
        for split, own in texts.items():
            with atomic_file(folder / f"{split}.txt") as partial:
                partial.write_bytes("".join(f"{line}\n" for line in own).encode())
        notes.append(
            f"no splits ({name} only): a fifth of the images, by a hash of their paths, is val; photographs of one "
            "scene may be in both"
        )
    train, val = _choose(list(texts))
    if len(texts) > 2 or (train, val) != ("train", "val"):
        others = ", ".join(sorted(set(texts) - {train, val})) or "none"
        notes.append(f"train is {train}, val is {val}; other splits: {others}")
    names = {"train": f"{train}.txt", "val": f"{val}.txt", "classes": "classes.names"}
    data = {key: (final / name).as_posix() for key, name in names.items()}
    data["images"] = _images_folder([line for split in (train, val) for line in texts[split]])
    sizes = {"train": len(texts[train]), "val": len(texts[val])}
    return ChosenData(data, sizes, read_class_names(folder / "classes.names"), notes)


def _divide(lines: Sequence[str]) -> dict[str, list[str]]:
    if len(lines) < 2:
        raise DataError("one image only; expected at least one for train and one for val")
    ranked = sorted(lines, key=lambda line: hashlib.sha256(parse_annotation(line).image_path.encode()).digest())
    val = set(ranked[: max(1, round(VAL_SHARE * len(lines)))])
    return {"train": [line for line in lines if line not in val], "val": [line for line in lines if line in val]}


def _choose(splits: Sequence[str]) -> tuple[str, str]:
    train = _first(splits, _TRAIN)
    joint = train is not None and re.match(_TRAIN[-1], train, re.IGNORECASE)
    val = _first(splits, _VAL[3:] if joint else _VAL)  # trainval holds all of val
    if train is None or val is None or train == val:
        raise DataError(
            f"cannot choose train and val among the splits {', '.join(splits)}",
            hint="run yolopipe import, and enter two of its lists under data: in params.yaml",
        )
    return train, val


def _first(splits: Sequence[str], patterns: Sequence[str]) -> str | None:
    for index, pattern in enumerate(patterns):
        match = re.fullmatch if index == 0 else re.match
        for split in splits:
            if match(pattern, split, re.IGNORECASE):
                return split
    return None


def _images_folder(lines: Sequence[str]) -> str:
    """The deepest folder that contains all images; DVC watches it."""
    folders = {os.path.dirname(os.path.abspath(parse_annotation(line).image_path)) for line in lines}
    if not folders:
        raise DataError("the lists of train and val are empty", hint="check the image lists of the data set")
    common = Path(os.path.commonpath(sorted(folders)))
    outputs = [path for path in vars(paths).values() if isinstance(path, Path)]
    if any(Path(os.path.abspath(path)).is_relative_to(common) for path in outputs):
        raise DataError(
            f"the images are in {_shortened(folders)}; the folder that contains them all ({common}) also contains "
            "outputs of the pipeline, so DVC would run it again and again",
            hint="move the images into a folder that contains nothing else, e.g. images/",
        )
    here = Path.cwd()
    return (common.relative_to(here) if common.is_relative_to(here) else common).as_posix()


def _shortened(folders: set[str]) -> str:
    shown = sorted(folders)
    return ", ".join(shown[:3]) + (f" and {len(shown) - 3} more" if len(shown) > 3 else "")
