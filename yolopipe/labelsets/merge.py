"""Sets put together: classes matched by name, images that stand in several named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from yolopipe.errors import Problem
from yolopipe.labelsets.label_set import LabelSet, renumbered

__all__ = ["merge", "near_equal_names"]


def merge(sets: Sequence[LabelSet]) -> tuple[LabelSet, list[Problem], int]:
    """Put sets together.

    Args:
        sets: at least one; their class lists are matched by name, new names follow in the order they come.

    Returns:
        The set of all images; a problem (``merge-conflict``) for each image whose boxes differ between two sets, of
        which the first is kept; and how many images stood in several sets with the same boxes.
    """
    names = tuple(dict.fromkeys(name for one in sets for name in one.names))
    number = {name: index for index, name in enumerate(names)}
    known: dict[str, tuple[str, bytes]] = {}
    problems: list[Problem] = []
    parts: list[LabelSet] = []
    repeated = 0
    for one in sets:
        part = replace(one, names=names, classes=renumbered(one.classes, [number[name] for name in one.names]))
        content = _contents(part)
        keep = np.ones(len(one.image_paths), bool)
        for image, path in enumerate(one.image_paths):
            place = one.place(image)
            before = known.setdefault(path, (place, content[image]))
            if before[0] != place:
                keep[image] = False
                repeated += before[1] == content[image]
                if before[1] != content[image]:
                    problems.append(_conflict(part, image, before[0]))
        parts.append(part.images(keep))
    first_image = np.cumsum([0, *(len(part.image_paths) for part in parts)])
    first_file = np.cumsum([0, *(len(part.files) for part in parts)])
    places = [part.places + np.array([start, 0], np.int32) for part, start in zip(parts, first_file, strict=False)]
    merged = LabelSet(
        names=names,
        image_paths=[path for part in parts for path in part.image_paths],
        places=np.concatenate(places).astype(np.int32),
        files=tuple(file for part in parts for file in part.files),
        boxes_xyxy=np.concatenate([part.boxes_xyxy for part in parts]),
        classes=np.concatenate([part.classes for part in parts]),
        ignore=np.concatenate([part.ignore for part in parts]),
        box_image=np.concatenate([p.box_image + s for p, s in zip(parts, first_image, strict=False)]),
    )
    return merged, problems, repeated


def _contents(label_set: LabelSet) -> list[bytes]:
    """The boxes of each image as bytes that do not depend on their order."""
    table = np.column_stack([label_set.boxes_xyxy, label_set.classes, label_set.ignore]) + 0.0
    order = np.lexsort([*table.T[::-1], label_set.box_image])
    ends = np.searchsorted(label_set.box_image, np.arange(len(label_set.image_paths) + 1))
    ordered = table[order]
    return [ordered[a:b].tobytes() for a, b in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)]


def _conflict(label_set: LabelSet, image: int, first: str) -> Problem:
    file, line = label_set.places[image].tolist()
    path = label_set.image_paths[image]
    message = f"image {path} has other boxes at {first}; the boxes there are kept"
    return Problem(label_set.files[file], line, 1, "merge-conflict", message, path, "dropped-image")


def near_equal_names(names: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of class names that differ only in case, blanks, hyphens or underscores.

    >>> near_equal_names(["cat", "traffic light", "Traffic_Light"])
    [('traffic light', 'Traffic_Light')]
    """
    first: dict[str, str] = {}
    pairs = []
    for name in names:
        key = "".join(character for character in name.casefold() if character not in " -_\t")
        before = first.setdefault(key, name)
        if before != name:
            pairs.append((before, name))
    return pairs
