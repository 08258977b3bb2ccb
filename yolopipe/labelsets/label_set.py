"""A set of annotation texts with its class names, in memory: what every ``yolopipe labels`` command works on."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from yolopipe.errors import DataError, Problem, ProblemsError, UsageError
from yolopipe.files import atomic_file
from yolopipe.formats.annotation_text import (
    AnnotationText,
    format_annotation,
    images_listed_twice,
    read_annotation_lines,
    read_annotations,
)
from yolopipe.formats.class_names import read_class_names, undefined_class
from yolopipe.formats.path_register import PathRegister
from yolopipe.git import git_output

__all__ = [
    "LabelSet",
    "OnBad",
    "kept_inputs",
    "left_out_rows",
    "names_beside",
    "read_label_set",
    "read_versions",
    "renumbered",
    "write_annotations",
]

OnBad = Literal["fail", "skip"]
"""What becomes of a line or box that cannot be read: the command fails, or it is left out and listed."""


@dataclass(frozen=True, slots=True)
class LabelSet:
    """M images and their N boxes, in the order of the texts.

    Args:
        names: class names; the position is the class number.
        image_paths: M paths as written.
        places: (M, 2) int32; index into ``files`` and 1-based line of each image.
        files: the texts.
        boxes_xyxy: (N, 4) float64 pixels.
        classes: (N,) int64; -1 is any class, of boxes to be ignored.
        ignore: (N,) bool; boxes to be ignored.
        box_image: (N,) int64 row of each box's image, ascending.
    """

    names: tuple[str, ...]
    image_paths: list[str]
    places: npt.NDArray[np.int32]
    files: tuple[str, ...]
    boxes_xyxy: npt.NDArray[np.float64]
    classes: npt.NDArray[np.int64]
    ignore: npt.NDArray[np.bool_]
    box_image: npt.NDArray[np.int64]

    def images(self, keep: npt.NDArray[np.bool_]) -> LabelSet:
        """The images for which ``keep`` (M,) is true, with their boxes."""
        row = np.cumsum(keep) - 1
        kept = self.boxes(keep[self.box_image])
        return replace(
            kept,
            image_paths=[path for path, taken in zip(self.image_paths, keep.tolist(), strict=True) if taken],
            places=self.places[keep],
            box_image=row[kept.box_image],
        )

    def boxes(self, keep: npt.NDArray[np.bool_]) -> LabelSet:
        """All images, with the boxes for which ``keep`` (N,) is true."""
        return replace(
            self,
            boxes_xyxy=self.boxes_xyxy[keep],
            classes=self.classes[keep],
            ignore=self.ignore[keep],
            box_image=self.box_image[keep],
        )

    def counts(self) -> dict[str, int]:
        """Number of images, of boxes, and of boxes to be ignored, which are not among them."""
        ignored = int(self.ignore.sum())
        return {"images": len(self.image_paths), "boxes": len(self.ignore) - ignored, "ignored": ignored}

    def counts_text(self) -> str:
        """``12 images, 30 boxes``, and ``, 2 ignored`` where there are such boxes."""
        counts = self.counts()
        ignored = f", {counts['ignored']:,} ignored" if counts["ignored"] else ""
        return f"{counts['images']:,} images, {counts['boxes']:,} boxes{ignored}"

    def place(self, image: int) -> str:
        """``train.txt:15`` of an image."""
        file, line = self.places[image].tolist()
        return f"{self.files[file]}:{line}"


def read_label_set(
    texts: Sequence[str | Path], classes: str | Path | None = None, *, on_bad: OnBad = "fail"
) -> tuple[LabelSet, list[Problem]]:
    """Read annotation texts that belong together.

    Args:
        texts: one or more files, or ``REV:PATH`` for a file as a git revision has it; an image may stand in only one
            of them, once.
        classes: the names file that all of them use; by default ``classes.names`` beside the first.
        on_bad: what becomes of a line or box that cannot be read or has no class name.

    Returns:
        The set, and what was left out of it.

    Raises:
        ProblemsError: something cannot be read and ``on_bad`` is ``fail``.
        DataError: a file cannot be read at all.
    """
    names = read_class_names(classes if classes is not None else names_beside(Path(texts[0])))
    parts = [_read_text(file) for file in texts]
    problems = [fault.problem for text in parts for fault in text.faults]
    dropped = [{fault.image for fault in text.faults if fault.problem.rule == "duplicate-image"} for text in parts]
    known: dict[str, tuple[int, int]] = {}
    for number, (text, rows) in enumerate(zip(parts, dropped, strict=True)):
        for row, path in enumerate(text.image_paths):
            first, first_row = known.setdefault(os.path.normpath(path), (number, row))
            if first != number and row not in rows:
                rows.add(row)
                place = f"{parts[first].file}:{parts[first].lines[first_row]}"
                message = f"image {path} is already at {place}; an image may stand in one of the texts only"
                problems.append(Problem(text.file, int(text.lines[row]), 1, "duplicate-image", message, path))
    boxes = np.concatenate([text.classes for text in parts])
    ignore = np.concatenate([text.ignore for text in parts])
    first_box = np.cumsum([0, *(len(text.classes) for text in parts)])
    unnamed = (boxes < np.where(ignore, -1, 0)) | (boxes >= len(names))
    for number, text in enumerate(parts):
        for box in np.flatnonzero(unnamed[first_box[number] : first_box[number + 1]]).tolist():
            problems.append(_class_range(text, box, names))
    if problems and on_bad == "fail":
        shown = sorted(problems, key=lambda problem: (problem.file, problem.line, problem.column))
        raise ProblemsError(
            f"{len(problems):,} problems in {', '.join(map(str, texts))}; nothing was written",
            shown,
            hint="fix the lines, or leave them out: --on-bad skip",
        )
    label_set = _joined(parts, names).boxes(~unnamed)
    keep = np.ones(len(label_set.image_paths), bool)
    start = 0
    for text, rows in zip(parts, dropped, strict=True):
        keep[[start + row for row in rows]] = False
        start += len(text.image_paths)
    return label_set.images(keep), problems


def read_versions(
    old: str, new: str, classes: Path | None, old_classes: Path | None, *, on_bad: OnBad
) -> tuple[LabelSet, LabelSet, list[Problem]]:
    """Read two versions of an annotation text.

    Args:
        old: a file, or ``REV:PATH`` for a file as a git revision has it.
        new: the same.
        classes: names file of the new version; by default ``classes.names`` beside it.
        old_classes: names file of the old version; by default that of the new one.
        on_bad: as for :func:`read_label_set`.

    Returns:
        The old and the new version, and what was left out of both.
    """
    after, left_after = read_label_set([new], classes, on_bad=on_bad)
    names = old_classes or classes or Path(new.rpartition(":")[2]).with_name("classes.names")
    before, left_before = read_label_set([old], names, on_bad=on_bad)
    return before, after, [*left_before, *left_after]


def _read_text(source: str | Path) -> AnnotationText:
    """An annotation text from a file, or from git where there is no such file and the name is ``REV:PATH``."""
    revision, colon, path = str(source).partition(":")
    if not colon or Path(source).exists():
        return read_annotations(source)
    content = git_output("show", f"{revision}:./{path}")
    if content is None:
        raise DataError(f"no file {source}, and git has no {path} at revision {revision}", hint=f"git log -- {path}")
    lines: Iterable[str | None] = (
        line.removesuffix("\r") if line.isascii() or _is_utf8(line) else None
        for line in content.removeprefix("\ufeff").removesuffix("\n").split("\n")
    )
    text = read_annotation_lines(str(source), 1, lines)
    return replace(text, faults=[*text.faults, *images_listed_twice(text, PathRegister())])


def _is_utf8(line: str) -> bool:
    try:
        line.encode()
    except UnicodeEncodeError:
        return False
    return True


def names_beside(text: Path) -> Path:
    """``classes.names`` in the folder of a text.

    Raises:
        UsageError: there is none.
    """
    file = Path(str(text).partition(":")[2] if ":" in str(text) and not text.exists() else text)
    file = file.with_name("classes.names")
    if not file.is_file():
        raise UsageError(f"no class names: expected {file}", hint="name the file: --classes FILE")
    return file


def _class_range(text: AnnotationText, box: int, names: Sequence[str]) -> Problem:
    image = int(text.box_image[box])
    message = undefined_class(int(text.classes[box]), len(names))
    line, column = int(text.lines[image]), int(text.box_column[box])
    return Problem(text.file, line, column, "class-range", message, text.image_paths[image], "dropped-box")


def _joined(parts: Sequence[AnnotationText], names: tuple[str, ...]) -> LabelSet:
    first = np.cumsum([0, *(len(text.image_paths) for text in parts)])
    lines = [np.stack([np.full(len(text.lines), n, np.int32), text.lines], axis=1) for n, text in enumerate(parts)]
    return LabelSet(
        names=names,
        image_paths=[path for text in parts for path in text.image_paths],
        places=np.concatenate(lines).astype(np.int32).reshape(-1, 2),
        files=tuple(text.file for text in parts),
        boxes_xyxy=np.concatenate([text.boxes_xyxy for text in parts]),
        classes=np.concatenate([text.classes for text in parts]),
        ignore=np.concatenate([text.ignore for text in parts]),
        box_image=np.concatenate([text.box_image + start for text, start in zip(parts, first, strict=False)]),
    )


def renumbered(classes: npt.NDArray[np.int64], number: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Other numbers for classes; -1, any class, stays.

    >>> renumbered(np.array([0, 1, -1]), [5, 7]).tolist()
    [5, 7, -1]
    """
    return np.append(number, -1).astype(np.int64)[classes]


