"""Annotation text back to the formats of other tools; images are linked or named, never copied."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from yolopipe.config.params_file import load_config
from yolopipe.converting.convert_coco import convert_coco
from yolopipe.converting.convert_yolo import convert_yolo
from yolopipe.result import CommandResult

__all__ = ["EXPORTERS", "convert", "convert_coco", "convert_yolo"]

EXPORTERS: dict[str, Callable[..., CommandResult]] = {"coco": convert_coco, "yolo": convert_yolo}
"""Format name to ``exporter(texts, classes, out)``."""


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
        kind: a key of :data:`EXPORTERS`.
        out: a new or empty folder.
        params: read unless both of the next two are given.
        texts: split name to annotation text; by default ``data.train`` and ``data.val``.
        classes: the names file; by default ``data.classes``.

    Returns:
        What was written.

    Raises:
        ConfigError: the params file is needed and cannot be used.
        DataError: see the exporters.
    """
    if not texts or classes is None:
        data = load_config(params).data
        texts = texts or {"train": data.train, "val": data.val}
        classes = classes or data.classes
    return EXPORTERS[kind](texts, classes, out)
