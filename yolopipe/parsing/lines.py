"""The work of one worker of ``parse``: a chunk of annotation text, read and checked against its images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from yolopipe.formats.annotation_line import why_no_such_image
from yolopipe.formats.annotation_text import LineFault, read_annotation_lines
from yolopipe.imaging.headers import check_headers
from yolopipe.parsing.apply_corrections import apply_corrections
from yolopipe.parsing.box_rules import BoxChecker
from yolopipe.parsing.correction_index import CorrectionsFile, load_corrections
from yolopipe.parsing.policy import CheckedChunk, Finding, Policy, find_box_faults

__all__ = ["LinesTask", "check_lines", "finding_of", "in_chunks"]


@dataclass(frozen=True)
class LinesTask:
    """A chunk of annotation text and all that checking it needs; picklable.

    Args:
        split: ``train`` or ``val``.
        file: name of the annotation text.
        first_line: number of the first of ``lines``.
        lines: None where one is not UTF-8.
        folder: where relative image paths start.
        checker: the rules for boxes.
        policy: ``parse.on_bad``; under ``clip`` boxes are clipped here.
        corrections: the file that is applied before the boxes are checked; None for none.
    """

    split: str
    file: str
    first_line: int
    lines: list[str | None]
    folder: Path
    checker: BoxChecker
    policy: Policy
    corrections: CorrectionsFile | None = None


def in_chunks(lines: Iterable[str | None], size: int) -> Iterator[tuple[int, list[str | None]]]:
    """Cut lines into chunks: the 1-based number of the first line, and the lines.

    >>> list(in_chunks(["a", "b", "c"], 2))
    [(1, ['a', 'b']), (3, ['c'])]
    """
    stream, first = iter(lines), 1
    while chunk := list(islice(stream, size)):
        yield first, chunk
        first += len(chunk)


def check_lines(task: LinesTask) -> tuple[str, CheckedChunk]:
    """Read the lines and the headers of their images, correct the boxes and check every one.

    Images listed twice, or in train and val, need the whole text and are not looked for here.

    Returns:
        The name of the split, and the checked chunk.
    """
    text = read_annotation_lines(task.file, task.first_line, task.lines)
    text, applied = apply_corrections(text, load_corrections(task.corrections) if task.corrections else None)
    headers = check_headers(text.image_paths, task.folder)
    chunk = CheckedChunk(
        text=text,
        size_wh=np.array([header[:2] for header in headers], np.int32).reshape(-1, 2),
        orientation=np.array([header.orientation for header in headers], np.int32),
        boxes_xyxy=text.boxes_xyxy,
        applied=applied,
    )
    chunk.findings += [finding_of(fault) for fault in text.faults]
    for image, header in enumerate(headers):
        if header.rule:
            why = why_no_such_image(text.image_paths[image]) if header.rule == "missing-image" else ""
            chunk.add(image, header.rule, header.message + why)
    find_box_faults(chunk, task.checker, task.policy)
    return task.split, chunk


def finding_of(fault: LineFault) -> Finding:
    """A mistake in the text as a finding: on the box for the text of a box, else on the image."""
    return Finding(fault.problem, "box" if fault.problem.rule == "bad-box-text" else "image", fault.image)
