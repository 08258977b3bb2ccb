"""TensorFlow, imported without its start-up messages, and the seeds its generators take.

Importing this module does not import TensorFlow; calling its functions does.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

__all__ = ["derived_seed", "import_tensorflow", "muted_stderr"]


@contextmanager
def muted_stderr() -> Iterator[None]:
    """Hold back everything written to file descriptor 2; after an error it is written in the end.

    TensorFlow's C++ code logs lines about oneDNN and CUDA before any log level is in effect.
    """
    sys.stderr.flush()
    real = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except Exception:  # not KeyboardInterrupt, to which the output is unrelated
            kept.seek(0)
            os.write(real, kept.read())
            raise
        finally:
            os.dup2(real, 2)
            os.close(real)


def import_tensorflow() -> Any:
    """Import TensorFlow without its start-up messages, with GPU memory allocated on demand.

    Returns:
        The ``tensorflow`` module.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with muted_stderr():
        import tensorflow as tf

        for gpu in tf.config.list_physical_devices("GPU"):
            try:
                tf.config.experimental.set_memory_growth(gpu, True)
            except RuntimeError:  # the GPU is in use already, with the setting of its first user
                continue
    return tf


def derived_seed(*words: int) -> int:
    """A 32-bit seed, as the older generators of NumPy and TensorFlow take, from any number of non-negative integers.

    >>> derived_seed(42, 0) != derived_seed(42, 1), derived_seed(2**62) < 2**32
    (True, True)
    """
    return int(np.random.SeedSequence(words).generate_state(1)[0])
