"""What every format is read into, before anything is checked or written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from yolopipe.errors import Problem, UsageError

__all__ = ["IMAGE_SUFFIXES", "Aside", "Reading", "SourceImage", "SourceSplit", "box_arrays", "chosen", "shown_path"]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG", ".bmp", ".webp", ".tif", ".tiff")


class SourceImage(NamedTuple):
    """One image as its source names it.

    Args:
        path: as annotation text will name it.
        file: the source file that holds its boxes.
        line: 1-based line there that speaks of the image; 0 where the whole file does.
        size_wh: what the source says of its size; zeros where it says nothing.
    """

    path: str
    file: str
    line: int = 0
    size_wh: tuple[int, int] = (0, 0)


class Aside(NamedTuple):
    """Something counted that the user should know.

    Args:
        key: its name for programs.
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
        boxes_xyxy: (N, 4) float64 pixels, in the order of the images.
        labels: (N,) int64 index into :attr:`Reading.names`.
        box_image: (N,) int64 row of each box's image, ascending.
        places: (N, 2) int64 line and column of each box in its image's file; column 0 is the line as a whole.
        asides: what else was counted.
        size_wh: (M, 2) int32 of the upright image, 0 where it cannot be read; filled from the image headers.
        orientation: (M,) int32 EXIF 1..8; filled from the image headers.
    """

    images: list[SourceImage]
    boxes_xyxy: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int64]
    box_image: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]
    asides: list[Aside] = field(default_factory=list)
    size_wh: npt.NDArray[np.int32] = field(default_factory=lambda: np.empty((0, 2), np.int32))
    orientation: npt.NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))


@dataclass(slots=True)
class Reading:
    """All that a format's reader found.

    Args:
        kind: name of the format.
        root: the folder or file that the user named.
        splits: by name.
        names: class names in the order that the source suggests.
        order: where that order comes from, in words.
        problems: what makes the import impossible.
        notes: what the user should know.
        inputs: files that were read and must not be overwritten.
        rows: lines for the summary.
        origins: what a class is called in the source, for the table of classes, e.g. ``category 18``.
    """

    kind: str
    root: Path
    splits: dict[str, SourceSplit] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    order: str = ""
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    inputs: set[str] = field(default_factory=set)
    rows: dict[str, object] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)


def box_arrays(rows: Sequence[tuple[float, ...]]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Split rows of four coordinates and some whole numbers into two arrays.

    Args:
        rows: N times x1, y1, x2, y2, label, image, line, column.

    Returns:
        (N, 4) float64 and (N, 4) int64.

    >>> box_arrays([(0.5, 1, 2, 3, 7, 0, 12, 1)])
    (array([[0.5, 1. , 2. , 3. ]]), array([[ 7,  0, 12,  1]]))
    """
    table = np.array(rows, np.float64).reshape(-1, 8)
    return table[:, :4], table[:, 4:].astype(np.int64)


def chosen(there: Sequence[str], wanted: Sequence[str] | None, what: str) -> list[str]:
    """The splits to take.

    Args:
        there: those that the source has.
        wanted: those asked for; all by default.
        what: how a missing one is called, with ``{}`` for its name.

    Raises:
        UsageError: one that is not there.

    >>> chosen(["train", "val"], ["val"], "no split {}")
    ['val']
    """
    unknown = [name for name in wanted or () if name not in there]
    if unknown:
        raise UsageError(f"{what.format(unknown[0])}; there: {', '.join(there) or 'no lists at all'}")
    return list(there if wanted is None else wanted)


def shown_path(picture: str | Path) -> str:
    """The path that annotation text holds: from the project folder where the image lies in it, else absolute.

    >>> shown_path(Path.cwd() / "a" / "b.jpg")
    'a/b.jpg'
    """
    absolute = os.path.abspath(picture)
    here = os.path.join(os.getcwd(), "")
    return Path(absolute.removeprefix(here)).as_posix()
