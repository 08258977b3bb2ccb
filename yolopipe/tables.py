"""The two tables between the stages, as Parquet files that pandas opens.

``data/parsed/SPLIT.parquet``, one row an image:

- ``image`` path as in the annotation text, ``line`` of that text;
- ``width``, ``height`` in pixels after EXIF ``orientation`` (1 to 8) is applied;
- ``boxes_xyxy`` float32 source pixels, ``classes``.

``data/augmented/SPLIT.parquet``, one row a sample:

- ``image``, ``orientation``, ``width``, ``height`` as above, ``copy`` number of the variant;
- ``matrix`` six float64: source pixels to frame pixels, row by row, corner coordinates;
- ``frame_width``, ``frame_height`` of the variant; ``visible_xyxy`` the part of it that shows the image;
- ``operations`` drawn; ``hue`` shift, ``saturation`` and ``value`` gains;
- ``boxes_xyxy`` frame pixels, ``classes``.

The class names are in the file's metadata.  Nothing of machine or time is written: equal rows give equal bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from yolopipe.errors import DataError
from yolopipe.files import atomic_file

__all__ = [
    "AUGMENTED_SCHEMA",
    "PARSED_SCHEMA",
    "TableReader",
    "box_column",
    "list_column",
    "read_table",
    "split_boxes",
    "table_writer",
    "write_table",
]

SCHEMA_VERSION = 1

_BOXES = pa.list_(pa.list_(pa.float32(), 4))
_CLASSES = pa.list_(pa.int32())

PARSED_SCHEMA = pa.schema(
    [
        ("image", pa.string()),
        ("line", pa.int32()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("orientation", pa.int32()),
        ("boxes_xyxy", _BOXES),
        ("classes", _CLASSES),
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
        ("boxes_xyxy", _BOXES),
        ("classes", _CLASSES),
    ]
)


def list_column(values: npt.NDArray[Any], lengths: npt.ArrayLike, kind: pa.DataType) -> pa.Array:
    """A list column from flat values and the length of each row's list.

    >>> list_column(np.array([1, 2, 3]), [2, 0, 1], pa.int32()).to_pylist()
    [[1, 2], [], [3]]
    """
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values, kind))


def box_column(boxes_xyxy: npt.ArrayLike, lengths: npt.ArrayLike) -> pa.Array:
    """A column of box lists from all boxes in order and the number of boxes of each row.

    >>> box_column([[0, 0, 2, 2], [1, 1, 3, 3]], [0, 2]).to_pylist()
    [[], [[0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 3.0, 3.0]]]
    """
    flat = pa.array(np.asarray(boxes_xyxy, np.float32).reshape(-1))
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.FixedSizeListArray.from_arrays(flat, 4))


def split_boxes(
    table: pa.Table,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """All boxes of a table at once.

    Returns:
        Boxes (M, 4) float32, classes (M,) int32, and offsets (rows + 1,): row r has boxes offsets[r]:offsets[r+1].
    """
    boxes = table["boxes_xyxy"].combine_chunks()
    classes = table["classes"].combine_chunks()
    lengths = boxes.value_lengths().to_numpy(zero_copy_only=False)
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    boxes_xyxy = boxes.flatten().flatten().to_numpy(zero_copy_only=False).reshape(-1, 4)
    return boxes_xyxy, classes.flatten().to_numpy(zero_copy_only=False), offsets


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
