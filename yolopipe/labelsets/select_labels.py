"""``yolopipe labels select``: chosen classes, images, a fraction, with or without backgrounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from yolopipe.errors import DataError, UsageError
from yolopipe.formats.class_names import write_class_names
from yolopipe.formats.text_lines import read_lines
from yolopipe.labelsets.label_set import OnBad, kept_inputs, left_out_rows, read_label_set, write_annotations
from yolopipe.labelsets.select import Backgrounds, Others, class_map, map_classes, pick_images
from yolopipe.result import CommandResult

__all__ = ["SelectRequest", "read_class_map", "run"]


@dataclass(frozen=True, slots=True)
class SelectRequest:
    """What is taken.

    Args:
        keep: class names that stay, old or new ones, in the new order; none for all.
        rename: old name to new name.
        images: shell patterns of image paths; none for all.
        others: what becomes of boxes of classes that do not stay.
        ignored: whether boxes to be ignored stay, those of ``others`` included.
        backgrounds: images without boxes of the classes taken.
        fraction: part of the images, 0 to 1.
        seed: chooses the fraction.
    """

    keep: Sequence[str] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    images: Sequence[str] = ()
    others: Others = "drop"
    ignored: Literal["keep", "drop"] = "keep"
    backgrounds: Backgrounds = "keep"
    fraction: float = 1.0
    seed: int = 0


def run(
    texts: Sequence[Path],
    out: Path,
    request: SelectRequest,
    *,
    classes: Path | None = None,
    on_bad: OnBad = "fail",
) -> CommandResult:
    """Write chosen parts of annotation texts, each under its own name.

    Args:
        texts: one or more; ``a/train.txt`` becomes ``OUT/train.txt``.
        out: folder for the texts and ``classes.names``.
        request: what is taken.
        classes: names file; by default ``classes.names`` beside the first text.
        on_bad: what becomes of lines and boxes that cannot be read.

    Raises:
        UsageError: an unknown class, or an output is one of the inputs or written twice.
        DataError: a text cannot be used, or nothing is left.
    """
    if not 0 < request.fraction <= 1:
        raise UsageError(f"--fraction must be above 0 and at most 1, got {request.fraction:g}")
    label_set, left_out = read_label_set(texts, classes, on_bad=on_bad)
    mapping = class_map(label_set.names, keep=request.keep, rename=request.rename)
    outputs = [out / Path(text).name for text in texts]
    if len(set(outputs)) < len(outputs):
        raise UsageError("two of the texts have the same file name", hint="merge them first: yolopipe labels merge")
    kept_inputs([*outputs, out / "classes.names"], [*texts, *([classes] if classes else [])])
    mapped, other = map_classes(label_set, mapping, request.others)
    equal = len(label_set.ignore) - len(mapped.ignore) if request.others == "ignore" else 0
    ignored = int(mapped.ignore.sum()) if request.ignored == "drop" else 0
    if ignored:
        mapped = mapped.boxes(~mapped.ignore)
    taken = pick_images(
        mapped,
        patterns=request.images,
        backgrounds=request.backgrounds,
        fraction=request.fraction,
        seed=request.seed,
    )
    if not taken.any():
        raise DataError(f"no image of {', '.join(map(str, texts))} is left; nothing was written")
    write_class_names(out / "classes.names", mapping.names)
    rows: dict[str, object] = {"read": label_set.counts_text()}
    files = {}
    for number, output in enumerate(outputs):
        part = mapped.images(taken & (mapped.places[:, 0] == number))
        write_annotations(output, part)
        files[output.name] = part.counts()
        rows[output.name] = part.counts_text()
    rows["classes"] = f"{len(mapping.names):,} of {len(label_set.names):,}: {_shortened(mapping.names)}"
    counts = other.counts()
    if len(other.ignore):
        done = "boxes ignored" if request.others == "ignore" else "boxes dropped"
        too = f", and {counts['ignored']:,} that were ignored" if counts["ignored"] else ""
        rows[done] = f"{counts['boxes']:,} of classes that were not kept{too}"
    if equal:
        rows["equal regions"] = f"{equal:,} boxes to be ignored repeat another and are dropped"
    if ignored:
        rows["ignored boxes dropped"] = f"{ignored:,}"
    rows |= left_out_rows(left_out)
    rows["written"] = f"{out}: {', '.join(files)}, classes.names"
    lost = mapped.images(~taken)
    report = {
        "files": files,
        "classes": list(mapping.names),
        "boxes_of_other_classes": counts["boxes"],
        "ignored_of_other_classes": counts["ignored"],
        "ignored_equal": equal,
        "ignored_dropped": ignored,
        "images_left_out": lost.counts()["images"],
        "boxes_of_images_left_out": lost.counts()["boxes"],
        "ignored_of_images_left_out": lost.counts()["ignored"],
        "left_out": len(left_out),
    }
    if not taken.all():
        rows["images left out"] = lost.counts_text()
    return CommandResult(f"labels select: {int(taken.sum()):,} images", rows, report)


def _shortened(names: Sequence[str], most: int = 8) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def read_class_map(file: Path) -> dict[str, str]:
    """Old and new class names, ``old=new`` a line; blank lines and lines that start with # are skipped.

    Raises:
        DataError: a line is not of that form, or an old name stands twice; with file and line.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(read_lines(file), start=1):
        text = "" if line is None else line.strip()
        if line is not None and (not text or text.startswith("#")):
            continue
        old, equals, new = (part.strip() for part in text.partition("="))
        if not (old and equals and new):
            raise DataError(f"{file}:{number}: expected OLD=NEW, got {text!r}")
        if old in found:
            raise DataError(f"{file}:{number}: class {old!r} stands here a second time")
        found[old] = new
    return found
