"""The last steps of an import: class order, problems, annotation text and the summary."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from yolopipe import console, paths
from yolopipe.errors import DataError, Problem, ProblemsError, UsageError
from yolopipe.files import atomic_file
from yolopipe.formats.annotation_text import format_annotation
from yolopipe.formats.class_names import read_class_names, write_class_names
from yolopipe.importing.checks import find_notes
from yolopipe.importing.reading import Counted, Reading, SourceSplit
from yolopipe.problems import MOST_SHOWN, write_problems
from yolopipe.result import CommandResult

__all__ = ["IMPORT_PROBLEMS", "MOST_NOTES_SHOWN", "apply_class_order", "finish"]

IMPORT_PROBLEMS = paths.SIDE / "import-problems.csv"
"""All problems or notes of the last import."""

MOST_NOTES_SHOWN = 20


def apply_class_order(reading: Reading, classes: str | Path | None) -> None:
    """Renumber the classes in the order of a names file.

    Args:
        reading: changed in place: names, labels, and ``unknown-class`` problems.
        classes: a names file; None keeps the order of the source.

    Raises:
        DataError: the names file cannot be used.
    """
    if classes is None:
        return
    wanted = read_class_names(classes)
    number = {name: index for index, name in enumerate(wanted)}
    table = np.array([number.get(name, -1) for name in reading.names], np.int64)
    for split in reading.splits.values():
        old, split.labels = split.labels, table[split.labels]
        for box in np.flatnonzero(split.labels < 0).tolist():
            image, (line, column) = split.images[int(split.box_image[box])], split.places[box].tolist()
            message = f"class {reading.names[int(old[box])]!r} is not in {classes}"
            reading.problems.append(Problem(image.file, line, column, "unknown-class", message, image.path))
    reading.names, reading.order = wanted, f"as in {classes}"


def finish(reading: Reading, out: str | Path) -> CommandResult:
    """Check a reading, and write annotation text and class names.

    Args:
        reading: with class order and image sizes.
        out: folder for ``SPLIT.txt`` and ``classes.names``.

    Returns:
        The summary.

    Raises:
        ProblemsError: all that makes the import impossible; nothing is written then.
        DataError: there is no split or no class.
        UsageError: an output would overwrite a file of the source.
    """
    texts = {name: _lines(split, reading.problems) for name, split in reading.splits.items()}
    _raise_problems(reading)
    if not reading.splits:
        raise DataError(f"no split and no image in {reading.root}")
    if not reading.names:
        raise DataError(f"no class in {reading.root}", hint="name the classes with --classes FILE")
    _check_overwrites(reading, Path(out), texts)
    notes = (replace(note, action="noted") for note in (*reading.notes, *find_notes(reading)))
    reading.notes = list(dict.fromkeys(notes))  # splits may overlap, as train and trainval
    write_class_names(Path(out) / "classes.names", reading.names)  # first: it refuses names that cannot be read back
    _list_notes(reading.notes)
    for name, lines in texts.items():
        with atomic_file(Path(out) / f"{name}.txt") as partial:
            partial.write_bytes("".join(f"{line}\n" for line in lines).encode())
    return _result(reading, Path(out))


def _lines(split: SourceSplit, problems: list[Problem]) -> list[str]:
    rows = np.column_stack([split.boxes_xyxy, split.labels])
    ends = np.searchsorted(split.box_image, np.arange(len(split.images) + 1))
    lines = []
    for index, image in enumerate(split.images):
        try:
            lines.append(format_annotation(image.path, rows[ends[index] : ends[index + 1]]))
        except DataError as error:
            problems.append(Problem(image.file, image.line, 0, "bad-path", str(error), image.path))
    return lines


def _raise_problems(reading: Reading) -> None:
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
        raise ProblemsError(message, problems, hint="fix the files and run again")


def _by_rule(problems: Sequence[Problem]) -> dict[str, int]:
    return dict(Counter(problem.rule for problem in problems))


def _check_overwrites(reading: Reading, out: Path, texts: Mapping[str, Sequence[str]]) -> None:
    inputs = {os.path.realpath(file) for file in reading.inputs}
    for target in [*(out / f"{name}.txt" for name in texts), out / "classes.names"]:
        if os.path.realpath(target) in inputs:
            raise UsageError(f"{target} is a file of the source and is not overwritten; choose another --out")


def _list_notes(notes: Sequence[Problem]) -> None:
    """Print the first few; write all of them to a file."""
    for note in notes[:MOST_NOTES_SHOWN]:
        console.note(f"note: {note}")
    if len(notes) > MOST_NOTES_SHOWN:
        console.note(f"... and {len(notes) - MOST_NOTES_SHOWN:,} more notes: {IMPORT_PROBLEMS}")
    if notes:
        with atomic_file(IMPORT_PROBLEMS) as partial:
            write_problems(partial, notes)
    else:
        IMPORT_PROBLEMS.unlink(missing_ok=True)


def _result(reading: Reading, out: Path) -> CommandResult:
    splits = {name: _facts(split, reading.names) for name, split in reading.splits.items()}
    notes = _by_rule(reading.notes)
    rows: dict[str, object] = {
        name: _split_row(split, splits[name]["backgrounds"]) for name, split in reading.splits.items()
    }
    for rule, count in sorted(notes.items()):
        rows[f"noted {rule}"] = f"{count:,} ({IMPORT_PROBLEMS})"
    if notes:
        rows["notes"] = "boxes are written as in the source; parse.on_bad decides how bad ones are handled"
    rows |= reading.rows
    rows["class order"] = f"{reading.order}; change it with --classes FILE"
    rows |= {f"class {index} {name}": _class_row(reading, splits, name) for index, name in enumerate(reading.names)}
    rows["written"] = f"{out}: {', '.join(f'{name}.txt' for name in splits)}, classes.names"
    report = {"format": reading.kind, "classes": list(reading.names), "class_order": reading.order, "notes": notes}
    many = len(reading.names)
    images = sum(len(split.images) for split in reading.splits.values())
    title = f"import {reading.kind}: {images:,} images, {many:,} class{'es' if many > 1 else ''}"
    next_step = f"enter {out}/... under data: in params.yaml, then: yolopipe parse"
    return CommandResult(title, rows, {**report, "splits": splits}, next_step=next_step)


def _facts(split: SourceSplit, names: Sequence[str]) -> dict[str, Any]:
    per_class = np.bincount(split.labels, minlength=len(names)).tolist()
    return {
        "images": len(split.images),
        "backgrounds": len(split.images) - len(np.unique(split.box_image)),
        "boxes": len(split.labels),
        "boxes_per_class": dict(zip(names, per_class, strict=True)),
        "orientations_fixed": int((split.orientation != 1).sum()),
        **{counted.key: counted.number for counted in split.counted},
    }


def _split_row(split: SourceSplit, backgrounds: int) -> str:
    turned = int((split.orientation != 1).sum())
    words = "images that EXIF rotates: boxes are taken as positions in the upright image"
    counted = [*split.counted, Counted("orientations_fixed", turned, words)]
    without = f" ({backgrounds:,} without boxes)" if backgrounds else ""
    shown = "".join(f"; {number:,} {words}" for _, number, words in counted if number)
    return f"{len(split.images):,} images{without}, {len(split.labels):,} boxes{shown}"


def _class_row(reading: Reading, splits: Mapping[str, Any], name: str) -> str:
    counts = ", ".join(f"{facts['boxes_per_class'][name]:,} boxes in {split}" for split, facts in splits.items())
    return f"{reading.origins[name]}, {counts}" if name in reading.origins else counts
