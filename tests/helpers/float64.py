"""Keras in float64, in which two ways to compute the same thing differ by rounding of 1e-16, on every processor.

In float32 such a difference is 1e-7 at first and 1e-3 after a few updates of the weights, how much depends on the
instructions that the processor has, and a bound on it would be tuned to one of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

SETUP = """
from contextlib import nullcontext
import keras
from yolopipe.training import trainer
keras.config.set_floatx("float64")
keras.config.set_dtype_policy("float64")
trainer.precision = lambda policy: nullcontext()
"""
"""The same for a process: to be run first."""

RTOL = 1e-9
"""Far above the rounding of float64, which a few updates make 1e-13, and far below what any mistake would change."""


@contextmanager
def computing() -> Iterator[None]:
    """Networks that are made inside, and the loss, are float64."""
    import keras

    before, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        yield
    finally:
        keras.config.set_floatx(before)
        keras.config.set_dtype_policy(policy)
