"""Label Studio JSON: a list of tasks, as "JSON" or as "JSON-MIN".

    [{"id": 1, "data": {"image": "/data/upload/1/0f1e2d3c-a.jpg"},
      "annotations": [{"id": 7, "was_cancelled": false, "ground_truth": false, "updated_at": "2026-01-02T03:04:05Z",
        "result": [{"type": "rectanglelabels", "original_width": 640, "original_height": 480,
                    "value": {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0,
                              "rectanglelabels": ["cat"]}}]}]}]

    [{"id": 1, "image": "/data/upload/1/0f1e2d3c-a.jpg", "annotation_id": 7, "updated_at": "2026-01-02T03:04:05Z",
      "label": [{"x": 10, "y": 20, "width": 30, "height": 40, "rectanglelabels": ["cat"],
                 "original_width": 640, "original_height": 480}]}]

Numbers are percent of width and height; a rotation is clockwise around the corner x,y.  Predictions are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from yolopipe.errors import Problem
from yolopipe.formats.bounds import Box, bounds_of_ellipse, bounds_of_points, bounds_of_rotated
from yolopipe.formats.coco_records import Place, Problems, normal_id, shown
from yolopipe.formats.json_records import Record, read_records
from yolopipe.formats.text_lines import is_one_line

__all__ = ["StudioRegion", "StudioTask", "read_label_studio"]

_PICTURE = re.compile(r"\.(jpe?g|png|bmp|webp|tiff?|gif|jfif|heic|avif)(?:[?&#].*)?$", re.IGNORECASE)
_LABEL_KEYS = ("rectanglelabels", "polygonlabels", "ellipselabels", "labels")


class StudioRegion(NamedTuple):
    """A labelled region.

    Args:
        labels: its classes, usually one.
        box_xyxy: its bounds, fractions of width and height.
        is_upright: a rectangle that is not rotated.
    """

    labels: tuple[str, ...]
    box_xyxy: Box
    is_upright: bool


@dataclass(slots=True)
class StudioTask:
    """A task and the annotation that counts: not cancelled, ground truth before others, then the newest.

    Args:
        image: as written.
        place: where its record starts.
        split: the text under ``split`` of its data, if there is one.
        size_wh: of the image, as written; zeros where no region states it.
        annotated: whether there is an annotation that is not cancelled.
        regions: of the annotation that counts.
        left_out: results without an area or a class: choices, key points, brushes, texts, relations.
        other_annotations: the others that are not cancelled.
    """

    image: str
    place: Place
    split: str = ""
    size_wh: tuple[int, int] = (0, 0)
    annotated: bool = False
    regions: list[StudioRegion] = field(default_factory=list)
    left_out: int = 0
    other_annotations: int = 0
    rank: tuple[bool, str, int] = (False, "", 0)


class _Unusable(Exception):
    """A result that cannot be used."""

    def __init__(self, rule: str, reason: str) -> None:
        self.rule, self.reason = rule, reason


def read_label_studio(path: str | Path) -> tuple[list[StudioTask], list[Problem]]:
    """Read one file.

    Returns:
        Tasks in the order of the file, one for each id; and what is wrong with the rest: ``bad-json``,
        ``bad-record``, ``bad-box``, ``no-class-name``.

    Raises:
        DataError: it cannot be opened or is not UTF-8 text.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "a.json"
    ...     _ = file.write_text('[{"image": "a.jpg", "label": [{"x": 10, "y": 20, "width": 30, "height": 40,'
    ...                         ' "rectanglelabels": ["cat"]}]}]')
    ...     read_label_studio(file)[0][0].regions
    [StudioRegion(labels=('cat',), box_xyxy=(0.1, 0.2, 0.4, 0.6), is_upright=True)]
    """
    reader = _Reader(str(path))
    broken = read_records(path, "tasks", reader.take)
    return list(reader.tasks.values()), [*reader.problems.all, *broken]


class _Reader:
    def __init__(self, file: str) -> None:
        self.problems = Problems(file)
        self.tasks: dict[object, StudioTask] = {}

    def take(self, record: Record) -> None:
        """One task, or one annotation of it where each has a record (JSON-MIN)."""
        place, value = Place(record.line, record.column), record.value
        if not isinstance(value, dict):
            self.problems.add(place, "bad-record", f"expected a task, found {shown(value)}", "image")
            return
        is_full = isinstance(value.get("data"), dict)
        image = _image_of(value["data"] if is_full else value)
        if not image:
            self.problems.add(
                place, "bad-record", f"task {shown(value.get('id'))}: expected one image, found none", "image"
            )
            return
        annotations = _annotations(value) if is_full else [_annotation_of_min(value)]
        split = value["data"].get("split") if is_full else None
        task = StudioTask(image, place, split if isinstance(split, str) else "")
        usable = [annotation for annotation in annotations if not annotation.get("was_cancelled")]
        for annotation in sorted(usable, key=_rank)[-1:]:
            task.annotated, task.rank, task.other_annotations = True, _rank(annotation), len(usable) - 1
            self._results(task, annotation.get("result"))
        key = normal_id(value.get("id"))
        self._merge(len(self.tasks) if key is None else (key, image), task)

    def _merge(self, key: object, task: StudioTask) -> None:
        before = self.tasks.get(key)
        if before is not None:
            others = before.other_annotations + task.other_annotations + (before.annotated and task.annotated)
            task = max(before, task, key=lambda one: (one.annotated, one.rank))
            task.other_annotations = others
        self.tasks[key] = task

    def _results(self, task: StudioTask, results: Any) -> None:
        if not isinstance(results, list):
            self.problems.add(
                task.place, "bad-record", f"expected a list of results, found {shown(results)}", "image"
            )
            return
        labelled = {one.get("id") for one in results if isinstance(one, dict) and _labels_key(one)}
        for number, result in enumerate(results, start=1):
            try:
                region = self._region(task, result)
            except _Unusable as error:
                message = f"{task.image}, result {number}: {error.reason}"
                self.problems.add(task.place, error.rule, message, "box")
            else:
                if region is not None:
                    task.regions.append(region)
                elif result.get("id") is None or result["id"] not in labelled:
                    self._left_out(task, result)

    def _left_out(self, task: StudioTask, result: Mapping[str, Any]) -> None:
        """A result without a box or without a class; a rectangle and its labels may be two results of one id."""
        value = result.get("value", result)
        if isinstance(value, dict) and {"x", "y", "width", "height"} <= value.keys():
            self.problems.add(task.place, "no-class-name", f"{task.image}: a rectangle without labels", "box")
        else:
            task.left_out += 1

    def _region(self, task: StudioTask, result: Any) -> StudioRegion | None:
        if not isinstance(result, dict):
            raise _Unusable("bad-record", f"expected a result, found {shown(result)}")
        key, value = _labels_key(result), result.get("value", result)
        if key is None:
            return None
        size = result.get("original_width"), result.get("original_height")
        if all(type(number) is int and 0 < number < 2**31 for number in size):
            task.size_wh = (size[0], size[1])  # type: ignore[assignment]
        shape = next((_SHAPES[name] for name in _SHAPES if name in value), None)
        if shape is None:
            return None
        box_xyxy, upright = shape(value, task.size_wh)
        return StudioRegion(tuple(_labels(value[key])), box_xyxy, upright)


def _image_of(data: Mapping[str, Any]) -> str:
    """The value that is the path or the address of a picture; ``image`` before others."""
    texts = {key: value for key, value in data.items() if isinstance(value, str) and value.strip()}
    if "image" in texts:
        return texts["image"]
    found = [value for value in texts.values() if _PICTURE.search(value)]
    return found[0] if len(found) == 1 else ""


def _annotations(task: Mapping[str, Any]) -> list[Any]:
    found = task.get("annotations", task.get("completions"))  # completions: Label Studio before 1.0
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _annotation_of_min(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record as an annotation: its results are all its lists of objects."""
    results = [
        one for value in record.values() if isinstance(value, list) for one in value if not isinstance(one, str)
    ]
    return {**record, "result": results}


