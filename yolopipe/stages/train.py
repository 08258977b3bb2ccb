"""``train``: shards in, weights, model card, metrics and curves out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from yolopipe import console, paths
from yolopipe.backend import derived_seed
from yolopipe.config.params import Config, Train
from yolopipe.errors import DataError, ShardError
from yolopipe.files import sha256_file
from yolopipe.result import CommandResult
from yolopipe.shards.manifest import Manifest, ShardInfo, load_manifest
from yolopipe.shards.verify import verify_shards
from yolopipe.training.device import prepare_tensorflow, strategy_over, training_devices
from yolopipe.training.machines import MachineGroup, machine_group
from yolopipe.training.start_file import StartFile, start_file
from yolopipe.workers.pool import Workers
from yolopipe.workers.processes import die_with_parent

if TYPE_CHECKING:
    from yolopipe.training.checkpoint import RunFolder
    from yolopipe.training.epoch_plan import EpochLog, EpochPlan
    from yolopipe.training.speed import Speed

__all__ = ["PICTURES_EVERY", "check_batch", "run"]

PICTURES_EVERY = 5
"""Default number of epochs between two sheets of predictions in TensorBoard."""


def run(config: Config, *, workers: Workers = 1, pictures_every: int = PICTURES_EVERY) -> CommandResult:
    """Train a network on ``data/shards``, or resume an earlier run of the same params.

    Args:
        config: sections ``seed``, ``model`` and ``train`` are read.
        workers: not used; TensorFlow spreads each step over all cores.
        pictures_every: epochs between two sheets of predictions in TensorBoard, 0 for none; changes no result.

    Returns:
        Losses, speed and device of the run.

    Raises:
        ShardError: shards are missing, damaged, or a split is empty.
        DataError: mAP is asked for and val has no boxes, or the file that ``train.weights`` names cannot be used.
        YolopipeError: a loss or gradient is not finite, or another process trains the same run.
    """
    if "DVC_STAGE" in os.environ:  # else a killed DVC leaves an orphan, which overwrites what the next run makes
        die_with_parent(os.getppid())
    start = start_file(config.train.weights) if config.train.weights else None
    manifest = load_manifest(paths.SHARDS)
    _check_not_empty(config, manifest)
    verify_shards(paths.SHARDS, manifest, _to_read(config, manifest))
    group = machine_group(os.environ)
    device = prepare_tensorflow(config.seed)
    strategy = strategy_over([] if group else training_devices(), machines=group is not None)
    check_batch(config.train.batch_size, strategy.num_replicas_in_sync)
    with strategy.scope():
        if group is None:
            return _train(config, manifest, start, device, pictures_every)
        device = f"{device}, {len(group.addresses)} machines"
        if group.chief:
            return _train(config, manifest, start, device, pictures_every, group)
        return _run_worker(config, manifest, start, group)


def check_batch(batch_size: int, devices: int) -> None:
    """Refuse a batch with fewer images than devices, since some devices would have none."""
    if batch_size < devices:
        raise DataError(
            f"train.batch_size: expected at least {devices}, one image for each device, got {batch_size}",
            hint=f"train.batch_size: {8 * devices} in params.yaml, or fewer devices: CUDA_VISIBLE_DEVICES=0",
        )


def _check_not_empty(config: Config, manifest: Manifest) -> None:
    for name in ("train", "val"):
        if name not in manifest.splits or not manifest.splits[name].rows:
            raise ShardError(
                f"training needs at least one image in each of train and val; {name} in {paths.SHARDS} has none",
                hint=f"check data.{name} in params.yaml, then run: dvc repro precompute",
            )
    if config.train.best_by == "mAP" and not manifest.splits["val"].boxes:
        raise DataError(
            "train.best_by: mAP needs boxes in the val split, which has none",
            hint="set train.best_by: loss in params.yaml",
        )


def _to_read(config: Config, manifest: Manifest) -> list[ShardInfo]:
    """The shards of the copies that the epochs will read, and those of val."""
    train, epochs = manifest.splits["train"], config.train.epochs
    return [*(shard for shard in train.shards if shard.copy < epochs), *manifest.splits["val"].shards]


def _run_worker(config: Config, manifest: Manifest, start: StartFile | None, group: MachineGroup) -> CommandResult:
    """Train on a machine that is not the chief; writes nothing."""
    from yolopipe.training.machines import run_worker
    from yolopipe.training.trainer import make_trainer

    plan = _epoch_plan(config, manifest)
    trainer = make_trainer(config, manifest, steps=plan.steps, start=start)
    console.note(f"machine {group.index + 1} of {len(group.addresses)}: {group.addresses[0]} writes the results")
    history, speed = run_worker(plan, trainer, group)
    report = {"machine": group.index, "epochs": len(history), "images_per_second": round(speed.images_per_second, 1)}
    return CommandResult(f"train: {len(history)} epochs; the results are on {group.addresses[0]}", {}, report)


def _train(
    config: Config,
    manifest: Manifest,
    start: StartFile | None,
    device: str,
    pictures_every: int,
    group: MachineGroup | None = None,
) -> CommandResult:
    """Train on one machine, or as the chief of several; writes all files of the stage."""
    from yolopipe.model.card import write_card
    from yolopipe.training.checkpoint import open_run
    from yolopipe.training.resume import Resumable, run_key
    from yolopipe.training.run_training import run_epochs, write_numbers
    from yolopipe.training.trainer import make_trainer

    params, plan = config.train, _epoch_plan(config, manifest)
    inputs = {"weights": start.sha256} if start else {}
    key = run_key(config, {"manifest": sha256_file(paths.SHARDS / "manifest.json"), **inputs})
    with open_run(Resumable.folder_name(key, params.epochs)) as folder, _report_interruption(folder):
        trainer = make_trainer(config, manifest, steps=plan.steps, start=start)
        state = Resumable(folder, key, params.epochs, trainer.variables, paths.BEST_WEIGHTS)
        write_card(paths.MODEL_CARD, trainer.card)
        with _explain_bad_batch(config, manifest):
            history, speed = run_epochs(
                manifest, plan, trainer, state, device=device, pictures_every=pictures_every, group=group
            )
        write_numbers(history, params.best_by)  # again: a run with no epoch left to train has written none yet
        folder.finish()
    result = _result(config, manifest, history, device=device, speed=speed, weights=trainer.model.count_params())
    return _with_start(result, params, start, trainer.outcome)


@contextmanager
def _report_interruption(folder: RunFolder) -> Iterator[None]:
    """After Ctrl-C, print after which epoch the same command goes on."""
    try:
        yield
    except KeyboardInterrupt:
        done = folder.last_epoch()
        left = f"the same command goes on after epoch {done}" if done else "no epoch was finished yet"
        console.note(f"\ntraining was interrupted; {left}")
        raise


@contextmanager
def _explain_bad_batch(config: Config, manifest: Manifest) -> Iterator[None]:
    """Add the images of the batch, a report and a hint to a NonFiniteError."""
    from yolopipe.training.nonfinite import NonFiniteError, explained, images_of

    try:
        yield
    except NonFiniteError as error:
        place = error.place
        copy = _copy_of(place.epoch - 1, manifest) if place.split == "train" else None
        images = images_of(paths.SHARDS, manifest, place.split, error.rows, copy=copy)
        report = paths.side_directory() / "train-nonfinite.json"
        params = config.train
        raise explained(error, images, report, lr_init=params.lr_init, clip_norm=params.clip_norm) from None


def _copy_of(epoch: int, manifest: Manifest) -> int:
    """The augmented copy that an epoch, counted from 0, reads."""
    return epoch % manifest.splits["train"].copies


def _epoch_plan(config: Config, manifest: Manifest) -> EpochPlan:
    """The plan of the run: epoch e reads augmented copy e mod copies, in an order drawn from (seed, e)."""
    from yolopipe.shards.tfdata import batches
    from yolopipe.training.epoch_plan import EpochPlan, sizes_of_epoch

    params, images = config.train, manifest.splits["train"].rows_per_copy
    steps = -(-images // params.batch_size)

    def sizes(epoch: int) -> list[int] | None:
        if params.sizes == "one":
            return None
        return sizes_of_epoch(manifest.input_sizes, seed=config.seed, epoch=epoch, steps=steps)

    def train_batches(epoch: int) -> Any:
        return batches(
            paths.SHARDS,
            manifest,
            "train",
            batch_size=params.batch_size,
            copy=_copy_of(epoch, manifest),
            shuffle_seed=derived_seed(config.seed, epoch),
            shuffle_rows=params.shuffle_rows,
            batch_input_sizes=sizes(epoch),
        )

    def val_batches() -> Any:
        return batches(paths.SHARDS, manifest, "val", batch_size=params.batch_size)

    return EpochPlan(
        params.epochs,
        images,
        steps,
        train_batches,
        val_batches,
        val_every=params.val_every,
        best_by=params.best_by,
        early_stop_epochs=params.early_stop_epochs,
    )


def _result(
    config: Config, manifest: Manifest, history: list[EpochLog], *, device: str, speed: Speed, weights: int
) -> CommandResult:
    from yolopipe.training.advice import advice
    from yolopipe.training.logs import loss_text, train_metrics, validated_best

    by, images = config.train.best_by, manifest.splits["train"].rows_per_copy
    best, metrics = validated_best(history, by), train_metrics(history, by)
    rows: Mapping[str, object] = {
        "best epoch": f"{best.epoch} of {len(history)}, by validation {by}",
        "validation": loss_text(best.val),
        "training": loss_text(best.train),
        "time": console.clock(speed.seconds),
        "speed": f"{speed.images_per_second:,.1f} images/s",
        "waiting for input": f"{100 * speed.waiting:.0f} % of the time",
        "device": device,
        "network": f"{weights:,} weights",
        "weights": f"{paths.BEST_WEIGHTS} (last: {paths.LAST_WEIGHTS}), card inside, and in {paths.MODEL_CARD}",
        **_unusual(config, history, metrics),
        **(suggested := advice(history, speed)),
    }
    report = {
        **metrics,
        "device": device,
        "images_per_second": round(speed.images_per_second, 1),
        "waiting_for_input": round(speed.waiting, 3),
        "weights": weights,
        "advice": suggested,
    }
    title = f"train: {len(history)} epochs of {images:,} images, best validation loss {best.val['total_loss']:.3g}"
    return CommandResult(title, rows, report, next_step="yolopipe evaluate")


def _unusual(config: Config, history: list[EpochLog], metrics: Mapping[str, Any]) -> dict[str, str]:
    """Rows for a run with epochs of two schedules, and for one that stopped early."""
    found = {}
    first = metrics.get("continued_from_epoch")
    if first:
        found["continued"] = f"epochs 1 to {first} had the schedule of a shorter run, the later ones that of this run"
    if len(history) < config.train.epochs:
        found["stopped early"] = f"after {len(history)} of {config.train.epochs} epochs: train.early_stop_epochs"
    return found


def _with_start(result: CommandResult, params: Train, start: StartFile | None, outcome: Any) -> CommandResult:
    """The result with rows on the starting weights and the frozen parts."""
    rows = start.rows(outcome) if start else {}
    if params.freeze != "none":
        remark = "" if start else "; with random weights, since train.weights names no file"
        rows["frozen"] = f"{params.freeze}, epochs 1 to {min(params.freeze_epochs, params.epochs)}{remark}"
    origin = {"started_from": {**asdict(start), **asdict(outcome)}} if start else {}
    return replace(result, rows={**rows, **result.rows}, report={**result.report, **origin})
