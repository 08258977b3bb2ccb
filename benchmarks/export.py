"""Exported networks against the Keras model: images a second, bytes, and mAP by the project's own evaluator.

    python benchmarks/export.py [--model models/last.weights.h5] [--rounds 3] [--images 64]

Run it in a project folder whose pipeline has run.  Timed is the way from uint8 pixels to raw outputs (rows with
``+ NMS``: to detections), one image at a time and sixteen at once, in turns; mAP is over all of val.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from timing import best_seconds

from yolopipe import paths
from yolopipe.backend import import_tensorflow
from yolopipe.detection.nms import ImageDetections, detect_batch
from yolopipe.detection.outputs import RawScale
from yolopipe.detection.suppression import Suppression
from yolopipe.detection.to_source import detections_in_source
from yolopipe.export.difference import Answer, Images, detections_of
from yolopipe.export.export_network import run
from yolopipe.export.request import ExportRequest
from yolopipe.export.writers import SUFFIX, export_format
from yolopipe.scoring.measures import measure
from yolopipe.scoring.results import Found, annotated_in_source
from yolopipe.shards.manifest import load_manifest
from yolopipe.shards.reader import read_rows
from yolopipe.shards.schema import Row, decode_pixels

import_tensorflow()
from yolopipe.model.model_file import load_model  # noqa: E402

BATCH = 16
REQUESTS = {
    "SavedModel": ExportRequest("saved-model"),
    "ONNX": ExportRequest("onnx"),
    "TFLite float32": ExportRequest("tflite"),
    "TFLite float16": ExportRequest("tflite", precision="float16"),
    "TFLite int8": ExportRequest("tflite", precision="int8"),
    "SavedModel + NMS": ExportRequest("saved-model", Suppression()),
    "ONNX + NMS": ExportRequest("onnx", Suppression()),
    "TFLite float32 + NMS": ExportRequest("tflite", Suppression()),
    "TFLite float16 + NMS": ExportRequest("tflite", Suppression(), precision="float16"),
}
SUPPRESSION = Suppression()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(paths.LAST_WEIGHTS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=64)
    options = parser.parse_args()
    manifest = load_manifest(paths.SHARDS)
    rows = list(read_rows(paths.SHARDS, manifest, "val"))
    pixels = np.stack(
        [decode_pixels(row.image, encoding=manifest.encoding, input_size=manifest.input_size) for row in rows]
    )
    network, card = load_model(options.model)
    answers, sizes, apart = {"Keras": _keras(network)}, {"Keras": Path(options.model).stat().st_size}, {"Keras": 0.0}
    with tempfile.TemporaryDirectory() as folder:
        for name, request in REQUESTS.items():
            out = Path(folder) / f"{name}{SUFFIX.get(request.form, '')}"
            # What int8 loses is measured here, not judged.
            report = run(options.model, out, replace(request, tolerance=100.0)).report
            answers[name], sizes[name] = export_format(request.form).load(out), report["bytes"]
            apart[name] = max(report["largest_difference"].values())
    some = pixels[: options.images]
    one = best_seconds({name: _passes(answer, some, 1) for name, answer in answers.items()}, rounds=options.rounds)
    many = best_seconds(
        {name: _passes(answer, some, BATCH) for name, answer in answers.items()}, rounds=options.rounds
    )
    print("| | MB | largest difference | images/s, batch 1 | images/s, batch 16 | mAP@.5 | mAP@[.5:.95] |")
    print("|---|---|---|---|---|---|---|")
    for name, answer in answers.items():
        ap50, ap = _map(rows, _found(answer, pixels, card), len(card.class_names))
        speeds = " | ".join(f"{len(some) / times[name]:.0f}" for times in (one, many))
        print(f"| {name} | {sizes[name] / 1e6:.2f} | {apart[name]:.2g} | {speeds} | {ap50:.4f} | {ap:.4f} |")


def _keras(network: Any) -> Callable[[Images], Answer]:
    import tensorflow as tf

    compiled = tf.function(lambda images: network(tf.cast(images, tf.float32) / 255.0, training=False))
    names = ("head_8", "head_16", "head_32")
    return lambda images: dict(zip(names, (output.numpy() for output in compiled(tf.constant(images))), strict=True))


def _batches(pixels: Images, size: int) -> Iterator[Images]:
    return (pixels[start : start + size] for start in range(0, len(pixels), size))


def _passes(answer: Callable[[Images], Answer], pixels: Images, size: int) -> Callable[[], object]:
    return lambda: [answer(batch) for batch in _batches(pixels, size)]


def _found(answer: Callable[[Images], Answer], pixels: Images, card: Any) -> list[ImageDetections]:
    found: list[ImageDetections] = []
    for batch in _batches(pixels, BATCH):
        outputs = answer(batch)
        if "count" in outputs:
            found += detections_of(outputs)
            continue
        scales = [
            RawScale.of(outputs[f"head_{stride}"], anchors, stride)
            for anchors, stride in zip(card.anchors, card.strides, strict=True)
        ]
        found += detect_batch(scales, SUPPRESSION)
    return found


def _map(rows: list[Row], detected: list[ImageDetections], classes: int) -> tuple[float, float]:
    found = Found()
    for row, image in zip(rows, detected, strict=True):
        found.images.append(row.path)
        found.annotated.append(annotated_in_source(row))
        found.detected.append(detections_in_source(row, image)[0])
    coco = measure(found.truth(), found.detections(), num_classes=classes).coco
    return coco.ap(50) or 0.0, coco.ap() or 0.0


if __name__ == "__main__":
    main()
