"""A second precompute, with other anchors or with one image in a hundred new, against a cold run.

    python benchmarks/rerun.py FOLDER_OF_JPEGS [--images 6000] [--size 416] [--workers 2]

Every image is a file of its own (a comment inside makes them different), and the shards are deleted before each run,
as DVC does.  The lines below the rule are the lower bound for a stage that does not trust the dates of files: reading
and hashing every image in as many processes, copying the finished shards to the disk, and a hundredth of the cold
run.  Times are of the stage, including the start of its processes.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from yolopipe import paths
from yolopipe.config.params import Config
from yolopipe.stages import augment, parse, precompute


def with_comment(jpeg: bytes, text: bytes) -> bytes:
    """The same picture as another file."""
    return jpeg[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + jpeg[2:]


def draw_project(originals: list[Path], images: int) -> list[Path]:
    """Annotation text and as many images as asked for, each a few boxes."""
    Path("images").mkdir()
    files = [Path("images") / f"{number:06}.jpg" for number in range(images)]
    for number, file in enumerate(files):
        file.write_bytes(with_comment(originals[number % len(originals)].read_bytes(), b"%09d" % number))
    boxes = " ".join(f"{x},{x},{x + 40},{x + 60},0" for x in range(10, 200, 33))
    Path("train.txt").write_text("".join(f"{file} {boxes}\n" for file in files[1:]))
    Path("val.txt").write_text(f"{files[0]} {boxes}\n")
    Path("classes.names").write_text("thing\n")
    return files


def seconds(work: Callable[[], object]) -> float:
    start = time.monotonic()
    work()
    return time.monotonic() - start


def read_and_hash(files: list[Path]) -> None:
    for file in files:
        hashlib.sha256(file.read_bytes()).digest()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=6000)
    parser.add_argument("--size", type=int, default=416)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    originals = sorted(path.resolve() for path in options.folder.glob("*.jpg"))
    settings: dict[str, Any] = {
        "data": {"train": "train.txt", "val": "val.txt", "classes": "classes.names", "images": "images"},
        "parse": {"on_bad": "drop-box"},
        "augment": AUGMENT,
        "precompute": {"input_size": options.size},
    }
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ.pop("DVC_ROOT", None)
        files = draw_project(originals, options.images)

        def run(**changes: Any) -> float:
            config = Config.model_validate({**settings, **changes})
            shutil.rmtree(paths.SHARDS, ignore_errors=True)
            return seconds(lambda: precompute.run(config, workers=options.workers))

        def prepare() -> None:
            config = Config.model_validate(settings)
            parse.run(config)
            augment.run(config)

        prepare()
        took = {"cold": run(), "other anchors": run(assignment={"iou_threshold": 0.4, "anchors": ANCHORS})}
        for file in files[::100]:
            file.write_bytes(with_comment(file.read_bytes(), b"new"))
        prepare()
        took["1 % new images"] = run()
        parts = [files[at : at + 512] for at in range(0, len(files), 512)]
        with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
            pool.map(read_and_hash, parts[:1] * options.workers)
            bare = {"read and hash": seconds(lambda: pool.map(read_and_hash, parts, chunksize=1))}
        bare["copy"] = seconds(lambda: (shutil.copytree(paths.SHARDS, "copy"), os.sync()))
        bare["1 % of cold"] = took["cold"] / 100
        size = sum(file.stat().st_size for file in paths.SHARDS.iterdir())
    print(
        f"{options.images:,} images, {options.size} px, {options.workers} processes, {size / 1e6:,.0f} MB of shards"
    )
    for name, each in took.items():
        print(f"  {name:<16}{each:7.2f} s   {took['cold'] / each:5.1f} times faster than cold")
    print("  " + "-" * 25)
    for name, each in bare.items():
        print(f"  {name:<16}{each:7.2f} s")
    print(f"  {'together':<16}{sum(bare.values()):7.2f} s, {sum(bare.values()) / took['1 % new images']:.2f} of ours")


AUGMENT = {"copies": 1, "flip": 0.5, "crop": 0.5, "translate": 0.5, "hue": 0.03, "saturation": 0.4, "value": 0.3}
ANCHORS = ["9x12", "17x29", "35x24", "31x60", "61x46", "60x118", "115x91", "157x197", "370x330"]

if __name__ == "__main__":
    main()
