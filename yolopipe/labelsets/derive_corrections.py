"""``yolopipe labels corrections``: the corrections that turn one annotation text into another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from yolopipe.errors import Problem, ProblemsError, UsageError
from yolopipe.files import atomic_file
from yolopipe.formats.corrections import Correction, LabelBox, count_kinds, format_corrections
from yolopipe.labelsets.compare import Changes, compare
from yolopipe.labelsets.label_set import LabelSet, OnBad, kept_inputs, left_out_rows, read_versions
from yolopipe.result import CommandResult

__all__ = ["derive_corrections", "run"]

UNKNOWN = -2
"""The number of a class that has none."""


def run(
    old: str,
    new: str,
    out: Path,
    *,
    classes: Path | None = None,
    old_classes: Path | None = None,
    on_bad: OnBad = "fail",
) -> CommandResult:
    """Write the corrections that, applied to one text, give the boxes of another.

    Corrections change boxes, not the list of images: images that one of the texts lacks are counted, and not written.

    Args:
        old: the text to correct: a file, or ``REV:PATH`` for a file as a git revision has it.
        new: the same for the right text.
        out: the corrections file; one that exists is not overwritten, since people write such files.
        classes: names file of the new text; by default ``classes.names`` beside it.
        old_classes: names file of the old text; by default that of the new one.
        on_bad: what becomes of lines that cannot be read, and of changes that cannot be written as a correction.

    Raises:
        UsageError: the file exists with other content, or is one of the inputs.
        ProblemsError: something cannot be read or written, and ``on_bad`` is ``fail``.
    """
    kept_inputs([out], [file for file in (old, new, classes, old_classes) if file is not None])
    before, after, left_out = read_versions(old, new, classes, old_classes, on_bad=on_bad)
    found = compare(before, after)
    corrections, problems = derive_corrections(before, after, found)
    if problems and on_bad == "fail":
        message = f"{len(problems):,} changes cannot be written as corrections; nothing was written"
        raise ProblemsError(message, problems, hint="fix the text, or leave them out: --on-bad skip")
    content = format_corrections(corrections).encode()
    if out.exists() and (not out.is_file() or out.read_bytes() != content):
        hint = f"write another file, then add its lines: cat FILE >> {out} (the order of lines does not matter)"
        raise UsageError(f"{out} exists, and corrections are not overwritten", hint=hint)
    with atomic_file(out) as partial:
        partial.write_bytes(content)
    kinds = count_kinds(corrections)
    counts = {name: kinds[name] for name in ("moved", "re_classed", "moved_and_re_classed", "added", "removed")}
    rows: dict[str, object] = {name.replace("_", " "): f"{count:,}" for name, count in counts.items()}
    others = {"images_added": len(found.added_images), "images_removed": len(found.removed_images)}
    if any(others.values()):
        added, removed = others.values()
        rows["not written"] = f"{added:,} images that only {new} has, {removed:,} that only {old} has"
    rows |= left_out_rows([*left_out, *problems])
    rows["written"] = str(out)
    report = {"old": old, "new": new, **counts, **others, "left_out": len(problems)}
    title = f"labels corrections: {len(corrections):,} lines"
    next_step = f"name {out} under data.corrections in params.yaml, then: yolopipe check"
    return CommandResult(title, rows, report, next_step=next_step)


def derive_corrections(
    old: LabelSet, new: LabelSet, found: Changes | None = None
) -> tuple[list[Correction], list[Problem]]:
    """The corrections that turn the boxes of one set into those of another, for images that both have.

    Rules: ``unknown-class`` (a class that the old set has no number for) and ``repeated-box`` (of equal boxes in one
    image a correction changes or adds one only).

    Args:
        old: the set to correct; its class numbers are used.
        new: the right set.
        found: from :func:`~yolopipe.labelsets.compare.compare`, if known.

    Returns:
        The corrections, and the changes that cannot be written as one.
    """
    found = found or compare(old, new)
    number = {name: position for position, name in enumerate(old.names)}
    numbers = [number.get(name, UNKNOWN) for name in new.names]
    corrections: list[Correction] = []
    problems: list[Problem] = []
    present = {(old.image_paths[image], _box(old, row)) for row, image in enumerate(old.box_image.tolist())}
    taken: set[tuple[str, LabelBox | None, LabelBox | None]] = set()
    for one, two in _changed_pairs(old, new, found):
        holder, row = (old, one) if one >= 0 else (new, two)
        path = holder.image_paths[int(holder.box_image[row])]
        was = _box(old, one) if one >= 0 else None
        now = _box(new, two, numbers) if two >= 0 else None
        key = path, was, None if was else now
        if now is not None and now.label == UNKNOWN:
            message = f"class {new.names[int(new.classes[two])]!r} is not among the class names of the old text"
            problems.append(_problem(new, two, "unknown-class", message))
        elif key in taken or (was is None and now is not None and (path, now) in present):
            message = f"the image has box {was or now} more than once; a correction is about one of them"
            problems.append(_problem(holder, row, "repeated-box", message))
        else:
            taken.add(key)
            corrections.append(Correction(path, was, now))
    return corrections, problems


def _changed_pairs(old: LabelSet, new: LabelSet, found: Changes) -> Iterator[tuple[int, int]]:
    """Rows of the old and of the new box of each change, -1 for none, in images that both sets have."""
    for pairs in (found.reclassed, found.moved, found.moved_reclassed):
        yield from pairs.tolist()
    gone, fresh = set(found.removed_images.tolist()), set(found.added_images.tolist())
    yield from ((row, -1) for row in found.removed.tolist() if int(old.box_image[row]) not in gone)
    yield from ((-1, row) for row in found.added.tolist() if int(new.box_image[row]) not in fresh)


def _box(label_set: LabelSet, row: int, numbers: Sequence[int] | None = None) -> LabelBox:
    x1, y1, x2, y2 = (label_set.boxes_xyxy[row] + 0.0).tolist()
    label = int(label_set.classes[row])
    number = label if numbers is None or label < 0 else numbers[label]
    return LabelBox(x1, y1, x2, y2, number, bool(label_set.ignore[row]))


def _problem(label_set: LabelSet, row: int, rule: str, message: str) -> Problem:
    image = int(label_set.box_image[row])
    file, line = label_set.places[image].tolist()
    return Problem(label_set.files[file], line, 0, rule, message, label_set.image_paths[image])
