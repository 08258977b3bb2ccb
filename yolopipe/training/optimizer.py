"""The optimizer that the params ask for: schedule, weight decay, and what precision needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from yolopipe.config.params import Train
from yolopipe.training.decay import exclude_from_decay
from yolopipe.training.freezing import LateAdam, frozen_paths
from yolopipe.training.schedule import WarmupCosine

__all__ = ["inverse_sqrt_weights", "make_optimizer", "precision"]


def make_optimizer(params: Train, model: keras.Model, *, steps: int) -> keras.optimizers.Optimizer:
    """Adam with the schedule of the whole run.

    Args:
        params: the section ``train``.
        model: whose trainable weights will be updated.
        steps: batches an epoch.

    Returns:
        The optimizer; under ``mixed_float16`` one that scales the loss.
    """
    rate = WarmupCosine(params.lr_init, params.lr_end, round(params.warmup_epochs * steps), params.epochs * steps)
    late, late_from = frozen_paths(model, params.freeze), params.freeze_epochs * steps
    optimizer = LateAdam(rate, late=late, late_from=late_from, weight_decay=params.weight_decay or None)
    if params.weight_decay:
        exclude_from_decay(optimizer, model.trainable_variables)
    return keras.optimizers.LossScaleOptimizer(optimizer) if params.precision == "mixed_float16" else optimizer


@contextmanager
def precision(policy: str) -> Iterator[None]:
    """Layers made inside compute under this Keras policy; their weights stay float32."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def inverse_sqrt_weights(boxes_per_class: Sequence[int]) -> list[float]:
    """One factor a class, proportional to 1 / sqrt(its boxes); over all boxes they average 1, as without.

    A class without boxes counts as one with one: it is never taught.

    >>> [round(weight, 3) for weight in inverse_sqrt_weights([400, 100, 0])]
    [0.808, 1.616, 16.161]
    """
    counts = np.maximum(np.asarray(boxes_per_class, np.float64), 1.0)
    weights: Any = 1.0 / np.sqrt(counts)
    return list((weights * counts.sum() / (weights * counts).sum()).tolist())
