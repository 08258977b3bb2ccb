"""What every format writer needs: annotation text without mistakes, and the size of every image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from yolopipe.converting.convert_formats import Marks
from yolopipe.errors import Problem, ProblemsError, UsageError
from yolopipe.formats.annotation_text import AnnotationText, read_annotations
from yolopipe.formats.class_names import read_class_names
from yolopipe.imaging.headers import Header, read_headers
from yolopipe.result import CommandResult

__all__ = [
    "ImageBoxes",
    "TextBox",
    "TextSplit",
    "check_out",
    "problems_of",
    "raise_problems",
    "read_splits",
    "result_of",
    "without_boxes",
]


class TextBox(NamedTuple):
    """One box.

    Args:
        label: class number; -1 is any class.
        box_xyxy: corners in pixels.
        ignore: it is to be ignored.
    """

    label: int
    box_xyxy: list[float]
    ignore: bool


class ImageBoxes(NamedTuple):
    """One image.

    Args:
        path: as written.
        size_wh: pixels of the upright image.
        boxes: in the order of the text.
    """

    path: str
    size_wh: tuple[int, int]
    boxes: list[TextBox]


@dataclass(frozen=True, slots=True)
class TextSplit:
    """One annotation text and the sizes of its images.

    Args:
        text: M images, N boxes.
        size_wh: (M, 2) int64 pixels of the upright images.
    """

    text: AnnotationText
    size_wh: npt.NDArray[np.int64]

    def images(self) -> Iterator[ImageBoxes]:
        """Each image with its boxes, in the order of the text."""
        text = self.text
        ends = np.searchsorted(text.box_image, np.arange(len(text.image_paths) + 1)).tolist()
        columns = (text.classes.tolist(), text.boxes_xyxy.tolist(), text.ignore.tolist())
        boxes = [TextBox(*box) for box in zip(*columns, strict=True)]
        for row, (path, size) in enumerate(zip(text.image_paths, self.size_wh.tolist(), strict=True)):
            yield ImageBoxes(path, (size[0], size[1]), boxes[ends[row] : ends[row + 1]])

    def ignored_beyond(self, marks: Marks) -> npt.NDArray[np.bool_]:
        """(N,) boxes to be ignored that a format with these marks cannot hold."""
        ignore = self.text.ignore
        if marks == "any":
            return np.zeros_like(ignore)
        return ignore if marks == "none" else ignore & (self.text.classes < 0)


def without_boxes(split: TextSplit, left_out: npt.NDArray[np.bool_]) -> TextSplit:
    """A split without the boxes of a (N,) mask."""
    names = ("boxes_xyxy", "classes", "ignore", "box_image", "box_column")
    columns = {name: getattr(split.text, name)[~left_out] for name in names}
    return replace(split, text=replace(split.text, **columns))


def read_splits(
    texts: Mapping[str, str | Path], classes: str | Path, *, kind: str
) -> tuple[dict[str, TextSplit], tuple[str, ...]]:
    """Read annotation texts, class names and image headers.

    Args:
        texts: split name to annotation text.
        classes: the names file.
        kind: name of the format to write, for the progress line.

    Returns:
        The splits and the class names.

    Raises:
        DataError: a file is missing or unreadable.
        ProblemsError: what no format can hold, all at once: broken text, swapped corners, classes without a
            name, images that cannot be read.
    """
    names = read_class_names(classes)
    read = {name: read_annotations(file) for name, file in texts.items()}
    headers = read_headers([path for text in read.values() for path in text.image_paths], title=f"convert {kind}")
    splits, problems = {}, []
    for name, text in read.items():
        found = [next(headers) for _ in text.image_paths]
        problems += [*_image_problems(text, found), *_box_problems(text, len(names))]
        splits[name] = TextSplit(text, np.array([header[:2] for header in found], np.int64).reshape(-1, 2))
    raise_problems(problems)
    return splits, names


def _image_problems(text: AnnotationText, headers: Sequence[Header]) -> list[Problem]:
    found = [fault.problem for fault in text.faults]
    for image, header in enumerate(headers):
        if header.rule:
            path, line = text.image_paths[image], int(text.lines[image])
            found.append(Problem(text.file, line, 1, header.rule, header.message, path))
    return found


def _box_problems(text: AnnotationText, class_count: int) -> list[Problem]:
    swapped = (text.boxes_xyxy[:, 2:] < text.boxes_xyxy[:, :2]).any(axis=1)
    unnamed = (text.classes < np.where(text.ignore, -1, 0)) | (text.classes >= class_count)
    names = f"the class has no name; the names file defines classes 0 to {class_count - 1}"
    return [
        *problems_of(text, swapped, "no-area", "swapped corners: a box needs x1 <= x2 and y1 <= y2"),
        *problems_of(text, unnamed, "class-range", names),
    ]


def problems_of(text: AnnotationText, mask: npt.ArrayLike, rule: str, message: str) -> Iterator[Problem]:
    """One problem for each box of a (N,) mask, at the column of the box."""
    for box in np.flatnonzero(mask).tolist():
        image = int(text.box_image[box])
        line, column = int(text.lines[image]), int(text.box_column[box])
        yield Problem(text.file, line, column, rule, message, text.image_paths[image])


def raise_problems(problems: Sequence[Problem]) -> None:
    """Raise all problems at once, in the order of file and line."""
    if problems:
        ordered = sorted(problems, key=lambda p: (p.file, p.line, p.column, p.rule))
        many = f"{len(problems):,} problem{'s' if len(problems) > 1 else ''}"
        raise ProblemsError(f"{many} in the annotation text; nothing was written", ordered, hint="yolopipe parse")


def check_out(out: Path) -> None:
    """Refuse a folder that is not empty: it may be the data set that the text came from.

    Raises:
        UsageError: it is not empty.

    >>> check_out(Path("new"))
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists, is not empty and is not overwritten", hint="name a new folder: --out DIR")


