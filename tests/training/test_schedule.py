from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolopipe.training.optimizer import WarmupCosine


def rate_by_hand(number: int, lr_init: float, lr_end: float, warmup: int, total: int) -> float:
    """The formula of ``docs/formulas.md``, "Learning rate", for steps 1, 2, ..."""
    if number < warmup:
        return number / warmup * lr_init
    return lr_end + 0.5 * (lr_init - lr_end) * (1 + math.cos((number - warmup) / (total - warmup) * math.pi))


@pytest.mark.slow
@settings(max_examples=40)
@given(st.integers(0, 400), st.integers(1, 4000), st.floats(1e-5, 1e-1), st.floats(0, 1))
def test_is_the_formula(float64: Any, warmup: int, more: int, lr_init: float, share: float) -> None:
    total, lr_end = warmup + more, lr_init * share
    schedule = WarmupCosine(lr_init, lr_end, warmup, total)
    for number in {1, max(1, warmup - 1), max(1, warmup), (warmup + total) // 2 or 1, total}:
        with float64.computing():
            rate = float(schedule(number - 1))
        expected = rate_by_hand(number, lr_init, lr_end, warmup, total)
        assert rate == pytest.approx(expected, rel=float64.RTOL, abs=1e-12 * lr_init)


@pytest.mark.slow
@settings(max_examples=60)
@given(st.integers(0, 50), st.integers(1, 50))
def test_whatever_the_lengths_the_rate_is_finite_rises_then_falls_to_its_end(warmup: int, total: int) -> None:
    schedule = WarmupCosine(1e-2, 1e-5, warmup, total)
    rates = np.array([float(schedule(step)) for step in range(total + 3)])
    assert np.isfinite(rates).all()
    assert (rates > 0).all()
    assert rates.max() <= 1e-2 * (1 + 1e-6)
    np.testing.assert_allclose(rates[total - 1 :], 1e-5, rtol=1e-3)
    peak = int(rates[:total].argmax())
    assert (np.diff(rates[: peak + 1]) >= 0).all()
    assert (np.diff(rates[peak:]) <= 1e-9).all()


def test_first_step_is_the_smallest_of_the_warm_up() -> None:
    schedule = WarmupCosine(1e-3, 1e-6, 100, 1000)
    assert float(schedule(0)) == pytest.approx(1e-5)
    assert float(schedule(99)) == pytest.approx(1e-3)


def test_survives_saving() -> None:
    schedule = WarmupCosine(1e-3, 1e-6, 10, 100)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    assert isinstance(again, WarmupCosine)
    assert again.get_config() == schedule.get_config()


def test_the_optimizer_uses_it_from_its_first_update() -> None:
    variable = keras.Variable([1.0])
    optimizer = keras.optimizers.SGD(WarmupCosine(1.0, 0.0, 4, 8))
    optimizer.apply([keras.ops.ones((1,))], [variable])
    assert float(variable[0]) == pytest.approx(0.75)
