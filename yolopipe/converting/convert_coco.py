"""Annotation text to COCO JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from yolopipe.converting.splits import TextSplit, check_out, read_splits, result_of
from yolopipe.files import atomic_directory
from yolopipe.formats.annotation_line import number_text
from yolopipe.formats.coco import bbox_text
from yolopipe.result import CommandResult

__all__ = ["convert_coco"]


def convert_coco(texts: Mapping[str, str | Path], classes: str | Path, out: str | Path) -> CommandResult:
    """Write ``annotations/instances_SPLIT.json``, one file a split and one record a line.

    Ids count from 1 (0 means "unmatched" to COCO's own evaluator).  File names are the paths of the annotation text,
    so they start at the project folder.  Read back by ``import coco``, boxes are the same to the last bit.

    Args:
        texts: split name to annotation text.
        classes: the names file.
        out: a new or empty folder.

    Returns:
        What was written.

    Raises:
        UsageError: ``out`` is not empty.
        ProblemsError: what COCO cannot hold, all at once.
    """
    folder = Path(out)
    check_out(folder)
    splits, names = read_splits(texts, classes, kind="coco")
    with atomic_directory(folder) as partial:
        (partial / "annotations").mkdir()
        for name, split in splits.items():
            file = partial / "annotations" / f"instances_{name}.json"
            with file.open("w", encoding="utf-8", newline="\n") as stream:
                stream.writelines(_document(split, names))
    files = ", ".join(f"instances_{name}.json" for name in splits)
    return result_of("coco", splits, names, f"{folder}/annotations: {files}")


def _document(split: TextSplit, names: Sequence[str]) -> Iterator[str]:
    categories = (json.dumps({"id": n, "name": name}, ensure_ascii=False) for n, name in enumerate(names, start=1))
    lists = {"images": _images(split), "annotations": _annotations(split), "categories": categories}
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


def _annotations(split: TextSplit) -> Iterator[str]:
    text = split.text
    columns = zip(text.boxes_xyxy.tolist(), text.classes.tolist(), text.box_image.tolist(), strict=True)
    for number, (box_xyxy, label, image) in enumerate(columns, start=1):
        x1, y1, x2, y2 = box_xyxy
        ids = f'"id": {number}, "image_id": {image + 1}, "category_id": {label + 1}'
        area = number_text((x2 - x1) * (y2 - y1))
        yield f'{{{ids}, "bbox": {bbox_text(box_xyxy)}, "area": {area}, "iscrowd": 0}}'
