"""``yolopipe labels select``: chosen classes, images, a fraction, with or without backgrounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from yolopipe.errors import DataError, UsageError
from yolopipe.formats.class_names import write_class_names
from yolopipe.formats.text_lines import read_lines
from yolopipe.labelsets.label_set import OnBad, kept_inputs, left_out_rows, read_label_set, write_annotations
from yolopipe.labelsets.select import Backgrounds, class_map, map_classes, pick_images
from yolopipe.result import CommandResult

__all__ = ["SelectRequest", "read_class_map", "run"]


@dataclass(frozen=True, slots=True)
class SelectRequest:
    """What is taken.

    Args:
        keep: class names that stay, old or new ones, in the new order; none for all.
        rename: old name to new name.
        images: shell patterns of image paths; none for all.
        backgrounds: images without boxes of the classes taken.
        fraction: part of the images, 0 to 1.
        seed: chooses the fraction.
    """

    keep: Sequence[str] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    images: Sequence[str] = ()
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
    mapped, dropped = map_classes(label_set, mapping)
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
    rows: dict[str, object] = {"read": f"{len(label_set.image_paths):,} images, {len(label_set.classes):,} boxes"}
    files = {}
    for number, output in enumerate(outputs):
        part = mapped.images(taken & (mapped.places[:, 0] == number))
        write_annotations(output, part)
        files[output.name] = {"images": len(part.image_paths), "boxes": len(part.classes)}
        rows[output.name] = f"{len(part.image_paths):,} images, {len(part.classes):,} boxes"
    rows["classes"] = f"{len(mapping.names):,} of {len(label_set.names):,}: {_shortened(mapping.names)}"
    if dropped:
        rows["boxes dropped"] = f"{dropped:,} of classes that were not kept"
    rows |= left_out_rows(left_out)
    rows["written"] = f"{out}: {', '.join(files)}, classes.names"
    lost = int((~taken[mapped.box_image]).sum())
    report = {
        "files": files,
        "classes": list(mapping.names),
        "boxes_of_other_classes": dropped,
        "images_left_out": int((~taken).sum()),
        "boxes_of_images_left_out": lost,
        "left_out": len(left_out),
    }
    if lost or not taken.all():
        rows["images left out"] = f"{int((~taken).sum()):,}, with {lost:,} boxes"
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
