"""The two tables between the stages, as Parquet files that pandas opens.

``data/parsed/SPLIT.parquet``, one row an image:

- ``image`` path as in the annotation text, ``line`` of that text;
- ``width``, ``height`` in pixels after EXIF ``orientation`` (1 to 8) is applied;
- ``boxes_xyxy`` float32 source pixels, ``classes``, ``ignore`` and ``origin``, in the order of the text, but those to
  be ignored last.

``data/augmented/SPLIT.parquet``, one row a sample:

- ``image``, ``orientation``, ``width``, ``height`` as above, ``copy`` number of the variant;
- ``matrix`` six float64: source pixels to frame pixels, row by row, corner coordinates;
- ``frame_width``, ``frame_height`` of the variant; ``visible_xyxy`` the part of it that shows the image;
- ``operations`` drawn; ``hue`` shift, ``saturation`` and ``value`` gains;
- ``boxes_xyxy`` frame pixels, ``classes``, ``ignore`` and ``origin`` as above.

``classes`` is -1 for any class, which only boxes to be ignored may have.  ``origin`` is the place at which the
annotation text of the split names the box, 1-based line and column: what problems print as ``train.txt:15:32``.  A
box that a correction changed keeps its place; one that a correction added has the place in the corrections file, the
line with a minus sign.

The class names are in the file's metadata.  Nothing of machine or time is written: equal rows give equal bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from yolopipe.errors import DataError
from yolopipe.files import atomic_file

__all__ = [
    "AUGMENTED_SCHEMA",
    "BOX_COLUMNS",
    "PARSED_SCHEMA",
    "Boxes",
    "TableReader",
    "box_columns",
    "list_column",
    "read_table",
    "split_boxes",
    "table_writer",
    "write_table",
]

SCHEMA_VERSION = 2

BOX_COLUMNS: dict[str, pa.DataType] = {
    "boxes_xyxy": pa.list_(pa.list_(pa.float32(), 4)),
    "classes": pa.list_(pa.int32()),
    "ignore": pa.list_(pa.bool_()),
    "origin": pa.list_(pa.list_(pa.int32(), 2)),
}
"""The columns that hold the boxes of a row, in both tables and in Parquet shards."""

PARSED_SCHEMA = pa.schema(
    [
        ("image", pa.string()),
        ("line", pa.int32()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("orientation", pa.int32()),
        *BOX_COLUMNS.items(),
    ]
)

AUGMENTED_SCHEMA = pa.schema(
    [
        ("image", pa.string()),
        ("copy", pa.int32()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("orientation", pa.int32()),
        ("matrix", pa.list_(pa.float64(), 6)),
        ("frame_width", pa.float64()),
        ("frame_height", pa.float64()),
        ("visible_xyxy", pa.list_(pa.float64(), 4)),
        ("operations", pa.string()),
        ("hue", pa.float64()),
        ("saturation", pa.float64()),
        ("value", pa.float64()),
        *BOX_COLUMNS.items(),
    ]
)


def list_column(values: npt.NDArray[Any], lengths: npt.ArrayLike, kind: pa.DataType) -> pa.Array:
    """A list column from flat values and the length of each row's list.

    Args:
        values: (M,), or (M, K) for a column of lists of K numbers each.
        lengths: (rows,) how many of the M values each row has.
        kind: type of a value.

    >>> list_column(np.array([1, 2, 3]), [2, 0, 1], pa.int32()).to_pylist()
    [[1, 2], [], [3]]
    """
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int32)
    if pa.types.is_fixed_size_list(kind):
        flat = pa.array(values.reshape(-1), kind.value_type)
        return pa.ListArray.from_arrays(pa.array(offsets), pa.FixedSizeListArray.from_arrays(flat, kind.list_size))
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values, kind))


class Boxes(NamedTuple):
    """The boxes of all rows of a table.

    Args:
        boxes_xyxy: (M, 4) float32 pixels.
        classes: (M,) int32; -1 for any class, of boxes to be ignored.
        origins: (M, 2) int32 line and column of the annotation text.
        offsets: (rows + 1,) int64; row r has boxes ``offsets[r]:offsets[r + 1]``.
    """

    boxes_xyxy: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int32]
    origins: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        """(M,) the row of each box."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    def where(self, keep: npt.NDArray[np.bool_]) -> Boxes:
        """The boxes for which ``keep`` (M,) is true."""
        if keep.all():
            return self
        before = np.concatenate([[0], np.cumsum(keep)])
        return Boxes(self.boxes_xyxy[keep], self.classes[keep], self.origins[keep], before[self.offsets])


