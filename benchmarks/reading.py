"""Reading for training: shards to batches, against reading and decoding alone, and against the reference's loader.

    python benchmarks/reading.py PROJECT_FOLDER [--batch 8]

PROJECT_FOLDER holds ``data/parsed`` and ``data/shards`` (Parquet).  Contenders, over all augmented copies of train:

- decode: the image columns read and decoded by tf.data in as many threads, nothing else (the limit);
- batches: what training gets: shuffled, decoded, labels unpacked and padded, prefetched;
- reference: one Python thread that reads, augments, letterboxes and labels densely at 80 classes, each epoch.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from reference_loader import ReferenceLoader
from timing import best_seconds

from yolopipe import paths
from yolopipe.backend import import_tensorflow
from yolopipe.config.params import STRIDES
from yolopipe.shards.manifest import Manifest, load_manifest
from yolopipe.tables import read_table, split_boxes

REFERENCE_BATCHES = 12


def reference_samples() -> list[tuple[str, np.ndarray]]:
    """Path and boxes (N, 5) of each training image."""
    table, _ = read_table(paths.PARSED / "train.parquet", made_by="parse")
    boxes, classes, _, offsets = split_boxes(table)
    both = np.concatenate([boxes, classes[:, None]], axis=1).astype(np.float64)
    return list(zip(table["image"].to_pylist(), np.split(both, offsets[1:-1]), strict=True))


def bare_loop(tf: Any, manifest: Manifest, batch: int) -> Any:
    """Image columns of the shards, row group by row group, decoded in all cores and batched: no label, no order."""
    files = [paths.SHARDS / shard.name for shard in manifest.splits["train"].of_copy(None)]
    groups = [(file, group) for file in files for group in range(pq.ParquetFile(file).num_row_groups)]

    def read(number: np.ndarray) -> np.ndarray:
        file, group = groups[int(number)]
        column = pq.ParquetFile(file, page_checksum_verification=True).read_row_group(group, columns=["image"])
        return np.array(column["image"].to_pylist(), object)

    def images(number: Any) -> Any:
        return tf.ensure_shape(tf.numpy_function(read, [number], tf.string), [None])

    def pixels(encoded: Any) -> Any:
        if manifest.encoding == "raw":
            return tf.reshape(tf.io.decode_raw(encoded, tf.uint8), [manifest.input_size, manifest.input_size, 3])
        return tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")

    dataset = tf.data.Dataset.range(len(groups)).map(images, num_parallel_calls=2).unbatch()
    settings = tf.data.Options()
    settings.autotune.enabled = False
    decoded = dataset.map(pixels, num_parallel_calls=os.cpu_count())
    return decoded.batch(batch).prefetch(2).with_options(settings)


def main() -> None:
    """Print the rates and ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("project", type=Path)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--classes", type=int, default=80, help="of the reference's dense labels")
    options = parser.parse_args()
    os.chdir(options.project)
    tf = import_tensorflow()
    from yolopipe.shards.tfdata import batches

    manifest = load_manifest(paths.SHARDS)
    split = manifest.splits["train"]
    rows = sum(shard.rows for shard in split.of_copy(None))
    bare = bare_loop(tf, manifest, options.batch)

    def decode() -> None:
        for _ in bare:
            pass

    def ours() -> None:
        for _ in batches(paths.SHARDS, manifest, "train", batch_size=options.batch, shuffle_seed=1):
            pass

    plain = ReferenceLoader(manifest.input_size, options.classes, manifest.anchors_in_strides, np.array(STRIDES))
    samples = reference_samples()[: REFERENCE_BATCHES * options.batch]

    def reference() -> None:
        for _ in plain.batches(samples, options.batch):
            pass

    seconds = best_seconds({"decode": decode, "ours": ours, "reference": reference}, rounds=4)
    rate = {"decode": rows / seconds["decode"], "ours": rows / seconds["ours"]}
    rate["reference"] = len(samples) / seconds["reference"]
    print(f"{rows:,} rows of {manifest.input_size} px, {manifest.format}, batches of {options.batch}")
    for name in ("decode", "ours", "reference"):
        print(f"  {name:<10}{rate[name]:8.0f} images/s")
    print(f"  batches are {rate['ours'] / rate['decode']:.2f} of decoding alone")
    print(f"  batches are {rate['ours'] / rate['reference']:.1f} times the reference's loader")


if __name__ == "__main__":
    main()
