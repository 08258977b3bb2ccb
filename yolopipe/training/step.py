"""One step: forward, loss over three scales, backward, update (notes 1.4); traced once, run under a strategy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from yolopipe.config import STRIDES
from yolopipe.model.loss import ScaleTarget, compute_loss

__all__ = ["LOSS_NAMES", "batch_signature", "compiled_eval_step", "compiled_train_step", "eval_step", "train_step"]

LOSS_NAMES = ("total_loss", "giou_loss", "conf_loss", "prob_loss")

Batch = Mapping[str, tf.Tensor]
Losses = dict[str, tf.Tensor]


def _losses(outputs: list[tf.Tensor], batch: Batch, anchors: npt.ArrayLike, **options: float) -> Losses:
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
    return tf.cast(batch["image"], tf.float32) / 255.0


def train_step(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    batch: Batch,
    *,
    anchors: npt.ArrayLike,
    ignore_threshold: float,
    label_smoothing: float,
) -> Losses:
    """Learn from one batch (notes 1.4, ``train_step``).

    Args:
        model: the network; its weights are updated.
        optimizer: built for the model's trainable variables.
        batch: what ``yolopipe.shards.tfdata.batches`` yields.
        anchors: (3, 3, 2) width and height in units of the stride.
        ignore_threshold: see ``compute_loss``.
        label_smoothing: see ``compute_loss``.

    Returns:
        ``total_loss``, ``giou_loss``, ``conf_loss``, ``prob_loss``: float32 scalars, before the update.
    """
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    with tf.GradientTape() as tape:
        outputs = model(_pixels(batch), training=True)
        losses = _losses(outputs, batch, anchors, ignore_threshold=ignore_threshold, label_smoothing=label_smoothing)
        shared = losses["total_loss"] / replicas  # the optimizer sums the gradients of all replicas
    gradients = tape.gradient(shared, model.trainable_variables)
    optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    return losses


def eval_step(
    model: keras.Model,
    batch: Batch,
    *,
    anchors: npt.ArrayLike,
    ignore_threshold: float,
    label_smoothing: float,
) -> Losses:
    """The losses of one batch, with the running statistics of batch normalisation; nothing is updated.

    Args and Returns are those of :func:`train_step`.
    """
    outputs = model(_pixels(batch), training=False)
    return _losses(outputs, batch, anchors, ignore_threshold=ignore_threshold, label_smoothing=label_smoothing)


def batch_signature(input_size: int) -> dict[str, tf.TensorSpec]:
    """The type of every batch: all lengths are open but the image size, so that one trace serves all batches.

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


def _under_strategy(step: Callable[[Batch], tf.Tensor], input_size: int) -> Any:
    """``step`` traced once and run on every replica; the mean of their results."""
    strategy = tf.distribute.get_strategy()

    def run(batch: Batch) -> tf.Tensor:
        return strategy.reduce("MEAN", strategy.run(step, args=(batch,)), axis=None)

    return tf.function(run, input_signature=[batch_signature(input_size)])


def compiled_train_step(
    model: keras.Model, optimizer: keras.optimizers.Optimizer, *, input_size: int, **options: Any
) -> Any:
    """:func:`train_step` for a training loop.

    Args:
        model: the network.
        optimizer: its variables are made here, outside the trace.
        input_size: side of the images in pixels.
        options: the keyword arguments of :func:`train_step`.

    Returns:
        A ``tf.function`` from a batch to (5,) float32: the losses in the order of :data:`LOSS_NAMES` and the
        learning rate of this step.  One tensor, so that reading it is one transfer.
    """
    optimizer.build(model.trainable_variables)

    def step(batch: Batch) -> tf.Tensor:
        rate = tf.cast(optimizer.learning_rate, tf.float32)
        losses = train_step(model, optimizer, batch, **options)
        return tf.stack([*(losses[name] for name in LOSS_NAMES), rate])

    return _under_strategy(step, input_size)


def compiled_eval_step(model: keras.Model, *, input_size: int, **options: Any) -> Any:
    """:func:`eval_step` for a loop: a ``tf.function`` from a batch to (4,) float32, as :data:`LOSS_NAMES`."""

    def step(batch: Batch) -> tf.Tensor:
        losses = eval_step(model, batch, **options)
        return tf.stack([losses[name] for name in LOSS_NAMES])

    return _under_strategy(step, input_size)
