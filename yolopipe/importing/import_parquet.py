"""Reader of Hugging Face's object detection sets in Parquet; pictures are written to ``images`` beside the text.

Pictures are the bytes inside the files, under the names that they have there, so that each run writes the same.  One
that exists is left as it is if its bytes are the same, and never overwritten otherwise.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from yolopipe import console
from yolopipe.errors import DataError, Problem, UsageError
from yolopipe.files import atomic_file
from yolopipe.formats.object_parquet import ParquetRow, read_categories, read_parquet
from yolopipe.imaging.image_bytes import kind_of
from yolopipe.importing.gathering import Gathering, data_files, split_of_file
from yolopipe.importing.reading import ImportRequest, Reading
from yolopipe.importing.source_files import IMAGE_SUFFIXES, folded, shown_path

__all__ = ["is_parquet_set", "read"]

_SUFFIX_OF = {"JPEG": ".jpg", "PNG": ".png", "WebP": ".webp", "BMP": ".bmp", "TIFF": ".tif"}


def read(request: ImportRequest) -> Reading:
    """Read a Parquet file, or those of a folder and below; the split is the word train, val(id) or test in the path.

    Raises:
        DataError: no such Parquet file.
        UsageError: a split that does not exist, or a picture that would overwrite another file.
    """
    root = request.root
    files = data_files(request, ".parquet", is_parquet_set)
    categories = {file: read_categories(file) for file in files}
    if not files or None in categories.values():
        hint = "name the folder with train-00000-of-00002.parquet ..."
        raise DataError(f"no such Parquet file in {root}; expected the columns image and objects", hint=hint)
    gathering = Gathering("parquet", request, order="as in the files", words={})
    reading = gathering.reading
    reading.inputs = set(map(str, files))
    names = next((names for names in categories.values() if names), [])
    for file, others in categories.items():
        if others and others != names:
            gathering.problem(str(file), 0, 0, "category-mismatch", f"other category names than {files[0]}", "file")
    if not names:
        message = "the file has no names of categories: their numbers are taken as names"
        reading.notes.append(Problem(str(files[0]), 0, 0, "class-names", message))
    gathering.classes(names)
    pictures = _Pictures(request, reading)
    try:
        for file in files:
            _read_file(gathering, pictures, file, names)
    except BaseException:
        reading.discard()
        raise
    others = sorted(set(gathering.names) - set(names), key=lambda name: (len(name), name))  # numbers in their order
    return gathering.finish([*names, *others])


def is_parquet_set(file: Path) -> bool:
    """Whether a Parquet file has the columns of this format."""
    return read_categories(file) is not None


def _read_file(gathering: Gathering, pictures: _Pictures, file: Path, names: Sequence[str]) -> None:
    split = split_of_file(gathering.request, file)
    gathering.split(split)
    with console.progress(f"import parquet {file.name}", None, unit="images") as advance:
        for row in read_parquet(file):
            gathering.reading.problems += row.problems
            at = -1
            if not any(problem.scope == "image" for problem in row.problems):
                path = pictures.place(split, file, row)
                at = gathering.add_picture(split, path, str(file), row.number, row.size_wh)
            for category, box_xyxy, crowd in row.objects:
                if isinstance(category, int) and names and not 0 <= category < len(names):
                    message = f"category {category} has no name; the file defines 0 to {len(names) - 1}"
                    gathering.problem(str(file), row.number, 0, "unknown-category", message, "box")
                else:
                    name = names[category] if isinstance(category, int) and names else str(category)
                    gathering.box(split, at, name, box_xyxy, row.number, ignore=crowd)
            advance(1)


class _Pictures:
    """Writes the pictures of the rows."""

    def __init__(self, request: ImportRequest, reading: Reading) -> None:
        self.request, self.reading = request, reading
        self.taken: set[str] = set()

    def place(self, split: str, file: Path, row: ParquetRow) -> str:
        """The path of a row's picture, written if it is embedded."""
        if row.content is None:
            folder = self.request.images or file.parent
            return shown_path(folder / (row.name or f"row {row.number}"))  # a missing one is found by its header
        target = self.request.pictures / split / self._name(split, row)
        if target.exists():
            if target.read_bytes() != row.content:
                message = f"{target} exists with other content and is not overwritten; choose another --out"
                raise UsageError(message)
        else:
            with atomic_file(target, sync=False) as partial:
                partial.write_bytes(row.content)
            self.reading.written.append(target)
        return shown_path(target)

    def _name(self, split: str, row: ParquetRow) -> str:
        """The picture's own file name, without signs that annotation text or a file system does not hold."""
        name = re.sub(r"[^\w.()+ -]", "_", row.name.replace("\\", "/").rpartition("/")[2]).strip()
        stem, suffix = os.path.splitext(name)
        if suffix.lower() not in IMAGE_SUFFIXES:
            kind = kind_of((row.content or b"")[:16])
            stem, suffix = name, _SUFFIX_OF.get(kind or "", ".jpg")
        stem = stem[:60].strip() or f"{len(self.taken):08d}"
        stem = f"_{stem}" if stem.startswith(".") else stem
        key = folded(f"{split}/{stem}")
        if key in self.taken:
            stem = f"{stem}_{len(self.taken):08d}"
        self.taken.add(folded(f"{split}/{stem}"))
        return f"{stem}{suffix}"
