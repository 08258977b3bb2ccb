"""Findings of ``parse``, and the policy ``parse.on_bad`` that decides about them.

============  ======================================  =========================  ==========================
on_bad        box partly outside its image            any other bad box          image missing, unreadable,
                                                                                 twice, or in train and val
============  ======================================  =========================  ==========================
fail          the run fails                           the run fails              the run fails
clip          clipped, then checked again             the box is dropped         the run fails
drop-box      the box is dropped                      the box is dropped         the run fails
drop-image    the image is dropped                    the image is dropped       the image is dropped
============  ======================================  =========================  ==========================

A bad line of ``data.corrections`` fails the run under ``fail``; under the other policies it is left out.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from yolopipe.errors import Problem
from yolopipe.formats.annotation_text import AnnotationText
from yolopipe.parsing.apply_corrections import AppliedCorrections
from yolopipe.parsing.box_rules import BoxChecker, clip_boxes, partly_outside

__all__ = [
    "CheckedChunk",
    "Finding",
    "Kept",
    "Policy",
    "Scope",
    "action_of",
    "apply_policy",
    "blocking_problems",
    "correction_finding",
    "count_by_rule",
    "find_box_faults",
]

Policy = Literal["fail", "clip", "drop-box", "drop-image"]
Scope = Literal["image", "box", "correction", "note"]
"""What a finding makes unusable; a note makes nothing unusable."""

_ACTIONS = {"clip": "dropped-box", "drop-box": "dropped-box", "drop-image": "dropped-image"}


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem and what it makes unusable.

    Args:
        problem: the problem; its action is ``failed`` until the policy is applied.
        scope: what is unusable.
        image: row of the image; -1 where the line gave none.
        box: number of the box; -1 where there is none to drop (it never became one, or was clipped).
    """

    problem: Problem
    scope: Scope
    image: int = -1
    box: int = -1


def correction_finding(problem: Problem) -> Finding:
    """A mistake in the corrections file as a finding; one that is only noted leaves nothing out."""
    return Finding(problem, "note" if problem.action == "noted" else "correction")


@dataclass(slots=True)
class CheckedChunk:
    """A chunk of a split, with all findings on it: M images, N boxes.

    Args:
        text: the annotation text, corrected.
        size_wh: (M, 2) int32 oriented sizes; 0 where the image could not be read.
        orientation: (M,) int32 EXIF 1..8.
        boxes_xyxy: (N, 4) float64; clipped where the policy says so.
        applied: what corrections did to the text, and the place of each box.
        findings: in the order in which they were found.
    """

    text: AnnotationText
    size_wh: npt.NDArray[np.int32]
    orientation: npt.NDArray[np.int32]
    boxes_xyxy: npt.NDArray[np.float64]
    applied: AppliedCorrections
    findings: list[Finding] = field(default_factory=list)

    def add(self, image: int, rule: str, message: str, *, scope: Scope = "image") -> None:
        """Add a finding on an image, at the line that lists it."""
        line, path = int(self.text.lines[image]), self.text.image_paths[image]
        action = "noted" if scope == "note" else "failed"
        self.findings.append(Finding(Problem(self.text.file, line, 1, rule, message, path, action), scope, image))


@dataclass(frozen=True, slots=True)
class Kept:
    """What the policy keeps of a chunk.

    Args:
        images: (M,) bool.
        boxes: (N,) bool; never one of an image that is not kept.
        problems: every problem with the action taken, in the order of the text.
    """

    images: npt.NDArray[np.bool_]
    boxes: npt.NDArray[np.bool_]
    problems: list[Problem]


