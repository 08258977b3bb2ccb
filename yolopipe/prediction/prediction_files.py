"""``predictions.json``, ``predictions.csv`` and ``coco.json``, written picture by picture.

Memory does not follow the number of pictures, and whatever ends a run, the files hold what was found until then.
While a run works they are called ``.partial-predictions.json`` and so on, and are complete after each picture: a run
that is killed (``kill -9``, loss of power) leaves them so, with ``"complete": false``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from yolopipe.errors import ImageError
from yolopipe.prediction.coco_ids import CocoIds
from yolopipe.prediction.growing_file import GrowingFile
from yolopipe.prediction.records import (
    CSV_HEADER,
    PictureResult,
    coco_records,
    csv_lines,
    frame_record,
    image_record,
    video_head,
)

__all__ = ["PredictionFiles"]


class PredictionFiles:
    """The lists of results of one run; no file is made before the first picture.

    Args:
        json_file: the path of ``predictions.json``.
        facts: of the run, in plain JSON types; they come first in ``predictions.json``.
        csv_file: the path of ``predictions.csv``; None writes none.
        coco_file: the path of ``coco.json``; None writes none.
        ids: of images and classes in ``coco.json``.
        image_ids: there, of each image that was named; empty where they count from 1.
    """

    def __init__(
        self,
        json_file: Path,
        facts: Mapping[str, Any],
        *,
        csv_file: Path | None = None,
        coco_file: Path | None = None,
        ids: CocoIds | None = None,
        image_ids: Sequence[Any] = (),
    ) -> None:
        self.images = self.images_without_detections = self.frames = 0
        self.per_class: Counter[str] = Counter()
        self.problems: list[tuple[str, ImageError]] = []
        self._json = _DocumentFile(json_file, facts)
        self._csv = None if csv_file is None else _CsvFile(csv_file)
        self._coco = None if coco_file is None else _CocoFile(coco_file, ids or CocoIds(), image_ids)

    @property
    def pictures(self) -> int:
        """Images and frames so far."""
        return self.images + self.frames

    def add(self, result: PictureResult) -> None:
        """Write the result of a picture: images first, then the frames of one video after the other.

        Raises:
            OSError: the disk is full, for instance; the files are then as they were, and can be closed.
        """
        for file in self._files():
            file.add(result)
        if result.of_video:
            self.frames += 1
        else:
            self.images += 1
            self.images_without_detections += not len(result.found)
        self.per_class.update(result.found.names)

    def add_problem(self, path: str, error: ImageError) -> None:
        """Note that an image or video cannot be read, or not to its end; written when the files are closed."""
        self.problems.append((path, error))

    def close(self, *, complete: bool, interrupted: bool) -> None:
        """Give the files their names, or remove them when not one picture came.

        Args:
            complete: the run came to its end; ``predictions.json`` says so when there was no problem either.
            interrupted: Ctrl-C or SIGTERM ended it.

        Raises:
            OSError: the disk is full, for instance.  The files have their names and their pictures all the same, and
                ``predictions.json`` says that it is not complete.
        """
        with ExitStack() as stack:
            for file in self._files():
                stack.callback(file.close, keep=self.pictures > 0)
            if self.pictures:
                problems = [{"path": path, "rule": e.rule, "message": e.message} for path, e in self.problems]
                self._json.conclude(problems, complete=complete and not problems, interrupted=interrupted)

    def _files(self) -> list[_ResultsFile]:
        return [file for file in (self._json, self._csv, self._coco) if file is not None]


class _ResultsFile:
    """A list of results; the file is made with the first."""

    def __init__(self, path: Path, *, head: str) -> None:
        self._path, self._head = path, head
        self._file: GrowingFile | None = None

    def add(self, result: PictureResult) -> None:
        raise NotImplementedError

    def write(self, text: str, *, ending: str = "") -> None:
        if self._file is None:
            self._file = GrowingFile(self._path)
            text = self._head + text
        self._file.write(text, ending=ending)

    def close(self, *, keep: bool) -> None:
        if self._file is not None:
            (self._file.close if keep else self._file.discard)()


class _CsvFile(_ResultsFile):
    def __init__(self, path: Path) -> None:
        super().__init__(path, head=CSV_HEADER)

    def add(self, result: PictureResult) -> None:
        self.write(csv_lines(result))


class _CocoFile(_ResultsFile):
    def __init__(self, path: Path, ids: CocoIds, image_ids: Sequence[Any]) -> None:
        super().__init__(path, head="[")
        self._ids, self._image_ids = ids, image_ids
        self._separator = "\n"

    def add(self, result: PictureResult) -> None:
        records = []
        if not result.of_video:
            image_id = self._image_ids[result.number - 1] if self._image_ids else result.number
            records = coco_records(result, self._ids, image_id)
        self.write((self._separator if records else "") + ",\n".join(records), ending="\n]\n")
        if records:
            self._separator = ",\n"


class _DocumentFile(_ResultsFile):
    """``predictions.json``: each key, picture and frame on a line of its own."""

    def __init__(self, path: Path, facts: Mapping[str, Any]) -> None:
        lines = "".join(f"{json.dumps(key)}: {_json(value)},\n" for key, value in facts.items())
        super().__init__(path, head="{\n" + lines + '"images": [')
        self._separator, self._video = "\n", ""
        self._close_lists = '\n],\n"videos": []'

    def add(self, result: PictureResult) -> None:
        if not result.of_video:
            self._append(self._separator + image_record(result), self._close_lists)
            self._separator = ",\n"
        elif result.path == self._video:
            self._append(",\n" + frame_record(result), self._close_lists)
        else:
            between = "\n]},\n" if self._video else '\n],\n"videos": [\n'
            self._append(between + video_head(result) + "\n" + frame_record(result), "\n]}\n]")
            self._video = result.path

    def conclude(self, problems: Sequence[Mapping[str, str]], *, complete: bool, interrupted: bool) -> None:
        self._append("", self._close_lists, _conclusion(problems, complete=complete, interrupted=interrupted))

    def _append(self, text: str, close_lists: str, conclusion: str | None = None) -> None:
        self.write(text, ending=f"{close_lists},\n{conclusion or _conclusion()}")
        self._close_lists = close_lists


def _conclusion(
    problems: Sequence[Mapping[str, str]] = (), *, complete: bool = False, interrupted: bool = False
) -> str:
    lines = ",".join(f"\n{_json(problem)}" for problem in problems)
    listed = f"[{lines}\n]" if problems else "[]"
    return f'"problems": {listed},\n"complete": {_json(complete)},\n"interrupted": {_json(interrupted)}\n}}\n'


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
