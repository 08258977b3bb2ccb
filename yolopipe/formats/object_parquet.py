"""Parquet of Hugging Face's object detection sets: a row for each image, with its bytes and a column ``objects``.

    image    {bytes, path}
    objects  {bbox: [[x, y, width, height], ...], category: [3, ...]}, or a list of {bbox, category}

Names of categories are in the metadata of the file, under ``huggingface``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from yolopipe.errors import DataError, Problem
from yolopipe.formats.bounds import Box
from yolopipe.formats.coco_records import BOX, corners_of, shown

__all__ = ["ParquetObject", "ParquetRow", "read_categories", "read_parquet"]

_BOX_KEYS = ("bbox", "bboxes")
_CATEGORY_KEYS = ("category", "categories", "category_id", "label", "labels")
_CROWD_KEYS = ("iscrowd", "is_crowd")
_BATCH_ROWS = 16
"""Rows in memory at once: each holds a picture."""


class ParquetObject(NamedTuple):
    """One object.

    Args:
        category: number or name.
        box_xyxy: corners in pixels.
        crowd: marked as a crowd.
    """

    category: int | str
    box_xyxy: Box
    crowd: bool


class ParquetRow(NamedTuple):
    """One image.

    Args:
        number: of the row, from 1.
        name: path of the picture as written; empty where it is missing.
        content: bytes of the picture; None where it is not embedded.
        size_wh: as written; zeros where it is missing.
        objects: those that can be used.
        problems: ``bad-record`` and ``bad-box``, at the row.
    """

    number: int
    name: str
    content: bytes | None
    size_wh: tuple[int, int]
    objects: list[ParquetObject]
    problems: list[Problem]


def read_categories(path: str | Path) -> list[str] | None:
    """Names of the categories; empty where the file has none, None where it is not such a Parquet file.

    Raises:
        DataError: it cannot be opened.
    """
    try:
        schema = pq.read_schema(path)
    except pa.ArrowInvalid:
        return None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error}") from None
    if not {"image", "objects"} <= set(schema.names):
        return None
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return []
    return _names_in(features.get("objects") if isinstance(features, dict) else None, inside=False)


def _names_in(node: Any, *, inside: bool) -> list[str]:
    """The first list ``names`` below a key for categories."""
    if isinstance(node, dict):
        names = node.get("names")
        if inside and isinstance(names, list) and all(isinstance(name, str) for name in names):
            return names
        children = [(inside or key in _CATEGORY_KEYS, child) for key, child in node.items()]
    else:
        children = [(inside, child) for child in node] if isinstance(node, list) else []
    found = (_names_in(child, inside=below) for below, child in children)
    return next(filter(None, found), [])


def read_parquet(path: str | Path) -> Iterator[ParquetRow]:
    """Read the rows of a file; a few are in memory at once.

    Raises:
        DataError: the file is damaged.
    """
    try:
        with pq.ParquetFile(path, memory_map=True, pre_buffer=False) as file:
            schema = file.schema_arrow
            wanted = [name for name in ("image", "objects", "width", "height") if name in schema.names]
            exact = _is_float32(schema.field("objects").type)
            number = 0
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=wanted):
                for record in batch.to_pylist():
                    number += 1
                    yield _row(str(path), number, record, exact)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None


def _is_float32(kind: Any) -> bool:
    if pa.types.is_struct(kind):
        return any(_is_float32(kind.field(index).type) for index in range(kind.num_fields))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _is_float32(kind.value_type)
    return bool(pa.types.is_float32(kind))


def _row(file: str, number: int, record: dict[str, Any], float32: bool) -> ParquetRow:
    image = record["image"]
    if not isinstance(image, dict):
        image = {"bytes": image} if isinstance(image, bytes) else {"path": image}
    size = record.get("width"), record.get("height")
    size_wh = size if all(type(side) is int and 0 < side < 2**31 for side in size) else (0, 0)
    row = ParquetRow(number, image.get("path") or "", image.get("bytes"), size_wh, [], [])  # type: ignore[arg-type]
    for index, (bbox, category, crowd) in enumerate(_objects(row, file, record["objects"]), start=1):
        if float32 and isinstance(bbox, list):  # the decimals that were stored, not those of the nearest float64
            bbox = [float(str(np.float32(value))) if isinstance(value, float) else value for value in bbox]
        if not BOX.fits(bbox):
            message = f"object {index}: expected x, y, width, height, found {shown(bbox)}"
            row.problems.append(Problem(file, number, 0, "bad-box", message, scope="box"))
        elif type(category) not in (int, str):
            message = f"object {index}: expected the number or name of a category, found {shown(category)}"
            row.problems.append(Problem(file, number, 0, "unknown-category", message, scope="box"))
        else:
            row.objects.append(ParquetObject(category, corners_of(bbox, ""), bool(crowd)))
    return row


def _objects(row: ParquetRow, file: str, objects: Any) -> list[tuple[Any, Any, Any]]:
    """Box, category and crowd of each object, whether they are lists in an object or objects in a list."""
    keys = _BOX_KEYS, _CATEGORY_KEYS, _CROWD_KEYS
    if isinstance(objects, list):
        boxes, categories, crowds = ([_value(one or {}, names) for one in objects] for names in keys)
    else:
        boxes, categories, crowds = (_value(objects or {}, names) for names in keys)
    boxes, categories = boxes or [], categories or []
    crowds = crowds or [False] * len(boxes)
    if not len(boxes) == len(categories) == len(crowds):
        message = f"{len(boxes)} boxes and {len(categories)} categories; expected as many"
        row.problems.append(Problem(file, row.number, 0, "bad-record", message, scope="image"))
        return []
    return list(zip(boxes, categories, crowds, strict=True))


def _value(objects: dict[str, Any], keys: tuple[str, ...]) -> Any:
    return next((objects[key] for key in keys if key in objects), None)
