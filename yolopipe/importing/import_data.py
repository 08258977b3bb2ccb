"""``yolopipe import``: the steps that all formats share, from a source to annotation text.

A format's module reads its files into a :class:`~yolopipe.importing.reading.Reading`; lists of images, image headers,
checks, class order, what is left out, writing and the summary are the same for all.  ``docs/formats.md`` describes
what is accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path

from yolopipe.errors import DataError, UsageError
from yolopipe.importing.checks import read_sizes
from yolopipe.importing.finishing import finish
from yolopipe.importing.import_formats import IMPORTERS
from yolopipe.importing.leaving_out import OnBad
from yolopipe.importing.marked_boxes import Treatment, treat_marked
from yolopipe.importing.reading import ImportRequest, Reading
from yolopipe.importing.renumbering import Others, apply_class_order
from yolopipe.importing.split_lists import divide_by_lists, is_json
from yolopipe.result import CommandResult

__all__ = ["import_data"]


def import_data(
    kind: str,
    source: str | Path,
    out: str | Path,
    *,
    splits: Sequence[str] | None = None,
    classes: str | Path | None = None,
    others: Others = "fail",
    files: Mapping[str, str | Path] | None = None,
    images: str | Path | None = None,
    annotations: str | Path | None = None,
    on_bad: OnBad = "fail",
    crowds: Treatment = "ignore",
    difficult: Treatment = "ignore",
    pictures: str | Path | None = None,
) -> CommandResult:
    """Import a data set.

    Args:
        kind: a key of :data:`~yolopipe.importing.import_formats.IMPORTERS`.
        source: the folder or file of the data set.
        out: folder for ``SPLIT.txt`` and ``classes.names``.
        splits: the splits of the source to import; None for all, or for none where ``files`` names some.
        classes: a names file that fixes the class order; it names the classes where the source does not.
        others: what happens to boxes of classes that are not in ``classes``: ``fail``, ``drop``, or ``ignore``, which
            makes them boxes of any class to be ignored.
        files: split name to a list of its images, or to its JSON file (COCO).
        images: where the images are searched for, instead of in ``source``.
        annotations: file or folder of the annotations, instead of searching ``source``.
        on_bad: ``fail`` writes nothing if there is a problem; ``skip`` leaves the bad box, image or record out.
        crowds: what crowd boxes (COCO, Parquet) and boxes of groups (Open Images) become.
        difficult: what objects marked difficult become (VOC, labelme).
        pictures: folder for images that are inside the files of the source (Parquet); by default ``out/images``.

    Returns:
        The summary.

    Raises:
        DataError: ``source`` is not a data set of this format.
        UsageError: a split that does not exist, an ambiguous source, an option about marks that the format does not
            have, ``others`` without ``classes``, or ``out`` would overwrite a source file.
        ProblemsError: all problems in the source, with file and line; nothing is written then.
    """
    form = IMPORTERS[kind]
    read: Callable[[ImportRequest], Reading] = import_module(f"yolopipe.importing.{form.module}").read
    treatments = {"crowds": crowds, "difficult": difficult}
    for option, treatment in treatments.items():
        if treatment != "ignore" and option not in {mark.option for mark in form.marks}:
            having = ", ".join(name for name, other in IMPORTERS.items() if option in {m.option for m in other.marks})
            raise UsageError(f"--{option} {treatment}: {kind} has no such boxes; formats with this option: {having}")
    if others != "fail" and classes is None:
        raise UsageError(f"--others {others} needs the classes that are wanted: --classes FILE")
    for path in (source, images, annotations):
        if path is not None and not Path(path).exists():
            raise DataError(f"no file or folder {path}")
    named = {name: Path(file) for name, file in (files or {}).items()}
    json_files = {name: file for name, file in named.items() if form.json_splits and is_json(file)}
    lists = {name: file for name, file in named.items() if name not in json_files}
    request = ImportRequest(
        root=Path(source),
        splits=None if lists else splits,
        classes=None if classes is None else Path(classes),
        files=json_files,
        images=None if images is None else Path(images),
        annotations=None if annotations is None else Path(annotations),
        pictures=Path(out) / "images" if pictures is None else Path(pictures),
    )
    reading = read(request)
    try:
        if lists:
            divide_by_lists(reading, lists, [*(splits or []), *json_files])
        treat_marked(reading, treatments)
        read_sizes(reading)
        apply_class_order(reading, classes, others)
        return finish(reading, out, on_bad)
    except BaseException:
        reading.discard()
        raise
