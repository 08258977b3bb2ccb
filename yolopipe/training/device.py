"""TensorFlow set up for training: seeds, deterministic operations, devices.

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
    """Set all seeds and allow deterministic operations only.

    Args:
        seed: any non-negative number.

    Returns:
        The device, for display: ``CPU (2 cores)``.
    """
    tf = import_tensorflow()
    import keras

    keras.utils.set_random_seed(derived_seed(seed))
    tf.config.experimental.enable_op_determinism()
    return _device_text(tf)


def training_devices() -> list[str]:
    """The GPUs that share each batch, ``GPU:0`` and so on; empty unless there are several.

    ``CUDA_VISIBLE_DEVICES`` selects them.  There is no param for it: their number changes results by rounding only.
    """
    gpus = import_tensorflow().config.list_logical_devices("GPU")
    return [f"GPU:{number}" for number in range(len(gpus))] if len(gpus) > 1 else []


def strategy_over(devices: Sequence[str], *, machines: bool = False) -> Any:
    """The strategy that runs each step on several devices, each with a copy of the network and a part of the batch.

    Args:
        devices: as TensorFlow names them; empty for TensorFlow's default.
        machines: take all devices of the machines that ``TF_CONFIG`` names; only before TensorFlow is used otherwise.

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
