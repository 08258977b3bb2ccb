"""Ids of images and classes from a COCO annotation file, for the list of results that refers to it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from yolopipe.errors import DataError, ProblemsError
from yolopipe.formats.coco import read_coco_names
from yolopipe.problems import MOST_SHOWN

__all__ = ["CocoIds", "read_coco_ids"]


@dataclass(frozen=True)
class CocoIds:
    """The ids that a COCO annotation file has for images and classes; without a file they count from 1.

    Args:
        file: its path, for messages; empty for none.
        images: id by file name.
        categories: id by class name.
    """

    file: str = ""
    images: Mapping[str, Any] = field(default_factory=dict)
    categories: Mapping[str, Any] = field(default_factory=dict)

    def image(self, path: str, number: int) -> Any:
        """The id of an image.

        That of its path, else of the one file name that the path ends with, or that ends with the path; whole parts
        of paths are compared.

        Args:
            path: of the image.
            number: of the image, from 1: its id where there is no file.

        Raises:
            DataError: the file lists no such image, or several.

        >>> ids = CocoIds("truth.json", {"val2017/1.jpg": 7})
        >>> ids.image("coco/val2017/1.jpg", 1), ids.image("1.jpg", 1)
        (7, 7)
        """
        if not self.file:
            return number
        name = os.path.normpath(path)
        if name in self.images:
            return self.images[name]
        shorter = [end for end in _endings(name) if end in self.images]
        near = [*shorter, *self._longer_names.get(name, [])]
        if len(near) == 1:
            return self.images[near[0]]
        what = f"lists {len(near)} such images: {', '.join(near[:3])}" if near else "does not list it"
        raise DataError(
            f"{self.file}: expected the id of {path}, but the file {what}",
            hint="predict the images that the file lists, or the annotation text that it was made from",
        )

    def category(self, name: str, number: int) -> Any:
        """The id of a class; without a file, its number from 1.

        Args:
            name: of the class.
            number: of the class, from 0.
        """
        return self.categories[name] if self.file else number + 1

    @cached_property
    def _longer_names(self) -> dict[str, list[str]]:
        """The file names that end with each path: one entry for each part of each name."""
        names: dict[str, list[str]] = {}
        for name in self.images:
            for end in _endings(name):
                names.setdefault(end, []).append(name)
        return names


def _endings(path: str) -> Iterator[str]:
    """What follows each slash.

    >>> list(_endings("a/b/c.jpg"))
    ['b/c.jpg', 'c.jpg']
    """
    place = path.find("/")
    while place >= 0:
        yield path[place + 1 :]
        place = path.find("/", place + 1)


def read_coco_ids(path: str | Path, class_names: Sequence[str]) -> CocoIds:
    """Read the ids of a COCO annotation file.

    Args:
        path: JSON with ``images`` (``id``, ``file_name``) and ``categories`` (``id``, ``name``).
        class_names: every class that may be found needs an id.

    Raises:
        ProblemsError: records of images or categories are wrong; annotations are not read.
        DataError: the file cannot be read or lacks a class.
    """
    coco = read_coco_names(path)
    if coco.problems:
        raise ProblemsError(
            f"{path} is not a COCO annotation file with images (id, file_name) and categories (id, name)",
            coco.problems[:MOST_SHOWN],
            hint="name the annotation file that `yolopipe score --truth` takes",
            more=max(0, len(coco.problems) - MOST_SHOWN),
        )
    images = {image.file_name: number for number, image in coco.images.items()}
    categories = {name: number for number, (name, _) in coco.categories.items()}
    missing = [name for name in class_names if name not in categories]
    if missing:
        raise DataError(
            f"{path} has no category {', '.join(missing)}; it has {', '.join(map(str, categories))}",
            hint="leave classes out with --classes",
        )
    return CocoIds(str(path), images, categories)
