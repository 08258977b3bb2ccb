"""Finding the files of a data set, and the paths of its images as annotation text writes them.

Names are compared without regard to case and to Unicode form (macOS writes ``é`` as two characters); symbolic links
are followed; what macOS leaves beside files (``._a.jpg``, ``__MACOSX``) and hidden folders are passed over.
"""

from __future__ import annotations

import itertools
import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

__all__ = [
    "IMAGE_SUFFIXES",
    "SPLIT_NAMES",
    "FileIndex",
    "PathFinder",
    "common_end",
    "folded",
    "list_images",
    "shown_path",
    "walk_files",
]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")

SPLIT_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""What folders, keys and lists are called, and the split that each means."""


def folded(name: str) -> str:
    """A name in one case and one Unicode form, to compare it.

    >>> folded("E\\u0301te.JPG") == folded("\\u00c9te.jpg")
    True
    """
    return name.lower() if name.isascii() else unicodedata.normalize("NFC", name.casefold())


def walk_files(folder: str | Path, suffixes: tuple[str, ...]) -> list[Path]:
    """All files in a folder and below with one of these suffixes, sorted by path; each folder is entered once."""
    seen: set[tuple[int, int]] = set()
    return sorted(_walk(os.fspath(folder), suffixes, seen))


def _walk(folder: str, suffixes: tuple[str, ...], seen: set[tuple[int, int]]) -> Iterator[Path]:
    status = os.stat(folder)
    if (status.st_dev, status.st_ino) in seen:  # a link to a folder above
        return
    seen.add((status.st_dev, status.st_ino))
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.startswith(".") or entry.name == "__MACOSX":
                continue
            if entry.name.lower().endswith(suffixes) and not entry.is_dir():
                yield Path(folder, entry.name)
            elif entry.is_dir():
                yield from _walk(os.path.join(folder, entry.name), suffixes, seen)


def list_images(folder: Path) -> list[Path]:
    """All images in a folder and below, sorted by path; recognised by their suffix."""
    return walk_files(folder, IMAGE_SUFFIXES)


class PathFinder:
    """Finds the file or folder that a path means where its case or Unicode form is another.

    >>> PathFinder().find("/DEV/Null")
    '/dev/null'
    """

    def __init__(self) -> None:
        self._names: Callable[[str], dict[str, str]] = cache(_names_in)

    def find(self, path: str | Path) -> str | None:
        """The path as it is on disk; None where there is none."""
        path = os.fspath(path)
        if os.path.exists(path):
            return path
        head, tail = os.path.split(path.rstrip("/"))
        folder = self.find(head) if head not in ("", path) else head
        name = None if folder is None else self._names(folder).get(folded(tail))
        return None if name is None else os.path.join(folder or "", name)

    def find_file(self, path: str | Path) -> Path | None:
        """The file that a path means; None for a folder, too."""
        found = self.find(path)
        return Path(found) if found is not None and os.path.isfile(found) else None


def _names_in(folder: str) -> dict[str, str]:
    """Names of a folder by their folded form; the first of several that differ in case only."""
    try:
        names = sorted(os.listdir(folder or "."), reverse=True)
    except OSError:
        return {}
    return {folded(name): name for name in names}


class FileIndex:
    """Files by their names, to find one whose path is given in part, or from another machine.

    Args:
        files: their paths.
    """

    def __init__(self, files: Iterable[Path]) -> None:
        self.files = list(files)
        self._by_stem: dict[str, list[Path]] = {}
        for file in self.files:
            self._by_stem.setdefault(folded(file.stem), []).append(file)

    def of_stem(self, stem: str) -> list[Path]:
        """All files of this name, whatever their suffix."""
        return self._by_stem.get(folded(stem), [])

    def find(self, name: str) -> list[Path]:
        """The files whose paths end most like ``name``; its folders may be another machine's.

        Args:
            name: a path or file name, with suffix; backslashes count as slashes.

        Returns:
            One, or several where they are equally like it; empty where none has the file name.
        """
        parts = folded(name.replace("\\", "/")).split("/")
        found = [file for file in self.of_stem(Path(parts[-1]).stem) if folded(file.name) == parts[-1]]
        if len(found) < 2:
            return found
        alike = [common_end(list(map(folded, file.parts)), parts) for file in found]
        return [file for file, count in zip(found, alike, strict=True) if count == max(alike)]


def common_end(one: Sequence[str], other: Sequence[str]) -> int:
    """How many parts at the end of two paths are equal.

    >>> common_end(["train", "cam1"], ["val", "cam1"])
    1
    """
    pairs = zip(reversed(one), reversed(other), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def shown_path(picture: str | Path) -> str:
    """The path in annotation text: relative to the project folder for an image below it, else absolute.

    >>> shown_path(Path.cwd() / "a" / "b.jpg")
    'a/b.jpg'
    """
    absolute = os.path.abspath(picture)
    here = os.path.join(os.getcwd(), "")
    return Path(absolute.removeprefix(here)).as_posix()
