"""``yolopipe import``: the steps that all formats share, from a source to annotation text.

A format's module reads its files into a :class:`~yolopipe.importing.reading.Reading`; image headers, checks, class
order, writing and the summary are the same for all.  ``docs/formats.md`` describes what is accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path

from yolopipe.importing.checks import read_sizes
from yolopipe.importing.finishing import apply_class_order, finish
from yolopipe.importing.import_formats import IMPORTERS
from yolopipe.importing.reading import ImportRequest, Reading
from yolopipe.result import CommandResult

__all__ = ["import_data"]


def import_data(
    kind: str,
    source: str | Path,
    out: str | Path,
    *,
    splits: Sequence[str] | None = None,
    classes: str | Path | None = None,
    files: Mapping[str, str | Path] | None = None,
    images: str | Path | None = None,
) -> CommandResult:
    """Import a data set.

    Args:
        kind: a key of :data:`~yolopipe.importing.import_formats.IMPORTERS`.
        source: the folder or file of the data set.
        out: folder for ``SPLIT.txt`` and ``classes.names``.
        splits: the splits to import; None for all.
        classes: a names file that fixes the class order; it names the classes where the source does not.
        files: split name to file, instead of searching ``source`` (COCO).
        images: folder that file names start at, instead of searching for it (COCO).

    Returns:
        The summary.

    Raises:
        DataError: ``source`` is not a data set of this format.
        UsageError: a split that does not exist, an ambiguous source, or ``out`` would overwrite a source file.
        ProblemsError: all problems in the source, with file and line; nothing is written then.
    """
    read: Callable[[ImportRequest], Reading] = import_module(f"yolopipe.importing.{IMPORTERS[kind].module}").read
    request = ImportRequest(
        root=Path(source),
        splits=splits,
        classes=classes,
        files={name: Path(file) for name, file in (files or {}).items()},
        images=images,
    )
    reading = read(request)
    read_sizes(reading)
    apply_class_order(reading, classes)
    return finish(reading, out)
