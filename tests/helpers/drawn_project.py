"""A project folder of small drawn images with annotation text, and its precompute run in processes of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from yolopipe.config.params import Config

PARAMS = """\
data: {{train: train.txt, val: val.txt, classes: classes.names, images: images}}
augment: {{copies: {copies}}}
precompute: {{input_size: {size}, shard_rows: 16}}
"""


def draw(folder: Path, *, images: int, seed: int = 3, size: int = 64, copies: int = 2) -> None:
    """``images`` for train and a quarter as many for val; JPEG and PNG, some of them backgrounds."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for split, count in (("train", images), ("val", max(1, images // 4))):
        lines = [draw_image(folder, f"{split}{index}", seed) for index in range(count)]
        (folder / f"{split}.txt").write_text("".join(lines))
    (folder / "classes.names").write_text("a\nb\nc\n")
    (folder / "params.yaml").write_text(PARAMS.format(copies=copies, size=size))


def draw_image(folder: Path, name: str, seed: int) -> str:
    """One noisy image with up to three bright boxes; its line of annotation text."""
    rng = np.random.default_rng([seed, *name.encode()])
    width, height = (int(side) for side in rng.integers(50, 110, 2))
    pixels = rng.integers(0, 90, (height, width, 3)).astype(np.uint8)
    boxes = []
    for kind in range(int(rng.integers(0, 4))):
        x, y = int(rng.integers(0, width - 20)), int(rng.integers(0, height - 20))
        pixels[y : y + 19, x : x + 17] = 255
        boxes.append(f" {x},{y},{x + 17},{y + 19},{kind}")
    file = f"images/{name}.{'png' if len(boxes) % 2 else 'jpg'}"
    encoded = cv2.imencode(file[-4:], pixels)[1]
    (folder / file).write_bytes(encoded.tobytes())
    return f"{file}{''.join(boxes)}\n"


def make_config(**sections: object) -> Config:
    """What ``draw`` drew, 64 pixels, two copies with colour; whole sections may be given."""
    defaults: dict[str, object] = {
        "data": {"train": "train.txt", "val": "val.txt", "classes": "classes.names", "images": "images"},
        "augment": {"copies": 2, "hue": 0.02, "saturation": 0.3, "value": 0.3},
        "precompute": {"input_size": 64, "shard_rows": 16},
    }
    return Config.model_validate({**defaults, **sections})


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by relative name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def start(folder: Path, *arguments: str, mark: str = "", **options: object) -> subprocess.Popen[str]:
    """``yolopipe ARGUMENTS`` in a process group of its own; ``mark`` is found in the environment of its children."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "YOLOPIPE_TEST_MARK": mark}
    environment.pop("DVC_ROOT", None)
    return subprocess.Popen(
        [sys.executable, "-m", "yolopipe", *arguments],
        cwd=folder,
        env=environment,
        text=True,
        start_new_session=True,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},  # type: ignore[call-overload]
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait; exit code, standard output, standard error."""
    out, err = process.communicate(timeout=600)
    return process.returncode, out, err


def kill_group(process: subprocess.Popen[str]) -> None:
    """``kill -9`` of a process and all it started."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def marked(mark: str) -> list[int]:
    """The living processes whose environment holds a mark (Linux)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            if f"YOLOPIPE_TEST_MARK={mark}\0".encode() in environment:
                found.append(int(entry.name))
    return found


def wait_until(condition: object, *, seconds: float = 300.0) -> bool:
    """Ask ``condition()`` until it holds, and return whether it does; ``seconds`` only bound a failure."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:  # type: ignore[operator]
        time.sleep(0.005)
    return bool(condition())  # type: ignore[operator]
