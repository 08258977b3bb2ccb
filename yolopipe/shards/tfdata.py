"""Shards as a ``tf.data.Dataset`` of training batches: uint8 pixels and sparse labels, padded to the batch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import tensorflow as tf

from yolopipe.config.params import STRIDES
from yolopipe.errors import ShardError
from yolopipe.shards.manifest import Manifest, ShardInfo
from yolopipe.shards.parquet import ROWS_PER_GROUP, read_group
from yolopipe.shards.schema import ARRAYS, LABEL_PARTS

__all__ = ["batches"]

Tensors = dict[str, Any]

_PADDING: dict[str, int] = {
    "boxes_xyxy": 0,
    "classes": 0,
    **{f"{part}_{stride}": fill for stride in STRIDES for part, fill in (("cell", -1), ("box", 0), ("slots", -1))},
}
"""Every feature of a batch but the image, and the value that pads rows with fewer entries than the longest."""

_WIDTH = {name: np.dtype(ARRAYS[name]).itemsize * (4 if name == "boxes_xyxy" else 1) for name in _PADDING}
"""Bytes of one box, class, cell or slot."""

_LEAST = list(_WIDTH.values())
"""At least one entry on each axis, which gathers need."""


def batches(
    directory: str | Path,
    manifest: Manifest,
    split: str,
    *,
    batch_size: int,
    copy: int | None = None,
    shuffle_seed: int | None = None,
    shuffle_rows: int = 2048,
    drop_remainder: bool = False,
    input_size: int | None = None,
    batch_input_sizes: Sequence[int] | None = None,
) -> tf.data.Dataset:
    """Batches of one split, in an order that is a pure function of the seed.

    Args:
        directory: the folder of shards.
        manifest: from :func:`yolopipe.shards.manifest.load_manifest`.
        split: ``train`` or ``val``.
        batch_size: rows a batch; the last may have fewer.
        copy: which augmented copy, or all.
        shuffle_seed: permutes shards (Parquet: row groups) and rows; ``None`` keeps shard order.
        shuffle_rows: rows the shuffle buffer holds, encoded: about 40 kB each at 416 px.
        drop_remainder: leave out a last batch that is not full.
        input_size: S, one of ``manifest.input_sizes``; by default the largest, whose pixels are stored.  For smaller
            ones the pixels are scaled down on the host, by averaging areas, so that less goes to the device.
        batch_input_sizes: the size of each batch in turn, for training at several; instead of ``input_size``.

    Returns:
        A dataset of dicts: ``image`` uint8 (B, S, S, 3) RGB; ``boxes_xyxy`` float32 (B, N, 4) input pixels and
        ``classes`` int32 (B, N), zero padded; per stride ``cell_S`` int32 (B, P) and ``slots_S`` int32 (B, T)
        padded with -1, ``box_S`` int32 (B, P) padded with 0; ``row`` int64 (B,), number in shard order.  N, P and T
        are at least 1.
    """
    if split not in manifest.splits:
        raise ShardError(f"{directory} has no split {split!r}; it has {', '.join(manifest.splits)}")
    size = manifest.input_size if input_size is None else input_size
    each = [size] if batch_input_sizes is None else sorted(set(batch_input_sizes))
    stored = {one: _stored_names(directory, manifest, one) for one in each}
    names = list(dict.fromkeys(name for some in stored.values() for name in some))
    shards = manifest.splits[split].of_copy(copy)
    sources = {"tfrecord": _tfrecord_rows, "parquet": _parquet_rows}
    rows = sources[manifest.format](Path(directory), shards, shuffle_seed, names)
    if shuffle_seed is not None:
        rows = rows.shuffle(shuffle_rows, seed=shuffle_seed, reshuffle_each_iteration=False)

    if batch_input_sizes is None:
        sizes = (size, manifest.input_size)
        decoded = rows.map(_decoder(manifest.encoding, sizes), num_parallel_calls=tf.data.AUTOTUNE)
        dataset = decoded.batch(batch_size, drop_remainder=drop_remainder).map(_unpacker(sizes))
    else:
        kinds = [
            _Kind((one, manifest.input_size), manifest.encoding, tuple(names.index(name) for name in stored[one]))
            for one in each
        ]
        turns = [each.index(one) for one in batch_input_sizes]
        dataset = _batches_of_kinds(rows, kinds, turns, batch_size, drop_remainder)
    options = tf.data.Options()
    options.deterministic = True
    options.autotune.enabled = False  # its thread delays the end of an epoch, at random
    return dataset.prefetch(2).with_options(options)


class _Kind(NamedTuple):
    """Batches of one size: (S, stored size), encoding, and where its labels stand among the features read."""

    sizes: tuple[int, int]
    encoding: str
    columns: tuple[int, ...]

    def decode(self, number: tf.Tensor, image: tf.Tensor, features: tf.Tensor) -> Any:
        """One row."""
        return _decoder(self.encoding, self.sizes)(number, image, features)

    def unpack(self, number: tf.Tensor, image: tf.Tensor, features: tf.Tensor) -> Tensors:
        """A batch of them."""
        chosen = tf.gather(features, self.columns, axis=1)
        result: Tensors = _unpacker(self.sizes)(
            number, tf.ensure_shape(image, [None, *self.sizes[:1] * 2, 3]), chosen
        )
        return result


def _batches_of_kinds(
    rows: tf.data.Dataset, kinds: list[_Kind], turns: list[int], batch_size: int, drop_remainder: bool
) -> tf.data.Dataset:
    """Batch b is of kind ``turns[b]``; each row is decoded and shrunk once, for the batch that it will be in."""
    kind_of_batch = tf.constant(turns, tf.int32)

    def decode(place: tf.Tensor, row: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, Any]:
        turn = kind_of_batch[place // batch_size]
        return turn, tf.switch_case(turn, [partial(kind.decode, *row) for kind in kinds])

    def unpack(turn: tf.Tensor, batch: tuple[tf.Tensor, ...]) -> Any:
        return tf.switch_case(turn[0], [partial(kind.unpack, *batch) for kind in kinds])

    decoded = rows.enumerate().map(lambda place, row: decode(place, row), num_parallel_calls=tf.data.AUTOTUNE)
    return decoded.batch(batch_size, drop_remainder=drop_remainder).map(lambda turn, batch: unpack(turn, batch))


def _stored_names(directory: str | Path, manifest: Manifest, size: int) -> list[str]:
    """The names under which ``_PADDING``'s are stored: labels of a smaller size carry it in theirs."""
    if size not in manifest.input_sizes:
        sizes = ", ".join(map(str, manifest.input_sizes))
        raise ShardError(
            f"{directory} has no labels for {size} px; it has {sizes}",
            hint="list the size under precompute.input_size, then: dvc repro",
        )
    suffix = "" if size == manifest.input_size else f"_{size}"
    return [name + suffix if name in LABEL_PARTS else name for name in _PADDING]


