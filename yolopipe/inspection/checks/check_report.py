"""The result of the checks: plain facts for the terminal, for ``--json`` and for the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from yolopipe.labels.anchors import AnchorFit

__all__ = [
    "MOST_HITS",
    "SEVERITIES",
    "AnchorFit",
    "Check",
    "CheckReport",
    "Hit",
    "Place",
    "Severity",
    "SplitFacts",
]

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""Worst first."""

MOST_HITS = 1000
"""Hits kept for each rule; the count includes the others."""


class Place(NamedTuple):
    """A place of a text, as editors and compilers write it.

    Args:
        file: empty where unknown.
        line: 1-based; 0 where unknown.
        column: 1-based; 0 where the line as a whole is meant.

    >>> print(Place("train.txt", 15, 32), Place("train.txt", 15), Place("", 15, 32))
    train.txt:15:32 train.txt:15 15:32
    """

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return ":".join(str(part) for part in self if part)


@dataclass(frozen=True, slots=True)
class Hit:
    """One place where a rule applies.

    Args:
        split: ``train`` or ``val``.
        image: path as in the annotation text.
        message: what was found there, one sentence.
        boxes: numbers of the boxes in question within the image's row of copy 0, those to be ignored behind the
            others; empty when the image as a whole is meant, or when the boxes are not in the shards (parse dropped
            them).
        file: the annotation file, or that of the corrections; empty where unknown.
        line: 1-based line there; 0 where unknown.
        column: 1-based column of the box in that line; 0 where the line as a whole is meant.
        partner: split and image of the other half of a pair.
    """

    split: str
    image: str
    message: str
    boxes: tuple[int, ...] = ()
    file: str = ""
    line: int = 0
    column: int = 0
    partner: tuple[str, str] | None = None

    @property
    def place(self) -> str:
        """Where the annotation text has it, e.g. ``train.txt:15:32``; empty where that is unknown."""
        return str(Place(self.file, self.line, self.column)) if self.file else ""


@dataclass(frozen=True, slots=True)
class Check:
    """One rule, applied to the whole data set.

    Args:
        rule: a short fixed name, e.g. ``double-box``.
        severity: when ``count`` is not 0.
        count: how often the rule applies; 0 is a passed check.
        base: out of how many.
        unit: what is counted: ``boxes``, ``images``, ``pairs``, ``classes``, ``anchors``.
        summary: what was found, one line.
        advice: what to do about it, one line.
        hits: the first :data:`MOST_HITS` places, in order of split, annotation line and box.
    """

    rule: str
    severity: Severity
    count: int
    base: int
    unit: str
    summary: str
    advice: str
    hits: tuple[Hit, ...] = ()


@dataclass(frozen=True, slots=True)
class SplitFacts:
    """What a split holds (copy 0: each image once).

    Args:
        images: rows.
        boxes: boxes in them.
        backgrounds: rows without boxes.
        boxes_per_class: by class number.
        images_per_class: images that show the class, by class number.
        images_with: number of images by number of boxes in them.
        smallest_px: shortest side of any box, pixels of the network input; 0.0 without boxes.
        largest_px: longest side.
        ignored: boxes to be ignored; they are in none of the other numbers.
    """

    images: int
    boxes: int
    backgrounds: int
    boxes_per_class: tuple[int, ...]
    images_per_class: tuple[int, ...]
    images_with: Mapping[int, int]
    smallest_px: float
    largest_px: float
    ignored: int = 0


@dataclass(frozen=True)
class CheckReport:
    """All rules and the facts behind them.

    Args:
        checks: every rule that was applied, worst severity first; passed ones too.
        class_names: by class number.
        splits: facts by split.
        anchors: fit of the anchors in use; None without boxes.
        proposal: fit of nine proposed anchors, as ``yolopipe anchors`` prints them; None without boxes.
        left_out: what was not checked and why, one sentence each.
        files: annotation file by split, and that of the ``corrections``, where known.
    """

    checks: tuple[Check, ...]
    class_names: tuple[str, ...]
    splits: Mapping[str, SplitFacts]
    anchors: AnchorFit | None
    proposal: AnchorFit | None
    left_out: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)

    def found(self, severity: Severity) -> tuple[Check, ...]:
        """The rules of one severity with at least one hit.

        >>> CheckReport((), (), {}, None, None).found("error")
        ()
        """
        return tuple(check for check in self.checks if check.count and check.severity == severity)