def box_columns(boxes: Boxes, ignored: Boxes) -> dict[str, pa.Array]:
    """The columns :data:`BOX_COLUMNS` of a table from the boxes of its rows, those to be ignored last.

    >>> offsets = np.array([0, 1, 2])
    >>> two = Boxes(np.ones((2, 4), np.float32), np.zeros(2, np.int32), np.ones((2, 2), np.int32), offsets)
    >>> box_columns(two, two.where(np.array([False, True])))["ignore"].to_pylist()
    [[False], [False, True]]
    """
    order = np.argsort(np.concatenate([boxes.rows, ignored.rows]), kind="stable")
    ignore = np.repeat([False, True], [len(boxes.classes), len(ignored.classes)])[order]
    boxes_xyxy, classes, origins = (np.concatenate(pair)[order] for pair in zip(boxes[:3], ignored[:3], strict=True))
    lengths = np.diff(boxes.offsets + ignored.offsets)
    columns = zip(BOX_COLUMNS.items(), (boxes_xyxy, classes, ignore, origins), strict=True)
    return {name: list_column(values, lengths, kind.value_type) for (name, kind), values in columns}


def split_boxes(table: pa.Table, *, ignored: bool = False) -> Boxes:
    """All boxes of a table at once.

    Args:
        table: with the columns of :data:`BOX_COLUMNS`.
        ignored: those to be ignored; by default the others.
    """
    columns = [table[name].combine_chunks() for name in BOX_COLUMNS]
    lengths = columns[0].value_lengths().to_numpy(zero_copy_only=False)
    flat = [column.flatten() for column in columns]
    flat = [values.flatten() if pa.types.is_fixed_size_list(values.type) else values for values in flat]
    boxes_xyxy, classes, ignore, origins = (values.to_numpy(zero_copy_only=False) for values in flat)
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    every = Boxes(boxes_xyxy.reshape(-1, 4), classes, origins.reshape(-1, 2), offsets)
    return every.where(ignore.astype(bool) == ignored)


@contextmanager
def table_writer(
    path: str | Path, schema: pa.Schema, class_names: Sequence[str]
) -> Iterator[Callable[[pa.Table], None]]:
    """Write a table piece by piece, atomically; each piece becomes a row group and is not kept in memory.

    Args:
        path: the Parquet file.
        schema: of every piece.
        class_names: for the file's metadata.

    Yields:
        The function that takes the next piece.
    """
    metadata = json.dumps({"schema": SCHEMA_VERSION, "classes": list(class_names)}, ensure_ascii=False)
    described = schema.with_metadata({b"yolopipe": metadata.encode()})
    with (
        atomic_file(path) as partial,
        pq.ParquetWriter(partial, described, compression="zstd", write_page_checksum=True) as writer,
    ):
        yield lambda piece: writer.write_table(piece.cast(described)) if piece.num_rows else None


def write_table(path: str | Path, table: pa.Table, class_names: Sequence[str]) -> None:
    """Write a table atomically, class names in its metadata."""
    with table_writer(path, table.schema, class_names) as write:
        write(table)


def read_table(path: str | Path, *, made_by: str) -> tuple[pa.Table, tuple[str, ...]]:
    """Read a table and its class names.

    Args:
        path: the Parquet file.
        made_by: the stage that writes it, for the error message.

    Raises:
        DataError: the file is missing, not Parquet, or of another schema.
    """
    with TableReader(path, made_by=made_by) as reader:
        return pa.concat_tables([reader.schema.empty_table(), *reader.pieces()]), reader.class_names


class TableReader:
    """A table that is read piece by piece.

    Args:
        path: the Parquet file.
        made_by: the stage that writes it, for the error message.

    Raises:
        DataError: the file is missing, not Parquet, or of another schema; also from reading a damaged piece.
    """

    def __init__(self, path: str | Path, *, made_by: str) -> None:
        self._path, self._made_by = path, made_by
        with self._named_errors():
            self._file = pq.ParquetFile(path, page_checksum_verification=True)
        self.schema: pa.Schema = self._file.schema_arrow
        self.rows: int = self._file.metadata.num_rows
        with self._file_closed_on_error(), self._named_errors():
            metadata = json.loads((self.schema.metadata or {})[b"yolopipe"])
            if metadata["schema"] != SCHEMA_VERSION:
                message = f"{path}: table schema {metadata['schema']}, this yolopipe reads {SCHEMA_VERSION}"
                raise DataError(message, hint=f"yolopipe {made_by}")
            self.class_names = tuple(metadata["classes"])

    def pieces(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """The row groups in order, or some of their columns; may be called several times."""
        for group in range(self._file.num_row_groups):
            with self._named_errors():
                piece = self._file.read_row_group(group, columns=columns)
            yield piece

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @contextmanager
    def _file_closed_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._file.close()
            raise

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        path, made_by = self._path, self._made_by
        try:
            yield
        except FileNotFoundError:
            raise DataError(f"{path} is missing", hint=f"yolopipe {made_by}   (or all at once: dvc repro)") from None
        except (pa.ArrowInvalid, OSError, KeyError, ValueError) as error:
            raise DataError(f"{path}: not a table of this pipeline: {error}", hint=f"yolopipe {made_by}") from None
