"""The loop over epochs: steps, validation, progress, history."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from yolopipe.console import Advance, clock, progress
from yolopipe.training.epoch_plan import EpochLog, EpochPlan
from yolopipe.training.logs import loss_text
from yolopipe.training.nonfinite import NonFiniteError, Place, bad_term
from yolopipe.training.speed import Batches, Speed, Stopwatch
from yolopipe.training.step import LOSS_NAMES, STEP_NAMES

__all__ = ["Board", "LossReader", "fit"]

Step = Callable[[Mapping[str, Any]], Any]

READ_BEHIND = 8
"""Steps by which the reader of losses stays behind the device.  Reading a value waits until it is computed; after
eight steps it has been, so the device never waits for the display."""


class Board(Protocol):
    """A log of steps and epochs."""

    def step(self, number: int, values: dict[str, float]) -> None:
        """One training step, numbered over the whole run."""

    def epoch(self, number: int, log: EpochLog) -> None:
        """One epoch, which ended with step ``number``."""


def fit(
    plan: EpochPlan,
    train_step: Step,
    eval_step: Step,
    *,
    board: Board,
    on_epoch: Callable[[list[EpochLog]], None],
    history: Sequence[EpochLog] = (),
    score: Callable[[], float] | None = None,
) -> tuple[list[EpochLog], Speed]:
    """Train for all epochs that are left.

    Args:
        plan: length, input and rules.
        train_step: see ``yolopipe.training.step.compiled_train_step``.
        eval_step: see ``compiled_eval_step``.
        board: logs each step and each epoch.
        on_epoch: called with the history so far after each epoch and its validation; saves weights.
        history: of the epochs that an earlier run has finished.
        score: returns the mAP of the present weights; called after each validation.  None for no mAP.

    Returns:
        The history, and the speed.

    Raises:
        NonFiniteError: at the first loss or gradient that is not finite, naming epoch, step, term and batch.
    """
    logs, watch, start = list(history), Stopwatch(), time.monotonic()
    while not plan.is_over(logs):
        place = Place(len(logs) + 1, plan.epochs)
        with progress(f"epoch {place.epoch}/{place.epochs}", plan.images) as advance:
            train, lr = _train_epoch(plan, place, train_step, board, advance, watch)
            val = _validate(plan, place, eval_step, score) if plan.validates(place.epoch) else {}
            logs.append(EpochLog(place.epoch, place.epochs, lr, train, val))
            board.epoch(place.epoch * plan.steps, logs[-1])
            left = (time.monotonic() - start) / (len(logs) - len(history)) * (plan.epochs - len(logs))
            advance(0, text=(f"run ends in {clock(left)}  " if left else "") + _line(logs[-1], watch.epoch_waiting))
        on_epoch(logs)
    return logs, watch.speed


def _train_epoch(
    plan: EpochPlan, place: Place, train_step: Step, board: Board, advance: Advance, watch: Stopwatch
) -> tuple[dict[str, float], float]:
    """Mean losses and the last learning rate."""
    lr = 0.0

    def on_step(number: int, values: dict[str, float]) -> None:
        nonlocal lr
        lr = values["lr"]
        board.step(number, values)

    reader = LossReader(place, (place.epoch - 1) * plan.steps + 1, on_step)
    for batch in watch.timed(plan.train_batches(place.epoch - 1)):
        reader.add(train_step(batch), batch["row"])
        advance(len(batch["row"]), text=_text(reader.mean(), lr, watch.epoch_waiting) if reader.images else "")
    return reader.finish(), lr


def _validate(plan: EpochPlan, place: Place, eval_step: Step, score: Callable[[], float] | None) -> dict[str, float]:
    reader = LossReader(Place(place.epoch, place.epochs, "val"))
    batches: Batches = plan.val_batches()
    for batch in batches:
        reader.add(eval_step(batch), batch["row"])
    losses = reader.finish()
    return losses if score is None else {**losses, "mAP": score()}


def _line(log: EpochLog, waiting: float) -> str:
    """The line of an epoch, the most important first: a narrow terminal cuts the end off."""
    scored = f"mAP {log.val['mAP']:.3f}  " if "mAP" in log.val else ""
    val = f"val {log.val['total_loss']:.3g}  " if log.val else ""
    return f"{scored}{val}{_text(log.train, log.lr, waiting)}"


def _text(losses: Mapping[str, float], lr: float, waiting: float) -> str:
    return f"{loss_text(losses)}  lr {lr:.2g}  waiting for input {100 * waiting:.0f} %"


@dataclass
class LossReader:
    """Reads the results of steps in order, :data:`READ_BEHIND` steps late; stops at the first that is not finite.

    Args:
        place: epoch and split, for the error.
        first_step: number of the first result, counted from 1 over the whole run.
        on_step: called with the step's number and its values by name.
    """

    place: Place
    first_step: int = 1
    on_step: Callable[[int, dict[str, float]], None] = lambda step, values: None
    images: int = 0
    sums: Any = field(default_factory=lambda: np.zeros(len(LOSS_NAMES)))
    _waiting: deque[tuple[Any, Any]] = field(default_factory=deque)
    _read: int = 0

    def add(self, result: Any, rows: Any) -> None:
        """Take the result of a step: values in the order of ``STEP_NAMES`` or its beginning; and its batch's rows."""
        self._waiting.append((result, rows))
        if len(self._waiting) > READ_BEHIND:
            self._read_one()

    def mean(self) -> dict[str, float]:
        """Mean losses per image of what has been read so far."""
        means = self.sums / max(self.images, 1)
        return dict(zip(LOSS_NAMES, means.tolist(), strict=True))

    def finish(self) -> dict[str, float]:
        """Read what is left and return the means of all."""
        while self._waiting:
            self._read_one()
        return self.mean()

    def _read_one(self) -> None:
        result, rows = self._waiting.popleft()
        numbers = np.asarray(result, np.float64)
        values = dict(zip(STEP_NAMES, numbers.tolist(), strict=False))
        step = self.first_step + self._read
        term = bad_term(values)
        if term is not None:
            raise NonFiniteError(self.place, step, term, values, np.asarray(rows).tolist())
        self._read += 1
        self.images += len(rows)
        self.sums += numbers[: len(LOSS_NAMES)] * len(rows)
        self.on_step(step, values)
