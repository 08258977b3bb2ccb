"""Reading for training: shards to batches, against reading and decoding alone, and against the notes' way.

    python benchmarks/reading.py PROJECT_FOLDER [--batch 8]

PROJECT_FOLDER holds ``data/augmented`` and ``data/shards`` (JPEG).  Contenders, over one augmented copy of train:

- decode: every stored JPEG decoded by tf.data in as many threads, nothing else (the limit);
- batches: what training gets: shuffled, decoded, labels unpacked and padded, prefetched;
- the notes: one Python thread that reads the source image, augments, letterboxes and labels densely, each epoch.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from timing import best_seconds

from yolopipe import paths
from yolopipe.geometry import compose, letterbox_matrix, transform_boxes, warp
from yolopipe.images import read_image
from yolopipe.labels.sparse import preprocess_true_boxes
from yolopipe.shards.manifest import Manifest, load_manifest
from yolopipe.shards.reader import read_rows
from yolopipe.tables import read_table, split_boxes
from yolopipe.training.device import import_tensorflow

NOTES_BATCHES = 12


def notes_batches(manifest: Manifest, batch: int) -> Iterator[tuple[np.ndarray, list[list[np.ndarray]]]]:
    """Batches as the notes make them: float pixels and six dense arrays an image."""
    table, names = read_table(paths.AUGMENTED / "train.parquet", made_by="augment")
    boxes, classes, offsets = split_boxes(table)
    size = manifest.input_size
    pixels, labels = [], []
    for index, row in enumerate(table.drop_columns(["boxes_xyxy", "classes"]).to_pylist()):
        letterbox = letterbox_matrix((row["frame_width"], row["frame_height"]), size)
        matrix = compose(np.array(row["matrix"]).reshape(2, 3), letterbox)
        image = warp(read_image(row["image"], row["orientation"]), matrix, size)
        ours = slice(offsets[index], offsets[index + 1])
        moved = np.clip(transform_boxes(letterbox, boxes[ours]), 0, size)
        bboxes = np.concatenate([moved, classes[ours, None]], axis=1)
        anchors = manifest.anchors_in_strides
        labels.append(preprocess_true_boxes(bboxes, input_size=size, anchors=anchors, num_classes=len(names)))
        pixels.append(image.astype(np.float32) / 255.0)
        if len(pixels) == batch:
            yield np.stack(pixels), [[label[i] for label in labels] for i in range(6)]
            pixels, labels = [], []


def main() -> None:
    """Print the rates and ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("project", type=Path)
    parser.add_argument("--batch", type=int, default=8)
    options = parser.parse_args()
    os.chdir(options.project)
    tf = import_tensorflow()
    from yolopipe.shards.tfdata import batches

    manifest = load_manifest(paths.SHARDS)
    rows = manifest.splits["train"].rows_per_copy
    jpegs = [row.image for row in read_rows(paths.SHARDS, manifest, "train", copy=0)]

    def decode() -> None:
        def pixels(encoded: Any) -> Any:
            return tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")

        dataset = tf.data.Dataset.from_tensor_slices(jpegs).map(pixels, num_parallel_calls=os.cpu_count())
        settings = tf.data.Options()
        settings.autotune.enabled = False
        for _ in dataset.batch(options.batch).prefetch(2).with_options(settings):
            pass

    def ours() -> None:
        for _ in batches(paths.SHARDS, manifest, "train", batch_size=options.batch, copy=0, shuffle_seed=1):
            pass

    def notes() -> None:
        for _ in islice(notes_batches(manifest, options.batch), NOTES_BATCHES):
            pass

    seconds = best_seconds({"decode": decode, "ours": ours, "notes": notes}, rounds=4)
    rate = {"decode": rows / seconds["decode"], "ours": rows / seconds["ours"]}
    rate["notes"] = NOTES_BATCHES * options.batch / seconds["notes"]
    print(f"{rows:,} rows of {manifest.input_size} px, {manifest.format}, batches of {options.batch}")
    for name in ("decode", "ours", "notes"):
        print(f"  {name:<8}{rate[name]:8.0f} images/s")
    print(f"  batches are {rate['ours'] / rate['decode']:.2f} of decoding alone")
    print(f"  batches are {rate['ours'] / rate['notes']:.1f} times the notes' way")


if __name__ == "__main__":
    main()
