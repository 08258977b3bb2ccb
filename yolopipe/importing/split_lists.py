"""``--split NAME=LIST``: splits from lists of image names, for every format."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from yolopipe.errors import DataError, Problem, UsageError
from yolopipe.formats.text_lines import read_lines
from yolopipe.importing.reading import Reading, SourceSplit, SplitBuilder
from yolopipe.importing.source_files import IMAGE_SUFFIXES, folded

__all__ = ["divide_by_lists", "is_json"]


def is_json(file: Path) -> bool:
    """Whether a file starts as JSON does; False where it cannot be opened."""
    try:
        with file.open("rb") as stream:
            return stream.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[")
    except OSError:
        return False


def divide_by_lists(reading: Reading, lists: Mapping[str, Path], others: Sequence[str] = ()) -> None:
    """Replace the splits of a reading by those of some lists.

    An entry is the path, the end of the path or the name of an image, with or without its suffix, in any case.

    Args:
        reading: changed in place; an entry that no image has is a problem at its line.
        lists: split name to a text with an image a line.
        others: splits of the reading that stay as they are.

    Raises:
        UsageError: one of ``others`` does not exist.
        DataError: a list cannot be opened.
    """
    for name in others:
        if name not in reading.splits:
            raise UsageError(f"no split {name} in {reading.root}; found: {', '.join(reading.splits) or 'none'}")
    kept = {name: reading.splits[name] for name in others}
    whole = _together(list(reading.splits.values()))
    rows_of = defaultdict(list)
    for row, image in enumerate(whole.images):
        rows_of[_key(image.path)[-1]].append(row)
    used = {image.path for split in kept.values() for image in split.images}
    for name, file in lists.items():
        reading.inputs.add(str(file))
        rows = dict.fromkeys(_rows(reading, whole, rows_of, file))
        kept[name] = _copy(whole, np.array(list(rows), np.int64))
        used.update(image.path for image in kept[name].images)
    left = len({image.path for image in whole.images} - used)
    if left:
        reading.rows["left out"] = f"{left:,} images that are in no list"
    reading.splits = kept


def _together(splits: Sequence[SourceSplit]) -> SourceSplit:
    if not splits:
        return SplitBuilder().build()
    starts = np.cumsum([0, *(len(split.images) for split in splits)])
    return SourceSplit(
        [image for split in splits for image in split.images],
        np.concatenate([split.boxes_xyxy for split in splits]),
        np.concatenate([split.labels for split in splits]),
        np.concatenate([split.ignore for split in splits]),
        np.concatenate([split.box_image + start for split, start in zip(splits, starts, strict=False)]),
        np.concatenate([split.places for split in splits]),
    )


def _copy(whole: SourceSplit, rows: npt.NDArray[np.int64]) -> SourceSplit:
    split = replace(whole, counted=[])
    split.keep_images(rows)
    return split


def _key(path: str) -> list[str]:
    """Folders and name of a path without its suffix, in one case and Unicode form."""
    stem, suffix = os.path.splitext(path)
    stem = stem if suffix.lower() in IMAGE_SUFFIXES else path
    return [part for part in folded(stem.replace("\\", "/")).split("/") if part not in ("", ".", "..")]


def _rows(reading: Reading, whole: SourceSplit, rows_of: Mapping[str, Sequence[int]], file: Path) -> Iterator[int]:
    entries = 0
    for number, line in enumerate(read_lines(file), start=1):
        if line is None:
            message = "the line is not UTF-8 text"
            reading.problems.append(Problem(str(file), number, 0, "not-utf8", message, scope="image"))
        elif line.strip():
            entries += 1
            key = _key(line.strip())
            found = [row for row in rows_of.get(key[-1], ()) if _key(whole.images[row].path)[-len(key) :] == key]
            if not found:  # a path of another machine
                found = list(rows_of.get(key[-1], ()))
            paths = {whole.images[row].path for row in found}
            if len(paths) == 1:
                yield found[0]
            else:
                rule, message = ("ambiguous-image", f"{len(paths)} images are called {line.strip()}")
                if not paths:
                    rule, message = ("missing-image", f"no image {line.strip()} in {reading.root}")
                reading.problems.append(Problem(str(file), number, 0, rule, message, line.strip(), scope="image"))
    if not entries:
        raise DataError(f"{file} lists no image")
