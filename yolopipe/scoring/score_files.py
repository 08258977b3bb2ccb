"""COCO's two files, truth and predictions, as arrays: ids of any kind, every fault named by its place in the list.

Ids of annotations are not used, so it does no harm that they start at 0, are doubled or missing.  Ids of images and
categories may be whole numbers or text; ``"139"`` and ``139`` are the same id, since programs mix them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from yolopipe.errors import DataError, Problem, ProblemsError
from yolopipe.scoring.scores import Detections, Truth

__all__ = ["ScoreFiles", "read_score_files"]

LARGEST = 1e9
"""Beyond this a number of pixels or a score is taken for a fault; NaN and infinity are too."""

Fault = tuple[str, str]
Numbers = Mapping[Any, int]


@dataclass(frozen=True)
class ScoreFiles:
    """What the two files hold, images and classes numbered from 0 in the order of their ids.

    Args:
        truth: annotated boxes.
        detections: found boxes.
        class_names: by class number.
        images: how many images the truth lists.
    """

    truth: Truth
    detections: Detections
    class_names: tuple[str, ...]
    images: int


def read_score_files(predictions: str | Path, truth: str | Path) -> ScoreFiles:
    """Read a pair of files.

    Args:
        predictions: a list of objects with ``image_id``, ``category_id``, ``bbox`` (x, y, width, height) and
            ``score``, or an object that holds this list under ``annotations``.
        truth: an object with ``images``, ``annotations`` and ``categories``; an annotation may have ``area``,
            ``iscrowd`` and ``difficult``.

    Returns:
        Their content.

    Raises:
        DataError: a file is missing, no JSON, or of another form as a whole.
        ProblemsError: single entries are wrong; all are listed.
    """
    images, annotations, categories = _truth_lists(Path(truth))
    found = _predictions_list(Path(predictions))
    problems: list[Problem] = []
    image_numbers = _numbers(str(truth), "image", images, problems)
    class_numbers = _numbers(str(truth), "category", categories, problems)
    class_names = _class_names(str(truth), categories, class_numbers, problems)
    checks = {
        "image_id": _known(image_numbers, "image"),
        "category_id": _known(class_numbers, "category"),
        "bbox": _box_fault,
    }
    marks = {"area": _area_fault, "iscrowd": _flag_fault, "difficult": _flag_fault}
    problems += _problems(str(truth), "annotation", annotations, checks, marks)
    problems += _problems(str(predictions), "prediction", found, {**checks, "score": _number_fault}, {})
    if problems:
        raise ProblemsError(
            _count(problems), problems, hint="mend the files; one wrong entry makes every score wrong"
        )
    return ScoreFiles(
        _truth(annotations, image_numbers, class_numbers),
        _detections(found, image_numbers, class_numbers),
        class_names,
        len(images),
    )


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror} (looked in {Path.cwd()})") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not UTF-8 text (byte {error.start})") from None
    except json.JSONDecodeError as error:
        raise DataError(f"{file}:{error.lineno}:{error.colno}: not valid JSON: {error.msg}") from None
    except (RecursionError, ValueError) as error:  # a tower of brackets, a number of thousands of digits
        raise DataError(f"{file}: not a COCO file: {error}") from None


def _truth_lists(file: Path) -> list[list[Any]]:
    tree = _read_json(file)
    wanted = ("images", "annotations", "categories")
    if not isinstance(tree, dict):
        hint = "did you swap --truth and --predictions?" if isinstance(tree, list) else None
        raise DataError(f"{file}: expected an object with {', '.join(wanted)}, found {_shown(tree)}", hint=hint)
    lacking = [name for name in wanted if not isinstance(tree.get(name), list)]
    if lacking:
        has = ", ".join(map(str, tree)) or "nothing"
        raise DataError(f"{file}: expected a list under each of {', '.join(lacking)}; it has {has}")
    return [tree[name] for name in wanted]


def _predictions_list(file: Path) -> list[Any]:
    tree = _read_json(file)
    found = tree.get("annotations") if isinstance(tree, dict) else tree
    if not isinstance(found, list):
        raise DataError(f"{file}: expected a list of predictions, found {_shown(tree)}")
    return found


def _numbers(file: str, what: str, entries: Sequence[Any], problems: list[Problem]) -> dict[Any, int]:
    """The number of each id, whole numbers first, both as they are and as text."""
    ids: dict[int | str, int] = {}
    for place, entry in enumerate(entries):
        value = _id(entry.get("id")) if isinstance(entry, dict) else None
        if value is None:
            message = f"{what} {place}: expected an object whose id is a whole number or text, found {_shown(entry)}"
            problems.append(Problem(file, 0, 0, "bad-id", message))
        elif value in ids:
            message = f"{what} {place}: id {value!r} is that of {what} {ids[value]} too"
            problems.append(Problem(file, 0, 0, "double-id", message))
        else:
            ids[value] = place
    ordered = sorted(ids, key=lambda value: (isinstance(value, str), value))
    return {form: number for number, value in enumerate(ordered) for form in (value, str(value))}


def _id(value: Any) -> int | str | None:
    if isinstance(value, str):
        is_number = value.isascii() and value.isdigit() and len(value) < 19 and str(int(value)) == value
        return int(value) if is_number else value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _class_names(file: str, categories: Sequence[Any], numbers: Numbers, problems: list[Problem]) -> tuple[str, ...]:
    """By class number; the id where a category has no name."""
    names: dict[str, int] = {}
    for category in categories:
        value = _id(category.get("id")) if isinstance(category, dict) else None
        if value is None:
            continue
        name = _printable(str(category.get("name", value)))
        if names.setdefault(name, numbers[value]) != numbers[value]:
            problems.append(Problem(file, 0, 0, "double-name", f"two categories are called {name!r}"))
    return tuple(sorted(names, key=names.__getitem__))


def _problems(
    file: str,
    what: str,
    entries: Sequence[Any],
    wanted: Mapping[str, Callable[[Any], Fault | None]],
    allowed: Mapping[str, Callable[[Any], Fault | None]],
) -> list[Problem]:
    checks = {**wanted, **allowed}
    problems = []
    for place, entry in enumerate(entries):
        if isinstance(entry, dict):
            faults = [("missing-key", f"{key!r} is missing") for key in wanted if key not in entry]
            faults += [fault for key, check in checks.items() if key in entry and (fault := check(entry[key]))]
        else:
            faults = [("not-an-object", f"expected an object, found {_shown(entry)}")]
        image = _printable(str(entry.get("image_id", ""))) if faults and isinstance(entry, dict) else ""
        problems += [Problem(file, 0, 0, rule, f"{what} {place}: {text}", image) for rule, text in faults]
    return problems


def _known(numbers: Numbers, what: str) -> Callable[[Any], Fault | None]:
    def fault(value: Any) -> Fault | None:
        if type(value) in (int, str, float) and value in numbers:
            return None
        return f"unknown-{what}", f"the truth lists no {what} with the id {_shown(value)}"

    return fault


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and -LARGEST < value < LARGEST  # no bool, and neither NaN nor infinity


def _number_fault(value: Any) -> Fault | None:
    return None if _is_number(value) else ("bad-score", f"the score should be a finite number, found {_shown(value)}")


def _box_fault(value: Any) -> Fault | None:
    if type(value) is list and len(value) == 4 and all(map(_is_number, value)) and value[2] >= 0 and value[3] >= 0:
        return None
    expected = "x, y, width and height, finite and no size below 0"
    return "bad-box", f"the bbox should be four numbers, {expected}, found {_shown(value)}"


def _area_fault(value: Any) -> Fault | None:
    if type(value) in (int, float) and 0 <= value < LARGEST**2:
        return None
    return "bad-area", f"the area should be a finite number of at least 0, found {_shown(value)}"


def _flag_fault(value: Any) -> Fault | None:
    if isinstance(value, bool | int) and value in (0, 1):
        return None
    return "bad-flag", f"iscrowd and difficult should be 0 or 1, found {_shown(value)}"


def _shown(value: Any) -> str:
    text = _printable(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= 60 else f"{text[:57]}..."


def _printable(text: str) -> str:
    """JSON can hold halves of characters, which no terminal and no file takes."""
    return text.encode("utf-8", "backslashreplace").decode()


def _count(problems: Sequence[Problem]) -> str:
    rules = Counter(problem.rule for problem in problems)
    parts = ", ".join(f"{count:,} {rule}" for rule, count in sorted(rules.items()))
    return f"{len(problems):,} problem{'s' if len(problems) > 1 else ''} ({parts}); nothing was scored"


def _truth(entries: Sequence[Any], images: Numbers, classes: Numbers) -> Truth:
    boxes_xyxy, sizes_wh = _boxes(entries)
    areas = [
        entry.get("area", width * height) for entry, (width, height) in zip(entries, sizes_wh.tolist(), strict=True)
    ]
    crowd, difficult = (
        np.array([entry.get(mark, 0) for entry in entries], bool) for mark in ("iscrowd", "difficult")
    )
    return Truth(
        _renumbered(entries, "image_id", images),
        boxes_xyxy,
        _renumbered(entries, "category_id", classes),
        sizes_wh=sizes_wh,
        area=np.array(areas, np.float64),
        crowd=crowd,
        difficult=difficult,
    )


def _detections(entries: Sequence[Any], images: Numbers, classes: Numbers) -> Detections:
    boxes_xyxy, sizes_wh = _boxes(entries)
    scores = np.array([entry["score"] for entry in entries], np.float64)
    image, category = _renumbered(entries, "image_id", images), _renumbered(entries, "category_id", classes)
    return Detections(image, boxes_xyxy, scores, category, sizes_wh=sizes_wh)


def _renumbered(entries: Sequence[Any], key: str, numbers: Numbers) -> npt.NDArray[np.int64]:
    return np.array([numbers[entry[key]] for entry in entries], np.int64)


def _boxes(entries: Sequence[Any]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(N, 4) corners and (N, 2) width and height."""
    boxes_xywh = np.array([entry["bbox"] for entry in entries], np.float64).reshape(-1, 4)
    corner, sizes_wh = boxes_xywh[:, :2], boxes_xywh[:, 2:]
    return np.concatenate([corner, corner + sizes_wh], axis=1), sizes_wh
