"""A whole run: its steps, and the weights, checkpoints, metrics, pictures and logs written after each epoch."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from yolopipe import console, paths
from yolopipe.detection.network import Predict, predictor
from yolopipe.files import write_json
from yolopipe.model.model_file import save_model
from yolopipe.shards.manifest import Manifest
from yolopipe.training.epoch_plan import EpochLog, EpochPlan, best_epoch
from yolopipe.training.live import LiveLog
from yolopipe.training.logs import TensorBoardLog, train_metrics, write_curves
from yolopipe.training.loop import fit
from yolopipe.training.machines import MachineGroup, chief_only, report_lost_worker, share_start
from yolopipe.training.resume import Resumable
from yolopipe.training.speed import Speed
from yolopipe.training.trainer import Trainer
from yolopipe.training.validation import map_scorer, picture_maker

__all__ = ["run_epochs", "write_numbers"]


def run_epochs(
    manifest: Manifest,
    plan: EpochPlan,
    trainer: Trainer,
    state: Resumable,
    *,
    device: str,
    pictures_every: int,
    group: MachineGroup | None,
) -> tuple[list[EpochLog], Speed]:
    """Train the epochs that are left; write weights, checkpoints, metrics, pictures and logs after each.

    Args:
        manifest: of the shards.
        plan: length, input and rules.
        trainer: networks and steps.
        state: saves and restores checkpoints.
        device: its name, for the first line.
        pictures_every: epochs between two sheets of predictions, 0 for none.
        group: the machines that train together, this one being their chief; None for this one alone.

    Returns:
        The history of all epochs, those of an earlier run included, and the speed of this one.

    Raises:
        YolopipeError: a loss or gradient is not finite, or a machine of the group is lost.
    """
    predict = predictor(trainer.result, trainer.card)
    score = None
    if plan.best_by == "mAP":
        score = chief_only(map_scorer(paths.SHARDS, manifest, predict, plan.val_batches), group)
    history, name = state.restore(), _log_name()
    if group is not None:
        history = share_start(trainer.variables, history)
    live = LiveLog(paths.side_directory() / "dvclive" / name)
    live.epochs(history)
    save = _saver(trainer, plan, state)
    if history:
        _save_weights(trainer, paths.LAST_WEIGHTS)
    with TensorBoardLog(paths.side_directory() / "tensorboard" / name) as board:
        draw = _drawer(manifest, plan, predict, board, pictures_every)

        def on_epoch(logs: list[EpochLog]) -> None:
            for follow in (save, live.epochs, draw):
                follow(logs)

        weights = f"{trainer.model.count_params():,} weights on {device}"
        console.note(f"{weights}; tensorboard --logdir {board.directory.parent}")
        with report_lost_worker(group, state.folder.last_epoch):
            return fit(
                replace(plan, train_batches=trainer.train_step.entering(plan.train_batches)),
                trainer.train_step,
                trainer.eval_step,
                board=board,
                on_epoch=on_epoch,
                history=history,
                score=score,
            )


def _save_weights(trainer: Trainer, path: Path) -> None:
    save_model(path, trainer.result, trainer.card)


def _saver(trainer: Trainer, plan: EpochPlan, state: Resumable) -> Callable[[list[EpochLog]], None]:
    """After each epoch: the last weights, the best ones if this epoch is the best so far, metrics, a checkpoint."""

    def on_epoch(history: list[EpochLog]) -> None:
        _save_weights(trainer, paths.LAST_WEIGHTS)
        if best_epoch(history, plan.best_by) is history[-1]:
            _save_weights(trainer, paths.BEST_WEIGHTS)
        if history[-1].val:
            write_numbers(history, plan.best_by)
        state.save(history)

    return on_epoch


def _drawer(
    manifest: Manifest, plan: EpochPlan, predict: Predict, board: TensorBoardLog, every: int
) -> Callable[[list[EpochLog]], None]:
    """After every so many epochs and the last: a sheet of predictions."""
    if not every:
        return lambda history: None
    picture = picture_maker(paths.SHARDS, manifest, predict)

    def draw(history: list[EpochLog]) -> None:
        if len(history) % every == 0 or plan.is_over(history):
            board.picture(len(history) * plan.steps, picture())

    return draw


def write_numbers(history: list[EpochLog], best_by: str) -> None:
    """Metrics and curves; after each validation, so that ``dvc exp show`` and ``dvc plots show`` follow the run."""
    write_json(paths.TRAIN_METRICS, train_metrics(history, best_by))
    write_curves(paths.TRAIN_PLOTS, history)


def _log_name() -> str:
    """The name of this run in the logs, which are not outputs, so it may hold the time."""
    return os.environ.get("DVC_EXP_NAME") or datetime.now().strftime("%Y-%m-%d-%H%M%S")