def _as_is(function: Any) -> Any:
    """A function that AutoGraph need not rewrite, which takes longer than tracing it."""
    return tf.autograph.experimental.do_not_convert(function)


def _order(count: int, seed: int | None) -> npt.NDArray[np.int64]:
    return np.arange(count) if seed is None else np.random.default_rng(seed).permutation(count)


def _tfrecord_rows(
    directory: Path, shards: tuple[ShardInfo, ...], seed: int | None, names: list[str]
) -> tf.data.Dataset:
    """(row number, encoded image, the features ``names`` as (K,) byte strings) of every record, shard by shard."""
    first = np.cumsum([0, *(shard.rows for shard in shards)])[:-1]
    order = _order(len(shards), seed)
    files = [str(directory / shards[index].name) for index in order]
    spec = {name: tf.io.FixedLenFeature([], tf.string) for name in ("image", *names)}
    dataset = tf.data.Dataset.from_tensor_slices((files, first[order]))
    records = dataset.flat_map(lambda file, start: tf.data.TFRecordDataset(file).enumerate(start))

    def row(number: tf.Tensor, record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        features = tf.io.parse_single_example(record, spec)
        return number, features["image"], tf.stack([features[name] for name in names])

    return records.map(_as_is(row), num_parallel_calls=tf.data.AUTOTUNE)


def _parquet_rows(
    directory: Path, shards: tuple[ShardInfo, ...], seed: int | None, names: list[str]
) -> tf.data.Dataset:
    """The same from Parquet: a row group for each call, which is much faster than a row for each."""
    files = [directory / shard.name for shard in shards]
    groups = [
        (index, group) for index, shard in enumerate(shards) for group in range(-(-shard.rows // ROWS_PER_GROUP))
    ]
    first = np.cumsum([0, *(shard.rows for shard in shards)])[:-1]

    def read(number: npt.NDArray[np.int64]) -> list[npt.NDArray[Any]]:
        index, group = groups[int(number)]
        image, *features = _group_features(files[index], group, ["image", *names])
        start = first[index] + group * ROWS_PER_GROUP
        return [np.arange(start, start + len(image)), image, np.stack(features, axis=1)]

    def row_group(number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        numbers, images, features = tf.numpy_function(read, [number], [tf.int64, tf.string, tf.string])
        return (
            tf.ensure_shape(numbers, [None]),
            tf.ensure_shape(images, [None]),
            tf.ensure_shape(features, [None, len(names)]),
        )

    order = _order(len(groups), seed)
    return tf.data.Dataset.from_tensor_slices(order).map(_as_is(row_group), num_parallel_calls=2).unbatch()


def _group_features(path: Path, group: int, names: list[str]) -> list[npt.NDArray[np.object_]]:
    """Each feature of a row group as the bytes that a TFRecord would hold."""
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        table = read_group(file, group, path, names)
    return [_as_bytes(table[name], name) for name in names]


def _as_bytes(column: Any, name: str) -> npt.NDArray[np.object_]:
    array = column.combine_chunks()
    if name == "image":
        return np.array(array.to_pylist(), object)
    offsets = array.offsets.to_numpy().astype(np.int64)
    values = array.values.values if name == "boxes_xyxy" else array.values
    packed = values.to_numpy(zero_copy_only=False)
    ends = offsets * packed.itemsize * (4 if name == "boxes_xyxy" else 1)
    packed = packed.tobytes()
    return np.array([packed[a:b] for a, b in pairwise(ends)], object)


@cache
def _decoder(encoding: str, sizes: tuple[int, int]) -> Any:
    """Pixels from bytes; traced once for all epochs, as is :func:`_unpacker`."""

    def decode(number: tf.Tensor, image: tf.Tensor, features: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        return number, _scaled_down(_pixels(image, encoding, sizes[1]), sizes[0]), features

    return tf.function(decode, autograph=False)


@cache
def _unpacker(sizes: tuple[int, int]) -> Any:
    """A batch from its rows' bytes (B, K): a few operations a feature for the whole batch, not for each row."""

    def unpack(number: tf.Tensor, image: tf.Tensor, features: tf.Tensor) -> Tensors:
        lengths = tf.strings.length(features)  # in bytes
        longest = tf.unstack(tf.maximum(tf.reduce_max(lengths, axis=0), _LEAST))
        columns = tf.unstack(features, axis=1), tf.unstack(lengths, axis=1)
        result: Tensors = {"image": image, "row": number}
        for name, most, packed, length in zip(_PADDING, longest, *columns, strict=True):
            values = tf.io.decode_raw(packed, ARRAYS[name], fixed_length=most)  # zeros behind each row's end
            if name == "boxes_xyxy":
                result[name] = _scaled(tf.reshape(values, [tf.shape(values)[0], -1, 4]), *sizes)
            else:
                result[name] = _filled(tf.cast(values, tf.int32), length, _WIDTH[name], _PADDING[name])
        return result

    return tf.function(unpack, autograph=False)


def _filled(values: tf.Tensor, length: tf.Tensor, width: int, fill: int) -> tf.Tensor:
    """Values (B, N) with another padding than 0 behind each row's ``length`` bytes."""
    if fill == 0:
        return values
    return tf.where(tf.range(tf.shape(values)[1]) * width < length[:, tf.newaxis], values, fill)


def _pixels(encoded: tf.Tensor, encoding: str, size: int) -> tf.Tensor:
    """Decoded pixels, bit-identical to OpenCV's: TensorFlow's default JPEG transform differs by up to 4 levels."""
    if encoding == "raw":
        pixels = tf.io.decode_raw(encoded, tf.uint8)
    elif encoding == "png":
        pixels = tf.io.decode_png(encoded, channels=3)
    else:
        pixels = tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")
    return tf.reshape(pixels, [size, size, 3])


def _scaled_down(pixels: tf.Tensor, size: int) -> tf.Tensor:
    """Each new pixel is the mean of the area it covers: boxes scale with it exactly, and nothing aliases."""
    if pixels.shape[0] == size:
        return pixels
    return tf.cast(tf.round(tf.image.resize(pixels, [size, size], method="area")), tf.uint8)


def _scaled(boxes_xyxy: tf.Tensor, size: int, largest: int) -> tf.Tensor:
    """The operations of ``boxes_at_size``, so that the result is equal bit for bit."""
    if size == largest:
        return boxes_xyxy
    return tf.cast(tf.cast(boxes_xyxy, tf.float64) * size / largest, tf.float32)
