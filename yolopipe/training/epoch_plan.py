"""The plan of a run: length, input, validation, best epoch, early stopping."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from yolopipe.backend import derived_seed
from yolopipe.training.speed import Batches

__all__ = ["EpochLog", "EpochPlan", "best_epoch", "epochs_since_best", "is_better", "sizes_of_epoch"]

Losses = Mapping[str, float]


@dataclass(frozen=True)
class EpochLog:
    """One epoch.

    Args:
        epoch: from 1.
        epochs: length of the schedule under which it was trained.
        lr: learning rate of its last step.
        train: mean of each loss over the images of the epoch, during training.
        val: mean of each loss over all validation images, after the epoch, and ``mAP`` where it was asked for; empty
            for an epoch that was not validated.
    """

    epoch: int
    epochs: int
    lr: float
    train: Losses
    val: Losses


def is_better(one: EpochLog, other: EpochLog, by: str) -> bool:
    """True if ``one`` is better than ``other`` by validation ``loss`` or ``mAP``; equal is not better."""
    if by == "mAP":
        return one.val["mAP"] > other.val["mAP"]
    return one.val["total_loss"] < other.val["total_loss"]


def best_epoch(history: Sequence[EpochLog], by: str = "loss") -> EpochLog | None:
    """The best of the epochs that were validated, the earliest of equals; None where none was."""
    best = None
    for log in history:
        if log.val and (best is None or is_better(log, best, by)):
            best = log
    return best


def epochs_since_best(history: Sequence[EpochLog], by: str = "loss") -> int:
    """Epochs since the best one; 0 where none was validated yet."""
    best = best_epoch(history, by)
    return len(history) - best.epoch if best else 0


@dataclass(frozen=True)
class EpochPlan:
    """Length, input and rules of a run.

    Args:
        epochs: how many.
        images: training images an epoch.
        steps: batches an epoch.
        train_batches: from epoch, counted from 0, to its batches.
        val_batches: to the validation batches.
        val_every: validate after every so many epochs, and after the last.
        best_by: ``loss`` or ``mAP``.
        early_stop_epochs: end when the best epoch is so many epochs ago; 0 for never.
    """

    epochs: int
    images: int
    steps: int
    train_batches: Callable[[int], Batches]
    val_batches: Callable[[], Batches]
    val_every: int = 1
    best_by: str = "loss"
    early_stop_epochs: int = 0

    def validates(self, epoch: int) -> bool:
        """True if the model is validated after ``epoch``, counted from 1."""
        return epoch % self.val_every == 0 or epoch == self.epochs

    def stops_early(self, history: Sequence[EpochLog]) -> bool:
        """True if the best epoch is ``early_stop_epochs`` ago.

        A function of the history alone, so a resumed run stops at the same epoch.  False after an epoch that was not
        validated.
        """
        if not self.early_stop_epochs or not history or not history[-1].val:
            return False
        return epochs_since_best(history, self.best_by) >= self.early_stop_epochs

    def is_over(self, history: Sequence[EpochLog]) -> bool:
        """True if no epoch is left to train."""
        return len(history) >= self.epochs or self.stops_early(history)


def sizes_of_epoch(sizes: Sequence[int], *, seed: int, epoch: int, steps: int) -> list[int]:
    """The input size of each batch of an epoch, drawn uniformly from ``sizes``.

    A function of seed and epoch alone, so that a resumed run draws the same.

    >>> sizes_of_epoch([320, 416, 608], seed=1, epoch=0, steps=4)
    [608, 416, 416, 320]
    """
    rng = np.random.default_rng(derived_seed(seed, epoch, len(sizes)))
    return [int(size) for size in rng.choice(np.asarray(sizes), steps)]
