"""Where the cache is, how large it may be, and what a run tells its workers of it.

An option and an environment variable, never a param: the cache changes no result, so DVC must not watch it.
"""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

from yolopipe import paths
from yolopipe.errors import UsageError

__all__ = ["DEFAULT_GB", "GB", "CacheRun", "cache_bytes", "cache_directory", "start_run"]

GB = 10**9
DEFAULT_GB = 20.0

FORMAT = 2
"""Of the files; another format gets another folder and never meets these."""


@dataclass(frozen=True)
class CacheRun:
    """One run's view of the cache; picklable, goes to every worker.

    Args:
        directory: absolute.
        token: drawn at random, so that a worker that outlives a run knows the next one.
        stamp: seconds, the date of use that this run writes.
        max_bytes: of all packs together.
        reserve_bytes: free space that the cache leaves to the run's outputs.
    """

    directory: Path
    token: str
    stamp: int
    max_bytes: int
    reserve_bytes: int


def cache_bytes(option: float | None = None) -> int:
    """How large the cache may be: the option, else ``YOLOPIPE_CACHE_GB``, else 20 GB; 0 turns it off.

    Raises:
        UsageError: when either is not a number of at least 0.

    >>> cache_bytes(0.5)
    500000000
    """
    source, text = "--cache-size", "" if option is None else str(option)
    if option is None:
        source, text = "YOLOPIPE_CACHE_GB", os.environ.get("YOLOPIPE_CACHE_GB", "") or str(DEFAULT_GB)
    try:
        size = float(text)
    except ValueError:
        size = -1.0
    if not 0 <= size < math.inf:
        raise UsageError(f"{source} must be a number of gigabytes, 0 or more, got {text!r}")
    return int(size * GB)


def cache_directory() -> Path:
    """Under ``$DVC_ROOT``, so that experiments in temporary folders share one cache; else under this folder."""
    return paths.side_directory() / f"pixels-{FORMAT}"


def start_run(max_bytes: int, *, reserve_bytes: int = 0) -> CacheRun | None:
    """A fresh run's settings, or None where the cache is turned off."""
    if not max_bytes:
        return None
    return CacheRun(cache_directory(), os.urandom(8).hex(), int(time.time()), max_bytes, reserve_bytes)
