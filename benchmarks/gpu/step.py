"""One training step on an accelerator: images a second, share of the matrix rate, cost of the loss.

    python benchmarks/gpu/step.py                          # TensorFlow, as yolopipe trains
    KERAS_BACKEND=jax python benchmarks/gpu/step.py        # the same network and loss where TensorFlow has no CUDA

Network (``yolopipe.model.yolov3``), targets (``yolopipe.labels``) and loss (``yolopipe.model.loss``) are those that
``yolopipe train`` uses, on both backends; the optimizer is Keras's Adam.  The card's matrix rate is measured in the
same run, as a product of two 8192 x 8192 matrices of the step's precision; each precision is compared with its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

from yolopipe.config.params import STRIDES, Assignment
from yolopipe.labels.assign import assign
from yolopipe.labels.sparse import encode_sparse
from yolopipe.model.loss import ScaleTarget, compute_loss
from yolopipe.model.yolov3 import YOLOv3, convolutions

BACKEND = keras.backend.backend()
ANCHORS_PX = Assignment().anchors_px
BOXES_AN_IMAGE = 7
"""COCO's mean."""

Batch = dict[str, Any]
Step = Callable[[Batch], Any]
"""Takes a batch that is on the device already, gives the loss, which is still being computed."""


def random_batch(images: int, size: int, classes: int, seed: int) -> Batch:
    """Noise of COCO's shape: some small boxes, some large, labels from the project's own assignment."""
    rng = np.random.default_rng(seed)
    count = images * BOXES_AN_IMAGE
    sides = np.exp(rng.uniform(np.log(size / 40), np.log(size / 1.5), (count, 2)))
    low = rng.uniform(0, size - sides)
    boxes, rows = np.concatenate([low, low + sides], axis=1), np.repeat(np.arange(images), BOXES_AN_IMAGE)
    found = assign(boxes, rows, input_size=size, anchors=ANCHORS_PX / np.array(STRIDES)[:, None, None])
    batch: Batch = {
        "image": rng.integers(0, 256, (images, size, size, 3), np.uint8),
        "boxes_xyxy": boxes.reshape(images, BOXES_AN_IMAGE, 4).astype(np.float32),
        "classes": rng.integers(0, classes, (images, BOXES_AN_IMAGE), np.int32),
    }
    labels = encode_sparse(found, rows, images)
    for index, stride in enumerate(STRIDES):
        for name, fill, width in (("cell", -1, 3), ("box", 0, 3), ("slots", -1, 1)):
            padded = np.full((images, width * BOXES_AN_IMAGE), fill, np.int32)
            for row, label in enumerate(labels):
                values = getattr(label[index], name)
                padded[row, : len(values)] = values
            batch[f"{name}_{stride}"] = padded
    return batch


def full_loss(outputs: list[Any], batch: Batch) -> Any:
    """The sum of all terms of all scales."""
    total = 0.0
    for output, anchors, stride in zip(outputs, ANCHORS_PX, STRIDES, strict=True):
        target = ScaleTarget(*(batch[f"{name}_{stride}"] for name in ("cell", "box", "slots")))
        terms = compute_loss(
            output, target, batch["boxes_xyxy"], batch["classes"], anchors=anchors / stride, stride=stride
        )
        total = total + sum(terms[1:], terms[0])
    return total


def trivial_loss(outputs: list[Any], _: Batch) -> Any:
    """The simplest loss with a gradient to every weight."""
    return sum(keras.ops.mean(keras.ops.square(keras.ops.cast(output, "float32"))) for output in outputs)


LOSSES = {"loss": full_loss, "trivial loss": trivial_loss}


