"""A training step on this machine, against a trivial loss and against the reference's dense step.

    python benchmarks/step.py                             # 416 px, batch 4, 80 classes, 62 million weights
    python benchmarks/step.py --project PROJECT_FOLDER    # a project's shards and network: what real input costs

Each contender runs in a process of its own, so that peak memory is measured for each, for the given number of
steps after one that traces; the shortest counts.  Rounds go over all contenders in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from yolopipe.backend import import_tensorflow
from yolopipe.config.params import STRIDES, Assignment

ANCHORS = Assignment().anchors_px / np.array(STRIDES)[:, None, None]
OPTIONS = {"anchors": ANCHORS, "ignore_threshold": 0.5, "label_smoothing": 0.01}
CONTENDERS = ("ours", "trivial loss", "ours, bfloat16", "ours, XLA", "reference, tf.function", "reference, eager")
LIMITS = "limits"


def make_step(name: str, options: argparse.Namespace) -> Callable[[], Any]:
    """The step of one contender on one batch in memory."""
    import_tensorflow()
    import keras
    import tensorflow as tf
    from gpu.step import random_batch, trivial_loss
    from reference_step import dense_target, reference_step

    from yolopipe.model.yolov3 import YOLOv3
    from yolopipe.training.optimizer import precision
    from yolopipe.training.step import compiled_train_step

    keras.utils.set_random_seed(1)
    with precision("mixed_bfloat16" if name == "ours, bfloat16" else "float32"):
        model = YOLOv3(options.classes, width=options.width)
    batch = random_batch(options.batch, options.size, options.classes, seed=1)
    pixels = tf.constant(batch["image"])
    if name.startswith("reference"):
        step = reference_step(model, ANCHORS.astype(np.float32), options.size, options.classes)
        target, images = dense_target(batch, options.size, options.classes), tf.cast(pixels, tf.float32) / 255.0
        chosen = step if name == "reference, eager" else tf.function(step)
        return lambda: chosen(images, target).numpy()
    optimizer = keras.optimizers.Adam(1e-4)
    if name == "trivial loss":
        optimizer.build(model.trainable_variables)

        @tf.function  # type: ignore[untyped-decorator]
        def trivial(image: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape() as tape:
                total = trivial_loss(model(tf.cast(image, tf.float32) / 255.0, training=True), {})
            gradients = tape.gradient(total, model.trainable_variables)
            norm = tf.linalg.global_norm(gradients)  # yolopipe computes it too
            optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
            return total + 0 * norm

        return lambda: trivial(pixels).numpy()
    whole = {name: tf.constant(value) for name, value in batch.items()} | {
        "row": tf.range(options.batch, dtype=tf.int64)
    }
    compiled = compiled_train_step(
        model, optimizer, input_size=options.size, jit_compile=name == "ours, XLA", **OPTIONS
    )
    return lambda: compiled(whole).numpy()


def run_one(name: str, options: argparse.Namespace) -> None:
    """Print shortest step and peak memory as JSON."""
    step = make_step(name, options)
    begin = time.perf_counter()
    step()
    times = []
    for _ in range(options.steps):
        start = time.perf_counter()
        value = step()
        times.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    first = time.perf_counter() - begin - sum(times)
    print(json.dumps({"seconds": min(times), "first": first, "peak": peak, "loss": float(np.ravel(value)[0])}))


def print_limits(options: argparse.Namespace) -> None:
    """Print, as JSON, how fast this machine multiplies matrices, and how many operations a step is."""
    import_tensorflow()
    from gpu.step import matrix_rate, operations_an_image

    from yolopipe.model.yolov3 import YOLOv3

    model = YOLOv3(options.classes, width=options.width)
    rates = {name: matrix_rate(name, side=2048) for name in ("float32", "bfloat16")}
    print(json.dumps({"operations": options.batch * operations_an_image(model, options.size), **rates}))


def in_own_process(what: str) -> dict[str, float]:
    """The JSON of a run of this file with the same options."""
    command = [sys.executable, __file__, "--only", what, *sys.argv[1:]]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    return found


def compare(options: argparse.Namespace) -> None:
    """Print the table of contenders."""
    best: dict[str, dict[str, float]] = {}
    limits = in_own_process(LIMITS)
    for _ in range(options.rounds):
        for name in options.contenders:
            found = in_own_process(name)
            if name not in best or found["seconds"] < best[name]["seconds"]:
                best[name] = found
    print(f"{options.size} px, batch {options.batch}, {options.classes} classes, width {options.width}")
    ours = best.get("ours", {"seconds": float("nan"), "peak": float("nan")})
    print(
        f"  {limits['operations'] / 1e9:.0f} GFLOP a step; a product of matrices goes at "
        f"{limits['float32'] / 1e9:.0f} GFLOP/s in float32, {limits['bfloat16'] / 1e9:.0f} in bfloat16"
    )
    for name, found in best.items():
        rate = limits["bfloat16" if "bfloat16" in name else "float32"]
        print(
            f"  {name:<20}{1e3 * found['seconds']:9.0f} ms   {found['seconds'] / ours['seconds']:5.2f} of ours   "
            f"{limits['operations'] / found['seconds'] / rate:5.2f} of the matrix rate   "
            f"{found['peak']:5.1f} GiB   first step {found['first']:4.0f} s   loss {found['loss']:.4g}"
        )
    if "trivial loss" in best:
        print(f"  the loss costs {1 - best['trivial loss']['seconds'] / ours['seconds']:.1%} of our step")


def real_input(options: argparse.Namespace) -> None:
    """Steps of a project's network on its shards, as training reads them, and on one batch that is repeated."""
    tf = import_tensorflow()
    os.chdir(options.project)
    from itertools import islice

    from yolopipe import paths
    from yolopipe.config.params_file import load_config
    from yolopipe.shards.manifest import load_manifest
    from yolopipe.shards.tfdata import batches
    from yolopipe.training.trainer import make_trainer

    config, manifest = load_config(Path("params.yaml")), load_manifest(paths.SHARDS)
    trainer = make_trainer(config, manifest, steps=100)
    size = config.train.batch_size

    def reading(seed: int) -> Any:
        return batches(
            paths.SHARDS, manifest, "train", batch_size=size, copy=0, shuffle_seed=seed, drop_remainder=True
        )

    kept = next(iter(reading(0)))
    trainer.train_step(kept)
    empty = tf.function(lambda batch: batch["row"][0], input_signature=None)
    empty(kept)
    times: dict[str, list[float]] = {"repeated": [], "read": []}
    for seed in range(options.rounds + 2):
        for name, source in (("repeated", [kept] * options.steps), ("read", reading(seed))):
            stream = iter(source)
            result = trainer.train_step(next(stream))  # the start of reading is not measured
            start, count = time.perf_counter(), 0
            for batch in islice(stream, options.steps):
                result, count = trainer.train_step(batch), count + 1
            result.numpy()
            times[name].append((time.perf_counter() - start) / count)
    start = time.perf_counter()
    for _ in range(1000):
        empty(kept)
    call = (time.perf_counter() - start) / 1000
    repeated, read = min(times["repeated"]), min(times["read"])
    print(
        f"batch {size}: a step takes {1e3 * repeated:.1f} ms on one batch repeated, "
        f"{1e3 * read:.1f} ms on what is read"
    )
    print(f"  real input costs {read / repeated - 1:.1%}; calling a compiled function {call / repeated:.1%}")


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", type=int, default=416)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--classes", type=int, default=80)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--contenders", nargs="+", default=list(CONTENDERS))
    parser.add_argument("--project", type=Path)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only == LIMITS:
        print_limits(options)
    elif options.only:
        run_one(options.only, options)
    elif options.project:
        real_input(options)
    else:
        compare(options)


if __name__ == "__main__":
    main()
