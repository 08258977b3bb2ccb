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


def _read_tfrecord(path: str | Path, *, pixels: bool = True) -> Iterator[Row]:
    """The rows of a TFRecord shard; a record is one checksummed piece, so that its pixels are read in any case."""
    for number, record in enumerate(read_records(path)):
        try:
            features = decode_example(record)
            yield row_from_features(features if pixels else {**features, "image": b""})
        except (KeyError, ValueError) as error:
            raise ShardError(
                f"{path}: record {number} is not a row of this schema ({error!r})", hint="dvc repro -f precompute"
            ) from None


def _write_tfrecord(path: str | Path, rows: Iterable[Row]) -> None:
    with Path(path).open("wb") as file:
        for row in rows:
            write_record(file, encode_example(row_to_features(row)))


READERS: dict[str, Callable[..., Iterator[Row]]] = {"parquet": read_parquet, "tfrecord": _read_tfrecord}

WRITERS: dict[str, Callable[[str | Path, Iterable[Row]], None]] = {
    "parquet": write_parquet,
    "tfrecord": _write_tfrecord,
}


def read_rows(
    directory: str | Path, manifest: Manifest, split: str, *, copy: int | None = None, pixels: bool = True
) -> Iterator[Row]:
    """The rows of a split in shard order.

    Args:
        directory: the folder of shards.
        manifest: from :func:`yolopipe.shards.manifest.load_manifest`.
        split: ``train`` or ``val``.
        copy: one augmented copy, or all of them.
        pixels: False leaves ``Row.image`` empty: from Parquet, ten times less is read.

    Yields:
        Rows, one at a time; memory is one row group.

    Raises:
        ShardError: a damaged shard, or one with more or fewer rows than the manifest says.
    """
    if split not in manifest.splits:
        known = ", ".join(manifest.splits)
        raise ShardError(f"{directory} has no split {split!r}; it has {known}")
    read = READERS[manifest.format]
    for shard in manifest.splits[split].of_copy(copy):
        path = Path(directory) / shard.name
        yield from _counted(path, shard, read(path, pixels=pixels), manifest.smaller_sizes)


def _counted(path: Path, shard: ShardInfo, rows: Iterable[Row], smaller: tuple[int, ...]) -> Iterator[Row]:
    count = 0
    for row in rows:
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