def jax_step(model: keras.Model, loss: Callable[..., Any]) -> tuple[Step, Callable[[Any], None]]:
    """One compiled program a step; weights and slots stay on the device."""
    import jax

    optimizer = keras.optimizers.Adam(1e-4)
    optimizer.build(model.trainable_variables)

    def value(trained: Any, fixed: Any, batch: Batch) -> Any:
        pixels = keras.ops.cast(batch["image"], "float32") / 255.0
        outputs, fixed = model.stateless_call(trained, fixed, pixels, training=True)
        return loss(outputs, batch), fixed

    def step(state: Any, batch: Batch) -> Any:
        trained, fixed, slots = state
        (total, fixed), gradients = jax.value_and_grad(value, has_aux=True)(trained, fixed, batch)
        trained, slots = optimizer.stateless_apply(slots, gradients, trained)
        return total, (trained, fixed, slots)

    compiled = jax.jit(step, donate_argnums=0)
    # Copies: the step gives its arguments' memory away, and the model's own variables must outlive it.
    held = [
        [jax.numpy.array(variable.value, copy=True) for variable in variables]
        for variables in (model.trainable_variables, model.non_trainable_variables, optimizer.variables)
    ]

    def run(batch: Batch) -> Any:
        nonlocal held
        total, held = compiled(held, batch)
        return total

    return run, jax.block_until_ready


