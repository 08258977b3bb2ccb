"""A network as a function from pixels to decoded predictions, for evaluating and predicting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from yolopipe.model.card import ModelCard
from yolopipe.model.decode import decode

__all__ = ["Predict", "predictor"]

Predict = Callable[[Any], list[npt.NDArray[np.float32]]]


def predictor(model: Any, card: ModelCard) -> Predict:
    """Compile a network with its decoder.

    Args:
        model: what ``YOLOv3`` built for ``card``; its weights are used as they are at each call.
        card: of the network.

    Returns:
        A function from (B, S, S, 3) uint8 RGB to (B, g, g, 3, 5 + C) arrays of each stride, see
        :func:`~yolopipe.model.decode.decode`.
    """

    def decoded(image: Any) -> list[Any]:
        raw = model(tf.cast(image, tf.float32) / 255.0, training=False)
        return [
            decode(output, anchors, stride)
            for output, anchors, stride in zip(raw, card.anchors, card.strides, strict=True)
        ]

    compiled = tf.function(decoded, reduce_retracing=True)
    return lambda image: [scale.numpy() for scale in compiled(image)]
