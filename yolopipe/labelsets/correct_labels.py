"""``yolopipe labels corrected``: annotation text with the corrections in it; all other bytes stay as they are."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from yolopipe.config.params_file import load_config
from yolopipe.errors import ProblemsError, UsageError
from yolopipe.files import atomic_file
from yolopipe.formats.annotation_text import AnnotationText, read_annotations
from yolopipe.formats.class_names import read_class_names, write_class_names
from yolopipe.formats.corrections import LabelBox, read_corrections
from yolopipe.labelsets.label_set import OnBad, kept_inputs, left_out_rows, names_beside
from yolopipe.parsing.apply_corrections import (
    AppliedCorrections,
    CorrectionTally,
    apply_corrections,
    corrections_text,
)
from yolopipe.parsing.correction_index import index_corrections
from yolopipe.result import CommandResult

__all__ = ["corrected_content", "run"]

_WORD = re.compile(r"[^ \t]+")
BOM = "\ufeff"


def run(
    texts: Sequence[Path],
    out: Path,
    *,
    corrections: Path | None = None,
    classes: Path | None = None,
    on_bad: OnBad = "fail",
    params: Path = Path("params.yaml"),
) -> CommandResult:
    """Write annotation texts with their corrections, each under its own name.

    Lines without a correction are copied byte for byte, good or bad; in the others only the boxes change that a
    correction is about.

    Args:
        texts: the texts; by default ``data.train`` and ``data.val`` of the params.
        out: folder for the texts and ``classes.names``.
        corrections: the corrections file; by default ``data.corrections`` of the params.
        classes: names file; by default ``data.classes``, or ``classes.names`` beside the first text if one is given.
        on_bad: what becomes of corrections that cannot be applied.
        params: the params file, read only where something is not given.

    Raises:
        ConfigError: the params are needed and cannot be read.
        UsageError: there are no corrections, two texts have one name, or an output would be one of the inputs.
        ProblemsError: corrections cannot be applied, and ``on_bad`` is ``fail``.
    """
    data = load_config(params).data if not texts or corrections is None else None
    names_file = classes or (names_beside(texts[0]) if texts else None)
    if data is not None:
        if corrections is None and not data.corrections:
            raise UsageError(f"{params} names no corrections (data.corrections)", hint="--corrections FILE")
        corrections = corrections or Path(data.corrections)
        names_file = names_file or Path(data.classes)
        texts = texts or [Path(data.train), Path(data.val)]
    assert corrections is not None
    assert names_file is not None
    outputs = [out / text.name for text in texts]
    if len(set(outputs)) < len(outputs):
        raise UsageError("two of the texts have the same file name", hint="rename one: OUT has both in one folder")
    kept_inputs([*outputs, out / "classes.names"], [*texts, names_file, corrections])
    names = read_class_names(names_file)
    index = index_corrections(read_corrections(corrections), len(names))
    tally = CorrectionTally(index)
    written: dict[Path, tuple[bytes, int, int]] = {}
    for text, output in zip(texts, outputs, strict=True):
        read = read_annotations(text)
        corrected, applied = apply_corrections(read, index)
        tally.add(applied)
        content, changed = corrected_content(text.read_bytes(), read, corrected, applied)
        written[output] = content, changed, len(read.image_paths)
    problems = tally.problems(" or ".join(map(str, texts)))
    bad = [problem for problem in problems if problem.action != "noted"]
    if bad and on_bad == "fail":
        message = f"{len(bad):,} problems in {corrections}; nothing was written"
        raise ProblemsError(message, bad, hint="fix the lines, or leave them out: --on-bad skip")
    rows: dict[str, object] = {str(corrections): corrections_text(tally.counts())}
    for output, (content, changed, images) in written.items():
        with atomic_file(output) as partial:
            partial.write_bytes(content)
        rows[output.name] = f"{changed:,} of {images:,} images changed"
    write_class_names(out / "classes.names", names)
    rows |= left_out_rows(bad)
    rows["written"] = f"{out}: {', '.join(output.name for output in outputs)}, classes.names"
    report = {
        "files": {o.name: {"images": images, "images_changed": n} for o, (_, n, images) in written.items()},
        "corrections": tally.counts(),
        "left_out": len(bad),
        "repeated": len(problems) - len(bad),
    }
    changed = sum(changed for _, changed, _ in written.values())
    return CommandResult(f"labels corrected: {changed:,} images changed", rows, report)


@dataclass(slots=True)
class _LineEdit:
    """What changes in one line: 1-based column to the new text, empty for a removed box; and added boxes."""

    columns: dict[int, str] = field(default_factory=dict)
    added: list[str] = field(default_factory=list)


def corrected_content(
    content: bytes, text: AnnotationText, corrected: AnnotationText, applied: AppliedCorrections
) -> tuple[bytes, int]:
    """The bytes of an annotation text with corrections in it, and the number of lines that changed.

    Args:
        content: the bytes of the text.
        text: what they say.
        corrected: the same with the corrections.
        applied: from :func:`~yolopipe.parsing.apply_corrections.apply_corrections`.
    """
    edits: dict[int, _LineEdit] = defaultdict(_LineEdit)
    kept = set()
    boxes = zip(
        *(corrected.boxes_xyxy.tolist(), corrected.classes.tolist(), corrected.ignore.tolist()),
        *(corrected.box_image.tolist(), applied.origins.tolist(), applied.places.tolist()),
        strict=True,
    )
    for xyxy, label, ignore, image, (line, column), (changed_at, _) in boxes:
        kept.add((line, column))
        if changed_at < 0:
            edit = edits[int(text.lines[image])]
            x1, y1, x2, y2 = xyxy
            box = str(LabelBox(x1, y1, x2, y2, label, ignore))
            if line < 0:
                edit.added.append(box)
            else:
                edit.columns[column] = box
    for line, column in zip(text.lines[text.box_image].tolist(), text.box_column.tolist(), strict=True):
        if (line, column) not in kept:
            edits[line].columns[column] = ""
    lines = content.splitlines(keepends=True)
    for number, edit in edits.items():
        raw = lines[number - 1]
        body = raw.rstrip(b"\r\n")
        line_text = body.decode()
        mark = BOM if number == 1 and line_text.startswith(BOM) else ""
        lines[number - 1] = (mark + _edited(line_text[len(mark) :], edit)).encode() + raw[len(body) :]
    return b"".join(lines), len(edits)


def _edited(line: str, edit: _LineEdit) -> str:
    for column in sorted(edit.columns, reverse=True):
        word = _WORD.match(line, column - 1)
        assert word is not None
        before = line[: word.start()]
        line = (before if edit.columns[column] else before.rstrip(" \t")) + edit.columns[column] + line[word.end() :]
    return " ".join([line.rstrip(" \t"), *edit.added]) if edit.added else line
