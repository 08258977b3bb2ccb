"""Choice of workers: a number of processes on this machine, or a dask scheduler."""

from __future__ import annotations

import os

from yolopipe.errors import UsageError
from yolopipe.workers.cluster import checked_address
from yolopipe.workers.pool import Workers

__all__ = ["chosen_workers", "worker_count"]


def worker_count(option: int | None = None) -> int:
    """The number of processes: the option, else ``YOLOPIPE_WORKERS``, else every core this process may use.

    Raises:
        UsageError: either is not a whole number of at least 1.

    >>> worker_count(3)
    3
    """
    source, text = "--workers", "" if option is None else str(option)
    if option is None:
        source, text = "YOLOPIPE_WORKERS", os.environ.get("YOLOPIPE_WORKERS", "")
    if not text:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not text.isdigit() or int(text) < 1:
        raise UsageError(f"{source}: expected a whole number of at least 1, got {text!r}")
    return int(text)


def chosen_workers(count: int | None = None, scheduler: str | None = None) -> Workers:
    """The workers to use: options before the environment, and in the environment a scheduler before a count.

    Args:
        count: ``--workers``.
        scheduler: ``--scheduler``.

    Returns:
        A number of local processes, or the address of a dask scheduler.

    Raises:
        UsageError: both options at once, a wrong count or address, or the extra ``distributed`` is not installed.

    >>> chosen_workers(count=2)
    2
    """
    if count is not None and scheduler is not None:
        raise UsageError("--workers counts processes on this machine, --scheduler names a cluster: give one of them")
    source, address = "--scheduler", scheduler
    if count is None and scheduler is None:
        source, address = "YOLOPIPE_SCHEDULER", os.environ.get("YOLOPIPE_SCHEDULER") or None
    if address is None:
        return worker_count(count)
    return checked_address(address, source)
