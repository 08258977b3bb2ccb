"""``yolopipe convert``: the steps that all formats share, from annotation text to a new folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from yolopipe.config.params_file import load_config
from yolopipe.converting.convert_formats import CONVERTERS
from yolopipe.converting.splits import check_out, read_splits, result_of, without_boxes
from yolopipe.files import atomic_directory
from yolopipe.result import CommandResult

__all__ = ["convert"]


def convert(
    kind: str,
    out: str | Path,
    *,
    params: str | Path = "params.yaml",
    texts: Mapping[str, str | Path] | None = None,
    classes: str | Path | None = None,
) -> CommandResult:
    """Convert the annotation text of a project, or texts that are named.

    Args:
        kind: a key of :data:`~yolopipe.converting.convert_formats.CONVERTERS`.
        out: a new or empty folder.
        params: read unless both of the next two are given.
        texts: split name to annotation text; by default ``data.train`` and ``data.val``.
        classes: the names file; by default ``data.classes``.

    Returns:
        The summary.

    Raises:
        ConfigError: the params file is needed and cannot be used.
        DataError: a text or the names file cannot be read.
        ProblemsError: what the format cannot hold, all at once; nothing is written then.
        UsageError: ``out`` is not empty.
        YolopipeError: the file system has no links (YOLO).
    """
    corrections = ""
    if not texts or classes is None:
        data = load_config(params).data
        corrections = "" if texts else data.corrections
        texts = texts or {"train": data.train, "val": data.val}
        classes = classes or data.classes
    folder = Path(out)
    check_out(folder)
    form = CONVERTERS[kind]
    write: Callable[..., str] = import_module(f"yolopipe.converting.{form.module}").write
    splits, names = read_splits(texts, classes, kind=kind)
    held = {name: without_boxes(split, split.ignored_beyond(form.marks)) for name, split in splits.items()}
    with atomic_directory(folder) as partial:
        written = write(held, names, partial, folder)
    result = result_of(kind, form.marks, splits, names, written)
    if not corrections:
        return result
    advice = f"without {corrections}; with them: yolopipe labels corrected --out DIR, then --train, --val of DIR"
    report = {**result.report, "corrections_left_out": corrections}
    return replace(result, rows={**result.rows, "corrections": advice}, report=report)
