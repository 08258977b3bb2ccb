"""``yolopipe labels merge``: several sets of annotation text as one, classes matched by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from yolopipe.errors import ProblemsError, UsageError
from yolopipe.formats.class_names import write_class_names
from yolopipe.labelsets.label_set import (
    LabelSet,
    OnBad,
    kept_inputs,
    left_out_rows,
    read_label_set,
    write_annotations,
)
from yolopipe.labelsets.merge import merge, near_equal_names
from yolopipe.result import CommandResult

__all__ = ["run"]


def run(texts: Sequence[Path], out: Path, *, classes: Sequence[Path] = (), on_bad: OnBad = "fail") -> CommandResult:
    """Put annotation texts together into one.

    Args:
        texts: at least two; each with its own class list.
        out: the text to write; ``classes.names`` is written beside it.
        classes: the names file of each text, in their order; by default ``classes.names`` beside each.
        on_bad: what becomes of lines that cannot be read, and of images that two texts label differently (``skip``
            keeps what the first says).

    Raises:
        UsageError: fewer than two texts, or an output is one of the inputs.
        ProblemsError: texts that cannot be read, or an image with different boxes in two texts.
    """
    if len(texts) < 2:
        raise UsageError("labels merge needs at least two texts")
    if classes and len(classes) != len(texts):
        raise UsageError(
            f"--classes is given {len(classes)} times for {len(texts)} texts: once for each, or not at all"
        )
    sets: list[LabelSet] = []
    left_out = []
    for number, text in enumerate(texts):
        label_set, problems = read_label_set([text], classes[number] if classes else None, on_bad=on_bad)
        sets.append(label_set)
        left_out += problems
    merged, conflicts, repeated = merge(sets)
    if conflicts and on_bad == "fail":
        message = f"{len(conflicts):,} images have other boxes in two of the texts; nothing was written"
        raise ProblemsError(message, conflicts, hint="keep what the first text says: --on-bad skip")
    kept_inputs(
        [out, out.with_name("classes.names")], [*texts, *classes, *(t.with_name("classes.names") for t in texts)]
    )
    write_annotations(out, merged)
    write_class_names(out.with_name("classes.names"), merged.names)
    rows: dict[str, object] = {
        str(text): f"{part.counts_text()}, {len(part.names):,} classes"
        for text, part in zip(texts, sets, strict=True)
    }
    if repeated:
        rows["in several texts"] = f"{repeated:,} images with the same boxes, written once"
    alike = near_equal_names(merged.names)
    if alike:
        pairs = ", ".join(f"{one!r} and {two!r}" for one, two in alike)
        rows["alike"] = f"{pairs}: one class? yolopipe labels select --rename 'OLD=NEW'"
    rows["classes"] = f"{len(merged.names):,}, matched by name"
    rows |= left_out_rows([*left_out, *conflicts])
    rows["written"] = f"{out}, {out.with_name('classes.names')}"
    report = {
        **merged.counts(),
        "classes": list(merged.names),
        "repeated_images": repeated,
        "conflicts": len(conflicts),
        "left_out": len(left_out),
        "alike": [list(pair) for pair in alike],
    }
    return CommandResult(f"labels merge: {len(merged.image_paths):,} images", rows, report)
