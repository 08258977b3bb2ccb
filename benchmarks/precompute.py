"""Cold precompute against a bare loop that only reads, decodes, warps and encodes the same images with OpenCV.

    python benchmarks/precompute.py FOLDER_OF_JPEGS [--images 1500] [--size 416] [--workers 2]

Both use as many processes; the bare loop writes nothing and has no labels.  The rates include starting the processes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
from pathlib import Path

import cv2
import numpy as np
from timing import best_seconds

from yolopipe.config.params import Config
from yolopipe.imaging.geometry import letterbox_matrix
from yolopipe.stages import augment, parse, precompute


def bare(task: tuple[list[str], int]) -> int:
    """Read, decode, warp, encode; returns the bytes made."""
    cv2.setNumThreads(1)
    paths, size = task
    made = 0
    for path in paths:
        image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
        matrix = letterbox_matrix((image.shape[1], image.shape[0]), size)
        warped = cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderValue=(128, 128, 128))
        made += len(cv2.imencode(".jpg", warped, [cv2.IMWRITE_JPEG_QUALITY, 95])[1])
    return made


def bare_loop(paths: list[str], size: int, workers: int) -> None:
    """The bare loop in as many spawned processes."""
    tasks = [(part.tolist(), size) for part in np.array_split(np.array(paths), 4 * workers)]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        pool.map(bare, tasks)


def main() -> None:
    """Print the two rates and their ratio."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--size", type=int, default=416)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    originals = sorted(path.resolve() for path in options.folder.glob("*.jpg"))
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["YOLOPIPE_CACHE_GB"] = "0"  # cold every time
        paths = []
        for number in range(options.images):  # links: as many images as asked for from as few as there are
            path = Path("images") / f"{number:06}.jpg"
            path.parent.mkdir(exist_ok=True)
            path.symlink_to(originals[number % len(originals)])
            paths.append(str(path))
        Path("train.txt").write_text("".join(f"{path} 10,10,60,60,0\n" for path in paths[1:]))
        Path("val.txt").write_text(f"{paths[0]} 10,10,60,60,0\n")
        Path("classes.names").write_text("thing\n")
        config = Config.model_validate(
            {
                "data": {"train": "train.txt", "val": "val.txt", "classes": "classes.names", "images": "images"},
                "augment": {"copies": 1, "flip": 0.0, "crop": 0.0, "translate": 0.0},
                "precompute": {"input_size": options.size, "shard_rows": 128},
            }
        )
        parse.run(config)
        augment.run(config)
        seconds = best_seconds(
            {
                "bare": lambda: bare_loop(paths, options.size, options.workers),
                "ours": lambda: precompute.run(config, workers=options.workers),
            },
            rounds=3,
        )
    print(f"{options.images:,} images, {options.size} px, {options.workers} processes")
    for name in ("bare", "ours"):
        print(f"  {name}   {options.images / seconds[name]:8.0f} images/s")
    print(f"  ours is {seconds['bare'] / seconds['ours']:.2f} of the bare loop's rate")


if __name__ == "__main__":
    main()
