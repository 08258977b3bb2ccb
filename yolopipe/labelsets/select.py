"""Parts of a set: chosen classes under chosen names, chosen images, a fraction, with or without backgrounds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from yolopipe.errors import UsageError
from yolopipe.labelsets.label_set import LabelSet, renumbered
from yolopipe.parsing.box_rules import repeated

__all__ = ["Backgrounds", "ClassMap", "Others", "class_map", "image_hashes", "map_classes", "pick_images"]

Backgrounds = Literal["keep", "drop", "only"]
"""What becomes of images without boxes; boxes to be ignored do not count."""

Others = Literal["drop", "ignore"]
"""Whether boxes of classes that are not taken are dropped, or become boxes of any class to be ignored."""


class ClassMap(NamedTuple):
    """The class names wanted, and which of them each present class becomes.

    Args:
        names: the new names; the position is the class number.
        target: (C,) int64 new number of each old class; -1 for classes left out.
    """

    names: tuple[str, ...]
    target: npt.NDArray[np.int64]


def class_map(names: Sequence[str], *, keep: Sequence[str] = (), rename: Mapping[str, str] | None = None) -> ClassMap:
    """Which classes stay, and what they are called.

    Args:
        names: class names as they are.
        keep: old or new names that stay, in the new order; none for all.
        rename: old name to new name; several old names may get the same new one and become one class.

    Returns:
        The new names and where each old class goes.

    Raises:
        UsageError: a name that the set does not have.

    >>> class_map(["cat", "kitty", "dog"], keep=["dog", "cat"], rename={"kitty": "cat"})
    ClassMap(names=('dog', 'cat'), target=array([1, 1, 0]))
    """
    changes = dict(rename or {})
    unknown = [name for name in changes if name not in names]
    renamed = [changes.get(name, name) for name in names]
    unknown += [name for name in keep if name not in names and name not in renamed]
    if unknown:
        raise UsageError(f"no class {unknown[0]!r}; the classes are: {', '.join(names)}")
    wanted = [changes.get(name, name) for name in keep] or renamed
    order = tuple(dict.fromkeys(wanted))
    return ClassMap(order, np.array([order.index(n) if n in order else -1 for n in renamed], np.int64))


def map_classes(label_set: LabelSet, mapping: ClassMap, others: Others = "drop") -> tuple[LabelSet, LabelSet]:
    """A set with other class names and numbers.

    Args:
        label_set: boxes of any class stay as they are.
        mapping: names and numbers.
        others: what becomes of boxes of classes left out.

    Returns:
        The set, and the boxes of classes left out, as they were.  Of equal regions of any class the set has one:
        ``parse`` would report the second as ``duplicate-box``.
    """
    classes = renumbered(label_set.classes, mapping.target)
    other = (classes < 0) & (label_set.classes >= 0)
    ignore = label_set.ignore | other
    dropped = other
    if others == "ignore":
        dropped = (classes < 0) & repeated(label_set.boxes_xyxy, classes, ignore, label_set.box_image)
    mapped = replace(label_set, names=mapping.names, classes=classes, ignore=ignore)
    return mapped.boxes(~dropped), label_set.boxes(other)


def pick_images(
    label_set: LabelSet,
    *,
    patterns: Sequence[str] = (),
    backgrounds: Backgrounds = "keep",
    fraction: float = 1.0,
    seed: int = 0,
) -> npt.NDArray[np.bool_]:
    """Which images to take.

    Args:
        label_set: M images.
        patterns: shell patterns of the whole path, ``*`` also over slashes; an image must match one, none for all.
        backgrounds: what becomes of images without boxes.
        fraction: part of the images that are left to take, 0 to 1; chosen by a hash of seed and path, so that the
            choice of a smaller fraction lies within that of a larger one and does not depend on the other images.
        seed: of the choice.

    Returns:
        (M,) bool.
    """
    count = len(label_set.image_paths)
    taken = np.ones(count, bool)
    if patterns:
        taken &= [any(fnmatchcase(path, pattern) for pattern in patterns) for path in label_set.image_paths]
    if backgrounds != "keep":
        boxes = np.bincount(label_set.box_image[~label_set.ignore], minlength=count)
        taken &= (boxes > 0) == (backgrounds == "drop")
    if fraction < 1.0:
        taken &= image_hashes(label_set.image_paths, seed) < np.uint64(fraction * 2.0**64)
    return taken


def image_hashes(names: Sequence[str], seed: int) -> npt.NDArray[np.uint64]:
    """A number for each name that depends on the name and the seed only, evenly spread over 64 bits.

    >>> bool(image_hashes(["a.jpg"], 0) != image_hashes(["a.jpg"], 1))
    True
    """
    digests = (hashlib.blake2b(f"{seed}\0{name}".encode(), digest_size=8).digest() for name in names)
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)
