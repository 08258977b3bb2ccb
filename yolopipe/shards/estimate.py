"""Estimated size of the shards, before the first is written."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np

from yolopipe import console
from yolopipe.errors import YolopipeError
from yolopipe.shards.build import encoded_bytes
from yolopipe.shards.tasks import ShardTasks

__all__ = ["Estimate", "check_space", "estimate_shards"]

PICTURES = 24
"""Number encoded to estimate the mean size: the sum is then right within some 5 percent."""

ROW_BYTES, BOX_BYTES = 300, 40
"""Of a row without pixels and boxes, and of a box, in either format."""


class Estimate(NamedTuple):
    """Bytes of all shards, and the number of images encoded for the estimate."""

    bytes: int
    pictures: int


def estimate_shards(tasks: ShardTasks) -> Estimate:
    """The size of the shards, from a few evenly spread samples, the same ones each time.

    Args:
        tasks: the shards to write.

    Returns:
        The estimate; images that cannot be read do not count.
    """
    rows, ends = tasks.rows, np.cumsum(tasks.rows)
    total = int(rows.sum())
    wanted = np.unique(np.linspace(0, total - 1, min(PICTURES, total)).astype(np.int64))
    owners = np.searchsorted(ends, wanted, side="right")
    sizes = [
        encoded_bytes(tasks[owner], int(row - (ends[owner] - rows[owner])))
        for owner, row in zip(owners, wanted, strict=True)
    ]
    known = [size for size in sizes if size is not None]
    pixels = total * sum(known) / max(1, len(known))
    return Estimate(round(pixels + total * ROW_BYTES + tasks.boxes * BOX_BYTES), len(known))


def check_space(tasks: ShardTasks, folder: Path) -> int:
    """Print the estimated size of the shards, and stop where they cannot fit on the disk.

    Args:
        tasks: the shards to write.
        folder: of the shards; it exists.

    Returns:
        The estimate in bytes.

    Raises:
        YolopipeError: the file system has less free space than that.
    """
    size, pictures = estimate_shards(tasks)
    free = shutil.disk_usage(folder).free
    console.note(
        f"{tasks.rows.sum():,} samples, about {_gb(size)} of shards (estimated from {pictures}); {_gb(free)} free"
    )
    if size > free:
        raise YolopipeError(
            f"the shards need about {_gb(size)}, {folder.parent} has {_gb(free)} free; nothing was written",
            hint="free some space (yolopipe cache shows what the cache holds), or lower augment.copies, "
            "precompute.input_size or precompute.jpeg_quality",
        )
    return size


def _gb(size: float) -> str:
    """Bytes as text.

    >>> _gb(12_345_000_000), _gb(3_210_000)
    ('12.35 GB', '3.2 MB')
    """
    return f"{size / 1e9:,.2f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"
