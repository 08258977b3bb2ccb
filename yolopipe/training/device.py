"""TensorFlow made quiet, repeatable and modest, and the device it runs on.

Importing this module does not import TensorFlow; calling its functions does.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from yolopipe.backend import derived_seed, import_tensorflow

__all__ = [
    "prepare_tensorflow",
    "strategy_over",
    "training_devices",
]


def prepare_tensorflow(seed: int) -> str:
    """Make what follows repeatable: all seeds, and only operations that give the same bits each time.

    Args:
        seed: any non-negative number.

    Returns:
        The device that will do the work, for people: ``CPU (2 cores)``.
    """
    tf = import_tensorflow()
    import keras

    keras.utils.set_random_seed(derived_seed(seed))
    tf.config.experimental.enable_op_determinism()
    return _device_text(tf)


def training_devices() -> list[str]:
    """The GPUs that training spreads over, ``GPU:0`` and so on, when there are several; else nothing.

    ``CUDA_VISIBLE_DEVICES`` chooses among them.  No param does: how many there are changes no result but by rounding.
    """
    gpus = import_tensorflow().config.list_logical_devices("GPU")
    return [f"GPU:{number}" for number in range(len(gpus))] if len(gpus) > 1 else []


def strategy_over(devices: Sequence[str], *, machines: bool = False) -> Any:
    """Each step on all of these devices at once, each with a copy of the network and its part of the batch.

    Args:
        devices: as TensorFlow names them; none for the one that it takes by itself.
        machines: all devices of the machines that ``TF_CONFIG`` names; made before TensorFlow does anything else.

    Returns:
        A ``tf.distribute.Strategy``.
    """
    tf = import_tensorflow()
    if machines:
        return tf.distribute.MultiWorkerMirroredStrategy()
    return tf.distribute.MirroredStrategy(list(devices)) if devices else tf.distribute.get_strategy()


def _device_text(tf: Any) -> str:
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return f"CPU ({cores} cores)"
    name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
    return name if len(gpus) == 1 else f"{len(gpus)} x {name}"