def write_annotations(file: Path, label_set: LabelSet) -> None:
    """Write a set as one annotation text, atomically.

    Raises:
        DataError: a path cannot be written to annotation text, with the place it was read at.
    """
    rows = np.column_stack([label_set.boxes_xyxy, label_set.classes, label_set.ignore])
    ends = np.searchsorted(label_set.box_image, np.arange(len(label_set.image_paths) + 1))
    with atomic_file(file) as partial, partial.open("w", encoding="utf-8", newline="\n") as stream:
        for image, path in enumerate(label_set.image_paths):
            try:
                stream.write(format_annotation(path, rows[ends[image] : ends[image + 1]]) + "\n")
            except DataError as error:
                raise DataError(f"{label_set.place(image)}: {error.message}") from None


def kept_inputs(outputs: Sequence[Path], inputs: Sequence[str | Path]) -> None:
    """Raise when an output is one of the inputs.

    Raises:
        UsageError: naming the file.
    """
    read = {os.path.realpath(file) for file in inputs}
    for file in outputs:
        if os.path.realpath(file) in read:
            raise UsageError(f"{file} is one of the inputs, which are never overwritten", hint="choose another --out")


def left_out_rows(problems: Sequence[Problem]) -> dict[str, object]:
    """Lines of the summary: how much was left out under each rule, and the first place."""
    first: dict[str, Problem] = {}
    for problem in problems:
        first.setdefault(problem.rule, problem)
    counts = Counter(problem.rule for problem in problems)
    return {f"left out: {rule}": f"{count:,}, first at {first[rule]}" for rule, count in sorted(counts.items())}
