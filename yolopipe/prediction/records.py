"""What was found as JSON, CSV and COCO's list of results.

Numbers are written as the shortest decimals that give the same float32 back.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yolopipe.detection.detector import ImagePrediction
from yolopipe.errors import DataError

__all__ = ["CocoIds", "Looked", "coco_results", "csv_text", "document", "document_text", "read_coco_ids"]


@dataclass(frozen=True)
class Looked:
    """One picture that was looked at.

    Args:
        path: of the image or video, as given; ``camera 0`` for a camera.
        number: of an image among all that were to be looked at, from 1, the unreadable ones included; of a frame in
            its video, from 0.
        found: what was found.
        of_video: it is a frame.
    """

    path: str
    number: int
    found: ImagePrediction
    of_video: bool = False


def _numbers(found: ImagePrediction) -> Iterator[tuple[str, float, list[float]]]:
    """Class name, score and box of each detection."""
    for name, score, box in zip(found.names, found.scores, found.boxes_xyxy, strict=True):
        yield name, float(str(score)), [float(str(side)) for side in box]


def _detections(found: ImagePrediction) -> list[dict[str, Any]]:
    return [{"class": name, "score": score, "box_xyxy": box} for name, score, box in _numbers(found)]


def document(looked: Sequence[Looked], drawn: Mapping[str, str], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that was found, as plain JSON types.

    Args:
        looked: pictures in order, frames of a video together.
        drawn: what was drawn of each path, by path.
        facts: of the run; they come first.
    """
    images: list[dict[str, Any]] = []
    videos: dict[str, dict[str, Any]] = {}
    for one in looked:
        width, height = one.found.size_wh
        head = {"width": width, "height": height, **({"drawn": drawn[one.path]} if one.path in drawn else {})}
        if one.of_video:
            video = videos.setdefault(one.path, {"video": one.path, **head, "frames": []})
            video["frames"].append({"frame": one.number, "detections": _detections(one.found)})
        else:
            images.append({"image": one.path, "id": one.number, **head, "detections": _detections(one.found)})
    return {**facts, "images": images, "videos": list(videos.values())}


def document_text(values: Mapping[str, Any]) -> str:
    """A document as JSON: a key, and a picture or video, a line; equal documents give equal text.

    >>> print(document_text({"complete": True, "images": [{"id": 1}, {"id": 2}]}), end="")
    {
    "complete": true,
    "images": [
    {"id": 1},
    {"id": 2}
    ]
    }
    """
    return "{\n" + ",\n".join(f"{json.dumps(key)}: {_lines(value)}" for key, value in values.items()) + "\n}\n"


def _lines(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n" + ",\n".join(json.dumps(one, ensure_ascii=False) for one in value) + "\n]"
    return json.dumps(value, ensure_ascii=False)


def csv_text(looked: Sequence[Looked]) -> str:
    """One line a detection; pictures without any have none.

    >>> csv_text([])
    'image,frame,class,score,x1,y1,x2,y2\\n'
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "frame", "class", "score", "x1", "y1", "x2", "y2"])
    for one in looked:
        frame = one.number if one.of_video else ""
        writer.writerows([one.path, frame, name, score, *box] for name, score, box in _numbers(one.found))
    return text.getvalue()


@dataclass(frozen=True)
class CocoIds:
    """The ids that a COCO file of truth has for images and classes.

    Args:
        file: it, for messages.
        images: id by file name.
        categories: id by class name.
    """

    file: str = ""
    images: Mapping[str, Any] = field(default_factory=dict)
    categories: Mapping[str, Any] = field(default_factory=dict)

    def image(self, path: str, number: int) -> Any:
        """The id of an image: that of its path, else of the one file name that the path ends with, or the reverse."""
        if not self.file:
            return number
        given, path = path, _tidy(path)
        if path in self.images:
            return self.images[path]
        near = [name for name in self.images if _ends_with(path, name) or _ends_with(name, path)]
        if len(near) == 1:
            return self.images[near[0]]
        many = f"is {len(near)} images there: {', '.join(near[:3])}" if near else "is not there"
        raise DataError(
            f"{self.file}: expected the id of {given}, but it {many}",
            hint="name the images that the file lists, or the annotation text that it was made from",
        )

    def category(self, name: str, number: int) -> Any:
        """The id of a class; without a file, its number from 1."""
        return self.categories[name] if self.file else number + 1


def _tidy(path: str) -> str:
    return Path(os.path.normpath(path)).as_posix()


def _ends_with(path: str, end: str) -> bool:
    return path == end or path.endswith("/" + end)


def read_coco_ids(file: str | Path, class_names: Sequence[str]) -> CocoIds:
    """The ids of a COCO file of annotations.

    Args:
        file: with ``images`` (``id``, ``file_name``) and ``categories`` (``id``, ``name``).
        class_names: those that may be found; each must be there.

    Raises:
        DataError: the file cannot be read, is of another form, or lacks a class.
    """
    try:
        tree = json.loads(Path(file).read_text(encoding="utf-8-sig"))
        images = {_tidy(image["file_name"]): image["id"] for image in tree["images"]}
        categories = {category["name"]: category["id"] for category in tree["categories"]}
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{file}: expected COCO's annotations, with images (id, file_name) and categories (id, name): {error!r}"
        ) from None
    lacking = [name for name in class_names if name not in categories]
    if lacking:
        raise DataError(
            f"{file} has no category {', '.join(lacking)}; it has {', '.join(map(str, categories))}",
            hint="leave classes out with --classes",
        )
    return CocoIds(str(file), images, categories)


def coco_results(looked: Sequence[Looked], ids: CocoIds) -> str:
    """COCO's list of results, one a line; frames of videos have no place in it.

    Raises:
        DataError: an image has no id in the file that was named.
    """
    lines = []
    for one in looked:
        if one.of_video:
            continue
        image_id = ids.image(one.path, one.number)
        for (name, score, (x1, y1, x2, y2)), number in zip(_numbers(one.found), one.found.classes, strict=True):
            result = {
                "image_id": image_id,
                "category_id": ids.category(name, int(number)),
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "score": score,
            }
            lines.append(json.dumps(result, ensure_ascii=False))
    return "[" + ",".join(f"\n{line}" for line in lines) + "\n]\n"
