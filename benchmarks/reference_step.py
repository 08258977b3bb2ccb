"""The training step of the reference, to compare with: dense labels, dense loss (``docs/formulas.md``, "Loss").

Every prediction is compared with all 150 slots of its scale's box list at once, and all terms are computed at every
cell.  Written for the benchmark alone; as in the reference, a size of 0 gives NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from yolopipe.config.params import STRIDES

__all__ = ["dense_target", "reference_step"]

LIST_LENGTH, IGNORE, SMOOTHING = 150, 0.5, 0.01

cross_entropy = tf.nn.sigmoid_cross_entropy_with_logits


def dense_target(batch: dict[str, np.ndarray], size: int, classes: int) -> list[tuple[tf.Tensor, tf.Tensor]]:
    """Dense labels and box lists of a batch: label (B, g, g, 3, 5 + C), boxes (B, 150, 4) xywh."""
    corners = batch["boxes_xyxy"]
    xywh = np.concatenate([(corners[..., :2] + corners[..., 2:]) / 2, corners[..., 2:] - corners[..., :2]], axis=-1)
    target = []
    for stride in STRIDES:
        grid, images = size // stride, len(corners)
        label = np.zeros((images, grid * grid * 3, 5 + classes), np.float32)
        listed = np.zeros((images, LIST_LENGTH, 4), np.float32)
        for image in range(images):
            for cell, box in zip(batch[f"cell_{stride}"][image], batch[f"box_{stride}"][image], strict=True):
                if cell >= 0:
                    onehot = np.full(classes, SMOOTHING / classes)
                    onehot[batch["classes"][image, box]] += 1 - SMOOTHING
                    label[image, cell] = [*xywh[image, box], 1.0, *onehot]
            slots = batch[f"slots_{stride}"][image]
            slots = slots[slots >= 0]
            listed[image, : len(slots)] = xywh[image, slots]
        target.append((tf.constant(label.reshape(images, grid, grid, 3, -1)), tf.constant(listed)))
    return target


def corners_of(xywh: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    low, high = xywh[..., :2] - xywh[..., 2:] * 0.5, xywh[..., :2] + xywh[..., 2:] * 0.5
    return tf.minimum(low, high), tf.maximum(low, high)


def area(low: tf.Tensor, high: tf.Tensor) -> tf.Tensor:
    size = tf.maximum(high - low, 0.0)
    return size[..., 0] * size[..., 1]


def overlap(first: tf.Tensor, second: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """IoU and union area."""
    (low1, high1), (low2, high2) = corners_of(first), corners_of(second)
    inter = area(tf.maximum(low1, low2), tf.minimum(high1, high2))
    union = area(low1, high1) + area(low2, high2) - inter
    return inter / union, union


def giou(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    (low1, high1), (low2, high2) = corners_of(first), corners_of(second)
    iou, union = overlap(first, second)
    enclose = area(tf.minimum(low1, low2), tf.maximum(high1, high2))
    return iou - (enclose - union) / enclose


def decoded(conv: tf.Tensor, anchors: np.ndarray, stride: int) -> tf.Tensor:
    """Centres and sizes in pixels, confidence and class probabilities; the grid is tiled to the batch."""
    images, grid = tf.shape(conv)[0], tf.shape(conv)[1]
    cells = tf.range(grid, dtype=tf.int32)
    y, x = tf.tile(cells[:, tf.newaxis], [1, grid]), tf.tile(cells[tf.newaxis, :], [grid, 1])
    xy_grid = tf.concat([x[:, :, tf.newaxis], y[:, :, tf.newaxis]], axis=-1)
    xy_grid = tf.cast(tf.tile(xy_grid[tf.newaxis, :, :, tf.newaxis, :], [images, 1, 1, 3, 1]), tf.float32)
    xy = (tf.sigmoid(conv[..., 0:2]) + xy_grid) * stride
    wh = tf.exp(conv[..., 2:4]) * anchors * stride
    return tf.concat([xy, wh, tf.sigmoid(conv[..., 4:])], axis=-1)


def dense_loss(conv: tf.Tensor, pred: tf.Tensor, label: tf.Tensor, boxes: tf.Tensor, size: int) -> tf.Tensor:
    """The three terms of one scale, added up."""
    xywh, respond, prob = label[..., 0:4], label[..., 4:5], label[..., 5:]
    scale = 2.0 - xywh[..., 2:3] * xywh[..., 3:4] / size**2
    giou_loss = respond * scale * (1 - giou(pred[..., 0:4], xywh)[..., tf.newaxis])
    iou, _ = overlap(pred[..., tf.newaxis, 0:4], boxes[:, tf.newaxis, tf.newaxis, tf.newaxis])
    best = tf.reduce_max(iou, axis=-1)[..., tf.newaxis]
    background = (1.0 - respond) * tf.cast(best < IGNORE, tf.float32)
    entropy = cross_entropy(labels=respond, logits=conv[..., 4:5])
    conf_loss = tf.pow(respond - pred[..., 4:5], 2) * (respond * entropy + background * entropy)
    prob_loss = respond * cross_entropy(labels=prob, logits=conv[..., 5:])
    terms = (giou_loss, conf_loss, prob_loss)
    return tf.add_n([tf.reduce_mean(tf.reduce_sum(term, axis=[1, 2, 3, 4])) for term in terms])


def reference_step(model: keras.Model, anchors: np.ndarray, size: int, classes: int) -> Callable[..., tf.Tensor]:
    """One step: pixels as float32 in 0..1 and the three targets in, loss out; eager as it stands.

    Args:
        model: gives raw outputs.
        anchors: (3, 3, 2) in strides.
        size: side of the input in pixels.
        classes: how many.
    """
    optimizer = keras.optimizers.Adam(1e-4)
    optimizer.build(model.trainable_variables)

    def step(pixels: tf.Tensor, target: Sequence[tuple[tf.Tensor, tf.Tensor]]) -> tf.Tensor:
        with tf.GradientTape() as tape:
            total = tf.zeros(())
            for raw, (label, boxes), own, stride in zip(
                model(pixels, training=True), target, anchors, STRIDES, strict=True
            ):
                grid = tf.shape(raw)[1]
                conv = tf.reshape(raw, (tf.shape(raw)[0], grid, grid, 3, 5 + classes))
                total += dense_loss(conv, decoded(conv, own, stride), label, boxes, size)
        gradients = tape.gradient(total, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return total

    return step
