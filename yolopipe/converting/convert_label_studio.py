"""Label Studio writer: a list of tasks for each split, ``SPLIT.json``, and the labelling config of the project.

Images are named as Label Studio's local storage does, ``/data/local-files/?d=PATH``, with the paths of the annotation
text; its document root is the project folder.  Percentages have as many digits as they need.  ``classes.names`` keeps
the class order, which Label Studio does not know.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from yolopipe.converting.splits import TextSplit
from yolopipe.converting.xml_text import check_text
from yolopipe.formats.class_names import write_class_names

__all__ = ["write"]


def write(splits: Mapping[str, TextSplit], names: Sequence[str], partial: Path, final: Path) -> str:
    """Write all splits; see :class:`~yolopipe.converting.convert_formats.ConvertFormat`.

    Raises:
        DataError: a class name that the labelling config, an XML file, cannot hold.
    """
    check_text(splits, names, paths=False)
    number = count(1)
    for name, split in splits.items():
        with (partial / f"{name}.json").open("w", encoding="utf-8", newline="\n") as stream:
            start = "[\n"
            for task in _tasks(name, split, names, number):
                stream.write(f"{start}{json.dumps(task, ensure_ascii=False)}")
                start = ",\n"
            stream.write("\n]\n" if start == ",\n" else "[]\n")
    labels = "".join(f"    <Label value={quoteattr(name)}/>\n" for name in names)
    config = (
        '<View>\n  <Image name="image" value="$image"/>\n  <RectangleLabels name="label" toName="image">\n'
        f"{labels}  </RectangleLabels>\n</View>\n"
    )
    (partial / "labelling_config.xml").write_bytes(config.encode())
    write_class_names(partial / "classes.names", names)
    files = ", ".join(f"{name}.json" for name in splits)
    return f"{final}: {files}, labelling_config.xml, classes.names"


def _tasks(
    split_name: str, split: TextSplit, names: Sequence[str], number: Iterator[int]
) -> Iterator[dict[str, Any]]:
    for path, size_wh, boxes in split.images():
        key = next(number)
        results = [
            _result(f"{key}-{index}", box_xyxy, size_wh, names[label])
            for index, (label, box_xyxy, _) in enumerate(boxes, start=1)
        ]
        yield {
            "id": key,
            "data": {"image": f"/data/local-files/?d={quote(path)}", "split": split_name},
            "annotations": [{"id": key, "was_cancelled": False, "ground_truth": False, "result": results}],
        }


def _result(key: str, box_xyxy: Sequence[float], size_wh: Sequence[int], name: str) -> dict[str, Any]:
    (x1, y1, x2, y2), (width, height) = box_xyxy, size_wh
    return {
        "id": key,
        "type": "rectanglelabels",
        "from_name": "label",
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {
            "x": x1 / width * 100,
            "y": y1 / height * 100,
            "width": (x2 - x1) / width * 100,
            "height": (y2 - y1) / height * 100,
            "rotation": 0,
            "rectanglelabels": [name],
        },
    }
