"""Logs of a training run: curves, metrics, TensorBoard events, the losses on one line."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import tensorflow as tf

from yolopipe.files import atomic_directory
from yolopipe.imaging.drawing import Pixels
from yolopipe.training.epoch_plan import EpochLog, best_epoch
from yolopipe.training.step import LOSS_NAMES

__all__ = ["TensorBoardLog", "loss_text", "train_metrics", "validated_best", "write_curves"]

Losses = Mapping[str, float]


def row(log: EpochLog) -> dict[str, float]:
    """One line of ``curves.csv``; an epoch that was not validated has none of its values."""
    val = {f"val_{name}": value for name, value in log.val.items()}
    return {"epoch": log.epoch, "lr": log.lr, **{f"train_{name}": log.train[name] for name in LOSS_NAMES}, **val}


def _digits(value: float) -> float:
    """``value`` rounded to seven digits; float32 holds no more."""
    return float(f"{value:.7g}")


def write_curves(directory: str | Path, history: Sequence[EpochLog]) -> None:
    """Write ``curves.csv``, the only file of ``directory``, a line an epoch; what was there before is replaced."""
    columns = list(dict.fromkeys(name for log in history for name in row(log)))
    with atomic_directory(directory) as partial, (partial / "curves.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(
            {name: _digits(value) for name, value in row(log).items()} | {"epoch": log.epoch} for log in history
        )


def train_metrics(history: Sequence[EpochLog], by: str = "loss") -> dict[str, Any]:
    """The numbers for ``dvc metrics``; loss terms are in the curves only, and no times are recorded.

    Args:
        history: all epochs; the last was validated.
        by: what the best epoch is best by, ``loss`` or ``mAP``.

    Returns:
        Plain numbers.  ``best_mAP`` is there where mAP was measured, ``continued_from_epoch`` where the first epochs
        were trained under a shorter schedule.
    """
    best, last = validated_best(history, by), history[-1]
    metrics = {
        "epochs": len(history),
        "train_loss": _digits(last.train["total_loss"]),
        "val_loss": _digits(last.val["total_loss"]),
        "best_epoch": best.epoch,
        "best_val_loss": _digits(best.val["total_loss"]),
    }
    if "mAP" in best.val:
        metrics["best_mAP"] = _digits(best.val["mAP"])
    shorter = [log.epoch for log in history if log.epochs != last.epochs]
    return {**metrics, "continued_from_epoch": shorter[-1]} if shorter else metrics


def validated_best(history: Sequence[EpochLog], by: str) -> EpochLog:
    """The best epoch of a finished run, of which at least the last epoch was validated."""
    best = best_epoch(history, by)
    assert best is not None, "the last epoch of a run is always validated"
    return best


def loss_text(losses: Losses) -> str:
    """The losses on one line.

    >>> loss_text({"total_loss": 8.312, "giou_loss": 0.621, "conf_loss": 6.9, "prob_loss": 0.791})
    'loss 8.31 = giou 0.621 + conf 6.9 + prob 0.791'
    """
    total, giou, conf, prob = (f"{losses[name]:.3g}" for name in LOSS_NAMES)
    return f"loss {total} = giou {giou} + conf {conf} + prob {prob}"


class TensorBoardLog:
    """TensorBoard event files.  They carry times, so they are never an output of a stage.

    Args:
        directory: a folder for this run alone.
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

    def step(self, number: int, values: Losses) -> None:
        """Write one training step; buffered until the epoch ends."""
        with self._writer.as_default(step=number):
            for name, value in values.items():
                tf.summary.scalar(f"loss/{name}" if name in LOSS_NAMES else name, value)

    def picture(self, number: int, pixels: Pixels) -> None:
        """Write a sheet of predictions, (H, W, 3) uint8, as of step ``number``."""
        with self._writer.as_default(step=number):
            tf.summary.image("predictions", pixels[tf.newaxis])
        self._writer.flush()

    def epoch(self, number: int, log: EpochLog) -> None:
        """Write the validation of an epoch that ended with step ``number``, and flush."""
        with self._writer.as_default(step=number):
            for name, value in log.val.items():
                tf.summary.scalar(f"val/{name}", value)
        self._writer.flush()
