"""A network as a function from pixels to its raw outputs, for evaluating and predicting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from yolopipe.detection.outputs import RawScale
from yolopipe.model.card import ModelCard

__all__ = ["Predict", "predictor"]

Predict = Callable[[Any], list[RawScale]]


def predictor(model: Any, card: ModelCard) -> Predict:
    """Compile a network.

    Its outputs come raw: :func:`~yolopipe.detection.nms.detect_batch` decodes what can count, a small part.

    Args:
        model: what ``YOLOv3`` built for ``card``; its weights are used as they are at each call.
        card: of the network.

    Returns:
        A function from (B, S, S, 3) uint8 RGB to the outputs for each stride.
    """

    def raw(image: Any) -> list[Any]:
        outputs = model(tf.cast(image, tf.float32) / 255.0, training=False)
        return [tf.cast(output, tf.float32) for output in outputs]

    compiled = tf.function(raw, reduce_retracing=True)

    def predict(image: Any) -> list[RawScale]:
        outputs = (output.numpy() for output in compiled(image))
        return [RawScale.of(*scale) for scale in zip(outputs, card.anchors, card.strides, strict=True)]

    return predict
