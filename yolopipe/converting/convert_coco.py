"""COCO JSON writer: ``annotations/instances_SPLIT.json``, one file a split and one record a line.

Ids count from 1, since 0 means "unmatched" to COCO's own evaluator.  File names are the paths of the annotation text,
so they are relative to the project folder.  Read back by ``import coco``, boxes are the same to the last bit.  Boxes
to be ignored are crowds; one of any class is a crowd of each class, which COCO's evaluator scores the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path

from yolopipe.converting.splits import TextSplit
from yolopipe.formats.annotation_line import number_text
from yolopipe.formats.coco_records import bbox_text

__all__ = ["write"]


def write(splits: Mapping[str, TextSplit], names: Sequence[str], partial: Path, final: Path) -> str:
    """Write all splits; see :class:`~yolopipe.converting.convert_formats.ConvertFormat`."""
    (partial / "annotations").mkdir()
    for name, split in splits.items():
        file = partial / "annotations" / f"instances_{name}.json"
        with file.open("w", encoding="utf-8", newline="\n") as stream:
            stream.writelines(_document(split, names))
    files = ", ".join(f"instances_{name}.json" for name in splits)
    return f"{final}/annotations: {files}"


def _document(split: TextSplit, names: Sequence[str]) -> Iterator[str]:
    categories = (json.dumps({"id": n, "name": name}, ensure_ascii=False) for n, name in enumerate(names, start=1))
    lists = {"images": _images(split), "annotations": _annotations(split, len(names)), "categories": categories}
    start = "{"
    for key, records in lists.items():
        yield f'{start}"{key}": ['
        yield from _lines(records)
        start = "\n],\n"
    yield "\n]}\n"


def _lines(records: Iterable[str]) -> Iterator[str]:
    start = "\n"
    for record in records:
        yield start + record
        start = ",\n"


def _images(split: TextSplit) -> Iterator[str]:
    sizes = split.size_wh.tolist()
    for number, (path, (width, height)) in enumerate(zip(split.text.image_paths, sizes, strict=True), start=1):
        record = {"id": number, "file_name": path, "width": width, "height": height}
        yield json.dumps(record, ensure_ascii=False)


def _annotations(split: TextSplit, class_count: int) -> Iterator[str]:
    text = split.text
    columns = (text.boxes_xyxy.tolist(), text.classes.tolist(), text.ignore.tolist(), text.box_image.tolist())
    number = count(1)
    for box_xyxy, label, ignore, image in zip(*columns, strict=True):
        x1, y1, x2, y2 = box_xyxy
        area = number_text((x2 - x1) * (y2 - y1))
        box = f'"bbox": {bbox_text(box_xyxy)}, "area": {area}, "iscrowd": {ignore:d}'
        for category in [label] if label >= 0 else range(class_count):
            ids = f'"id": {next(number)}, "image_id": {image + 1}, "category_id": {category + 1}'
            yield f"{{{ids}, {box}}}"
