"""Advisory locks between processes (``flock``), released by the system when their holder ends, however it ends.

The package ``filelock`` opens and empties the file it locks; here locks are taken on files that hold something (the
number of the process that trains a run, the records of a cache pack), so that a reader can ask about them.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["is_locked", "locked_file", "try_lock"]


def try_lock(handle: int) -> bool:
    """Lock an open file for as long as ``handle`` is open; False where another open handle holds the lock."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_locked(path: Path) -> bool:
    """Whether some process holds the lock of a file.

    Raises:
        FileNotFoundError: no such file.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        return not try_lock(handle)
    finally:
        os.close(handle)


@contextmanager
def locked_file(path: Path, *, wait: bool) -> Iterator[int | None]:
    """Hold the lock of a file, which is made if need be and stays; its content is not touched.

    Args:
        path: its folder exists.
        wait: until the lock is free.

    Yields:
        The open handle, readable and writable; None where another process holds the lock and ``wait`` is False.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if wait:
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle if wait or try_lock(handle) else None
    finally:
        os.close(handle)