def find_box_faults(chunk: CheckedChunk, checker: BoxChecker, policy: Policy) -> None:
    """Check the boxes of a chunk and add the findings; under ``clip``, clip first.

    Args:
        chunk: changed in place: ``findings``, and ``boxes_xyxy`` where clipped.
        checker: the rules.
        policy: ``parse.on_bad``.
    """
    text = chunk.text
    size = np.where(chunk.size_wh > 0, chunk.size_wh, np.nan).astype(np.float64)
    if policy == "clip":
        outside = partly_outside(chunk.boxes_xyxy, size[text.box_image])
        for box in np.flatnonzero(outside):
            problem = dataclasses.replace(_box_problem(chunk, checker, "outside-image", box, size), action="clipped")
            chunk.findings.append(Finding(problem, "note", int(text.box_image[box])))
        chunk.boxes_xyxy = np.where(
            outside[:, None], clip_boxes(chunk.boxes_xyxy, size[text.box_image]), chunk.boxes_xyxy
        )
    faults = checker.check(chunk.boxes_xyxy, text.classes, text.box_image, size, text.ignore)
    for rule, mask in faults.masks.items():
        for box in np.flatnonzero(mask):
            problem = _box_problem(chunk, checker, rule, box, size)
            if rule == "duplicate-box":
                first = f" ({_place_of_first(chunk, int(faults.first[box]))})"
                problem = dataclasses.replace(problem, message=problem.message + first)
            chunk.findings.append(Finding(problem, "box", int(text.box_image[box]), int(box)))


def _box_problem(
    chunk: CheckedChunk, checker: BoxChecker, rule: str, box: np.intp, size_wh: npt.NDArray[np.float64]
) -> Problem:
    text = chunk.text
    image = int(text.box_image[box])
    message = checker.message(
        rule,
        chunk.boxes_xyxy[box],
        int(text.classes[box]),
        size_wh[image],
        orientation=int(chunk.orientation[image]),
    )
    line, column = chunk.applied.places[box].tolist()
    file = text.file if line > 0 else chunk.applied.file
    return Problem(file, abs(line), column, rule, message, text.image_paths[image])


def _place_of_first(chunk: CheckedChunk, box: int) -> str:
    """Where the box stands that a duplicate repeats, which is nearly always on the same line."""
    line, column = chunk.applied.places[box].tolist()
    return f"column {column}" if line > 0 else f"{chunk.applied.file}:{-line}:{column}"


def action_of(scope: Scope, rule: str, policy: Policy) -> str:
    """What ``parse`` does about a finding: the action of its problem.

    >>> action_of("box", "class-range", "drop-box"), action_of("image", "missing-image", "drop-box")
    ('dropped-box', 'failed')
    >>> action_of("box", "outside-image", "clip"), action_of("note", "outside-images-folder", "fail")
    ('clipped', 'noted')
    """
    if scope == "note":
        return "noted"
    if policy == "fail" or (scope == "image" and policy != "drop-image"):
        return "failed"
    if scope == "correction":
        return "dropped-correction"
    return "clipped" if policy == "clip" and rule == "outside-image" else _ACTIONS[policy]


def blocking_problems(findings: Iterable[Finding], policy: Policy) -> list[Problem]:
    """The problems that stop the run under ``policy``, in the order of the text."""
    return _ordered(
        finding.problem for finding in findings if action_of(finding.scope, finding.problem.rule, policy) == "failed"
    )


def apply_policy(chunk: CheckedChunk, policy: Policy) -> Kept:
    """Decide what is kept of a chunk without :func:`blocking_problems`.

    Args:
        chunk: images, boxes and findings.
        policy: ``parse.on_bad``.

    Returns:
        Masks of what is kept, and the problems with the action taken.
    """
    images = np.ones(len(chunk.text.image_paths), bool)
    boxes = np.ones(len(chunk.boxes_xyxy), bool)
    bad = [finding for finding in chunk.findings if finding.scope != "note"]
    if policy == "drop-image":
        images[[finding.image for finding in bad if finding.image >= 0]] = False
    else:
        boxes[[finding.box for finding in bad if finding.box >= 0]] = False
    boxes &= images[chunk.text.box_image]
    return Kept(images, boxes, _ordered(_with_action(finding, policy) for finding in chunk.findings))


def _with_action(finding: Finding, policy: Policy) -> Problem:
    if finding.scope != "note":
        return dataclasses.replace(finding.problem, action=_ACTIONS[policy])
    return finding.problem


def _ordered(problems: Iterable[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda p: (p.file, p.line, p.column, p.rule, p.action))


def count_by_rule(problems: Sequence[Problem]) -> Iterator[tuple[str, str, int]]:
    """Yield (rule, action, how many), sorted.

    >>> list(count_by_rule([Problem("t", 1, 1, "tiny", "", action="dropped-box")] * 2))
    [('tiny', 'dropped-box', 2)]
    """
    counts = Counter((problem.rule, problem.action) for problem in problems)
    yield from ((rule, action, n) for (rule, action), n in sorted(counts.items()))
