"""Checks of the inputs that ``params.yaml`` names under ``data``.

Only the first lines and images are read; ``parse`` reads all.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from yolopipe import paths
from yolopipe.config.params import Data
from yolopipe.config.params_file import ParamsFile
from yolopipe.errors import DataError, ImageError
from yolopipe.formats.annotation_line import BLANKS, is_comment
from yolopipe.formats.annotation_text import Annotation, parse_annotation
from yolopipe.formats.class_names import read_class_names, undefined_class
from yolopipe.formats.text_lines import read_lines
from yolopipe.imaging.images import read_header
from yolopipe.project.check_rows import CheckRow, class_list, ok

__all__ = ["check_inputs", "uses_sample"]

FIRST_LINES, FIRST_IMAGES = 200, 10
MOST_NAMED = 3
"""Mistakes listed for one file; ``parse`` lists all."""


def uses_sample(data: Data) -> bool:
    """Whether ``data`` names the embedded data.

    >>> uses_sample(Data(train="data/sample/train.txt", val="v.txt", classes="c", images="i"))
    True
    """
    root = os.path.join(os.path.abspath(paths.SAMPLE), "")
    return any(os.path.abspath(path).startswith(root) for path in data.model_dump().values())


def check_inputs(params: ParamsFile, data: Data) -> list[CheckRow]:
    """Check ``data.train``, ``data.val``, ``data.classes`` and ``data.images``: a row each, or one for each mistake.

    Args:
        params: for the line of each key.
        data: its section ``data``, valid.
    """
    inputs = _Inputs(params, data, uses_sample(data) and (paths.SAMPLE / "dvc.yaml").is_file())
    names, rows = inputs.class_names()
    rows += inputs.images()
    for split in ("train", "val"):
        rows += inputs.annotations(split, len(names))
    if os.path.abspath(data.train) == os.path.abspath(data.val):
        advice = "list images that are not trained on: scores on training images are meaningless"
        rows.append(inputs.row("val", "data.train and data.val are the same file", advice))
    return rows


@dataclass(frozen=True)
class _Inputs:
    params: ParamsFile
    data: Data
    made_by_dvc: bool
    """By the stage of the embedded data."""

    def row(self, key: str, result: str, advice: str) -> CheckRow:
        return CheckRow(f"data.{key}", f"{self.params.place('data', key)}: {result}", "error", advice)

    def missing(self, key: str, there: Callable[[Path], bool], what: str) -> list[CheckRow]:
        path = Path(getattr(self.data, key))
        if there(path):
            return []
        if self.made_by_dvc and not path.exists():
            return [ok(f"data.{key}", f"{path} does not exist yet; dvc repro makes it")]
        return [self.row(key, f"no {what} {path} in {Path.cwd()}", f"fix data.{key}, or put the {what} there")]

    def class_names(self) -> tuple[tuple[str, ...], list[CheckRow]]:
        missing = self.missing("classes", Path.is_file, "file")
        if missing:
            return (), missing
        try:
            names = read_class_names(self.data.classes)
        except DataError as error:
            return (), [
                CheckRow("data.classes", error.message, "error", error.hint or "one name a line, each name once")
            ]
        return names, [ok("data.classes", f"{len(names)} class{'es' * (len(names) > 1)}: {class_list(names)}")]

    def images(self) -> list[CheckRow]:
        folder = self.data.images
        return self.missing("images", Path.is_dir, "folder") or [ok("data.images", f"{folder} is a folder")]

    def annotations(self, split: str, classes: int) -> list[CheckRow]:
        missing = self.missing(split, Path.is_file, "file")
        if missing:
            return missing
        name, file = f"data.{split}", getattr(self.data, split)
        try:
            found = list(itertools.islice(_first_lines(file), FIRST_LINES))
        except DataError as error:
            return [CheckRow(name, error.message, "error", error.hint or "annotation text is UTF-8 text")]
        if not found:
            return [self.row(split, f"{file} lists no image", "one image a line: path x1,y1,x2,y2,class ...")]
        lines = [(place, line) for place, line in found if isinstance(line, Annotation)]
        wrong = [f"{place}: {line}" for place, line in found if isinstance(line, str)]
        wrong += _class_mistakes(lines, classes) if classes else []
        wrong += _image_mistakes(lines[:FIRST_IMAGES])
        rows = [*_named(name, wrong), *self._outside(name, lines)]
        looked_at = f"first {len(lines)} lines and {min(len(lines), FIRST_IMAGES)} images"
        return rows or [ok(name, f"{file}: {looked_at} are readable")]

    def _outside(self, name: str, lines: Iterable[tuple[str, Annotation]]) -> list[CheckRow]:
        folder = self.data.images
        roots = tuple(os.path.join(root, "") for root in {os.path.abspath(folder), os.path.realpath(folder)})
        outside = [(at, line) for at, line in lines if not os.path.abspath(line.image_path).startswith(roots)]
        if not outside:
            return []
        place, line = outside[0]
        advice = "under data.images, enter the folder that contains all images"
        result = (
            f"{place}: {line.image_path} is not below data.images ({folder}): DVC would not notice when it changes"
        )
        return [CheckRow(name, result, "warning", advice)]


def _named(name: str, wrong: list[str]) -> Iterator[CheckRow]:
    for text in wrong[:MOST_NAMED]:
        yield CheckRow(name, text, "error", "fix it; yolopipe parse lists all mistakes")
    if len(wrong) > MOST_NAMED:
        yield CheckRow(
            name, f"and {len(wrong) - MOST_NAMED} more in the first {FIRST_LINES} lines", "error", "yolopipe parse"
        )


def _first_lines(file: str) -> Iterator[tuple[str, Annotation | str]]:
    """Place and content of each line except comments; for a bad line its mistake instead."""
    for number, line in enumerate(read_lines(file), start=1):
        if line is None:
            yield f"{file}:{number}", "the line is not UTF-8 text"
        elif line.strip(BLANKS) and not is_comment(line):
            try:
                yield f"{file}:{number}", parse_annotation(line)
            except DataError as error:
                yield f"{file}:{number}", error.message


def _class_mistakes(lines: Iterable[tuple[str, Annotation]], classes: int) -> list[str]:
    return [
        f"{place}: {undefined_class(int(box[4]), classes)}"
        for place, line in lines
        for box in line.bboxes
        if not 0 <= box[4] < classes
    ]


def _image_mistakes(lines: Iterable[tuple[str, Annotation]]) -> list[str]:
    wrong = []
    for place, line in lines:
        try:
            read_header(line.image_path, folder=Path.cwd())
        except ImageError as error:
            wrong.append(f"{place}: {error.message}")
    return wrong
