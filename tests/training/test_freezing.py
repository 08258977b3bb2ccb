"""Frozen parts keep every bit of their weights, and later train without a jump."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.small_network import SmallYOLO
from yolopipe.training.freezing import FreezingStep, LateAdam, frozen_paths
from yolopipe.training.step import compiled_train_step, train_step

STRIDES = np.array([8, 16, 32]).reshape(3, 1, 1)
RATE = 1e-3
STILL = {"none": set(), "backbone": {"backbone"}, "all-but-heads": {"backbone", "neck"}}


class Run:
    """A small network that trains for some epochs of two steps; compiled only where asked for: it is slow."""

    def __init__(
        self, freeze: str, epochs: int, anchors_px: np.ndarray, optimizer: Any = None, compiled: bool = False
    ) -> None:
        keras.utils.set_random_seed(3)
        self.model = SmallYOLO(2)
        late = frozen_paths(self.model, freeze)
        self.optimizer = optimizer or LateAdam(RATE, late=late, late_from=2 * epochs)
        options = {"anchors": anchors_px / STRIDES, "ignore_threshold": 0.5, "label_smoothing": 0.01}
        network = self.model, self.optimizer
        self.step = FreezingStep(
            self.model,
            self.optimizer,
            freeze=freeze,
            epochs=epochs,
            compiled=lambda: (
                compiled_train_step(*network, input_size=64, **options)
                if compiled
                else lambda batch: train_step(*network, batch, **options)
            ),
        )

    def epoch(self, number: int, batches: list[Any], steps: int = 2) -> None:
        for batch in self.step.entering(lambda epoch: batches)(number)[:steps]:
            self.step(batch)

    def numbers(self) -> dict[str, np.ndarray]:
        """Every weight, running statistics among them, by path."""
        return {variable.path: variable.numpy().copy() for variable in self.model.weights}


def moved(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> tuple[set[str], set[str]]:
    """The parts of which every variable has moved, and those of which every one is the same to the last bit."""
    same = {path: np.array_equal(before[path], after[path]) for path in before}
    by_part = {part: {same[path] for path in same if path.startswith(part)} for part in ("backbone", "neck", "head")}
    assert all(len(answers) == 1 for answers in by_part.values()), by_part
    return {p for p, answer in by_part.items() if answer == {False}}, {p for p, a in by_part.items() if a == {True}}


@pytest.mark.slow
@pytest.mark.parametrize(("freeze", "compiled"), [("backbone", True), ("all-but-heads", False)])
def test_frozen_parts_keep_every_bit_and_train_afterwards(freeze: str, compiled: bool, squares, anchors_px) -> None:
    run, batches = Run(freeze, 2, anchors_px, compiled=compiled), squares(4, 2)
    start = run.numbers()
    for epoch in (0, 1):
        run.epoch(epoch, batches)
    frozen = run.numbers()
    assert moved(start, frozen) == ({"backbone", "neck", "head"} - STILL[freeze], STILL[freeze])
    run.epoch(2, batches, steps=1)
    assert moved(frozen, run.numbers()) == ({"backbone", "neck", "head"}, set())
    assert int(run.optimizer.iterations) == 5


def test_frozen_normalisation_uses_its_running_statistics(squares, anchors_px) -> None:
    run = Run("backbone", 1, anchors_px)
    features = keras.Model(run.model.inputs, run.model.get_layer("backbone_02_leaky").output)
    image = tf.cast(squares(2, 2)[0]["image"], tf.float32) / 255
    run.step.enter(0)
    np.testing.assert_array_equal(features(image, training=True), features(image, training=False))
    run.step.enter(1)
    assert np.abs(features(image, training=True) - features(image, training=False)).max() > 0.01


@pytest.mark.slow
@pytest.mark.parametrize(("freeze", "epochs"), [("none", 5), ("backbone", 0)])
def test_parts_that_are_not_frozen_train_as_without_freezing(freeze: str, epochs: int, squares, anchors_px) -> None:
    plain, run = Run("none", 0, anchors_px, keras.optimizers.Adam(RATE)), Run(freeze, epochs, anchors_px)
    for each in (plain, run):
        each.epoch(0, squares(4, 2))
    theirs = plain.numbers()
    for path, numbers in run.numbers().items():
        np.testing.assert_array_equal(numbers, theirs[path])


@pytest.mark.slow
def test_a_run_resumed_after_the_frozen_epochs_is_not_frozen(squares, anchors_px) -> None:
    run = Run("backbone", 2, anchors_px)
    before = run.numbers()
    run.epoch(2, squares(2, 2))
    again = run.numbers()
    assert moved(before, again)[1] == set()
    run.epoch(1, squares(2, 2))
    assert moved(again, run.numbers())[1] == {"backbone"}


@pytest.mark.slow
def test_late_parts_start_without_a_jump(squares, anchors_px) -> None:
    """After 5,000 steps the first update of a late weight is at most the rate, as in any first step of Adam."""
    largest = {}
    for late in (True, False):
        run = Run("backbone", 2500 if late else 0, anchors_px)
        run.optimizer.iterations.assign(5000)
        before = run.numbers()
        run.epoch(2500, squares(2, 2))
        after = run.numbers()
        backbone = [v.path for v in run.model.trainable_variables if v.path.startswith("backbone")]
        largest[late] = max(np.abs(after[path] - before[path]).max() for path in backbone)
    assert 0.9 * RATE < largest[True] < 1.001 * RATE
    assert largest[False] > 3 * RATE  # plain Adam


def by_hand(gradients: list[float], rates: list[float], value: float) -> float:
    """Adam (Kingma and Ba 2015, algorithm 1) on one number."""
    first = second = 0.0
    for step, (gradient, rate) in enumerate(zip(gradients, rates, strict=True), 1):
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        value -= rate * (first / (1 - 0.9**step)) / ((second / (1 - 0.999**step)) ** 0.5 + 1e-7)
    return value


@pytest.mark.slow
def test_a_late_variable_is_updated_as_by_an_adam_of_its_own() -> None:
    rng = np.random.default_rng(0)
    early, late = keras.Variable(1.0, name="early"), keras.Variable(2.0, name="late")
    rates = keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.99)
    optimizer = LateAdam(rates, late=[late.path], late_from=30)
    optimizer.build([early, late])
    gradients = rng.normal(0.5, 1, (50, 2))
    for step, (one, other) in enumerate(gradients):
        pairs = [(one, early)] + ([(other, late)] if step >= 30 else [])
        optimizer.apply([tf.constant(g, tf.float32) for g, _ in pairs], [variable for _, variable in pairs])
    schedule = [0.1 * 0.99**step for step in range(50)]
    assert float(early) == pytest.approx(by_hand(gradients[:, 0].tolist(), schedule, 1.0), abs=1e-4)
    assert float(late) == pytest.approx(by_hand(gradients[30:, 1].tolist(), schedule[30:], 2.0), abs=1e-4)
    as_if_full = by_hand([0.0] * 30 + gradients[30:, 1].tolist(), schedule, 2.0)
    assert abs(float(late) - as_if_full) > 0.05  # plain Adam


def test_the_optimizer_survives_its_configuration() -> None:
    optimizer = LateAdam(0.1, late=["b", "a"], late_from=7, beta_1=0.8)
    again = LateAdam.from_config(optimizer.get_config())
    assert (again.late, again.late_from, again.beta_1) == (["a", "b"], 7, 0.8)
