"""Networks, optimizer and compiled steps, built from the params."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from yolopipe.config.params import Config
from yolopipe.model.card import ModelCard
from yolopipe.model.warm_start import WarmStart, warm_start
from yolopipe.model.yolov3 import YOLOv3
from yolopipe.shards.manifest import Manifest
from yolopipe.training.ema import moving_average
from yolopipe.training.freezing import FreezingStep
from yolopipe.training.optimizer import inverse_sqrt_weights, make_optimizer, precision
from yolopipe.training.start_file import StartFile
from yolopipe.training.step import compiled_eval_step, compiled_train_step

__all__ = ["Trainer", "card_of", "make_trainer", "share_statistics"]


@dataclass(frozen=True)
class Trainer:
    """A network in training.

    Args:
        card: of the network.
        model: the network that the optimizer updates.
        result: the network that is validated and saved: ``model``, or the one with its averaged weights.
        optimizer: built.
        train_step: from a batch to the values of ``STEP_NAMES``; is entered for each epoch.
        eval_step: from a batch to the losses of ``result``.
        outcome: what was loaded from the file that ``train.weights`` names; None without one.
    """

    card: ModelCard
    model: keras.Model
    result: keras.Model
    optimizer: keras.optimizers.Optimizer
    train_step: FreezingStep
    eval_step: Callable[..., Any]
    outcome: WarmStart | None

    @property
    def variables(self) -> Mapping[str, Sequence[Any]]:
        """All variables that training changes, by group."""
        averaged = {} if self.result is self.model else {"averaged": self.result.weights}
        return {"model": self.model.weights, "optimizer": self.optimizer.variables, **averaged}


def card_of(config: Config, manifest: Manifest, start: StartFile | None = None) -> ModelCard:
    """The card of the network that ``config`` describes, for the classes and anchors of these shards."""
    return ModelCard(
        class_names=tuple(manifest.class_names),
        anchors_px=tuple((float(w), float(h)) for w, h in manifest.anchors_px.reshape(9, 2)),
        input_size=manifest.input_size,
        width=config.model.width,
        depth=config.model.depth,
        started_from={"path": start.path, "sha256": start.sha256} if start else None,
    )


def make_trainer(config: Config, manifest: Manifest, *, steps: int, start: StartFile | None = None) -> Trainer:
    """Networks with their first weights, optimizer, and steps that are compiled when first called.

    Called, like the steps, in the scope of the strategy that spreads them over devices, where there are several.

    Args:
        config: ``model`` and ``train`` are read.
        manifest: of the shards.
        steps: batches an epoch.
        start: the file of weights to start from.

    Raises:
        DataError: the file is not of this network.
    """
    params, card = config.train, card_of(config, manifest, start)

    def network() -> keras.Model:
        return YOLOv3(len(card.class_names), width=card.width, depth=card.depth)

    several = tf.distribute.get_strategy().num_replicas_in_sync > 1
    with precision(params.precision):
        model = network()
        outcome = warm_start(model, card, start.path) if start else None
        optimizer = make_optimizer(params, model, steps=steps)
        optimizer.build(model.trainable_variables)
        result = network() if params.ema else model
    if several:
        share_statistics(model)
    after = moving_average(model, result, params.ema, optimizer.iterations) if params.ema else None
    loss = _loss_options(config, manifest, card)
    sizes = manifest.input_sizes if params.sizes == "all" else (manifest.input_size,)

    def compiled() -> Any:
        return compiled_train_step(
            model,
            optimizer,
            input_size=sizes[0] if len(sizes) == 1 else None,
            jit_compile=params.jit_compile and not several,  # XLA cannot wait for other devices in the middle
            after=after,
            clip_norm=params.clip_norm,
            **loss,
        )

    train_step = FreezingStep(model, optimizer, freeze=params.freeze, epochs=params.freeze_epochs, compiled=compiled)
    eval_step = compiled_eval_step(result, input_size=card.input_size, **loss)
    return Trainer(card, model, result, optimizer, train_step, eval_step, outcome)


def share_statistics(model: keras.Model) -> None:
    """Make batch normalisation use the statistics of the whole batch, so that the loss equals that of one device."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True


def _loss_options(config: Config, manifest: Manifest, card: ModelCard) -> dict[str, Any]:
    params, boxes = config.train, manifest.splits["train"].boxes_per_class
    return {
        "anchors": card.anchors,
        "ignore_threshold": params.ignore_threshold,
        "label_smoothing": params.label_smoothing,
        "class_weights": None if params.class_weights == "none" else inverse_sqrt_weights(boxes),
    }
