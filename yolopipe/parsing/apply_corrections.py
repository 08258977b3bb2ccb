"""Corrections applied to the boxes of an annotation text, each of them once, and what became of every line.

A line is about one box of its image: with exactly the numbers, class and mark of WAS.  Where the text has that box
twice, it is about the last of them, the one that ``duplicate-box`` names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from yolopipe.errors import Problem
from yolopipe.formats.annotation_text import AnnotationText
from yolopipe.formats.corrections import LabelBox, count_kinds
from yolopipe.parsing.correction_index import CorrectionIndex

__all__ = ["AppliedCorrections", "CorrectionTally", "apply_corrections", "corrections_text"]


class AppliedCorrections(NamedTuple):
    """What corrections did to a text that has N boxes afterwards.

    Args:
        file: name of the corrections file; empty for none.
        origins: (N, 2) int32; line and column of the text that name each box; of an added box, minus the line and the
            column of the corrections file.
        places: (N, 2) int32; the same, but of a changed box, too, minus the line and the column in the corrections
            file: where a mistake in the box is to be fixed.
        used: numbers of the corrections that found their box or place.
        stale: numbers of those that did not, and the problem.
    """

    file: str
    origins: npt.NDArray[np.int32]
    places: npt.NDArray[np.int32]
    used: tuple[int, ...] = ()
    stale: tuple[tuple[int, Problem], ...] = ()


def apply_corrections(
    text: AnnotationText, index: CorrectionIndex | None
) -> tuple[AnnotationText, AppliedCorrections]:
    """Apply the corrections of the images of a text.

    Args:
        text: a whole annotation text, or a part of one.
        index: the corrections; None for none.

    Returns:
        The corrected text: changed boxes stand where they stood, added ones after those of their image, in the order
        of their corners.  And what was done.
    """
    origins = np.column_stack([text.lines[text.box_image], text.box_column]).astype(np.int32)
    numbers = [] if index is None else [index.of_image(path) for path in text.image_paths]
    if index is None or not any(numbers):
        return text, AppliedCorrections(index.file if index else "", origins, origins)
    ends = np.searchsorted(text.box_image, np.arange(len(text.image_paths) + 1))
    edits = _Edits(text, index, origins)
    for image, chosen in enumerate(numbers):
        if chosen:
            edits.correct(image, range(int(ends[image]), int(ends[image + 1])), chosen)
    return edits.finish()


class _Edits:
    """Collects what is changed, removed and added."""

    def __init__(self, text: AnnotationText, index: CorrectionIndex, origins: npt.NDArray[np.int32]) -> None:
        self._text, self._index = text, index
        self._boxes = np.column_stack([text.boxes_xyxy, text.classes, text.ignore])
        self._keep = np.ones(len(origins), bool)
        self._origins, self._places = origins, origins.copy()
        self._added: list[tuple[int, LabelBox, tuple[int, int]]] = []
        self._used: list[int] = []
        self._stale: list[tuple[int, Problem]] = []

    def correct(self, image: int, rows: range, numbers: Sequence[int]) -> None:
        """Apply the corrections ``numbers`` to the boxes ``rows`` of an image."""
        box_of = {row: _label_box(self._boxes[row]) for row in rows}
        row_of = {box: row for row, box in box_of.items()}
        for number in numbers:
            found = self._index.corrections[number]
            place = (-found.line, found.now_column)
            box = found.was or found.now
            row = None if box is None else row_of.get(box)
            if (found.was is None) == (row is not None):
                self._stale.append((number, self._why_stale(number, image, list(box_of.items()))))
                continue
            self._used.append(number)
            if found.was is None:
                if found.now is not None:
                    self._added.append((image, found.now, place))
            elif row is not None and found.now is None:
                self._keep[row] = False
            elif row is not None and found.now is not None and found.now != found.was:
                self._boxes[row] = found.now
                self._places[row] = place

    def _why_stale(self, number: int, image: int, boxes: list[tuple[int, LabelBox]]) -> Problem:
        found, text = self._index.corrections[number], self._text

        def place(row: int) -> str:
            return f"{text.file}:{text.lines[image]}:{text.box_column[row]}"

        there = next((place(row) for row, box in boxes if box == found.now), None)
        if found.was is None:
            message = f"box {found.now} is in the annotation text already ({there})"
            advice = "remove the line if that is this box"
            return self._index.problem(number, "stale-correction", f"{message}; {advice}", column=found.now_column)
        message = f"image {found.image} has no box {found.was} in {text.file}:{text.lines[image]}"
        if there is not None:
            message += f", but box {found.now} ({there}); remove the line if the text was corrected"
        elif boxes:
            was = np.array(found.was[:4])
            row, nearest = min(boxes, key=lambda item: float(np.abs(np.array(item[1][:4]) - was).sum()))
            message += f"; the nearest is {nearest} ({place(row)})"
        else:
            message += "; it has no boxes"
        return self._index.problem(number, "stale-correction", message)

    def finish(self) -> tuple[AnnotationText, AppliedCorrections]:
        """The corrected text, and what was done."""
        keep, text = self._keep, self._text
        image, boxes, places = zip(*self._added, strict=True) if self._added else ((), (), ())
        added = np.array(places, np.int32).reshape(-1, 2)
        box_image = np.concatenate([text.box_image[keep], np.array(image, np.int64)])
        order = np.argsort(box_image, kind="stable")
        table = np.concatenate([self._boxes[keep], np.array(boxes, np.float64).reshape(-1, 6)])[order]
        corrected = replace(
            text,
            boxes_xyxy=table[:, :4],
            classes=table[:, 4].astype(np.int64),
            ignore=table[:, 5] > 0,
            box_image=box_image[order],
            box_column=np.concatenate([text.box_column[keep], added[:, 1]])[order],
        )
        origins, found_at = (np.concatenate([part[keep], added])[order] for part in (self._origins, self._places))
        used, stale = tuple(self._used), tuple(self._stale)
        return corrected, AppliedCorrections(self._index.file, origins, found_at, used, stale)


def _label_box(row: npt.NDArray[np.float64]) -> LabelBox:
    x1, y1, x2, y2, label, ignore = (row + 0.0).tolist()
    return LabelBox(x1, y1, x2, y2, int(label), ignore > 0)


@dataclass(slots=True)
class CorrectionTally:
    """What became of every correction, collected over all parts of all texts.

    An image may be listed twice, which is a mistake of its own: a correction is stale only if it is so in each.

    Args:
        index: the corrections.
        used: numbers of those that were applied.
        stale: the others of known images.
    """

    index: CorrectionIndex
    used: set[int] = field(default_factory=set)
    stale: dict[int, Problem] = field(default_factory=dict)

    def add(self, applied: AppliedCorrections) -> None:
        """Count what was done to a part."""
        self.used.update(applied.used)
        for number, problem in applied.stale:
            self.stale.setdefault(number, problem)

    def stale_problems(self) -> Iterator[Problem]:
        """``stale-correction``: corrections whose box was not found in their image."""
        yield from (problem for number, problem in self.stale.items() if number not in self.used)

    def problems(self, texts: str) -> list[Problem]:
        """All mistakes of the file, in the order of its lines, after the last part was added.

        Args:
            texts: names of the annotation texts, for messages.
        """
        found = [*self.index.problems, *self.stale_problems()]
        for number, correction in enumerate(self.index.corrections):
            if number not in self.used and number not in self.stale:
                message = f"image {correction.image} is not listed in {texts}"
                found.append(self.index.problem(number, "unknown-image", message, column=1))
        return sorted(found, key=lambda problem: (problem.line, problem.column))

    def counts(self) -> dict[str, int]:
        """How many corrections of each kind were applied."""
        return count_kinds(self.index.corrections[number] for number in self.used)


def corrections_text(counts: dict[str, int]) -> str:
    """The counts of :class:`CorrectionTally` in words.

    >>> names = ("moved", "re_classed", "moved_and_re_classed", "added", "removed", "confirmed", "nothing_missing")
    >>> corrections_text(dict(zip(names, (4, 5, 0, 2, 1, 31, 0))))
    '12 corrections: 4 moved, 5 re-classed, 2 added, 1 removed; 31 confirmed'
    """
    words = {
        "moved": "moved",
        "re_classed": "re-classed",
        "moved_and_re_classed": "moved and re-classed",
        "added": "added",
        "removed": "removed",
    }
    many = sum(counts[name] for name in words)
    parts = ", ".join(f"{counts[name]:,} {word}" for name, word in words.items() if counts[name])
    text = f"{many:,} correction{'s' * (many != 1)}{': ' if parts else ''}{parts}"
    if counts["confirmed"]:
        text += f"; {counts['confirmed']:,} confirmed"
    if counts["nothing_missing"]:
        text += f"; nothing missing in {counts['nothing_missing']:,} region{'s' * (counts['nothing_missing'] != 1)}"
    return text
