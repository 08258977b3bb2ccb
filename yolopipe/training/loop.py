"""The loop over epochs: steps, validation, progress; what comes out is a history, what is saved is the caller's."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from yolopipe.console import Advance, clock, progress
from yolopipe.training.epoch_plan import EpochLog, EpochPlan
from yolopipe.training.logs import loss_text
from yolopipe.training.nonfinite import Place
from yolopipe.training.reader import LossReader
from yolopipe.training.speed import Batches, Speed, Stopwatch

__all__ = ["Board", "fit"]

Step = Callable[[Mapping[str, Any]], Any]


class Board(Protocol):
    """Where numbers go as they come."""

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
        board: where each step's losses go.
        on_epoch: called with the history so far after each epoch and its validation; saves weights.
        history: of the epochs that an earlier run has finished.
        score: gives the mAP of the weights as they are, after a validation; None where nobody wants it.

    Returns:
        The history, and how fast it went.

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
            advance(0, text=(f"all in {clock(left)}  " if left else "") + _line(logs[-1], watch.epoch_waiting))
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
    """What matters most stands first: a narrow terminal cuts the end off."""
    scored = f"mAP {log.val['mAP']:.3f}  " if "mAP" in log.val else ""
    val = f"val {log.val['total_loss']:.3g}  " if log.val else ""
    return f"{scored}{val}{_text(log.train, log.lr, waiting)}"


def _text(losses: Mapping[str, float], lr: float, waiting: float) -> str:
    return f"{loss_text(losses)}  lr {lr:.2g}  waiting for input {100 * waiting:.0f} %"
