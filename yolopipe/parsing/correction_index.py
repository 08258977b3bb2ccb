"""The corrections of a file by image, and the mistakes that show without the annotation text."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from yolopipe.errors import DataError, Problem
from yolopipe.files import sha256_file
from yolopipe.formats.class_names import undefined_class
from yolopipe.formats.corrections import Correction, CorrectionsText, LabelBox, read_corrections

__all__ = ["CorrectionIndex", "CorrectionsFile", "index_corrections", "load_corrections"]


@dataclass(frozen=True)
class CorrectionsFile:
    """A corrections file as it was when the run started; small and picklable.

    Args:
        name: as in messages; a relative one starts at ``folder``.
        folder: where relative paths start.
        sha256: of its content.
        class_count: number of class names; 0 if unknown, and classes are not checked then.
    """

    name: str
    folder: Path
    sha256: str
    class_count: int


@dataclass(frozen=True, slots=True)
class CorrectionIndex:
    """Corrections that do not contradict each other.

    Args:
        file: name of the file.
        folder: where relative image paths start.
        corrections: in the order of image and place, which does not depend on the order of the lines.
        by_image: absolute path of an image to numbers in ``corrections``.
        problems: mistakes, in the order of the lines; those with the action ``noted`` leave nothing out.
    """

    file: str
    folder: str
    corrections: Sequence[Correction]
    by_image: Mapping[str, Sequence[int]]
    problems: Sequence[Problem]

    def of_image(self, path: str) -> Sequence[int]:
        """Numbers of the corrections of an image, however its path is spelled."""
        return self.by_image.get(_absolute(self.folder, path), ())

    def problem(self, number: int, rule: str, message: str, *, column: int = 0) -> Problem:
        """A problem at the place of a correction; at its WAS if no column is given."""
        return _problem(self.file, self.corrections[number], rule, message, column=column)


@lru_cache(maxsize=2)
def load_corrections(source: CorrectionsFile) -> CorrectionIndex:
    """Read a corrections file once a process.

    Raises:
        DataError: it cannot be read, or has changed since the run started.
    """
    path = source.folder / source.name
    index = index_corrections(read_corrections(path), source.class_count, source.folder, name=source.name)
    if sha256_file(path) != source.sha256:
        raise DataError(f"{source.name} changed while it was read", hint="run the command again")
    return index


def index_corrections(
    text: CorrectionsText, class_count: int, folder: str | Path = "", *, name: str | None = None
) -> CorrectionIndex:
    """Leave out the lines that cannot be applied, and group the others by image.

    Rules: ``conflicting-correction`` (lines on one box that differ; all of them are left out), ``class-range``,
    ``repeated-correction`` (equal lines; noted, and applied once).

    Args:
        text: the file.
        class_count: number of class names; 0 if unknown, and classes are not checked then.
        folder: where relative image paths start.
        name: of the file in messages; by default that of ``text``.
    """
    file, root = name or text.file, os.path.abspath(folder)
    problems = [replace(problem, file=file) for problem in text.problems]
    first: dict[tuple[object, ...], Correction] = {}
    of_box: dict[tuple[str, LabelBox], list[Correction]] = defaultdict(list)
    for found in text.corrections:
        image = _absolute(root, found.image)
        known = first.setdefault((image, *found.change[1:]), found)
        if known is not found:
            message = f"the same as line {known.line}"
            problems.append(replace(_problem(file, found, "repeated-correction", message), action="noted"))
        elif found.was is not None:
            of_box[image, found.was].append(found)
    left_out = set()
    for lines in of_box.values():
        for found in lines if len(lines) > 1 else ():
            other = lines[0] if found is not lines[0] else lines[1]
            message = f"{file}:{other.line}:{other.column} says something else of box {found.was}; keep one of them"
            problems.append(_problem(file, found, "conflicting-correction", message))
            left_out.add(found.line)
    for found in first.values():
        box = found.now or found.region
        lowest = 0 if box is None or not (box.ignore or found.region) else -1
        if (
            class_count
            and box is not None
            and found.kind != "confirmed"
            and found.line not in left_out
            and not lowest <= box.label < class_count
        ):
            message = undefined_class(box.label, class_count)
            problems.append(_problem(file, found, "class-range", message, column=found.now_column))
            left_out.add(found.line)
    kept = [found for found in first.values() if found.line not in left_out]
    kept.sort(key=lambda found: (_absolute(root, found.image), *found.sort_key()[1:]))
    by_image: dict[str, list[int]] = defaultdict(list)
    for number, found in enumerate(kept):
        by_image[_absolute(root, found.image)].append(number)
    problems.sort(key=lambda problem: (problem.line, problem.column))
    return CorrectionIndex(file, root, kept, dict(by_image), problems)


def _absolute(folder: str, path: str) -> str:
    return os.path.normpath(os.path.join(folder, path))


def _problem(file: str, found: Correction, rule: str, message: str, *, column: int = 0) -> Problem:
    return Problem(file, found.line, column or found.column, rule, message, found.image)
