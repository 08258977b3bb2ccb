"""The optimizer: learning rate of each step, weight decay, frozen parts, numeric precision, class weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

from yolopipe.config.params import Train
from yolopipe.training.freezing import LateAdam, frozen_paths

__all__ = ["WarmupCosine", "inverse_sqrt_weights", "make_optimizer", "precision"]


@keras.saving.register_keras_serializable(package="yolopipe")
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """The learning rate: a linear warm-up, then half a cosine (``docs/formulas.md``, "Learning rate").

    Steps count from 1 to ``total_steps``.  Unlike in the reference formulas, the first step already has its own rate
    (there it runs at the optimizer's default, higher than any that follows), the last one has ``lr_end``, and no pair
    of lengths divides by zero: a warm-up as long as the run or longer ends one step before the run does.

    Args:
        lr_init: the highest rate, reached at the end of the warm-up.
        lr_end: the rate of the last step, and of any after it.
        warmup_steps: steps of the warm-up; 0 for none.
        total_steps: steps of the run, warm-up included.

    >>> rate = WarmupCosine(lr_init=1.0, lr_end=0.0, warmup_steps=2, total_steps=4)
    >>> [round(float(rate(step)), 3) for step in range(4)]
    [0.5, 1.0, 0.5, 0.0]
    """

    def __init__(self, lr_init: float, lr_end: float, warmup_steps: int, total_steps: int) -> None:
        super().__init__()
        self.lr_init = lr_init
        self.lr_end = lr_end
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps

    def __call__(self, step: Any) -> Any:
        """The rate of the update that follows ``step`` earlier ones (Keras counts from 0, the formulas from 1)."""
        number = ops.cast(step, keras.config.floatx()) + 1.0
        warmup = min(self.warmup_steps, self.total_steps - 1)
        rising = self.lr_init * number / max(warmup, 1)
        way = ops.clip((number - warmup) / max(self.total_steps - warmup, 1), 0.0, 1.0)
        falling = self.lr_end + 0.5 * (self.lr_init - self.lr_end) * (1.0 + ops.cos(way * math.pi))
        return ops.where(number < warmup, rising, falling)

    def get_config(self) -> dict[str, float]:
        """The arguments, for Keras."""
        return {
            "lr_init": self.lr_init,
            "lr_end": self.lr_end,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
        }


def make_optimizer(params: Train, model: keras.Model, *, steps: int) -> keras.optimizers.Optimizer:
    """Adam with the schedule of the whole run.

    Args:
        params: the section ``train``.
        model: the network whose trainable weights are updated.
        steps: batches an epoch.

    Returns:
        The optimizer; under ``mixed_float16`` one that scales the loss.
    """
    rate = WarmupCosine(params.lr_init, params.lr_end, round(params.warmup_epochs * steps), params.epochs * steps)
    late, late_from = frozen_paths(model, params.freeze), params.freeze_epochs * steps
    optimizer = LateAdam(rate, late=late, late_from=late_from, weight_decay=params.weight_decay or None)
    if params.weight_decay:
        optimizer.exclude_from_weight_decay(var_list=[v for v in model.trainable_variables if not decays(v)])
    return keras.optimizers.LossScaleOptimizer(optimizer) if params.precision == "mixed_float16" else optimizer


def decays(variable: Any) -> bool:
    """True for the kernel of a convolution, the only kind of weight that decays.

    Batch normalisation divides the scale of the kernel before it out again, so a smaller kernel is the same function
    with larger relative updates.  Decay would pull its own gain and shift, and the biases of the heads, away from
    the values they need.

    >>> from yolopipe.model.yolov3 import YOLOv3
    >>> names = [weight.path for weight in YOLOv3(1, width=0.125, depth=0.1).trainable_weights if decays(weight)]
    >>> names[0], "head_8/kernel" in names, "head_8/bias" in names
    ('backbone_00_conv/kernel', True, False)
    """
    return str(variable.path).endswith("/kernel")


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
    """One factor a class, proportional to 1 / sqrt(its boxes); their mean over all boxes is 1.

    A class without boxes counts as one with one box, to avoid dividing by zero; its weight is never used.

    >>> [round(weight, 3) for weight in inverse_sqrt_weights([400, 100, 0])]
    [0.808, 1.616, 16.161]
    """
    counts = np.maximum(np.asarray(boxes_per_class, np.float64), 1.0)
    weights: Any = 1.0 / np.sqrt(counts)
    return list((weights * counts.sum() / (weights * counts).sum()).tolist())
