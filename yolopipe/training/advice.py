"""Suggestions for the next run, from the numbers of a finished one."""

from __future__ import annotations

from collections.abc import Sequence

from yolopipe.training.epoch_plan import EpochLog, best_epoch
from yolopipe.training.speed import Speed

__all__ = ["advice"]

ROSE = 1.1
"""A validation loss this many times its lowest has risen; two seeds differ by less."""

STILL_FELL = 0.02
"""A validation loss that fell by this share over the last tenth of the epochs had not converged: the learning rate is
almost 0 there."""

HARDLY_FELL = 0.9
"""A training loss above this share of the first epoch's means that training made little progress."""

WAITED = 0.1
"""A larger share of the time spent waiting for input is reported."""


def advice(history: Sequence[EpochLog], speed: Speed) -> dict[str, str]:
    """What stands out in a run, and what to try.

    Args:
        history: of the whole run; its last epoch was validated.
        speed: of this run.

    Returns:
        Finding and suggestion, the most important first; empty where nothing stands out.

    >>> losses = {"total_loss": 4.0, "giou_loss": 1.0, "conf_loss": 2.0, "prob_loss": 1.0}
    >>> history = [EpochLog(epoch, 2, 1e-3, losses, losses) for epoch in (1, 2)]
    >>> advice(history, Speed(10.0, 0.0))
    {'learns little': 'the training loss went from 4 to 4: try ten times or a tenth of train.lr_init'}
    """
    found = {}
    first, last = history[0].train["total_loss"], history[-1].train["total_loss"]
    if len(history) > 1 and last > HARDLY_FELL * first:
        found["learns little"] = (
            f"the training loss went from {first:.3g} to {last:.3g}: try ten times or a tenth of train.lr_init"
        )
    validation = _of_validation(history)
    if validation is not None:
        found.update([validation])
    if speed.waiting > WAITED:
        found["slow input"] = (
            f"{100 * speed.waiting:.0f} % of the time was spent waiting for input: precompute.encoding: raw decodes "
            "nothing, precompute.format: tfrecord reads faster"
        )
    return found


def _of_validation(history: Sequence[EpochLog]) -> tuple[str, str] | None:
    """Whether the validation loss rose after its lowest value, or was still falling at the end."""
    best, last = best_epoch(history), history[-1]
    if best is None:
        return None
    lowest, final = best.val["total_loss"], last.val["total_loss"]
    if final > ROSE * lowest and last.train["total_loss"] < history[best.epoch - 1].train["total_loss"]:
        return "overfits", (
            f"the validation loss rose from {lowest:.3g} (epoch {best.epoch}) to {final:.3g} while the training loss "
            "fell: try more augment.copies and stronger augmentation, train.weight_decay: 0.05, or train.ema: 0.99; "
            "compare mAP first (train.best_by: mAP)"
        )
    tenth = max(1, len(history) // 10)
    before = [log for log in history[:-tenth] if log.val]
    if best is last and before and final < (1 - STILL_FELL) * before[-1].val["total_loss"]:
        return "still learning", (
            f"the validation loss was still falling: try train.epochs: {2 * len(history)}, which continues this run"
        )
    return None
