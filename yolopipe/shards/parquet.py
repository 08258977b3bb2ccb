"""Parquet shards: the form people can open with pandas or DuckDB.

Columns: ``path``, ``copy``, ``source_width``, ``source_height``, ``matrix`` (six numbers, source to input pixels),
``boxes_xyxy``, ``classes``, per stride ``cell_S``, ``box_S``, ``slots_S`` (see :mod:`yolopipe.shards.schema`) and
``image``, the encoded pixels.

Row groups of 64 rows: the unit of reading, small enough to shuffle, large enough that the reader runs at the speed of
``read()``.  Pixels are stored plain (they are compressed already), the rest with ZSTD by *leaf* path: pyarrow ignores
the setting for a list column's own name without a word.  Page checksums are on; without them a flipped bit reads back
as pixels.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from yolopipe.config import STRIDES
from yolopipe.errors import ShardError
from yolopipe.shards.schema import Row, ScaleLabel
from yolopipe.tables import box_column, list_column

__all__ = ["ROWS_PER_GROUP", "SCHEMA", "read_group", "read_parquet", "write_parquet"]

ROWS_PER_GROUP = 64

SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("copy", pa.int32()),
        ("source_width", pa.int32()),
        ("source_height", pa.int32()),
        ("matrix", pa.list_(pa.float64(), 6)),
        ("boxes_xyxy", pa.list_(pa.list_(pa.float32(), 4))),
        ("classes", pa.list_(pa.uint16())),
        *(
            (f"{name}_{stride}", pa.list_(kind))
            for stride in STRIDES
            for name, kind in (("cell", pa.int32()), ("box", pa.uint16()), ("slots", pa.uint16()))
        ),
        ("image", pa.binary()),
    ]
)


@cache
def _leaf_paths() -> tuple[str, ...]:
    empty = io.BytesIO()
    pq.write_table(SCHEMA.empty_table(), empty)
    schema = pq.read_metadata(empty).schema
    return tuple(schema.column(index).path for index in range(len(schema)))


def write_parquet(path: str | Path, rows: Iterable[Row]) -> None:
    """Write rows to a Parquet file, a row group at a time."""
    stream = iter(rows)
    compression = {leaf: "NONE" if leaf == "image" else "ZSTD" for leaf in _leaf_paths()}
    options: dict[str, Any] = {"use_dictionary": False, "write_statistics": False, "write_page_checksum": True}
    with pq.ParquetWriter(path, SCHEMA, compression=compression, **options) as writer:
        while group := list(islice(stream, ROWS_PER_GROUP)):
            writer.write_batch(_to_batch(group))


def _to_batch(rows: list[Row]) -> pa.RecordBatch:
    def lists(arrays: list[npt.NDArray[Any]], kind: pa.DataType) -> pa.Array:
        return list_column(np.concatenate(arrays), [len(array) for array in arrays], kind)

    columns: dict[str, Any] = {
        "path": pa.array([row.path for row in rows], pa.string()),
        "copy": pa.array([row.copy for row in rows], pa.int32()),
        "source_width": pa.array([row.source_wh[0] for row in rows], pa.int32()),
        "source_height": pa.array([row.source_wh[1] for row in rows], pa.int32()),
        "matrix": pa.FixedSizeListArray.from_arrays(np.concatenate([row.matrix.reshape(-1) for row in rows]), 6),
        "boxes_xyxy": box_column(
            np.concatenate([row.boxes_xyxy for row in rows]), [len(row.boxes_xyxy) for row in rows]
        ),
        "classes": lists([row.classes for row in rows], pa.uint16()),
        "image": pa.array([row.image for row in rows], pa.binary()),
    }
    for index, stride in enumerate(STRIDES):
        columns[f"cell_{stride}"] = lists([row.labels[index].cell for row in rows], pa.int32())
        columns[f"box_{stride}"] = lists([row.labels[index].box for row in rows], pa.uint16())
        columns[f"slots_{stride}"] = lists([row.labels[index].slots for row in rows], pa.uint16())
    return pa.RecordBatch.from_arrays([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def read_group(file: pq.ParquetFile, group: int, path: str | Path) -> pa.Table:
    """One row group, page checksums compared.

    Raises:
        ShardError: naming the file and the row group.
    """
    try:
        return file.read_row_group(group, use_threads=False).combine_chunks()
    except (OSError, pa.ArrowInvalid) as error:
        raise ShardError(
            f"{path}: row group {group} is damaged: {error}", hint="make it again: dvc repro -f precompute"
        ) from None


def read_parquet(path: str | Path) -> Iterator[Row]:
    """The rows of a Parquet shard.

    Raises:
        ShardError: when the file is not Parquet, of other columns, or damaged.
    """
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
    except (OSError, pa.ArrowInvalid) as error:
        raise ShardError(f"{path}: not a Parquet shard: {error}", hint="dvc repro -f precompute") from None
    with file:
        if not file.schema_arrow.equals(SCHEMA):
            raise ShardError(f"{path}: columns of another schema", hint="dvc repro -f precompute")
        for group in range(file.num_row_groups):
            yield from _from_table(read_group(file, group, path))


def list_values(column: pa.ChunkedArray) -> list[npt.NDArray[Any]]:
    """A list column as one array a row; box lists become (N, 4)."""
    array = column.combine_chunks()
    flat = array.flatten()
    width: tuple[int, ...] = ()
    if pa.types.is_fixed_size_list(flat.type):
        flat, width = flat.flatten(), (4,)
    lengths = array.value_lengths().to_numpy(zero_copy_only=False)
    return np.split(flat.to_numpy(zero_copy_only=False).reshape(-1, *width), np.cumsum(lengths)[:-1])


def _from_table(table: pa.Table) -> Iterator[Row]:
    parts = {name: list_values(table[name]) for name in SCHEMA.names if pa.types.is_list(SCHEMA.field(name).type)}
    matrices = table["matrix"].combine_chunks().flatten().to_numpy().reshape(-1, 2, 3)
    plain = zip(*(table[name].to_pylist() for name in ("path", "copy", "source_width", "source_height")), strict=True)
    for index, (path, copy, width, height) in enumerate(plain):
        labels = [
            ScaleLabel(*(parts[f"{name}_{stride}"][index] for name in ("cell", "box", "slots"))) for stride in STRIDES
        ]
        yield Row(
            path=path,
            copy=copy,
            image=table["image"][index].as_py(),
            source_wh=(width, height),
            matrix=matrices[index],
            boxes_xyxy=parts["boxes_xyxy"][index],
            classes=parts["classes"][index],
            labels=(labels[0], labels[1], labels[2]),
        )
