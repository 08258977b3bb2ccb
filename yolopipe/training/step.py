"""One step: forward, loss over three scales, backward, update (``docs/formulas.md``, "Training step")."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from yolopipe.config.params import STRIDES
from yolopipe.model.loss import ScaleTarget, compute_loss

__all__ = [
    "LOSS_NAMES",
    "STEP_NAMES",
    "batch_signature",
    "compiled_eval_step",
    "compiled_train_step",
    "eval_step",
    "train_step",
]

LOSS_NAMES = ("total_loss", "giou_loss", "conf_loss", "prob_loss")

STEP_NAMES = (*LOSS_NAMES, "lr", "gradient_norm")
"""Values of a compiled training step, in order."""

Batch = Mapping[str, tf.Tensor]
Losses = dict[str, tf.Tensor]


def _losses(outputs: list[tf.Tensor], batch: Batch, anchors: npt.ArrayLike, **options: Any) -> Losses:
    """The loss terms summed over the three scales, and their total."""
    scales = []
    for output, anchors_of_scale, stride in zip(outputs, np.asarray(anchors), STRIDES, strict=True):
        target = ScaleTarget(*(batch[f"{name}_{stride}"] for name in ("cell", "box", "slots")))
        boxes, classes = batch["boxes_xyxy"], batch["classes"]
        scales.append(
            compute_loss(output, target, boxes, classes, anchors=anchors_of_scale, stride=stride, **options)
        )
    terms = [tf.add_n(list(term)) for term in zip(*scales, strict=True)]
    return dict(zip(LOSS_NAMES, [tf.add_n(terms), *terms], strict=True))


def _pixels(batch: Batch) -> tf.Tensor:
    """RGB in 0..1; uint8 until here, a quarter of the bytes to move to the device."""
    return tf.cast(batch["image"], keras.config.floatx()) / 255.0


def _part_of_replica(batch: Batch) -> tuple[Batch, tf.Tensor]:
    """The rows of a batch that this replica works on, and the weight of their mean in the mean of the batch.

    Parts differ by one row at most.  A batch with fewer rows than replicas goes to each replica whole: mean and
    statistics are those of one replica, whereas an empty part would have none.
    """
    context = tf.distribute.get_replica_context()
    replicas = context.num_replicas_in_sync
    if replicas == 1:
        return batch, tf.ones((), keras.config.floatx())
    with tf.device("CPU:0"):  # each device is sent its own rows, not all of them
        rows, number = tf.shape(batch["row"])[0], tf.cast(context.replica_id_in_sync_group, tf.int32)
        start, stop = number * rows // replicas, (number + 1) * rows // replicas
        enough = rows >= replicas
        start, stop = tf.where(enough, start, 0), tf.where(enough, stop, rows)
        part = {name: value[start:stop] for name, value in batch.items()}
        weight = tf.where(enough, (stop - start) / rows, 1.0 / replicas)
    return part, tf.cast(weight, keras.config.floatx())


def _summed(values: Any) -> Any:
    """The sum over all replicas, known to each."""
    context = tf.distribute.get_replica_context()
    return values if context.num_replicas_in_sync == 1 else context.all_reduce(tf.distribute.ReduceOp.SUM, values)


def _loss_scale(optimizer: keras.optimizers.Optimizer) -> tf.Tensor | None:
    """The factor on the loss that keeps float16 gradients from vanishing; None under other policies."""
    scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    return tf.cast(optimizer.dynamic_scale, tf.float32) if scaled else None


def _clipped(gradients: list[tf.Tensor], norm: tf.Tensor, clip_norm: float) -> list[tf.Tensor]:
    """The gradients, shortened together to ``clip_norm`` where they are longer."""
    if not clip_norm:
        return gradients
    factor = tf.minimum(clip_norm / tf.maximum(norm, 1e-12), 1.0)
    return [gradient * tf.cast(factor, gradient.dtype) for gradient in gradients]


def _reported(norm: tf.Tensor, scale: tf.Tensor | None) -> tf.Tensor:
    """The norm for the log.

    Under float16 non-finite gradients are expected: the update is skipped and the scale halved.  The norm is logged
    as 0 then, until the scale is down to 1 and cannot be the cause any more.
    """
    return norm if scale is None else tf.where(tf.math.is_finite(norm) | (scale <= 1.0), norm, 0.0)


def train_step(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    batch: Batch,
    *,
    anchors: npt.ArrayLike,
    ignore_threshold: float,
    label_smoothing: float,
    class_weights: npt.ArrayLike | None = None,
    clip_norm: float = 0.0,
    forward: Callable[..., Any] | None = None,
) -> Losses:
    """Update the network from one batch (``docs/formulas.md``, "Training step").

    Args:
        model: the network; its weights are updated.
        optimizer: built for the model's trainable variables.
        batch: what ``yolopipe.shards.tfdata.batches`` yields, whole: each replica takes its rows of it.
        anchors: (3, 3, 2) width and height in units of the stride.
        ignore_threshold: see ``compute_loss``.
        label_smoothing: see ``compute_loss``.
        class_weights: see ``compute_loss``.
        clip_norm: a gradient longer than this, over all weights together, is shortened to it; 0 for never.
        forward: the network as it is to be called, a compiled one perhaps; ``model`` itself by default.

    Returns:
        ``total_loss``, ``giou_loss``, ``conf_loss``, ``prob_loss``, before the update, and ``gradient_norm``, before
        clipping: float32 scalars.
    """
    part, weight = _part_of_replica(batch)
    with tf.GradientTape() as tape:
        outputs = (forward or model)(_pixels(part), training=True)
        losses = _losses(
            outputs,
            part,
            anchors,
            ignore_threshold=ignore_threshold,
            label_smoothing=label_smoothing,
            class_weights=class_weights,
        )
        losses = {name: loss * weight for name, loss in losses.items()}
        scaled = optimizer.scale_loss(losses["total_loss"])  # changes the loss under float16 only
    # Summed here and not by the optimizer: the norm, and whether all is finite, concern the whole batch.
    gradients = _summed(tape.gradient(scaled, model.trainable_variables))
    scale = _loss_scale(optimizer)
    norm = tf.linalg.global_norm(gradients) / (1.0 if scale is None else scale)
    replicas = tf.distribute.get_replica_context().num_replicas_in_sync  # the optimizer sums over them once more
    gradients = _clipped(gradients, norm, clip_norm)
    shares = gradients if replicas == 1 else [gradient / replicas for gradient in gradients]
    optimizer.apply_gradients(zip(shares, model.trainable_variables, strict=True))
    return {**_summed(losses), "gradient_norm": _reported(norm, scale)}


def eval_step(
    model: keras.Model,
    batch: Batch,
    *,
    anchors: npt.ArrayLike,
    ignore_threshold: float,
    label_smoothing: float,
    class_weights: npt.ArrayLike | None = None,
) -> Losses:
    """The losses of one batch, with the running statistics of batch normalisation; nothing is updated.

    Args and Returns are those of :func:`train_step`.
    """
    part, weight = _part_of_replica(batch)
    losses = _losses(
        model(_pixels(part), training=False),
        part,
        anchors,
        ignore_threshold=ignore_threshold,
        label_smoothing=label_smoothing,
        class_weights=class_weights,
    )
    return dict(_summed({name: loss * weight for name, loss in losses.items()}))


def batch_signature(input_size: int | None) -> dict[str, tf.TensorSpec]:
    """The type of every batch: all lengths are open but the image size, so that one trace serves all batches.

    ``None`` leaves the size open too, for a run at several.

    >>> batch_signature(160)["image"].shape.as_list()
    [None, 160, 160, 3]
    """
    signature = {
        "image": tf.TensorSpec((None, input_size, input_size, 3), tf.uint8, "image"),
        "boxes_xyxy": tf.TensorSpec((None, None, 4), tf.float32, "boxes_xyxy"),
        "classes": tf.TensorSpec((None, None), tf.int32, "classes"),
        "row": tf.TensorSpec((None,), tf.int64, "row"),
    }
    for stride in STRIDES:
        for name in ("cell", "box", "slots"):
            signature[f"{name}_{stride}"] = tf.TensorSpec((None, None), tf.int32, f"{name}_{stride}")
    return signature


def _under_strategy(
    step: Callable[[Batch], tf.Tensor], input_size: int | None, after: Callable[[], None] | None = None
) -> Any:
    """``step`` traced once and run on every replica, then ``after`` once; the result, the same on all replicas."""
    strategy = tf.distribute.get_strategy()

    def run(batch: Batch) -> tf.Tensor:
        result = strategy.experimental_local_results(strategy.run(step, args=(batch,)))[0]
        if after is not None:
            after()
        return result

    # No Python control flow depends on a tensor, so autograph would only make tracing slower.
    return tf.function(run, input_signature=[batch_signature(input_size)], autograph=False)


def compiled_train_step(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    *,
    input_size: int | None,
    jit_compile: bool = False,
    after: Callable[[], None] | None = None,
    **options: Any,
) -> Any:
    """:func:`train_step` for a training loop.

    Args:
        model: the network.
        optimizer: its variables are made here, outside the trace.
        input_size: side of the images in pixels; None when batches differ.
        jit_compile: let XLA compile the network, forward and backward.  Not the loss: its lengths differ from batch
            to batch, and XLA would compile it again for each.
        after: traced behind the update; moves an average of the weights, say.  None for nothing.
        options: the keyword arguments of :func:`train_step`.

    Returns:
        A ``tf.function`` from a batch to (6,) float32, the values named by :data:`STEP_NAMES`: one tensor, so that
        reading it is one transfer.
    """
    optimizer.build(model.trainable_variables)
    forward = tf.function(model, jit_compile=True) if jit_compile else model

    def step(batch: Batch) -> tf.Tensor:
        rate = tf.cast(optimizer.learning_rate, keras.config.floatx())
        values = train_step(model, optimizer, batch, forward=forward, **options)
        return tf.stack([*(values[name] for name in LOSS_NAMES), rate, values["gradient_norm"]])

    return _under_strategy(step, input_size, after)


def compiled_eval_step(model: keras.Model, *, input_size: int, **options: Any) -> Any:
    """:func:`eval_step` for a loop: a ``tf.function`` from a batch to (4,) float32, as :data:`LOSS_NAMES`."""

    def step(batch: Batch) -> tf.Tensor:
        losses = eval_step(model, batch, **options)
        return tf.stack([losses[name] for name in LOSS_NAMES])

    return _under_strategy(step, input_size)
