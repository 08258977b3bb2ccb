"""``--on-bad skip``: leaves bad boxes, images and records out of an import, and says how much is lost."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Literal

import numpy as np

from yolopipe import paths
from yolopipe.errors import Problem, ProblemsError
from yolopipe.importing.reading import Reading, SourceSplit
from yolopipe.parsing.box_rules import BoxChecker, without_area

__all__ = ["IMPORT_PROBLEMS", "MOST_LOST", "OnBad", "check_share", "leave_out", "lost_report", "lost_rows"]

IMPORT_PROBLEMS = paths.SIDE / "import-problems.csv"
"""All problems and notes of the last import."""

OnBad = Literal["fail", "skip"]

MOST_LOST = 0.5
"""Largest share of the boxes, and of the images, that may be left out."""


def leave_out(reading: Reading) -> bool:
    """Take bad images, and boxes without area, out of a reading; bad boxes and records are in none already.

    Args:
        reading: changed in place: ``splits``, ``lost``, and ``problems``, which keeps those of whole files.

    Returns:
        Whether anything was left out.
    """
    lost = reading.lost
    found = [problem for problem in dict.fromkeys(reading.problems) if problem.scope != "file"]
    reading.problems = [problem for problem in reading.problems if problem.scope == "file"]
    bad = {problem.image or _place(problem) for problem in found if problem.scope == "image"}
    dropped = set()
    for split in reading.splits.values():
        found += _take_out_without_area(split, bad)
        rows = np.array([row for row, image in enumerate(split.images) if image.path not in bad], np.int64)
        if len(rows) < len(split.images):
            dropped.update({image.path for image in split.images} & bad)
            lost.images += len(split.images) - len(rows)
            lost.boxes += len(split.labels)
            split.keep_images(rows)
            lost.boxes -= len(split.labels)
    lost.images += len(bad - dropped)  # never in a split
    lost.boxes += len({_place(problem) for problem in found if problem.scope == "box"})
    lost.problems += [replace(problem, action=f"dropped-{problem.scope}") for problem in found]
    return bool(found)


def _place(problem: Problem) -> str:
    return f"{problem.file}:{problem.line}:{problem.column}"


def _take_out_without_area(split: SourceSplit, bad: set[str]) -> list[Problem]:
    """Take boxes without area out; those of bad images go with their images."""
    flat = without_area(split.boxes_xyxy)
    checker = BoxChecker(1, 1, 0.0)
    found = []
    for box in np.flatnonzero(flat).tolist():
        image, (line, column) = split.images[int(split.box_image[box])], split.places[box].tolist()
        flat[box] = image.path not in bad
        if flat[box]:
            message = checker.message("no-area", split.boxes_xyxy[box], 0, np.ones(2))
            found.append(Problem(image.file, line, column, "no-area", message, image.path, scope="box"))
    if found:
        split.keep_boxes(~flat)
    return found


def check_share(reading: Reading) -> None:
    """Raise if too much is lost.

    Raises:
        ProblemsError: more than :data:`MOST_LOST` of the boxes or of the images were left out.
    """
    for what, (lost, total) in _totals(reading).items():
        if lost > MOST_LOST * total:
            message = f"{_share(reading, what)} of {reading.root} would be left out: more than half"
            problems, hint = reading.lost.problems, "fix the files, or name them: --images, --annotations, --split"
            raise ProblemsError(f"{message}; nothing was written", problems, hint=hint)


def _totals(reading: Reading) -> dict[str, tuple[int, int]]:
    """How many images and boxes were lost, and of how many."""
    splits, lost = reading.splits.values(), reading.lost
    return {
        "images": (lost.images, lost.images + sum(len(split.images) for split in splits)),
        "boxes": (lost.boxes, lost.boxes + sum(len(split.labels) for split in splits)),
    }


def _share(reading: Reading, what: str) -> str:
    lost, total = _totals(reading)[what]
    return f"{lost:,} of {total:,} {what} ({lost / max(total, 1):.2%})"


def lost_report(reading: Reading) -> dict[str, object]:
    """What was left out, for ``--json``."""
    totals = _totals(reading)
    return {
        **{what: lost for what, (lost, _) in totals.items()},
        **{f"{what}_share": lost / max(total, 1) for what, (lost, total) in totals.items()},
        "rules": dict(sorted(Counter(problem.rule for problem in reading.lost.problems).items())),
    }


def lost_rows(reading: Reading) -> dict[str, object]:
    """What was left out, for the summary."""
    if not reading.lost.problems:
        return {}
    counts = Counter((problem.action, problem.rule) for problem in reading.lost.problems)
    rows = {f"{action} {rule}": f"{n:,} ({IMPORT_PROBLEMS})" for (action, rule), n in sorted(counts.items())}
    return {**rows, "lost": f"{_share(reading, 'images')} and {_share(reading, 'boxes')}"}
