"""What a training run leaves for people and programs: curves, metrics, TensorBoard events, and a line an epoch."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import tensorflow as tf

from yolopipe.files import atomic_directory
from yolopipe.training.step import LOSS_NAMES

__all__ = ["EpochLog", "TensorBoardLog", "best_epoch", "loss_text", "train_metrics", "write_curves"]

Losses = Mapping[str, float]


@dataclass(frozen=True)
class EpochLog:
    """One epoch.

    Args:
        epoch: from 1.
        lr: learning rate of its last step.
        train: mean of each loss over the images of the epoch, while the weights moved.
        val: mean of each loss over all validation images, after the epoch.
    """

    epoch: int
    lr: float
    train: Losses
    val: Losses

    def row(self) -> dict[str, float]:
        """One line of ``curves.csv``."""
        pairs = [
            (f"{split}_{name}", losses[name])
            for split, losses in (("train", self.train), ("val", self.val))
            for name in LOSS_NAMES
        ]
        return {"epoch": self.epoch, "lr": self.lr, **dict(pairs)}


def best_epoch(history: Sequence[EpochLog]) -> EpochLog:
    """The epoch of the lowest total validation loss, the earliest of equals."""
    return min(history, key=lambda log: log.val["total_loss"])


def _digits(value: float) -> float:
    """``value`` as a reader wants it: float32 has no more than these digits."""
    return float(f"{value:.7g}")


def write_curves(directory: str | Path, history: Sequence[EpochLog]) -> None:
    """Write ``curves.csv``, the only file of ``directory``, a line an epoch; what was there before is replaced."""
    with atomic_directory(directory) as partial, (partial / "curves.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(history[0].row()), lineterminator="\n")
        writer.writeheader()
        writer.writerows(
            {name: _digits(value) for name, value in log.row().items()} | {"epoch": log.epoch} for log in history
        )


def train_metrics(history: Sequence[EpochLog]) -> dict[str, Any]:
    """The numbers for ``dvc metrics``: few enough for a table of experiments, terms are in the curves; no times."""
    best, last = best_epoch(history), history[-1]
    return {
        "epochs": len(history),
        "train_loss": _digits(last.train["total_loss"]),
        "val_loss": _digits(last.val["total_loss"]),
        "best_epoch": best.epoch,
        "best_val_loss": _digits(best.val["total_loss"]),
    }


def loss_text(losses: Losses) -> str:
    """The losses on one line.

    >>> loss_text({"total_loss": 8.312, "giou_loss": 0.621, "conf_loss": 6.9, "prob_loss": 0.791})
    'loss 8.31 = giou 0.621 + conf 6.9 + prob 0.791'
    """
    total, giou, conf, prob = (f"{losses[name]:.3g}" for name in LOSS_NAMES)
    return f"loss {total} = giou {giou} + conf {conf} + prob {prob}"


class TensorBoardLog:
    """Event files with the notes' tags.  They carry times, so they are never an output of a stage.

    Args:
        directory: a folder of its own for the run.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self._writer = tf.summary.create_file_writer(str(directory))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    def step(self, number: int, losses: Losses, lr: float) -> None:
        """Write one training step (notes 1.4); buffered until the epoch ends."""
        with self._writer.as_default(step=number):
            tf.summary.scalar("lr", lr)
            for name in LOSS_NAMES:
                tf.summary.scalar(f"loss/{name}", losses[name])

    def epoch(self, number: int, log: EpochLog) -> None:
        """Write the validation losses at step ``number``, and everything to disk."""
        with self._writer.as_default(step=number):
            for name in LOSS_NAMES:
                tf.summary.scalar(f"val/{name}", log.val[name])
        self._writer.flush()
