"""``train``: shards in, weights, model card, metrics and curves out (notes 1.4)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from yolopipe import console, paths
from yolopipe.config import Config
from yolopipe.errors import ShardError
from yolopipe.files import atomic_file, write_json
from yolopipe.shards.manifest import Manifest, ShardInfo, load_manifest
from yolopipe.shards.verify import verify_shards
from yolopipe.stages import StageResult
from yolopipe.training.device import derived_seed, prepare_tensorflow
from yolopipe.workers import Workers

__all__ = ["run"]


def run(config: Config, *, workers: Workers = 1) -> StageResult:
    """Train a network on ``data/shards``.

    Args:
        config: sections ``seed``, ``model`` and ``train`` are read.
        workers: taken like every stage does, and not used: TensorFlow spreads each step over all cores itself.

    Returns:
        What was learnt, how fast and on which device.

    Raises:
        ShardError: shards are missing, damaged, or a split is empty.
        YolopipeError: a loss is not finite.
    """
    manifest = load_manifest(paths.SHARDS)
    _check_not_empty(manifest)
    verify_shards(paths.SHARDS, manifest, _to_read(config, manifest))
    device = prepare_tensorflow(config.seed)
    model, history, speed = _train(config, manifest, device)
    return _result(manifest, history, device=device, speed=speed, weights=model.count_params())


def _check_not_empty(manifest: Manifest) -> None:
    for name in ("train", "val"):
        if name not in manifest.splits or not manifest.splits[name].rows:
            raise ShardError(
                f"training needs at least one image in each of train and val; {name} in {paths.SHARDS} has none",
                hint=f"check data.{name} in params.yaml, then run: dvc repro precompute",
            )


def _to_read(config: Config, manifest: Manifest) -> list[ShardInfo]:
    """The shards of the copies that the epochs will read, and those of val."""
    train, epochs = manifest.splits["train"], config.train.epochs
    return [*(shard for shard in train.shards if shard.copy < epochs), *manifest.splits["val"].shards]


def _train(config: Config, manifest: Manifest, device: str) -> tuple[Any, list[Any], Any]:
    """The trained model, its history and its speed; every file of the stage is written here."""
    import tensorflow as tf

    from yolopipe.model.card import ModelCard, write_card
    from yolopipe.model.yolov3 import YOLOv3
    from yolopipe.training.logs import TensorBoardLog, train_metrics, write_curves
    from yolopipe.training.loop import fit
    from yolopipe.training.step import compiled_eval_step, compiled_train_step

    card = ModelCard(
        class_names=tuple(manifest.class_names),
        anchors_px=tuple((float(w), float(h)) for w, h in manifest.anchors_px.reshape(9, 2)),
        input_size=manifest.input_size,
        width=config.model.width,
        depth=config.model.depth,
    )
    with tf.distribute.get_strategy().scope():
        model = YOLOv3(len(card.class_names), width=card.width, depth=card.depth)
        optimizer = _optimizer(config, manifest)
    options: dict[str, Any] = {
        "input_size": manifest.input_size,
        "anchors": card.anchors,
        "ignore_threshold": config.train.ignore_threshold,
        "label_smoothing": config.train.label_smoothing,
    }
    write_card(paths.MODEL_CARD, card)
    with TensorBoardLog(_board_directory()) as board:
        console.note(f"{model.count_params():,} weights on {device}; tensorboard --logdir {board.directory.parent}")
        history, speed = fit(
            _course(config, manifest),
            compiled_train_step(model, optimizer, **options),
            compiled_eval_step(model, **options),
            board=board,
            on_epoch=_saver(model),
        )
    write_json(paths.TRAIN_METRICS, train_metrics(history))
    write_curves(paths.TRAIN_PLOTS, history)
    return model, history, speed


def _steps_per_epoch(config: Config, manifest: Manifest) -> int:
    return -(-manifest.splits["train"].rows_per_copy // config.train.batch_size)


def _optimizer(config: Config, manifest: Manifest) -> Any:
    import keras

    from yolopipe.training.schedule import WarmupCosine

    params, steps = config.train, _steps_per_epoch(config, manifest)
    schedule = WarmupCosine(params.lr_init, params.lr_end, round(params.warmup_epochs * steps), params.epochs * steps)
    return keras.optimizers.Adam(schedule)


def _course(config: Config, manifest: Manifest) -> Any:
    """Epoch e reads augmented copy e mod copies, in an order drawn from (seed, e)."""
    from yolopipe.shards.tfdata import batches
    from yolopipe.training.loop import Course

    params, split = config.train, manifest.splits["train"]

    def train_batches(epoch: int) -> Any:
        return batches(
            paths.SHARDS,
            manifest,
            "train",
            batch_size=params.batch_size,
            copy=epoch % split.copies,
            shuffle_seed=derived_seed(config.seed, epoch),
            shuffle_rows=params.shuffle_rows,
        )

    def val_batches() -> Any:
        return batches(paths.SHARDS, manifest, "val", batch_size=params.batch_size)

    return Course(params.epochs, split.rows_per_copy, train_batches, val_batches)


def _saver(model: Any) -> Callable[[Any], None]:
    """Saves the last weights after each epoch, and the best whenever the validation loss is the lowest so far."""
    lowest = float("inf")

    def save(path: Path) -> None:
        with atomic_file(path) as partial:
            model.save_weights(str(partial))

    def on_epoch(log: Any) -> None:
        nonlocal lowest
        save(paths.LAST_WEIGHTS)
        if log.val["total_loss"] < lowest:
            lowest = log.val["total_loss"]
            save(paths.BEST_WEIGHTS)

    return on_epoch


def _board_directory() -> Path:
    """A folder for this run, beside the project's other untracked files, also when DVC runs in a copy."""
    root = Path(os.environ.get("DVC_ROOT") or Path.cwd())
    name = os.environ.get("DVC_EXP_NAME") or datetime.now().strftime("%Y-%m-%d-%H%M%S")
    return root / paths.SIDE / "tensorboard" / name


def _result(manifest: Manifest, history: list[Any], *, device: str, speed: Any, weights: int) -> StageResult:
    from yolopipe.training.logs import best_epoch, loss_text, train_metrics

    best, images = best_epoch(history), manifest.splits["train"].rows_per_copy
    rows: Mapping[str, object] = {
        "best epoch": f"{best.epoch} of {len(history)}, by validation loss",
        "validation": loss_text(best.val),
        "training": loss_text(best.train),
        "speed": f"{speed.images_per_second:,.1f} images/s",
        "waiting for input": f"{100 * speed.waiting:.0f} % of the time",
        "device": device,
        "network": f"{weights:,} weights",
        "weights": f"{paths.BEST_WEIGHTS} (last: {paths.LAST_WEIGHTS}), read with {paths.MODEL_CARD}",
    }
    report = {
        **train_metrics(history),
        "device": device,
        "images_per_second": round(speed.images_per_second, 1),
        "waiting_for_input": round(speed.waiting, 3),
        "weights": weights,
    }
    title = f"train: {len(history)} epochs of {images:,} images, best validation loss {best.val['total_loss']:.3g}"
    return StageResult(title, rows, report, next_step="yolopipe evaluate")
