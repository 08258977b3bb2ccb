"""A reading built image by image and box by box, for formats that name their pictures and classes as text."""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from yolopipe.errors import DataError, Problem, Scope
from yolopipe.importing.picture_finder import AmbiguousPicture, PictureFinder, spellings
from yolopipe.importing.reading import Counted, ImportRequest, Reading, SourceImage, SourceSplit, choose_splits
from yolopipe.importing.source_files import SPLIT_NAMES, folded, shown_path, walk_files

__all__ = ["Gathering", "data_files", "picture_folder", "split_of_file", "split_of_path", "split_of_word"]

_SPLIT_WORD = re.compile(r"(?<![a-z])(train|valid|validation|val|test)(?![a-z])")


class _Columns:
    """Images and boxes of one split; columns, since there may be millions of boxes."""

    def __init__(self) -> None:
        self.images: list[SourceImage] = []
        self.corners = array("d")
        self.labels = array("i")
        self.ignore = array("b")
        self.rows = array("i")
        self.places = array("i")
        self.counts: Counter[str] = Counter()


class Gathering:
    """A data set in the making.

    Args:
        kind: name of the format.
        request: what was asked for; pictures are searched for below ``request.images``, else below the source.
        order: where the class order comes from, in words.
        words: what is counted, and how the summary says it; see :class:`~yolopipe.importing.reading.Counted`.
    """

    def __init__(self, kind: str, request: ImportRequest, *, order: str, words: Mapping[str, str]) -> None:
        self.request = request
        self.reading = Reading(kind, request.root, order=order)
        self.finder = PictureFinder(picture_folder(request), also_here=request.images is None)
        self._words = words
        self._splits: dict[str, _Columns] = {}
        self._numbers: dict[str, int] = {}
        self._names_of: dict[str, str] = {}

    def problem(
        self, file: str, line: int, column: int, rule: str, message: str, scope: Scope, *, image: str = ""
    ) -> None:
        """Add what is wrong; see :class:`~yolopipe.errors.Problem`."""
        self.reading.problems.append(Problem(file, line, column, rule, message, image, scope=scope))

    def split(self, name: str) -> None:
        """Make a split, also one that stays empty."""
        self._splits.setdefault(name, _Columns())

    def image(
        self,
        split: str,
        names: Sequence[str],
        place: tuple[Path, int],
        *,
        size_wh: tuple[int, int] = (0, 0),
    ) -> int:
        """Add an image.

        Args:
            split: name of the split.
            names: of the picture, as written; the others are tried in turn where there is no picture of the first.
            place: the source file that names it, in whose folder names may start, and the 1-based line there.
            size_wh: as stated; zeros where it is not.

        Returns:
            Its row in the split; -1 where its picture is ambiguous, which is a problem.
        """
        name, file, line = names[0], str(place[0]), place[1]
        try:
            found = (self.finder.find(text, place[0].parent) for text in names)
            picture = next((picture for picture in found if picture is not None), None)
        except AmbiguousPicture as error:
            return self._ambiguous(name, file, line, str(error))
        # A path that does not exist is a missing image when the headers are read.
        path = shown_path(picture or self.finder.folder / list(spellings(name))[-1].rpartition("/")[2])
        other = self._names_of.setdefault(path, name)
        if picture is not None and not _may_be_the_same(name, other):
            return self._ambiguous(name, file, line, f"{name!r} and {other!r} are both found as {path}")
        return self.add_picture(split, path, file, line, size_wh)

    def _ambiguous(self, name: str, file: str, line: int, message: str) -> int:
        message = f"{message}; --images DIR names the folder"
        self.problem(file, line, 0, "ambiguous-image", message, "image", image=f"{file}:{line}:{name}")
        return -1

    def add_picture(self, split: str, path: str, file: str, line: int, size_wh: tuple[int, int] = (0, 0)) -> int:
        """Add an image whose path is known; its row in the split."""
        self.split(split)
        columns = self._splits[split]
        columns.images.append(SourceImage(path, file, line, size_wh))
        return len(columns.images) - 1

    def box(
        self,
        split: str,
        row: int,
        name: str,
        box_xyxy: Sequence[float],
        line: int = 0,
        column: int = 0,
        *,
        ignore: bool = False,
    ) -> None:
        """Add a box of the class of this name; nothing for row -1.

        Args:
            split: name of the split.
            row: of the image.
            name: of the class.
            box_xyxy: corners.
            line: its place in the image's file.
            column: the same.
            ignore: the source marks it as a crowd, a group or difficult.
        """
        number = self._numbers.setdefault(name, len(self._numbers))
        if row >= 0:
            columns = self._splits[split]
            columns.corners.extend(box_xyxy)
            columns.labels.append(number)
            columns.ignore.append(ignore)
            columns.rows.append(row)
            columns.places.extend((line, column))

    def count(self, split: str, key: str, number: int = 1) -> None:
        """Count something for the summary; ``key`` is one of ``words``."""
        self.split(split)
        self._splits[split].counts[key] += number

    def classes(self, names: Iterable[str]) -> None:
        """Name classes in the order of the source, also those without boxes."""
        for name in names:
            self._numbers.setdefault(name, len(self._numbers))

    @property
    def names(self) -> list[str]:
        """All class names so far."""
        return list(self._numbers)

    def finish(self, names: Sequence[str] | None = None) -> Reading:
        """The reading.

        Args:
            names: class order; by default by name.

        Raises:
            DataError: no image at all.
            UsageError: a split that does not exist.
        """
        reading = self.reading
        if not self._splits and not reading.problems:
            raise DataError(f"no image in {reading.root}")
        reading.names = tuple(sorted(self._numbers)) if names is None else tuple(names)
        position = {name: index for index, name in enumerate(reading.names)}
        table = np.array([position[name] for name in self._numbers], np.int64)
        wanted = choose_splits(list(self._splits), self.request.splits, f"no split {{}} in {reading.root}")
        for name in sorted(wanted, key=_split_order):
            reading.splits[name] = self._build(self._splits.pop(name), table)
        return reading

    def _build(self, columns: _Columns, table: np.ndarray[tuple[int], np.dtype[np.int64]]) -> SourceSplit:
        rows = np.array(columns.rows, np.int64)
        order = np.argsort(rows, kind="stable")
        labels = table[np.array(columns.labels, np.int64)] if len(rows) else np.empty(0, np.int64)
        counted = [Counted(key, columns.counts[key], words) for key, words in self._words.items()]
        return SourceSplit(
            columns.images,
            np.array(columns.corners, np.float64).reshape(-1, 4)[order],
            labels[order],
            np.array(columns.ignore, bool)[order],
            rows[order],
            np.array(columns.places, np.int64).reshape(-1, 2)[order],
            counted,
        )

    def add_backgrounds(self, file: str) -> None:
        """Pictures that no record names: images without objects in the folder of ``--images``, else left out.

        The split of such a picture is that of its folders, or the only one.
        """
        named = {image.path for columns in self._splits.values() for image in columns.images}
        spare = [path for path in map(shown_path, self.finder.index.files) if path not in named]
        left = 0
        for path in spare:
            only = next(iter(self._splits)) if len(self._splits) == 1 else ""
            split = split_of_path(path) if split_of_path(path) in self._splits else only
            if self.request.images is None or not split:
                left += 1
            else:
                self.add_picture(split, path, file, 0)
                self.count(split, "unnamed_images")
        if left:
            folder = self.finder.folder
            way = "; --images DIR takes those of a folder as images without objects"
            self.reading.rows["left out"] = f"{left:,} images in {folder} that no record names{way}"


