"""A run with all that goes on beside its steps: weights, checkpoints, numbers, pictures, logs, the other machines."""

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
from yolopipe.training.epoch_plan import Course, EpochLog, best_epoch
from yolopipe.training.live import LiveLog
from yolopipe.training.logs import TensorBoardLog, train_metrics, write_curves
from yolopipe.training.loop import fit
from yolopipe.training.machines import Team, chiefs, lost_told, share_start
from yolopipe.training.pictures import picture_maker
from yolopipe.training.resume import Resumable
from yolopipe.training.scoring import map_scorer
from yolopipe.training.speed import Speed
from yolopipe.training.trainer import Learner

__all__ = ["run_epochs", "write_numbers"]


def run_epochs(
    manifest: Manifest,
    course: Course,
    learner: Learner,
    state: Resumable,
    *,
    device: str,
    pictures_every: int,
    team: Team | None,
) -> tuple[list[EpochLog], Speed]:
    """Train all epochs that are left, and leave everything on the way that a run leaves.

    Args:
        manifest: of the shards.
        course: length, input and rules.
        learner: networks and steps.
        state: where checkpoints go and come from.
        device: what works, for the first line.
        pictures_every: epochs between two sheets of predictions, 0 for none.
        team: the machines that train together, this one being their chief; None for this one alone.

    Returns:
        The history of all epochs, those of an earlier run included, and the speed of this one.

    Raises:
        YolopipeError: a loss or gradient is not finite, or a machine of the team is lost.
    """
    predict = predictor(learner.result, learner.card)
    score = None
    if course.best_by == "mAP":
        score = chiefs(map_scorer(paths.SHARDS, manifest, predict, course.val_batches), team)
    history, name = state.restore(), _log_name()
    if team is not None:
        history = share_start(learner.variables, history)
    live = LiveLog(paths.side_directory() / "dvclive" / name)
    live.epochs(history)
    save = _saver(learner, course, state)
    if history:
        _save_weights(learner, paths.LAST_WEIGHTS)
    with TensorBoardLog(paths.side_directory() / "tensorboard" / name) as board:
        draw = _drawer(manifest, course, predict, board, pictures_every)

        def on_epoch(logs: list[EpochLog]) -> None:
            for follow in (save, live.epochs, draw):
                follow(logs)

        weights = f"{learner.model.count_params():,} weights on {device}"
        console.note(f"{weights}; tensorboard --logdir {board.directory.parent}")
        with lost_told(team, state.folder.last_epoch):
            return fit(
                replace(course, train_batches=learner.train_step.entering(course.train_batches)),
                learner.train_step,
                learner.eval_step,
                board=board,
                on_epoch=on_epoch,
                history=history,
                score=score,
            )


def _save_weights(learner: Learner, path: Path) -> None:
    save_model(path, learner.result, learner.card)


def _saver(learner: Learner, course: Course, state: Resumable) -> Callable[[list[EpochLog]], None]:
    """After each epoch: the last weights, the best whenever the epoch is the best so far, numbers, a checkpoint."""

    def on_epoch(history: list[EpochLog]) -> None:
        _save_weights(learner, paths.LAST_WEIGHTS)
        if best_epoch(history, course.best_by) is history[-1]:
            _save_weights(learner, paths.BEST_WEIGHTS)
        if history[-1].val:
            write_numbers(history, course.best_by)
        state.save(history)

    return on_epoch


def _drawer(
    manifest: Manifest, course: Course, predict: Predict, board: TensorBoardLog, every: int
) -> Callable[[list[EpochLog]], None]:
    """After every so many epochs and the last: a sheet of predictions."""
    if not every:
        return lambda history: None
    picture = picture_maker(paths.SHARDS, manifest, predict)

    def draw(history: list[EpochLog]) -> None:
        if len(history) % every == 0 or course.is_over(history):
            board.picture(len(history) * course.steps, picture())

    return draw


def write_numbers(history: list[EpochLog], best_by: str) -> None:
    """Metrics and curves; after each validation, so that ``dvc exp show`` and ``dvc plots show`` follow the run."""
    write_json(paths.TRAIN_METRICS, train_metrics(history, best_by))
    write_curves(paths.TRAIN_PLOTS, history)


def _log_name() -> str:
    """What this run is called in the logs beside it: no output, so it may hold the time."""
    return os.environ.get("DVC_EXP_NAME") or datetime.now().strftime("%Y-%m-%d-%H%M%S")
