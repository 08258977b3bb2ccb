"""Some lines of annotation text, read and checked against their images: what one worker of ``parse`` does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from yolopipe.formats.annotation_text import LineFault, read_annotation_lines
from yolopipe.imaging.headers import check_headers
from yolopipe.parsing.box_rules import BoxChecker
from yolopipe.parsing.policy import Finding, Policy, SplitFindings, find_box_faults

__all__ = ["LinesTask", "check_lines", "finding_of", "in_pieces"]


@dataclass(frozen=True)
class LinesTask:
    """What a worker needs; picklable.

    Args:
        split: ``train`` or ``val``.
        file: name of the annotation text.
        first_line: number of the first of ``lines``.
        lines: None where one is not UTF-8.
        folder: where relative image paths start.
        checker: the rules for boxes.
        policy: ``parse.on_bad``; under ``clip`` boxes are clipped here.
    """

    split: str
    file: str
    first_line: int
    lines: list[str | None]
    folder: Path
    checker: BoxChecker
    policy: Policy


def in_pieces(lines: Iterable[str | None], size: int) -> Iterator[tuple[int, list[str | None]]]:
    """Cut lines into pieces: number of the first line, from 1, and the lines.

    >>> list(in_pieces(["a", "b", "c"], 2))
    [(1, ['a', 'b']), (3, ['c'])]
    """
    stream, first = iter(lines), 1
    while piece := list(islice(stream, size)):
        yield first, piece
        first += len(piece)


def check_lines(task: LinesTask) -> tuple[str, SplitFindings]:
    """Read the lines and the headers of their images, and check every box.

    What needs the whole text is not looked at: images named twice, or in train and val.

    Returns:
        The split's name, and what was read and found.
    """
    text = read_annotation_lines(task.file, task.first_line, task.lines)
    headers = check_headers(text.image_paths, task.folder)
    split = SplitFindings(
        text=text,
        size_wh=np.array([header[:2] for header in headers], np.int32).reshape(-1, 2),
        orientation=np.array([header.orientation for header in headers], np.int32),
        boxes_xyxy=text.boxes_xyxy,
    )
    split.findings += [finding_of(fault) for fault in text.faults]
    for image, header in enumerate(headers):
        if header.rule:
            split.add(image, header.rule, header.message)
    find_box_faults(split, task.checker, task.policy)
    return task.split, split


def finding_of(fault: LineFault) -> Finding:
    """A mistake in the text as a finding: of a box's text it spoils that box, else the image."""
    return Finding(fault.problem, "box" if fault.problem.rule == "bad-box-text" else "image", fault.image)