def _may_be_the_same(name: str, other: str) -> bool:
    """Whether one name is the end of the other: ``a.jpg`` and ``cam1/a.jpg``, but not ``cam2/a.jpg``."""
    parts = [
        [part for part in folded(text.replace("\\", "/")).split("/") if part not in ("", ".", "..")]
        for text in (name, other)
    ]
    return all(a == b for a, b in zip(*map(reversed, parts), strict=False))


def data_files(request: ImportRequest, suffix: str, fits: Callable[[Path], bool]) -> list[Path]:
    """The file that the user named, or those of the folder and below that are of the format."""
    root = request.annotations or request.root
    return [root] if root.is_file() else [file for file in walk_files(root, (suffix,)) if fits(file)]


def split_of_file(request: ImportRequest, file: Path) -> str:
    """The split that the name of a file or its folders below the source state."""
    root = request.annotations or request.root
    return split_of_path(file.relative_to(root) if root.is_dir() else file.name)


def picture_folder(request: ImportRequest) -> Path:
    """Where pictures are searched for: the folder of ``--images``, else the source, else the folder of its file."""
    if request.images is not None:
        return request.images
    return request.root if request.root.is_dir() else request.root.parent


def split_of_word(text: str) -> str:
    """The split that a word of a data set means; ``all`` for none and for the default of tools.

    >>> split_of_word("Validation"), split_of_word("default"), split_of_word("night shots"), split_of_word("")
    ('val', 'all', 'night_shots', 'all')
    """
    word = text.strip().lower()
    name = re.sub(r"[^\w-]", "_", text.strip())
    return SPLIT_NAMES.get(word, "all" if word in ("", "default") or not name.strip("_") else name)


def split_of_path(path: str | Path) -> str:
    """The last train, val(id) or test in a path, first in the file name, then in its folders; else ``all``.

    >>> split_of_path("set/valid/_annotations.csv"), split_of_path("set/test_labels.csv"), split_of_path("a/b.csv")
    ('val', 'test', 'all')
    """
    for part in reversed(Path(path).parts):
        if words := _SPLIT_WORD.findall(part.lower()):
            return SPLIT_NAMES[words[-1]]
    return "all"


def _split_order(name: str) -> tuple[int, str]:
    known = list(dict.fromkeys(SPLIT_NAMES.values()))
    return (known.index(name) if name in known else len(known), name)