def result_of(
    kind: str, marks: Marks, splits: Mapping[str, TextSplit], names: Sequence[str], written: str
) -> CommandResult:
    """The summary of a conversion.

    Args:
        kind: name of the format.
        marks: which boxes to be ignored it can hold.
        splits: as read.
        names: of the classes.
        written: the files, in words.
    """
    facts = {name: _facts(split, marks) for name, split in splits.items()}
    rows: dict[str, object] = {
        name: f"{counts['images']:,} images, {counts['boxes']:,} boxes"
        + (f", {counts['ignored']:,} ignored" if counts["ignored"] else "")
        for name, counts in facts.items()
    }
    left_out = sum(counts["ignored_left_out"] for counts in facts.values())
    any_class = sum(int((split.text.classes < 0).sum()) for split in splits.values())
    if left_out:
        held = f"{kind} has no mark for them" if marks == "none" else f"{kind} marks only boxes of a class"
        rows["ignored boxes left out"] = f"{left_out:,}: {held}"
    elif any_class:
        rows["ignored boxes of any class"] = f"{any_class:,}: each written as {len(names):,} boxes, one of each class"
    rows["classes"] = ", ".join(f"{index} {name}" for index, name in enumerate(names))
    rows["written"] = written
    images = sum(counts["images"] for counts in facts.values())
    title = f"convert {kind}: {images:,} images, {len(names):,} class{'es' if len(names) > 1 else ''}"
    return CommandResult(title, rows, {"format": kind, "classes": list(names), "splits": facts, "written": written})


def _facts(split: TextSplit, marks: Marks) -> dict[str, int]:
    text = split.text
    return {
        "images": len(text.image_paths),
        "boxes": int((~text.ignore).sum()),
        "ignored": int(text.ignore.sum()),
        "ignored_left_out": int(split.ignored_beyond(marks).sum()),
    }
