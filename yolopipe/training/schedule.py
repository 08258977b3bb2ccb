"""The learning rate of each step (``docs/formulas.md``, "Learning rate")."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

__all__ = ["WarmupCosine"]


@keras.saving.register_keras_serializable(package="yolopipe")
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """Linear warm-up, then half a cosine, for steps 1, 2, ... ``total_steps``.

    Unlike in the reference formulas, the first step already has its own rate (there it runs at the optimizer's
    default, higher than any that follows), the last one has ``lr_end``, and no pair of lengths divides by zero: a
    warm-up as long as the run or longer ends one step before the run does.

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
