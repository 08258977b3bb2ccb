"""Parquet shards, which pandas and DuckDB open, too.

Columns: ``path``, ``copy``, ``source_width``, ``source_height``, ``matrix`` (six numbers, source to input pixels),
``boxes_xyxy``, ``classes``, ``ignore``, ``origin`` (:mod:`yolopipe.tables`), per stride ``cell_S``, ``box_S``,
``slots_S`` (:mod:`yolopipe.shards.schema`), these three for each smaller input size too (``cell_8_320``; none when
there is one size), and ``image``, encoded pixels.

Row groups of 64 rows are the unit of reading: small enough to shuffle, large enough to read fast.  Pixels are stored
as they are (already compressed), the rest with ZSTD by *leaf* path: pyarrow silently ignores the setting for a list
column's own name.  Page checksums are on; without them a flipped bit is read as pixels.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from yolopipe.config.params import STRIDES
from yolopipe.errors import ShardError
from yolopipe.labels.scale_label import ScaleLabel
from yolopipe.shards.schema import LABEL_PARTS, Row, RowBoxes, joined, labels_from, smaller_sizes, split_row_boxes
from yolopipe.tables import BOX_COLUMNS, Boxes, box_columns, list_column

__all__ = [
    "ROWS_PER_GROUP",
    "read_group",
    "read_parquet",
    "read_parquet_paths",
    "read_parquet_rows",
    "schema_of",
    "write_parquet",
]

ROWS_PER_GROUP = 64


@cache
def schema_of(smaller: tuple[int, ...] = ()) -> pa.Schema:
    """The columns of a shard with labels for these smaller sizes too."""
    return pa.schema(
        [
            ("path", pa.string()),
            ("copy", pa.int32()),
            ("source_width", pa.int32()),
            ("source_height", pa.int32()),
            ("matrix", pa.list_(pa.float64(), 6)),
            *BOX_COLUMNS.items(),
            *(
                (f"{name}{suffix}", pa.list_(pa.from_numpy_dtype(kind)))
                for suffix in ("", *(f"_{size}" for size in smaller))
                for name, kind in LABEL_PARTS.items()
            ),
            ("image", pa.binary()),
        ]
    )


@cache
def _leaf_paths(columns: pa.Schema) -> tuple[str, ...]:
    empty = io.BytesIO()
    pq.write_table(columns.empty_table(), empty)
    schema = pq.read_metadata(empty).schema
    return tuple(schema.column(index).path for index in range(len(schema)))


def write_parquet(path: str | Path, rows: Iterable[Row]) -> None:
    """Write rows to a Parquet file, a row group at a time; the input sizes are those of the first row."""
    stream = iter(rows)
    first = list(islice(stream, 1))
    columns = schema_of(tuple(first[0].smaller) if first else ())
    stream = chain(first, stream)
    compression = {leaf: "NONE" if leaf == "image" else "ZSTD" for leaf in _leaf_paths(columns)}
    options: dict[str, Any] = {"use_dictionary": False, "write_statistics": False, "write_page_checksum": True}
    with pq.ParquetWriter(path, columns, compression=compression, **options) as writer:
        while group := list(islice(stream, ROWS_PER_GROUP)):
            writer.write_batch(_to_batch(group, columns))


def _to_batch(rows: list[Row], schema: pa.Schema) -> pa.RecordBatch:
    def lists(arrays: list[npt.NDArray[Any]], kind: pa.DataType) -> pa.Array:
        return list_column(np.concatenate(arrays), [len(array) for array in arrays], kind)

    columns: dict[str, Any] = {
        "path": pa.array([row.path for row in rows], pa.string()),
        "copy": pa.array([row.copy for row in rows], pa.int32()),
        "source_width": pa.array([row.source_wh[0] for row in rows], pa.int32()),
        "source_height": pa.array([row.source_wh[1] for row in rows], pa.int32()),
        "matrix": pa.FixedSizeListArray.from_arrays(np.concatenate([row.matrix.reshape(-1) for row in rows]), 6),
        **box_columns(_table_boxes([row.boxes for row in rows]), _table_boxes([row.ignored for row in rows])),
        "image": pa.array([row.image for row in rows], pa.binary()),
    }
    sizes = smaller_sizes(schema.names)
    by_suffix = {"": [row.labels for row in rows]} | {f"_{s}": [row.smaller[s] for row in rows] for s in sizes}
    for suffix, labels in by_suffix.items():
        for index, stride in enumerate(STRIDES):
            for part in ScaleLabel._fields:
                name = f"{part}_{stride}"
                arrays = [getattr(label[index], part) for label in labels]
                columns[name + suffix] = lists(arrays, pa.from_numpy_dtype(LABEL_PARTS[name]))
    return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)


def _table_boxes(rows: list[RowBoxes]) -> Boxes:
    every = joined(rows)
    return Boxes(*every, np.cumsum([0, *(len(row.classes) for row in rows)]))


def read_group(file: pq.ParquetFile, group: int, path: str | Path, columns: list[str] | None = None) -> pa.Table:
    """One row group, or some of its columns, page checksums compared.

    Raises:
        ShardError: naming the file and the row group.
    """
    try:
        return file.read_row_group(group, columns=columns, use_threads=False).combine_chunks()
    except (OSError, pa.ArrowInvalid) as error:
        raise ShardError(
            f"{path}: row group {group} is damaged: {error}", hint="regenerate it: dvc repro -f precompute"
        ) from None


def read_parquet(path: str | Path, *, pixels: bool = True) -> Iterator[Row]:
    """The rows of a Parquet shard.

    Args:
        path: the shard.
        pixels: False does not read the images; ``Row.image`` is then empty.

    Raises:
        ShardError: when the file is not Parquet, of other columns, or damaged.
    """
    with _opened(path) as file:
        for group in range(file.num_row_groups):
            yield from _from_table(read_group(file, group, path, _columns(file, pixels)))


def read_parquet_rows(path: str | Path, wanted: Mapping[int, bool]) -> Iterator[Row]:
    """Some rows of a Parquet shard; row groups that hold none of them are not read.

    Args:
        path: the shard.
        wanted: row numbers in the shard, and whether the row is wanted with its pixels.

    Raises:
        ShardError: as :func:`read_parquet`.
    """
    with _opened(path) as file:
        start = 0
        for group in range(file.num_row_groups):
            end = start + file.metadata.row_group(group).num_rows
            numbers = [number for number in range(start, end) if number in wanted]
            if numbers:
                columns = _columns(file, any(wanted[number] for number in numbers))
                rows = list(_from_table(read_group(file, group, path, columns)))
                yield from (rows[number - start] for number in numbers)
            start = end


def read_parquet_paths(path: str | Path) -> Iterator[str]:
    """The image path of each row of a Parquet shard; no other column is read.

    Raises:
        ShardError: as :func:`read_parquet`.
    """
    with _opened(path) as file:
        for group in range(file.num_row_groups):
            yield from read_group(file, group, path, ["path"])["path"].to_pylist()


def _columns(file: pq.ParquetFile, pixels: bool) -> list[str] | None:
    return None if pixels else [name for name in file.schema_arrow.names if name != "image"]


@contextmanager
def _opened(path: str | Path) -> Iterator[pq.ParquetFile]:
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
    except (OSError, pa.ArrowInvalid) as error:
        raise ShardError(f"{path}: not a Parquet shard: {error}", hint="dvc repro -f precompute") from None
    with file:
        if not file.schema_arrow.equals(schema_of(smaller_sizes(file.schema_arrow.names))):
            raise ShardError(f"{path}: columns of another schema", hint="dvc repro -f precompute")
        yield file


def list_values(column: pa.ChunkedArray) -> list[npt.NDArray[Any]]:
    """A list column as one array a row; lists of lists of K numbers become (N, K)."""
    array = column.combine_chunks()
    flat = array.flatten()
    width: tuple[int, ...] = ()
    if pa.types.is_fixed_size_list(flat.type):
        flat, width = flat.flatten(), (flat.type.list_size,)
    lengths = array.value_lengths().to_numpy(zero_copy_only=False)
    return np.split(flat.to_numpy(zero_copy_only=False).reshape(-1, *width), np.cumsum(lengths)[:-1])


def _from_table(table: pa.Table) -> Iterator[Row]:
    lists = [field.name for field in table.schema if pa.types.is_list(field.type)]
    images = table["image"] if "image" in table.column_names else None
    parts = {name: list_values(table[name]) for name in lists}
    sizes = smaller_sizes(lists)
    matrices = table["matrix"].combine_chunks().flatten().to_numpy().reshape(-1, 2, 3)
    plain = zip(*(table[name].to_pylist() for name in ("path", "copy", "source_width", "source_height")), strict=True)
    for index, (path, copy, width, height) in enumerate(plain):

        def value(name: str, index: int = index) -> npt.NDArray[Any]:
            return parts[name][index]

        every = RowBoxes(value("boxes_xyxy"), value("classes"), value("origin"))
        boxes, ignored = split_row_boxes(every, value("ignore"))
        yield Row(
            path=path,
            copy=copy,
            image=b"" if images is None else images[index].as_py(),
            source_wh=(width, height),
            matrix=matrices[index],
            boxes=boxes,
            ignored=ignored,
            labels=labels_from(value),
            smaller={size: labels_from(value, f"_{size}") for size in sizes},
        )
