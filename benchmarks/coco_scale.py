"""The data stages at COCO's size: 118,000 images and 860,000 boxes, as real commands.

    python benchmarks/coco_scale.py [--images 118000 50000] [--boxes 7.3] [--copies 1] [--workers 2]
                                    [--stages parse augment precompute] [--size 416] [--profile]

The images are hard links to a few drawn files, so headers are read from a warm cache.  Boxes are whole pixels; their
number an image is geometric (many with few, a few with dozens), as in COCO.  Printed for each stage: wall seconds,
CPU seconds of all its processes, and the peak memory of its largest process.  ``--profile`` runs each stage a second
time under cProfile and prints the functions in which its main process spends most time.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import pstats
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

SIZES_WH = ((640, 480), (480, 640), (640, 427), (500, 375), (612, 612), (640, 360), (427, 640), (640, 640))
CLASSES = 80
VAL_SHARE = 0.04
STAGES = ("parse", "augment", "precompute")
PARAMS = """\
data: {train: train.txt, val: val.txt, classes: classes.names, images: images}
parse: {on_bad: drop-box}
augment: {copies: COPIES}
precompute: {input_size: SIZE}
"""


def draw_project(folder: Path, images: int, boxes: int, copies: int, size: int, seed: int = 0) -> None:
    """Write params, class names, annotation text and links into ``folder``."""
    rng = np.random.default_rng(seed)
    sources = draw_sources(folder, rng)
    kinds = rng.integers(0, len(SIZES_WH), images)
    names = [f"images/{index // 1000:03}/{index:06}.jpg" for index in range(images)]
    for block in range((images + 999) // 1000):
        (folder / f"images/{block:03}").mkdir(parents=True)
    for name, kind in zip(names, kinds.tolist(), strict=True):
        os.link(sources[kind], folder / name)
    counts = rng.multinomial(boxes, rng.dirichlet(np.full(images, 1.2)))
    texts = box_texts(rng, np.array(SIZES_WH)[np.repeat(kinds, counts)])
    ends = np.cumsum(counts).tolist()
    lines = [
        " ".join([name, *texts[end - count : end]])
        for name, end, count in zip(names, ends, counts.tolist(), strict=True)
    ]
    first_val = images - round(images * VAL_SHARE)
    (folder / "train.txt").write_text("\n".join(lines[:first_val]) + "\n")
    (folder / "val.txt").write_text("\n".join(lines[first_val:]) + "\n")
    (folder / "classes.names").write_text("".join(f"class {index}\n" for index in range(CLASSES)))
    (folder / "params.yaml").write_text(PARAMS.replace("COPIES", str(copies)).replace("SIZE", str(size)))


def draw_sources(folder: Path, rng: np.random.Generator) -> list[Path]:
    """A JPEG of each size with some detail in it."""
    (folder / "drawn").mkdir(parents=True)
    sources = []
    for index, size_wh in enumerate(SIZES_WH):
        coarse = rng.integers(0, 255, (60, 80, 3), dtype=np.uint8)
        sources.append(folder / f"drawn/{index}.jpg")
        cv2.imwrite(str(sources[-1]), cv2.resize(coarse, size_wh, interpolation=cv2.INTER_CUBIC))
    return sources


def box_texts(rng: np.random.Generator, sizes_wh: np.ndarray) -> list[str]:
    """``x1,y1,x2,y2,class`` of boxes inside their images, sides from 4 pixels to the whole image."""
    sides = np.maximum(4, (sizes_wh * rng.beta(0.8, 2.5, sizes_wh.shape)).astype(int))
    low = (rng.random(sizes_wh.shape) * (sizes_wh - sides + 1)).astype(int)
    classes = rng.integers(0, CLASSES, (len(low), 1))
    return [",".join(map(str, row)) for row in np.hstack([low, low + sides, classes]).tolist()]


def measure(folder: Path, stage: str, workers: int) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak MiB of ``yolopipe STAGE``."""
    start = time.monotonic()
    child = subprocess.Popen([*command(stage, workers)], cwd=folder, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"yolopipe {stage} ended with {child.returncode}")
    return time.monotonic() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def command(stage: str, workers: int) -> list[str]:
    return [sys.executable, "-m", "yolopipe", stage, "--workers", str(workers)]


def profile(folder: Path, stage: str, workers: int) -> list[str]:
    """The functions of yolopipe in which the main process spends most, with their callees."""
    python, *rest = command(stage, workers)
    record = folder / f"{stage}.profile"
    subprocess.run([python, "-m", "cProfile", "-o", record, *rest], cwd=folder, check=True, capture_output=True)
    stats = pstats.Stats(str(record)).stats  # type: ignore[attr-defined]
    ours = [
        (spent[3], f"{Path(file).parent.name}/{Path(file).name}:{name}")
        for (file, _, name), spent in stats.items()
        if "/yolopipe/" in file and name not in ("<module>", "run", "command", "guarded", "main", "<lambda>")
    ]
    return [f"{seconds:6.1f} s  {where}" for seconds, where in sorted(ours, reverse=True)[:8]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[118_000])
    parser.add_argument("--boxes", type=float, default=860 / 118, help="per image")
    parser.add_argument("--copies", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES[:2])
    parser.add_argument("--size", type=int, default=416)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [os.getcwd(), os.environ.get("PYTHONPATH", "")]))
    os.environ["YOLOPIPE_CACHE_GB"] = "0"
    for images in options.images:
        run(images, options)


def run(images: int, options: argparse.Namespace) -> None:
    """Draw a project of so many images and print the table of its stages."""
    boxes = round(images * options.boxes)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        # In a process of its own: the peak of this one would count as that of every command it starts.
        drawing = multiprocessing.Process(
            target=draw_project, args=(folder, images, boxes, options.copies, options.size)
        )
        drawing.start()
        drawing.join()
        print(f"{images:,} images, {boxes:,} boxes, {options.copies} copies, {options.workers} workers")
        print(f"{'stage':<10} {'wall s':>8} {'CPU s':>8} {'peak MiB':>9} {'images/CPU s':>13}")
        for stage in options.stages:
            wall, cpu, peak = measure(folder, stage, options.workers)
            print(f"{stage:<10} {wall:8.1f} {cpu:8.1f} {peak:9.0f} {images / cpu:13,.0f}", flush=True)
        for stage in options.stages if options.profile else ():
            print(f"{stage}, main process under cProfile (about twice as slow):")
            print("\n".join(f"  {line}" for line in profile(folder, stage, options.workers)))


if __name__ == "__main__":
    main()
