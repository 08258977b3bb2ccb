"""Rows of shards in NumPy, for either format: for evaluation, inspection and verification."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count
from pathlib import Path

from yolopipe.errors import ShardError
from yolopipe.shards.manifest import Manifest, ShardInfo
from yolopipe.shards.parquet import read_parquet, read_parquet_paths, read_parquet_rows, write_parquet
from yolopipe.shards.schema import Row, row_from_features, row_to_features
from yolopipe.shards.tfrecord import decode_example, encode_example, read_records, write_record

__all__ = ["READERS", "WRITERS", "read_chosen", "read_paths", "read_rows"]


def _read_tfrecord(
    path: str | Path, *, pixels: bool = True, wanted: Mapping[int, bool] | None = None
) -> Iterator[Row]:
    """The rows of a TFRecord shard; a record has one checksum, so its pixels are always read."""
    numbers = count() if wanted is None else sorted(wanted)
    for number, record in zip(numbers, read_records(path, wanted), strict=False):
        try:
            features = decode_example(record)
            yield row_from_features(features if pixels else {**features, "image": b""})
        except (KeyError, ValueError) as error:
            raise ShardError(
                f"{path}: record {number} is not a row of this schema ({error!r})", hint="dvc repro -f precompute"
            ) from None


def _read_tfrecord_rows(path: str | Path, wanted: Mapping[int, bool]) -> Iterator[Row]:
    return _read_tfrecord(path, wanted=wanted)


def _read_tfrecord_paths(path: str | Path) -> Iterator[str]:
    return (row.path for row in _read_tfrecord(path, pixels=False))


def _write_tfrecord(path: str | Path, rows: Iterable[Row]) -> None:
    with Path(path).open("wb") as file:
        for row in rows:
            write_record(file, encode_example(row_to_features(row)))


READERS: dict[str, Callable[..., Iterator[Row]]] = {"parquet": read_parquet, "tfrecord": _read_tfrecord}

ROW_READERS: dict[str, Callable[[str | Path, Mapping[int, bool]], Iterator[Row]]] = {
    "parquet": read_parquet_rows,
    "tfrecord": _read_tfrecord_rows,
}

PATH_READERS: dict[str, Callable[[str | Path], Iterator[str]]] = {
    "parquet": read_parquet_paths,
    "tfrecord": _read_tfrecord_paths,
}

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
        pixels: False leaves ``Row.image`` empty and, from Parquet, does not read it.

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


def read_chosen(
    directory: str | Path, manifest: Manifest, split: str, wanted: Mapping[int, bool], *, copy: int
) -> Iterator[Row]:
    """Some rows of a split, and little besides: shards and row groups that hold none of them are not read.

    Args:
        directory: the folder of shards.
        manifest: from :func:`yolopipe.shards.manifest.load_manifest`.
        split: ``train`` or ``val``.
        wanted: row numbers in the copy, in shard order from 0, and whether the row is wanted with its pixels.
        copy: which augmented copy.

    Yields:
        Rows by ascending number.

    Raises:
        ShardError: a damaged shard.
    """
    start = 0
    for shard in manifest.splits[split].of_copy(copy):
        here = {number: wanted[start + number] for number in range(shard.rows) if start + number in wanted}
        path = Path(directory) / shard.name
        found = 0
        for row in ROW_READERS[manifest.format](path, here) if here else ():
            found += 1
            yield row
        if found != len(here):
            raise ShardError(
                f"{path} holds {found} of {len(here)} rows that were asked for",
                hint="regenerate it: dvc repro -f precompute",
            )
        start += shard.rows


def read_paths(directory: str | Path, manifest: Manifest, split: str, *, copy: int) -> Iterator[str]:
    """The image path of each row of a copy in shard order; of Parquet shards nothing else is read.

    Raises:
        ShardError: a damaged shard.
    """
    for shard in manifest.splits[split].of_copy(copy):
        yield from PATH_READERS[manifest.format](Path(directory) / shard.name)


def _counted(path: Path, shard: ShardInfo, rows: Iterable[Row], smaller: tuple[int, ...]) -> Iterator[Row]:
    found = 0
    for row in rows:
        if tuple(row.smaller) != smaller:
            raise ShardError(
                f"{path} holds labels for the smaller sizes {list(row.smaller)}, the manifest says {list(smaller)}",
                hint="regenerate it: dvc repro -f precompute",
            )
        found += 1
        yield row
    if found != shard.rows:
        raise ShardError(
            f"{path} holds {found} rows, the manifest says {shard.rows}",
            hint="regenerate it: dvc repro -f precompute",
        )
