"""Distribution of samples over shards, decided from names alone before any work starts.

So the bytes of a shard do not depend on workers, retries or arrival.  Samples of one augmented copy share shards (an
epoch reads one copy), in the order of a hash, so that neighbours in the annotation text (often one scene, one class)
are spread and a bounded shuffle buffer is enough.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["PlannedShard", "image_digests", "plan_shards"]

FEW_SHARDS, FEW_ROWS = 4, 32
"""A small split gets up to FEW_SHARDS shards of at least FEW_ROWS rows, as work for several cores."""


@dataclass(frozen=True)
class PlannedShard:
    """One shard to write.

    Args:
        name: file name without suffix, e.g. ``train-c00-00001-of-00004``.
        copy: augmented copy.
        samples: (R,) rows of the sample table, in the order to write.
    """

    name: str
    copy: int
    samples: npt.NDArray[np.int64]


def image_digests(images: Iterable[str]) -> npt.NDArray[np.uint64]:
    """The first 8 bytes of the SHA-256 of each image's path, as a number.

    Args:
        images: N paths.

    Returns:
        (N,).

    >>> hex(image_digests(["a"])[0])
    '0xca978112ca1bbdca'
    """
    packed = b"".join(hashlib.sha256(image.encode()).digest()[:8] for image in images)
    return np.frombuffer(packed, ">u8").astype(np.uint64)


def plan_shards(split: str, digests: npt.ArrayLike, copies: npt.ArrayLike, shard_rows: int) -> list[PlannedShard]:
    """Distribute the samples of a split over shards.

    Args:
        split: ``train`` or ``val``, the start of every name.
        digests: (N,) of each sample's image: the order within a copy, of equal ones that of the samples.
        copies: (N,) copy number of each sample.
        shard_rows: the most rows a shard may have.

    Returns:
        Shards in order of name; every sample is in exactly one.

    >>> plan = plan_shards("val", image_digests(["a", "b", "c"]), [0, 0, 0], 2)
    >>> [(shard.name, len(shard.samples)) for shard in plan]
    [('val-c00-00000-of-00002', 2), ('val-c00-00001-of-00002', 1)]
    """
    copy_of = np.asarray(copies, np.int64)
    order = np.argsort(np.asarray(digests, np.uint64), kind="stable")
    plan: list[PlannedShard] = []
    for copy in np.unique(copy_of).tolist():
        samples = order[copy_of[order] == copy]
        count = max(math.ceil(len(samples) / shard_rows), min(FEW_SHARDS, len(samples) // FEW_ROWS), 1)
        plan += [
            PlannedShard(f"{split}-c{copy:02}-{index:05}-of-{count:05}", copy, part)
            for index, part in enumerate(np.array_split(samples, count))
        ]
    return plan