def tensorflow_step(model: keras.Model, loss: Callable[..., Any]) -> tuple[Step, Callable[[Any], None]]:
    """As ``yolopipe.training.step`` with ``train.jit_compile``: XLA for the network, not for the loss."""
    import tensorflow as tf

    optimizer = keras.optimizers.Adam(1e-4)
    optimizer.build(model.trainable_variables)
    forward = tf.function(model, jit_compile=True)

    @tf.function  # type: ignore[untyped-decorator]
    def step(batch: Batch) -> Any:
        with tf.GradientTape() as tape:
            total = loss(forward(tf.cast(batch["image"], tf.float32) / 255.0, training=True), batch)
        gradients = tape.gradient(total, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return total

    return step, lambda total: total.numpy()


def on_device(batch: Batch) -> Batch:
    return {name: keras.ops.convert_to_tensor(value) for name, value in batch.items()}


def seconds_a_step(step: Step, wait: Callable[[Any], None], batches: list[Batch], steps: int) -> tuple[float, float]:
    """Median of five rounds of ``steps`` steps each, after two that compile and warm up; and the last loss."""
    for batch in batches[:2]:
        wait(step(batch))
    rounds = []
    for _ in range(5):
        start = time.perf_counter()
        for number in range(steps):
            total = step(batches[number % len(batches)])
        wait(total)
        rounds.append((time.perf_counter() - start) / steps)
    return statistics.median(rounds), float(total)


def seconds_with_transfer(step: Step, wait: Callable[[Any], None], batches: list[Batch], steps: int) -> float:
    """The same, each batch moved from the host's memory as uint8, while the device works on the one before."""
    return seconds_a_step(lambda batch: step(on_device(batch)), wait, batches, steps)[0]


def matrix_rate(dtype: str, side: int = 8192) -> float:
    """Operations a second of a large product, random values (zeros are faster than what a network multiplies)."""
    rng = np.random.default_rng(0)
    a, b = (keras.ops.cast(rng.normal(size=(side, side)).astype(np.float32), dtype) for _ in range(2))
    if BACKEND == "jax":
        import jax

        product, wait = jax.jit(lambda x, y: x @ y), jax.block_until_ready
    else:
        import tensorflow as tf

        product, wait = tf.function(lambda x, y: x @ y), lambda x: x[0, 0].numpy()
    wait(product(a, b))
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(10):
            result = product(a, b)
        wait(result)
        best = min(best, (time.perf_counter() - start) / 10)
    return 2 * side**3 / best


def operations_an_image(model: keras.Model, size: int) -> float:
    """Forward and backward: two operations a multiplication, three products a convolution (output, input, kernel)."""
    layers = [layer for layer, _ in convolutions(model)]
    shapes = keras.Model(model.inputs, [layer.output for layer in layers]).compute_output_shape((1, size, size, 3))
    forward = sum(
        2.0 * np.prod(layer.kernel.shape) * shape[1] * shape[2] for layer, shape in zip(layers, shapes, strict=True)
    )
    return 3.0 * float(forward)


def peak_memory() -> float | None:
    """GiB the device held at most since the process began, where the backend tells."""
    if BACKEND == "jax":
        import jax

        stats = jax.devices()[0].memory_stats() or {}
        return stats["peak_bytes_in_use"] / 2**30 if "peak_bytes_in_use" in stats else None
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        return None
    return float(tf.config.experimental.get_memory_info("GPU:0")["peak"]) / 2**30


def device_name() -> str:
    if BACKEND == "jax":
        import jax

        return str(jax.devices()[0].device_kind)
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")) if gpus else "CPU"


def measure(policy: str, images: int, options: argparse.Namespace, rate: float) -> dict[str, Any]:
    """One row of the table."""
    keras.utils.clear_session(free_memory=True)
    keras.config.set_dtype_policy(policy)
    keras.utils.set_random_seed(1)
    model = YOLOv3(options.classes, width=options.width)
    keras.config.set_dtype_policy("float32")
    make = jax_step if BACKEND == "jax" else tensorflow_step
    host = [random_batch(images, options.size, options.classes, seed) for seed in range(3)]
    device = [on_device(batch) for batch in host]
    row: dict[str, Any] = {"precision": policy, "batch": images}
    seconds = {}
    for name in ("loss", "trivial loss")[: 1 + (images == options.loss_share_at)]:
        step, wait = make(model, LOSSES[name])
        seconds[name], last = seconds_a_step(step, wait, device, options.steps)
        if name == "loss":
            row["last_loss"] = last
            row["with_transfer"] = seconds_with_transfer(step, wait, host, options.steps) / seconds[name]
    work = operations_an_image(model, options.size) * images
    row["ms"] = 1e3 * seconds["loss"]
    row["images_per_second"] = images / seconds["loss"]
    row["loss_share"] = 1 - seconds["trivial loss"] / seconds["loss"] if "trivial loss" in seconds else None
    row["share_of_matrix_rate"] = work / seconds["loss"] / rate
    row["peak_gib"] = peak_memory()
    return row


HEADER = (
    f"{'precision':<16}{'batch':>6}{'ms':>9}{'images/s':>10}{'of matrix rate':>16}{'loss':>8}{'transfer':>10}"
    f"{'peak GiB':>10}"
)


def show(row: dict[str, Any]) -> str:
    peak = "" if row["peak_gib"] is None else f"{row['peak_gib']:.1f}"
    share = "" if row["loss_share"] is None else f"{row['loss_share']:.1%}"
    return (
        f"{row['precision']:<16}{row['batch']:>6}{row['ms']:>9.1f}{row['images_per_second']:>10.0f}"
        f"{row['share_of_matrix_rate']:>16.2f}{share:>8}{row['with_transfer'] - 1:>10.1%}{peak:>10}"
    )


def main() -> None:
    """Print a row for each precision and batch size; write all figures where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", type=int, default=416, help="side of the network input in pixels")
    parser.add_argument("--classes", type=int, default=80)
    parser.add_argument("--width", type=float, default=1.0, help="factor on the channels; below 1 to try the script")
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 64, 4, 128])
    parser.add_argument("--loss-share-at", type=int, default=16, help="batch size to compare with a trivial loss at")
    parser.add_argument("--precisions", nargs="+", default=["float32", "mixed_bfloat16"])
    parser.add_argument("--steps", type=int, default=10, help="steps a round; five rounds are timed")
    parser.add_argument("--matrix-side", type=int, default=8192)
    parser.add_argument("--json", type=Path, help="where to write all figures")
    options = parser.parse_args()
    print(
        f"{device_name()}, {BACKEND}, Keras {keras.__version__}, {options.size} px, {options.classes} classes",
        flush=True,
    )
    rates = {}
    for policy in options.precisions:
        dtype = keras.dtype_policies.get(policy).compute_dtype
        rates[policy] = matrix_rate(dtype, options.matrix_side)
        print(f"matrix product in {dtype}: {rates[policy] / 1e12:.1f} TFLOP/s", flush=True)
    print(HEADER, flush=True)
    rows = []
    for policy in options.precisions:
        for images in options.batches:
            rows.append(measure(policy, images, options, rates[policy]))
            print(show(rows[-1]), flush=True)
            if options.json:
                options.json.write_text(
                    json.dumps({"device": device_name(), "matrix": rates, "rows": rows}, indent=1)
                )


if __name__ == "__main__":
    main()
