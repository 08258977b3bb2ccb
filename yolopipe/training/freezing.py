"""Freezing: parts of the network that keep their weights in the first epochs, and an Adam that includes them later.

Pretrained weights are good, those of new heads are random: until the heads have learnt something, their gradients
would only degrade the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

import keras
from keras import ops

from yolopipe.model.warm_start import PARTS, part_of

__all__ = ["FROZEN_PARTS", "FreezingStep", "LateAdam", "frozen_paths"]

FROZEN_PARTS: Mapping[str, tuple[str, ...]] = {"none": (), "backbone": PARTS[:1], "all-but-heads": PARTS[:2]}
"""From ``train.freeze`` to the parts of the network that are frozen."""

Step = Callable[[Mapping[str, Any]], Any]
T = TypeVar("T")


def _frozen_layers(model: keras.Model, freeze: str) -> list[Any]:
    return [layer for layer in model.layers if layer.weights and part_of(layer.name) in FROZEN_PARTS[freeze]]


def frozen_paths(model: keras.Model, freeze: str) -> frozenset[str]:
    """The ``path`` of each trainable variable that ``freeze`` freezes.

    >>> from yolopipe.model.yolov3 import YOLOv3
    >>> model = YOLOv3(1, width=0.125, depth=0.1)
    >>> [len(frozen_paths(model, freeze)) for freeze in FROZEN_PARTS], len(model.trainable_variables)
    ([0, 48, 108], 114)
    """
    layers = _frozen_layers(model, freeze)
    return frozenset(variable.path for layer in layers for variable in layer.trainable_variables)


class FreezingStep:
    """A training step that is compiled twice: without the frozen part for the first epochs, then with all.

    A frozen layer gets no gradient (none is computed further down than needed), no weight decay, and its batch
    normalisation uses its running statistics and leaves them alone.

    Args:
        model: the network.
        optimizer: its variables are made here, for all of the network.
        freeze: ``none``, ``backbone`` or ``all-but-heads``.
        epochs: how many epochs the part is frozen, from the first of the run.
        compiled: compiles a step for what is trainable when it is called.
    """

    def __init__(
        self, model: keras.Model, optimizer: Any, *, freeze: str, epochs: int, compiled: Callable[[], Step]
    ) -> None:
        optimizer.build(model.trainable_variables)
        self._layers, self._epochs, self._compiled = _frozen_layers(model, freeze), epochs, compiled
        self._frozen: bool | None = None
        self.enter(0)

    def __call__(self, batch: Mapping[str, Any]) -> Any:
        """Train on one batch of the epoch that was entered last."""
        return self._step(batch)

    def enter(self, epoch: int) -> None:
        """Prepare for the steps of ``epoch``, counted from 0; any epoch may come first."""
        frozen = bool(self._layers) and epoch < self._epochs
        if frozen != self._frozen:
            for layer in self._layers:
                layer.trainable = not frozen
            self._step, self._frozen = self._compiled(), frozen

    def entering(self, batches: Callable[[int], T]) -> Callable[[int], T]:
        """``batches``, a function of the epoch, which also enters the epoch that it is asked for."""

        def of_epoch(epoch: int) -> T:
            self.enter(epoch)
            return batches(epoch)

        return of_epoch


class LateAdam(keras.optimizers.Adam):  # type: ignore[misc]
    """Adam for variables of which some join later: each is corrected by the number of its own updates.

    Adam's two averages start at 0 and are divided by how much of them is filled by now, which it reads off the number
    of steps.  For a variable that joins at step 1,000 it would take both as full: the first updates would be 3 times
    the learning rate, the tenth 6 times.

    Args:
        learning_rate: see ``keras.optimizers.Adam``, also for ``options``.
        late: the paths of the variables that join late.
        late_from: how many steps are made without them.
    """

    def __init__(
        self, learning_rate: Any = 0.001, *, late: Collection[str] = (), late_from: int = 0, **options: Any
    ) -> None:
        super().__init__(learning_rate, **options)
        self.late, self.late_from = sorted(late), late_from
        self._late_indices: list[int] = []

    def build(self, var_list: Sequence[Any]) -> None:
        """Make the two averages of each variable."""
        if not self.built:
            late = set(self.late)
            self._late_indices = [index for index, variable in enumerate(var_list) if variable.path in late]
        super().build(var_list)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One update of one variable."""
        if self._get_variable_index(variable) in self._late_indices:
            learning_rate = learning_rate * self._late_correction()
        super().update_step(gradient, variable, learning_rate)

    def get_config(self) -> dict[str, Any]:
        """The arguments, for Keras."""
        return {**super().get_config(), "late": self.late, "late_from": self.late_from}

    def _late_correction(self) -> Any:
        """The correction by the number of its own updates, divided by the one that Adam applies."""
        step = ops.cast(self.iterations + 1, "float32")
        return self._correction(ops.maximum(step - self.late_from, 1.0)) / self._correction(step)

    def _correction(self, updates: Any) -> Any:
        return ops.sqrt(1.0 - ops.power(self.beta_2, updates)) / (1.0 - ops.power(self.beta_1, updates))
