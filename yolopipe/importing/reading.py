"""What a format's reader returns: images, boxes and classes as the source has them, before any check."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from yolopipe.errors import Problem, UsageError

__all__ = [
    "Counted",
    "ImportRequest",
    "Lost",
    "Reading",
    "SourceImage",
    "SourceSplit",
    "SplitBuilder",
    "choose_splits",
]


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """The arguments of an import that a reader may need; see :func:`yolopipe.importing.import_data.import_data`."""

    root: Path
    splits: Sequence[str] | None = None
    classes: Path | None = None
    files: Mapping[str, Path] = field(default_factory=dict)
    images: Path | None = None
    annotations: Path | None = None
    pictures: Path = Path("images")


class SourceImage(NamedTuple):
    """One image of the source.

    Args:
        path: as annotation text will name it.
        file: the source file with its boxes.
        line: 1-based line of the image in ``file``; 0 where the whole file is about it.
        size_wh: the size that the source states; zeros where it states none.
    """

    path: str
    file: str
    line: int = 0
    size_wh: tuple[int, int] = (0, 0)


class Counted(NamedTuple):
    """Something counted for the summary.

    Args:
        key: its name in the JSON report.
        number: how often.
        words: what follows the number in the summary, e.g. ``crowd boxes left out``.
    """

    key: str
    number: int
    words: str


@dataclass(slots=True)
class SourceSplit:
    """One split: M images, N boxes.

    Args:
        images: M images.
        boxes_xyxy: (N, 4) float64 pixels (fractions where :attr:`Reading.fractions`), in the order of the images.
        labels: (N,) int64 index into :attr:`Reading.names`; -1 is any class, of boxes to be ignored.
        ignore: (N,) bool; what the source marks (a crowd, a difficult object), later what is to be ignored.
        box_image: (N,) int64 row of each box's image, ascending.
        places: (N, 2) int64 line and column of each box in its image's file; column 0 is the line as a whole.
        counted: lines for the summary.
        no_boxes: why there is no object and what to do, in words; where there are objects it is not used.
        size_wh: (M, 2) int32 of the upright image, 0 where it cannot be read; filled from the image headers.
        orientation: (M,) int32 EXIF 1..8; filled from the image headers.
    """

    images: list[SourceImage]
    boxes_xyxy: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int64]
    ignore: npt.NDArray[np.bool_]
    box_image: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]
    counted: list[Counted] = field(default_factory=list)
    no_boxes: str = ""
    size_wh: npt.NDArray[np.int32] = field(default_factory=lambda: np.empty((0, 2), np.int32))
    orientation: npt.NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))

    def keep_boxes(self, which: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> None:
        """Remove the other boxes; ``which`` is a (N,) mask, or rows in their new order."""
        for name in ("boxes_xyxy", "labels", "ignore", "box_image", "places"):
            setattr(self, name, getattr(self, name)[which])

    def keep_images(self, rows: npt.NDArray[np.int64]) -> None:
        """Keep these images, in this order, with their boxes; ``rows`` are distinct rows of :attr:`images`."""
        row_of = np.full(len(self.images), -1, np.int64)
        row_of[rows] = np.arange(len(rows))
        self.keep_boxes(row_of[self.box_image] >= 0)
        self.box_image = row_of[self.box_image]
        self.keep_boxes(np.argsort(self.box_image, kind="stable"))
        self.images = [self.images[row] for row in rows.tolist()]
        if len(self.size_wh):
            self.size_wh, self.orientation = self.size_wh[rows], self.orientation[rows]


class SplitBuilder:
    """A :class:`SourceSplit`, image by image and box by box.

    >>> split = SplitBuilder()
    >>> split.add_image("a.jpg", "a.xml")
    >>> split.add_box((0.5, 1, 2, 3), label=7, line=12)
    >>> split.build().boxes_xyxy.tolist()
    [[0.5, 1.0, 2.0, 3.0]]
    """

    def __init__(self) -> None:
        self.images: list[SourceImage] = []
        self._rows: list[tuple[float, ...]] = []

    def add_image(self, path: str, file: str, line: int = 0, size_wh: tuple[int, int] = (0, 0)) -> None:
        """Add an image; see :class:`SourceImage`."""
        self.images.append(SourceImage(path, file, line, size_wh))

    def add_box(
        self, box_xyxy: Sequence[float], label: int, line: int = 0, column: int = 0, *, ignore: bool = False
    ) -> None:
        """Add a box of the last image, with its place in the image's file; ``ignore`` if the source marks it."""
        self._rows.append((*box_xyxy, label, len(self.images) - 1, line, column, ignore))

    def build(self, *counted: Counted) -> SourceSplit:
        """The split."""
        table = np.array(self._rows, np.float64).reshape(-1, 9)
        labels, rows, *places, ignore = table[:, 4:].astype(np.int64).T
        return SourceSplit(
            self.images, table[:, :4], labels, ignore > 0, rows, np.stack(places, axis=1), list(counted)
        )


@dataclass(slots=True)
class Lost:
    """What was left out of a data set as bad.

    Args:
        images: how many.
        boxes: how many, those of the images included as far as they could be read.
        problems: why, with the action taken.
    """

    images: int = 0
    boxes: int = 0
    problems: list[Problem] = field(default_factory=list)


@dataclass(slots=True)
class Reading:
    """A data set as its format's reader found it.

    Args:
        kind: name of the format.
        root: the folder or file that the user named.
        splits: by name.
        names: class names in the order of the source.
        order: where that order comes from, in words.
        problems: what is wrong, each with its scope.  A box or record with a problem is in none of the splits; an
            image may be, and is left out by its path (:attr:`~yolopipe.errors.Problem.image`) if they are skipped.
        notes: what the user should know; always listed with the action ``noted``.
        inputs: files that were read and must not be overwritten.
        lost: what was left out (``--on-bad skip``).
        rows: lines for the summary.
        origins: what a class is called in the source, e.g. ``category 18``.
        fractions: boxes are fractions of the upright image, made pixels once the image sizes are known.
        written: pictures that were written, which go again if the import fails.
    """

    kind: str
    root: Path
    splits: dict[str, SourceSplit] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    order: str = ""
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    lost: Lost = field(default_factory=Lost)
    inputs: set[str] = field(default_factory=set)
    rows: dict[str, object] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    fractions: bool = False
    written: list[Path] = field(default_factory=list)

    def discard(self) -> None:
        """Remove the pictures that were written, and their folders where these are empty then."""
        for file in self.written:
            file.unlink(missing_ok=True)
        for folder in sorted({parent for file in self.written for parent in list(file.parents)[:3]}, reverse=True):
            with contextlib.suppress(OSError):  # not empty
                folder.rmdir()


def choose_splits(found: Sequence[str], wanted: Sequence[str] | None, missing: str) -> list[str]:
    """The splits to import.

    Args:
        found: those of the source.
        wanted: those asked for; None for all.
        missing: message for one that does not exist, with ``{}`` for its name.

    Raises:
        UsageError: a wanted split does not exist.

    >>> choose_splits(["train", "val"], ["val"], "no split {}")
    ['val']
    """
    unknown = [name for name in wanted or () if name not in found]
    if unknown:
        raise UsageError(f"{missing.format(unknown[0])}; found: {', '.join(found) or 'none'}")
    return list(found if wanted is None else wanted)
