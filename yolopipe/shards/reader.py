"""Rows of shards in NumPy, whichever format they are in: for evaluation, inspection and verification."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from yolopipe.errors import ShardError
from yolopipe.shards.manifest import Manifest, ShardInfo
from yolopipe.shards.parquet import read_parquet, write_parquet
from yolopipe.shards.schema import Row, row_from_features, row_to_features
from yolopipe.shards.tfrecord import decode_example, encode_example, read_records, write_record

__all__ = ["READERS", "WRITERS", "read_rows"]


def _read_tfrecord(path: str | Path) -> Iterator[Row]:
    for number, record in enumerate(read_records(path)):
        try:
            yield row_from_features(decode_example(record))
        except (KeyError, ValueError) as error:
            raise ShardError(
                f"{path}: record {number} is not a row of this schema ({error!r})", hint="dvc repro -f precompute"
            ) from None


def _write_tfrecord(path: str | Path, rows: Iterable[Row]) -> None:
    with Path(path).open("wb") as file:
        for row in rows:
            write_record(file, encode_example(row_to_features(row)))


READERS: dict[str, Callable[[str | Path], Iterator[Row]]] = {"parquet": read_parquet, "tfrecord": _read_tfrecord}

WRITERS: dict[str, Callable[[str | Path, Iterable[Row]], None]] = {
    "parquet": write_parquet,
    "tfrecord": _write_tfrecord,
}


def read_rows(directory: str | Path, manifest: Manifest, split: str, *, copy: int | None = None) -> Iterator[Row]:
    """The rows of a split in shard order.

    Args:
        directory: the folder of shards.
        manifest: from :func:`yolopipe.shards.manifest.load_manifest`.
        split: ``train`` or ``val``.
        copy: one augmented copy, or all of them.

    Yields:
        Rows, one at a time; memory is one row group.

    Raises:
        ShardError: a damaged shard, or one with more or fewer rows than the manifest says.
    """
    if split not in manifest.splits:
        known = ", ".join(manifest.splits)
        raise ShardError(f"{directory} has no split {split!r}; it has {known}")
    for shard in manifest.splits[split].of_copy(copy):
        yield from _counted(Path(directory) / shard.name, shard, READERS[manifest.format], manifest.smaller_sizes)


def _counted(
    path: Path, shard: ShardInfo, read: Callable[[str | Path], Iterator[Row]], smaller: tuple[int, ...]
) -> Iterator[Row]:
    count = 0
    for row in read(path):
        if tuple(row.smaller) != smaller:
            raise ShardError(
                f"{path} holds labels for the smaller sizes {list(row.smaller)}, the manifest says {list(smaller)}",
                hint="make it again: dvc repro -f precompute",
            )
        count += 1
        yield row
    if count != shard.rows:
        raise ShardError(
            f"{path} holds {count} rows, the manifest says {shard.rows}",
            hint="make it again: dvc repro -f precompute",
        )
