"""How large the shards will be, said before one is written."""

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
"""Encoded to see how large one is: 0.1 s, and within some 5 % for the sum (the spread of JPEG sizes is a quarter)."""

ROW_BYTES, BOX_BYTES = 300, 40
"""Of a row and of a box beside the pixels, in either format."""


class Estimate(NamedTuple):
    """Bytes of all shards, and the number of pictures that were encoded to find out."""

    bytes: int
    pictures: int


def estimate_shards(tasks: ShardTasks) -> Estimate:
    """From a few evenly spread samples, the same ones each time.

    Args:
        tasks: the shards to come.

    Returns:
        The estimate; images that cannot be read are left out of it.
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
    """Say how large the shards will be, and refuse to begin what cannot fit.

    Args:
        tasks: the shards to come.
        folder: where they go; it exists.

    Returns:
        The estimate in bytes.

    Raises:
        YolopipeError: when the file system has less room than that.
    """
    size, pictures = estimate_shards(tasks)
    free = shutil.disk_usage(folder).free
    console.note(
        f"{tasks.rows.sum():,} samples, about {_gb(size)} of shards ({pictures} encoded to see); {_gb(free)} free"
    )
    if size > free:
        raise YolopipeError(
            f"the shards need about {_gb(size)}, {folder.parent} has {_gb(free)} free; nothing was written",
            hint="free some space (yolopipe cache shows what the cache holds), or lower augment.copies, "
            "precompute.input_size or precompute.jpeg_quality",
        )
    return size


def _gb(size: float) -> str:
    """Bytes for people.

    >>> _gb(12_345_000_000), _gb(3_210_000)
    ('12.35 GB', '3.2 MB')
    """
    return f"{size / 1e9:,.2f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"
