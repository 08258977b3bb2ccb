"""Which input size each batch of an epoch has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from yolopipe.backend import derived_seed

__all__ = ["sizes_of_epoch"]


def sizes_of_epoch(sizes: Sequence[int], *, seed: int, epoch: int, steps: int) -> list[int]:
    """Drawn for each batch alike from ``sizes``; a function of seed and epoch, so that a resumed run draws the same.

    >>> sizes_of_epoch([320, 416, 608], seed=1, epoch=0, steps=4)
    [608, 416, 416, 320]
    """
    rng = np.random.default_rng(derived_seed(seed, epoch, len(sizes)))
    return [int(size) for size in rng.choice(np.asarray(sizes), steps)]
