"""The last steps of an import: class order, problems, annotation text and the summary."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from yolopipe import console
from yolopipe.errors import DataError, Problem, ProblemsError, UsageError
from yolopipe.files import atomic_file
from yolopipe.formats.annotation_text import format_annotation
from yolopipe.formats.class_names import write_class_names
from yolopipe.importing.checks import find_notes, project_config, scope_of_rule
from yolopipe.importing.leaving_out import IMPORT_PROBLEMS, OnBad, check_share, leave_out, lost_report, lost_rows
from yolopipe.importing.reading import Counted, Reading, SourceSplit
from yolopipe.importing.source_files import IMAGE_SUFFIXES
from yolopipe.parsing.policy import action_of
from yolopipe.problems import MOST_SHOWN, write_problems
from yolopipe.result import CommandResult

__all__ = ["IMPORT_PROBLEMS", "MOST_NOTES_SHOWN", "finish"]

MOST_NOTES_SHOWN = 20
MOST_PLACES_SHOWN = 3

WARNINGS = {"empty-split", "folder-without-labels", "no-boxes", "split-without-labels"}
"""Notes that the summary repeats: a whole split or folder is not what it seems to be."""


def finish(reading: Reading, out: str | Path, on_bad: OnBad = "fail") -> CommandResult:
    """Check a reading, and write annotation text and class names.

    Args:
        reading: with class order and image sizes.
        out: folder for ``SPLIT.txt`` and ``classes.names``.
        on_bad: ``skip`` leaves bad boxes, images and records out.

    Returns:
        The summary.

    Raises:
        ProblemsError: all that makes the import impossible; nothing is written then.
        DataError: there is no split or no class.
        UsageError: an output would overwrite a file of the source.
    """
    texts = _texts(reading)
    if on_bad == "skip" and leave_out(reading):
        texts = _texts(reading)
    _raise_problems(reading, on_bad)
    if not reading.splits:
        raise DataError(f"no split and no image in {reading.root}")
    if not reading.names:
        raise DataError(f"no class in {reading.root}", hint="name the classes with --classes FILE")
    check_share(reading)
    _check_overwrites(reading, Path(out), texts)
    notes = (replace(note, action="noted") for note in (*reading.notes, *find_notes(reading)))
    reading.notes = _rare_rules_first(dict.fromkeys(notes))  # splits may overlap, as train and trainval
    write_class_names(Path(out) / "classes.names", reading.names)  # first: it refuses names that cannot be read back
    _list_problems(reading)
    for name, lines in texts.items():
        with atomic_file(Path(out) / f"{name}.txt") as partial:
            partial.write_bytes("".join(f"{line}\n" for line in lines).encode())
    return _result(reading, Path(out))


def _texts(reading: Reading) -> dict[str, list[str]]:
    return {name: _lines(split, reading.problems) for name, split in reading.splits.items()}


def _lines(split: SourceSplit, problems: list[Problem]) -> list[str]:
    rows = np.column_stack([split.boxes_xyxy, split.labels, split.ignore])
    ends = np.searchsorted(split.box_image, np.arange(len(split.images) + 1))
    lines = []
    for index, image in enumerate(split.images):
        try:
            lines.append(format_annotation(image.path, rows[ends[index] : ends[index + 1]]))
        except DataError as error:
            problems.append(Problem(image.file, image.line, 0, "bad-path", str(error), image.path, scope="image"))
    return lines


def _raise_problems(reading: Reading, on_bad: OnBad) -> None:
    if reading.problems:
        problems = sorted(set(reading.problems), key=lambda p: (p.file, p.line, p.column, p.rule, p.message))
        listed = ""
        if len(problems) > MOST_SHOWN:  # a shorter list is printed, and no file is written
            with atomic_file(IMPORT_PROBLEMS) as partial:
                write_problems(partial, problems)
            listed = f"; all of them: {IMPORT_PROBLEMS}"
        counts = ", ".join(f"{rule} {n:,}" for rule, n in sorted(_by_rule(problems).items()))
        many = f"{len(problems):,} problem{'s' if len(problems) > 1 else ''}"
        message = f"{many} in {reading.root} ({counts}); nothing was written{listed}"
        hint = "fix the files and run again"
        if on_bad == "fail" and any(problem.scope != "file" for problem in problems):
            hint = "fix the files, or leave the bad ones out: --on-bad skip"
        raise ProblemsError(message, problems, hint=hint)


def _by_rule(problems: Sequence[Problem]) -> dict[str, int]:
    return dict(Counter(problem.rule for problem in problems))


def _check_overwrites(reading: Reading, out: Path, texts: Mapping[str, Sequence[str]]) -> None:
    inputs = {os.path.realpath(file) for file in reading.inputs}
    for target in [*(out / f"{name}.txt" for name in texts), out / "classes.names"]:
        if os.path.realpath(target) in inputs:
            raise UsageError(f"{target} is a file of the source and is not overwritten; choose another --out")


def _rare_rules_first(notes: Iterable[Problem]) -> list[Problem]:
    """Notes by how often their rule occurs, so that a single note is not lost behind a thousand of another rule."""
    notes = list(notes)
    counts = _by_rule(notes)
    return sorted(notes, key=lambda note: (counts[note.rule], note.rule))


def _list_problems(reading: Reading) -> None:
    """Print the first few of what was left out and what was noted; write all of them to a file."""
    for problem in reading.lost.problems[:MOST_NOTES_SHOWN]:
        console.note(f"{problem.action}: {problem}")
    for note in reading.notes[:MOST_NOTES_SHOWN]:
        console.note(f"note: {note}")
    for what, found in (("left out", reading.lost.problems), ("notes", reading.notes)):
        if len(found) > MOST_NOTES_SHOWN:
            console.note(f"... and {len(found) - MOST_NOTES_SHOWN:,} more {what}: {IMPORT_PROBLEMS}")
    if reading.notes or reading.lost.problems:
        with atomic_file(IMPORT_PROBLEMS) as partial:
            write_problems(partial, [*reading.lost.problems, *reading.notes])
    else:
        IMPORT_PROBLEMS.unlink(missing_ok=True)


def _result(reading: Reading, out: Path) -> CommandResult:
    splits = {name: _facts(split, reading.names) for name, split in reading.splits.items()}
    notes = _by_rule(reading.notes)
    rows: dict[str, object] = {name: _split_row(split, splits[name]) for name, split in reading.splits.items()}
    policy = project_config().parse.on_bad
    for rule, count in sorted(notes.items()):
        action = action_of(scope_of_rule(rule), rule, policy)
        what = "" if action == "noted" else f"; parse.on_bad {policy}: {action}"
        rows[f"noted {rule}"] = f"{count:,} ({IMPORT_PROBLEMS}){what}"
    warnings = [note.message for note in reading.notes if note.rule in WARNINGS]
    if warnings:
        rows["warning"] = "; ".join(warnings)
    if any(scope_of_rule(rule) != "note" for rule in notes):
        rows["notes"] = "boxes are written as in the source; parse.on_bad in params.yaml decides about them"
    rows |= lost_rows(reading) | _taken(reading) | reading.rows
    rows["class order"] = f"{reading.order}; change it with --classes FILE"
    rows |= {f"class {index} {name}": _class_row(reading, splits, name) for index, name in enumerate(reading.names)}
    rows["written"] = f"{out}: {', '.join(f'{name}.txt' for name in splits)}, classes.names"
    report = {"format": reading.kind, "classes": list(reading.names), "class_order": reading.order, "notes": notes}
    report["lost"] = lost_report(reading)
    many = len(reading.names)
    images = sum(len(split.images) for split in reading.splits.values())
    title = f"import {reading.kind}: {images:,} images, {many:,} class{'es' if many > 1 else ''}"
    next_step = f"enter {out}/... under data: in params.yaml, then: yolopipe parse"
    return CommandResult(title, rows, {**report, "splits": splits}, next_step=next_step)


def _taken(reading: Reading) -> dict[str, object]:
    """Where the annotations and the images were found."""
    images = [image for split in reading.splits.values() for image in split.images]
    files = {image.file for image in images if not image.file.lower().endswith(IMAGE_SUFFIXES)}
    if len(files) > MOST_PLACES_SHOWN:
        files = {os.path.join(os.path.dirname(file), f"*{os.path.splitext(file)[1]}") for file in files}
    folders = {os.path.dirname(image.path) or "." for image in images}
    rows = {"annotations": _some(files), "pictures": _some(folders)}
    return {name: row for name, row in rows.items() if row}


def _some(places: Iterable[str]) -> str:
    found = sorted(places)
    more = len(found) - MOST_PLACES_SHOWN
    return ", ".join(found[:MOST_PLACES_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def _facts(split: SourceSplit, names: Sequence[str]) -> dict[str, Any]:
    objects = ~split.ignore
    per_class = np.bincount(split.labels[objects], minlength=len(names)).tolist()
    return {
        "images": len(split.images),
        "backgrounds": len(split.images) - len(np.unique(split.box_image[objects])),
        "boxes": int(objects.sum()),
        "ignored": int(split.ignore.sum()),
        "boxes_per_class": dict(zip(names, per_class, strict=True)),
        "orientations_fixed": int((split.orientation != 1).sum()),
        **{counted.key: counted.number for counted in split.counted},
    }


def _split_row(split: SourceSplit, facts: Mapping[str, Any]) -> str:
    turned = int((split.orientation != 1).sum())
    words = "images that EXIF rotates: boxes are taken as positions in the upright image"
    counted = [*split.counted, Counted("orientations_fixed", turned, words)]
    without = f" ({facts['backgrounds']:,} without boxes)" if facts["backgrounds"] else ""
    ignored = f", {facts['ignored']:,} ignored" if facts["ignored"] else ""
    shown = "".join(f"; {number:,} {words}" for _, number, words in counted if number)
    return f"{facts['images']:,} images{without}, {facts['boxes']:,} boxes{ignored}{shown}"


def _class_row(reading: Reading, splits: Mapping[str, Any], name: str) -> str:
    counts = ", ".join(f"{facts['boxes_per_class'][name]:,} boxes in {split}" for split, facts in splits.items())
    return f"{reading.origins[name]}, {counts}" if name in reading.origins else counts
