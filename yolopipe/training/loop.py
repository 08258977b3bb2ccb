"""The loop over epochs: steps, validation, progress; what comes out is a history, what is saved is the caller's."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from yolopipe.console import Advance, clock, progress
from yolopipe.errors import YolopipeError
from yolopipe.training.logs import EpochLog, TensorBoardLog, loss_text
from yolopipe.training.step import LOSS_NAMES

__all__ = ["Course", "LossReader", "Speed", "fit"]

READ_BEHIND = 8
"""How many steps the reader of losses stays behind the device.  Reading a value waits for it; one that is eight
steps old is there already, so that a GPU never idles for the sake of a number on the screen."""

Batches = Iterable[Mapping[str, Any]]


@dataclass(frozen=True)
class Course:
    """Length and input of a run.

    Args:
        epochs: how many.
        images: training images an epoch.
        train_batches: from epoch, counted from 0, to its batches.
        val_batches: to the validation batches.
    """

    epochs: int
    images: int
    train_batches: Callable[[int], Batches]
    val_batches: Callable[[], Batches]


@dataclass
class LossReader:
    """Reads results of steps a little later than they are made, in order; stops at the first that is not finite.

    Args:
        where: what is running, for the error message.
        first_step: number of the first result, counted from 1 over the whole run.
        on_step: called with step, losses and what else the result held.
    """

    where: str
    first_step: int = 1
    on_step: Callable[[int, dict[str, float], list[float]], None] = lambda step, losses, rest: None
    images: int = 0
    sums: Any = field(default_factory=lambda: np.zeros(len(LOSS_NAMES)))
    _waiting: deque[tuple[Any, int]] = field(default_factory=deque)
    _read: int = 0

    def add(self, result: Any, images: int) -> None:
        """Take the (4 or more,) result of a step over so many images."""
        self._waiting.append((result, images))
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
        result, images = self._waiting.popleft()
        values = np.asarray(result, np.float64).tolist()
        losses = dict(zip(LOSS_NAMES, values, strict=False))
        step = self.first_step + self._read
        self._check(step, losses)
        self._read += 1
        self.images += images
        self.sums += np.array(values[: len(LOSS_NAMES)]) * images
        self.on_step(step, losses, values[len(LOSS_NAMES) :])

    def _check(self, step: int, losses: dict[str, float]) -> None:
        # The total is named only where all three terms are finite.
        bad = [name for name in (*LOSS_NAMES[1:], LOSS_NAMES[0]) if not math.isfinite(losses[name])]
        if bad:
            raise YolopipeError(
                f"training stopped in {self.where}, step {step}: {bad[0]} is {losses[bad[0]]}",
                hint="a lower train.lr_init or a longer train.warmup_epochs in params.yaml",
            )


class Speed(NamedTuple):
    """How fast training went, without validation.

    Args:
        images_per_second: without the first step of the run, which traces.
        waiting: share of the time in which the loop waited for the next batch, 0 to 1; the first batch of each epoch
            counts.  Steps run behind the loop on a GPU, so this is what the device lacked only where it lasts.
    """

    images_per_second: float
    waiting: float


class _Stopwatch:
    """Counts time and images of training alone."""

    def __init__(self) -> None:
        self.images, self.seconds, self.lasted, self.waited = 0, 0.0, 0.0, 0.0
        self.epoch_waiting = 0.0

    def timed(self, batches: Batches) -> Iterator[Mapping[str, Any]]:
        """The same batches, with the time they take counted."""
        stream, waited = iter(batches), 0.0
        start = since = time.monotonic()
        while True:
            asked = time.monotonic()
            batch = next(stream, None)
            waited += time.monotonic() - asked
            if batch is None:
                break
            yield batch
            now = time.monotonic()
            if self.seconds:
                self.seconds += now - since
                self.images += len(batch["image"])
            else:
                self.seconds = 1e-9
            since = now
        lasted = time.monotonic() - start
        self.epoch_waiting = waited / lasted if lasted else 0.0
        self.lasted, self.waited = self.lasted + lasted, self.waited + waited

    @property
    def speed(self) -> Speed:
        rate = self.images / self.seconds if self.images else 0.0
        return Speed(rate, self.waited / self.lasted if self.lasted else 0.0)


def fit(
    course: Course,
    train_step: Callable[[Mapping[str, Any]], Any],
    eval_step: Callable[[Mapping[str, Any]], Any],
    *,
    board: TensorBoardLog,
    on_epoch: Callable[[EpochLog], None],
) -> tuple[list[EpochLog], Speed]:
    """Train for all epochs.

    Args:
        course: length and input.
        train_step: see ``yolopipe.training.step.compiled_train_step``.
        eval_step: see ``compiled_eval_step``.
        board: where each step's losses go.
        on_epoch: called after each epoch and its validation; saves weights.

    Returns:
        The history, and how fast it went.

    Raises:
        YolopipeError: at the first loss that is not finite, naming epoch, step and term.
    """
    history: list[EpochLog] = []
    watch, start, step = _Stopwatch(), time.monotonic(), 0
    for epoch in range(course.epochs):
        title = f"epoch {epoch + 1}/{course.epochs}"
        with progress(title, course.images) as advance:
            batches = watch.timed(course.train_batches(epoch))
            train, lr, step = _train_epoch(batches, train_step, board, advance, title=title, step=step)
            val = _validate(course.val_batches(), eval_step, title)
            history.append(EpochLog(epoch + 1, lr, train, val))
            board.epoch(step, history[-1])
            left = (time.monotonic() - start) / (epoch + 1) * (course.epochs - epoch - 1)
            advance(0, text=(f"all in {clock(left)}  " if left else "") + _line(history[-1], watch.epoch_waiting))
        on_epoch(history[-1])
    return history, watch.speed


def _train_epoch(
    batches: Batches,
    train_step: Callable[..., Any],
    board: TensorBoardLog,
    advance: Advance,
    *,
    title: str,
    step: int,
) -> tuple[dict[str, float], float, int]:
    """Mean losses, last learning rate, and how many steps have been made in all."""
    lr = 0.0

    def on_step(number: int, losses: dict[str, float], rest: list[float]) -> None:
        nonlocal lr
        lr = rest[0]
        board.step(number, losses, lr)

    reader = LossReader(f"{title} (training)", step + 1, on_step)
    for batch in batches:
        reader.add(train_step(batch), len(batch["image"]))
        step += 1
        advance(len(batch["image"]), text=loss_text(reader.mean()) if reader.images else "")
    return reader.finish(), lr, step


def _validate(batches: Batches, eval_step: Callable[..., Any], title: str) -> dict[str, float]:
    reader = LossReader(f"{title} (validation)")
    for batch in batches:
        reader.add(eval_step(batch), len(batch["image"]))
    return reader.finish()


def _line(log: EpochLog, waiting: float) -> str:
    """What matters most stands first: a narrow terminal cuts the end off."""
    losses = f"val {log.val['total_loss']:.3g}  {loss_text(log.train)}"
    return f"{losses}  lr {log.lr:.2g}  waiting for input {waiting:.0%}".replace("%", " %")
