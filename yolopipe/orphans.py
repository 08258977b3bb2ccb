"""Worker processes that end when the process that started them does, however that one ended.

``kill -9`` of a stage leaves the workers of a process pool waiting for work for ever, and one in the middle of a
task would finish it beside the next run.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from multiprocessing.connection import wait

__all__ = ["die_with_parent"]


def die_with_parent() -> None:
    """The initializer of a pool's workers: watch the pipe that a spawned process holds to its parent.

    The pipe closes with the parent, on every system and whichever of its threads started the worker (Linux's
    PR_SET_PDEATHSIG is tied to that thread).  In a process without a parent it does nothing.

    >>> die_with_parent()
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=(parent.sentinel,), name="parent-watch", daemon=True).start()


def _watch(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)  # no cleaning up: nobody is left to read what it would say