def _rank(annotation: Mapping[str, Any]) -> tuple[bool, str, int]:
    when = annotation.get("updated_at") or annotation.get("created_at")
    number = normal_id(annotation.get("annotation_id", annotation.get("id")))
    text = when if isinstance(when, str) else ""
    return bool(annotation.get("ground_truth")), text, number if isinstance(number, int) else 0


def _labels_key(result: Mapping[str, Any]) -> str | None:
    value = result.get("value", result)
    return next((key for key in _LABEL_KEYS if key in value), None) if isinstance(value, dict) else None


def _labels(labels: Any) -> Iterator[str]:
    names = labels if isinstance(labels, list) and labels else [None]
    for name in names:
        if not isinstance(name, str) or not is_one_line(name):
            raise _Unusable("no-class-name", f"expected labels of one line, found {shown(labels)}")
        yield name.strip()


def _numbers(value: Mapping[str, Any], *keys: str) -> list[float]:
    for key in keys:
        number = value.get(key)
        if type(number) not in (int, float) or not abs(number) < 1e9:  # type: ignore[arg-type]
            raise _Unusable("bad-box", f"expected a percentage in {key!r}, found {shown(number)}")
    return [float(value[key]) for key in keys]


def _rotation(value: Mapping[str, Any], size_wh: Sequence[int]) -> float:
    degrees = _numbers(value, "rotation")[0] if value.get("rotation") else 0.0
    if degrees % 360 and 0 in size_wh:
        raise _Unusable("bad-box", "a rotated region needs 'original_width' and 'original_height'")
    return degrees


