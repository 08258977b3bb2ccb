"""Settings of the cache: its folder, its bound, and what each worker of a run needs to know.

The bound is an option and an environment variable, not a param: the cache never changes the result, so DVC must not
watch it.
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
"""Version of the files; each has a folder of its own."""


@dataclass(frozen=True)
class CacheRun:
    """The cache settings of one run; picklable, sent to every worker.

    Args:
        directory: absolute.
        token: random, so that a worker that serves several runs can tell them apart.
        stamp: seconds, the date of use that this run writes.
        max_bytes: of all packs together.
        reserve_bytes: free disk space that the cache must leave for the outputs of the run.
    """

    directory: Path
    token: str
    stamp: int
    max_bytes: int
    reserve_bytes: int


def cache_bytes(option: float | None = None) -> int:
    """The bound of the cache: the option, else ``YOLOPIPE_CACHE_GB``, else 20 GB; 0 turns it off.

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
    """Settings of a new run, or None where the cache is turned off."""
    if not max_bytes:
        return None
    return CacheRun(cache_directory(), os.urandom(8).hex(), int(time.time()), max_bytes, reserve_bytes)
