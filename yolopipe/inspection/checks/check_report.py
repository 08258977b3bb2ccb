"""The result of the checks: plain facts for the terminal, for ``--json`` and for the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from yolopipe.labels.anchors import AnchorFit

__all__ = ["MOST_HITS", "SEVERITIES", "AnchorFit", "Check", "CheckReport", "Hit", "Severity", "SplitFacts"]

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""Worst first."""

MOST_HITS = 1000
"""Hits kept for each rule; the count includes the others."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One place where a rule applies.

    Args:
        split: ``train`` or ``val``.
        image: path as in the annotation text.
        message: what was found there, one sentence.
        boxes: numbers of the boxes in question within the image's row of copy 0; empty when the image as a whole is
            meant, or when the boxes are not in the shards (parse dropped them).
        file: the annotation file; empty where unknown.
        line: 1-based line there; 0 where unknown.
        partner: split and image of the other half of a pair.
    """

    split: str
    image: str
    message: str
    boxes: tuple[int, ...] = ()
    file: str = ""
    line: int = 0
    partner: tuple[str, str] | None = None


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
    """

    images: int
    boxes: int
    backgrounds: int
    boxes_per_class: tuple[int, ...]
    images_per_class: tuple[int, ...]
    images_with: Mapping[int, int]
    smallest_px: float
    largest_px: float


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
    """

    checks: tuple[Check, ...]
    class_names: tuple[str, ...]
    splits: Mapping[str, SplitFacts]
    anchors: AnchorFit | None
    proposal: AnchorFit | None
    left_out: tuple[str, ...] = field(default=())

    def found(self, severity: Severity) -> tuple[Check, ...]:
        """The rules of one severity with at least one hit.

        >>> CheckReport((), (), {}, None, None).found("error")
        ()
        """
        return tuple(check for check in self.checks if check.count and check.severity == severity)