def _rectangle(value: Mapping[str, Any], size_wh: Sequence[int]) -> tuple[Box, bool]:
    x, y, width, height = _numbers(value, "x", "y", "width", "height")
    if width < 0 or height < 0:
        raise _Unusable("bad-box", f"the negative size {width:g} x {height:g}")
    degrees = _rotation(value, size_wh)
    # Rounded where decimals of percent end: 10 + 20 % of 640 px is 192, not 192.00000000000003.
    corners = tuple(round(number, 12) for number in (x, y, x + width, y + height))
    if degrees % 360 == 0:
        return _fractions(corners), True
    return _rotated(corners, degrees, corners[:2], size_wh), False


def _ellipse(value: Mapping[str, Any], size_wh: Sequence[int]) -> tuple[Box, bool]:
    x, y, rx, ry = _numbers(value, "x", "y", "radiusX", "radiusY")
    degrees = _rotation(value, size_wh)
    if degrees % 360 == 0:
        return _fractions(bounds_of_ellipse((x, y), (rx, ry))), False
    width, height = size_wh
    bounds = bounds_of_ellipse((x * width, y * height), (rx * width, ry * height), degrees)
    return _fractions([bound / side for bound, side in zip(bounds, (width, height) * 2, strict=True)]), False


def _polygon(value: Mapping[str, Any], size_wh: Sequence[int]) -> tuple[Box, bool]:
    points = value["points"]
    good = isinstance(points, list) and all(isinstance(point, list) and len(point) == 2 for point in points)
    if not good or not points:
        raise _Unusable("bad-box", f"expected a list of points, found {shown(points)}")
    pairs = [_numbers({"x": x, "y": y}, "x", "y") for x, y in points]
    return _fractions(bounds_of_points(pairs)), False


def _fractions(percent: Sequence[float]) -> Box:
    x1, y1, x2, y2 = (number / 100 for number in percent)
    return x1, y1, x2, y2


def _rotated(corners: Sequence[float], degrees: float, pivot: Sequence[float], size_wh: Sequence[int]) -> Box:
    """Bounds of a rotated rectangle; the rotation is that of pixels, not of percent."""
    width, height = size_wh
    pixels = [number * side for number, side in zip(corners, (width, height) * 2, strict=True)]
    bounds = bounds_of_rotated(pixels, degrees, (pivot[0] * width, pivot[1] * height))
    return _fractions([bound / side for bound, side in zip(bounds, (width, height) * 2, strict=True)])


_SHAPES: dict[str, Callable[[Mapping[str, Any], Sequence[int]], tuple[Box, bool]]] = {
    "points": _polygon,
    "radiusX": _ellipse,
    "width": _rectangle,
}
"""Shapes by a key that only they have; key points have a ``width`` too, but none of the keys of labels above."""
