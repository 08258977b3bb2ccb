"""A moving average of all weights, batch normalisation's statistics included, kept in a second network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from keras import ops

__all__ = ["decay_at", "moving_average"]


def decay_at(step: Any, decay: float) -> Any:
    """The share of the old average that update ``step``, counted from 0, keeps.

    It rises to ``decay``: a fixed one would carry the random first weights along for thousands of steps.

    >>> [round(float(decay_at(step, 0.999)), 3) for step in (0, 90, 100_000)]
    [0.1, 0.91, 0.999]
    """
    number = ops.cast(step, keras.config.floatx())
    return ops.minimum(decay, (1.0 + number) / (10.0 + number))


def moving_average(model: keras.Model, averaged: keras.Model, decay: float, steps: Any) -> Callable[[], None]:
    """Make ``averaged`` follow ``model``.

    Args:
        model: the network that is trained.
        averaged: one of the same shape; gets the weights of ``model`` now.
        decay: share of the average that an update keeps, once it has run for a while.
        steps: the optimizer's counter of updates, which has counted the present one.

    Returns:
        A function that makes one update, to be called after the optimizer's and outside of replicas, so that each
        weight is averaged once.
    """
    pairs = [(old.value, new.value) for old, new in zip(averaged.weights, model.weights, strict=True)]
    for old, new in pairs:
        old.assign(new)

    def update() -> None:
        extended = tf.distribute.get_strategy().extended
        moved = 1.0 - decay_at(steps - 1, decay)
        for old, new in pairs:
            extended.update(old, lambda old, new: old.assign_add((new - old) * moved), args=(new,))

    return update
