"""``import auto``: recognises the format of a data set by the beginnings of its files, and imports it as that.

Of each folder a few files of each suffix are looked at.  A format is taken only if no other fits.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from itertools import groupby
from pathlib import Path

from yolopipe import console
from yolopipe.errors import DataError, UsageError
from yolopipe.importing.import_cvat import is_cvat
from yolopipe.importing.import_formats import IMPORTERS
from yolopipe.importing.import_label_studio import is_label_studio
from yolopipe.importing.import_open_images import is_open_images
from yolopipe.importing.import_parquet import is_parquet_set
from yolopipe.importing.import_tf_csv import is_tf_csv
from yolopipe.importing.reading import ImportRequest, Reading
from yolopipe.importing.source_files import walk_files

__all__ = ["read", "recognise"]

FILES_A_FOLDER = 5
"""Files of one suffix that are looked at in a folder: sets of a format have thousands."""

_HEAD = _TAIL = 65536
_LABEL_LINE = re.compile(rb"\s*\d+(?:\.0*)?(?:[ \t]+-?[\d.]+(?:e-?\d+)?){4,}\s*$", re.IGNORECASE)
_LISTS = [re.compile(rb'"%s"\s*:\s*\[' % key) for key in (b"images", b"annotations", b"categories")]


def read(request: ImportRequest) -> Reading:
    """Read a data set as the format that it is recognised as.

    Raises:
        DataError: no format is recognised, and what that format's reader raises.
        UsageError: several formats fit.
    """
    path = request.annotations or request.root
    kind, reason = recognise(path)
    reader: Callable[[ImportRequest], Reading] = import_module(f"yolopipe.importing.{IMPORTERS[kind].module}").read
    console.note(f"recognised as {kind}: {reason}")
    return reader(request)


def recognise(path: Path) -> tuple[str, str]:
    """The format of a file or folder, and the reason for it.

    Raises:
        DataError: none.
        UsageError: several.
    """
    if not path.exists():
        raise DataError(f"no file or folder {path}")
    files = [path] if path.is_file() else walk_files(path, tuple(_SIGNS))
    signs: dict[str, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for file in _sample(files):
        for kind, reason in _SIGNS.get(file.suffix.lower(), _nothing)(file):
            signs[kind][reason].append(file)
    reasons = {kind: "; ".join(_reason(reason, found) for reason, found in of.items()) for kind, of in signs.items()}
    if not reasons:
        counts = Counter(file.suffix.lower() for file in files)
        seen = (
            ", ".join(f"{number:,} {suffix}" for suffix, number in counts.most_common()) or "nothing that holds boxes"
        )
        hint = f"name the format: yolopipe import {'|'.join(list(IMPORTERS)[:3])}|... {path} --out DIR"
        raise DataError(f"no format is recognised in {path}; found {seen}", hint=hint)
    if len(reasons) > 1:
        listed = "".join(f"\n  {kind}: {reason}" for kind, reason in sorted(reasons.items()))
        hint = f"name one of them: yolopipe import {sorted(reasons)[0]} {path} --out DIR"
        raise UsageError(f"{path} may be of {len(reasons)} formats:{listed}", hint=hint)
    return next(iter(reasons.items()))


def _sample(files: list[Path]) -> Iterator[Path]:
    for _, group in groupby(sorted(files, key=_place), key=_place):
        yield from list(group)[:FILES_A_FOLDER]


def _place(file: Path) -> tuple[str, str]:
    return str(file.parent), file.suffix.lower()


def _reason(reason: str, files: list[Path]) -> str:
    more = f" (and {len(files) - 1} more)" if len(files) > 1 else ""
    return f"{files[0]}{more} {reason}"


def _nothing(_: Path) -> Iterator[tuple[str, str]]:
    yield from ()


def _start(file: Path, size: int = _HEAD) -> bytes:
    with file.open("rb") as stream:
        return stream.read(size)


def _json(file: Path) -> Iterator[tuple[str, str]]:
    with file.open("rb") as stream:
        ends = stream.read(_HEAD)
        stream.seek(max(stream.tell(), file.stat().st_size - _TAIL))
        ends += stream.read(_TAIL)
    if is_label_studio(file):
        yield "label-studio", "is a list of tasks"
    elif re.search(rb'"shapes"\s*:\s*\[', ends) and (b'"imagePath"' in ends or b'"shape_type"' in ends):
        yield "labelme", "has the lists 'shapes' and a key 'imagePath'"
    elif sum(key.search(ends) is not None for key in _LISTS) >= 2:
        yield "coco", "has the lists 'images', 'annotations', 'categories'"


def _xml(file: Path) -> Iterator[tuple[str, str]]:
    if is_cvat(file):
        yield "cvat", "has <annotations> at the top"
    elif re.search(rb"<annotation[\s>]", _start(file, 4096)):
        yield "voc", "has <annotation> at the top"


def _csv(file: Path) -> Iterator[tuple[str, str]]:
    if is_open_images(file):
        yield "open-images", "has the columns ImageID, LabelName, XMin"
    elif is_tf_csv(file):
        yield "tf-csv", "has the columns filename, class, xmin"


def _parquet(file: Path) -> Iterator[tuple[str, str]]:
    if is_parquet_set(file):
        yield "parquet", "has the columns image and objects"


def _yaml(file: Path) -> Iterator[tuple[str, str]]:
    start = _start(file)
    if all(re.search(rb"^(%s)\s*:" % keys, start, re.MULTILINE) for keys in (b"names|nc", b"train|val|valid|test")):
        yield "yolo", "has the keys of a data.yaml"


def _data(file: Path) -> Iterator[tuple[str, str]]:
    if re.search(rb"^\s*(train|names)\s*=", _start(file), re.MULTILINE):
        yield "yolo", "is a darknet .data file"


def _txt(file: Path) -> Iterator[tuple[str, str]]:
    lines = [line for line in _start(file, 4096).splitlines()[:1] if line.strip()]
    if lines and all(map(_LABEL_LINE.match, lines)):
        yield "yolo", "starts with a class and numbers"


_SIGNS: Mapping[str, Callable[[Path], Iterator[tuple[str, str]]]] = {
    ".json": _json,
    ".xml": _xml,
    ".csv": _csv,
    ".parquet": _parquet,
    ".yaml": _yaml,
    ".yml": _yaml,
    ".data": _data,
    ".txt": _txt,
}
