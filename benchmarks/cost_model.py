"""The cost of a data set: CPU seconds of one core, measured on a Pascal VOC folder and scaled up.

    python benchmarks/cost_model.py VOC_FOLDER [--input-size 416] [--copies 4] [--rounds 3]

CPU seconds of this process (``time.process_time``, OpenCV on one thread, best of the rounds) do not depend on what
else runs on the machine.  Measured are the parts of ``precompute`` alone on every image, then the stages; then

    core hours = (images / parse rate + rows / augment rate + rows / precompute rate) / 3600
    shard bytes = rows x (pixel bytes a row) + boxes x copies x (label bytes a box)
    rows = images x copies

for the sizes of well-known data sets, with pictures like those measured (``docs/scaling.md``).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from yolopipe.config.params import Config
from yolopipe.imaging.geometry import letterbox_matrix, warp
from yolopipe.imaging.images import decode_image
from yolopipe.importing.import_data import import_data
from yolopipe.stages import augment, parse, precompute

SETS = (("COCO", 118_000, 860_000), ("OpenImages", 1_740_000, 14_600_000), ("Objects365", 1_740_000, 25_400_000))
COUNTED = "train splits as published, rounded"


def cpu_seconds(work: Callable[[], Any], rounds: int) -> float:
    """CPU seconds of the quickest of ``rounds`` calls."""
    spent = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return min(spent)


def parts(folder: Path, input_size: int, rounds: int) -> dict[str, float]:
    """CPU seconds an image of reading, decoding, warping and encoding alone."""
    files = sorted((folder / "JPEGImages").glob("*.jpg"))
    encoded = [file.read_bytes() for file in files]
    images = [decode_image(content) for content in encoded[:100]]
    maps = [letterbox_matrix(image.shape[1::-1], input_size) for image in images]
    inputs = [warp(image, matrix, input_size) for image, matrix in zip(images, maps, strict=True)]
    quality = [cv2.IMWRITE_JPEG_QUALITY, 95]
    work: dict[str, Callable[[], Any]] = {
        "decode": lambda: [decode_image(content) for content in encoded[:100]],
        "warp": lambda: [warp(image, matrix, input_size) for image, matrix in zip(images, maps, strict=True)],
        "encode": lambda: [cv2.imencode(".jpg", image, quality) for image in inputs],
    }
    return {name: cpu_seconds(run, rounds) / len(images) for name, run in work.items()}


@contextlib.contextmanager
def project(voc: Path, input_size: int, copies: int) -> Iterator[Config]:
    """A folder with the annotation text of ``voc``; this process works there."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            import_data("voc", voc, "text", splits=["trainval", "test"])
            yield Config.model_validate(
                {
                    "seed": 1,
                    "data": {
                        "train": "text/trainval.txt",
                        "val": "text/test.txt",
                        "classes": "text/classes.names",
                        "images": str(voc / "JPEGImages"),
                    },
                    "parse": {"on_bad": "drop-box"},
                    "augment": {"copies": copies},
                    "precompute": {"input_size": input_size},
                }
            )
        finally:
            os.chdir(before)


def stages(config: Config, rounds: int) -> dict[str, float]:
    """CPU seconds an image of parse, and a row of augment and precompute; pixel and label bytes."""
    with contextlib.redirect_stderr(io.StringIO()):
        parsed = parse.run(config).report["splits"]
        spent = {"parse": cpu_seconds(lambda: parse.run(config), rounds)}
        spent["augment"] = cpu_seconds(lambda: augment.run(config), rounds)
        made = precompute.run(config).report
        spent["precompute"] = cpu_seconds(lambda: precompute.run(config), max(1, rounds // 2))
    images = sum(split["images"] for split in parsed.values())
    rows, boxes, size, labels = (
        sum(split[key] for split in made.values()) for key in ("rows", "boxes", "bytes", "label_bytes")
    )
    return {
        "parse": spent["parse"] / images,
        "augment": spent["augment"] / rows,
        "precompute": spent["precompute"] / rows,
        "pixel bytes a row": (size - labels) / rows,
        "label bytes a box": labels / boxes,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("voc", type=Path)
    parser.add_argument("--input-size", type=int, default=416)
    parser.add_argument("--copies", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    alone = parts(options.voc.resolve(), options.input_size, options.rounds)
    with project(options.voc.resolve(), options.input_size, options.copies) as config:
        whole = stages(config, options.rounds)
    print(f"{'part':<22} {'µs':>8} {'a CPU second':>13}")
    bare = sum(alone.values())
    for name, seconds in {**alone, "bare loop (sum)": bare, **dict(list(whole.items())[:3])}.items():
        print(f"{name:<22} {seconds * 1e6:8.0f} {1 / seconds:13,.0f}")
    print(f"precompute / bare loop: {bare / whole['precompute']:.2f} of its rate")
    for name in list(whole)[3:]:
        print(f"{name:<22} {whole[name]:8,.0f}")
    print(f"\n{options.copies} copies, {options.input_size} px; {COUNTED}")
    print(f"{'set':<12} {'images':>10} {'boxes':>11} {'core hours':>11} {'of precompute':>14} {'shards GB':>10}")
    for name, images, boxes in SETS:
        rows = images * options.copies
        hours = np.array([images * whole["parse"] + rows * whole["augment"], rows * whole["precompute"]]) / 3600
        size = rows * whole["pixel bytes a row"] + boxes * options.copies * whole["label bytes a box"]
        share = hours[1] / hours.sum()
        print(f"{name:<12} {images:10,} {boxes:11,} {hours.sum():11.2f} {share:14.0%} {size / 1e9:10.1f}")


if __name__ == "__main__":
    main()
