"""Worker processes of this machine: spawned, ended with their parent, silent at Ctrl-C."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait as wait_for_handle
from typing import Any

from yolopipe.workers.pool import Pool, Task

__all__ = ["die_with_parent", "processes"]


class _Processes(Pool):
    """Processes of this machine."""

    def submit(self, function: Callable[[Task], Any], task: Task) -> Future[Any]:
        """Submit a task.

        SIGINT is blocked meanwhile, also in a process that this starts, which would otherwise end with a traceback
        while it imports modules (:func:`_die_of_interrupts` unblocks it).
        """
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return super().submit(function, task)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def processes(width: int) -> Iterator[Pool]:
    """A pool of spawned, not forked, processes: threads of TensorFlow and OpenCV do not survive a fork."""
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(width, context, initializer=_start_worker, initargs=(os.getpid(),))
    try:
        yield _Processes(executor, width)
    except BaseException:
        executor.shutdown(cancel_futures=True)  # waits: a worker must not write to files that the caller removes
        raise
    executor.shutdown()


def _start_worker(parent: int) -> None:
    die_with_parent(parent)
    _die_of_interrupts()
    _keep_memory()
    gc.set_threshold(50_000)  # rows are many small arrays without cycles: collecting them costs time for nothing
    import cv2

    cv2.setNumThreads(1)  # one process for each core: more threads would only compete for the cores


def _keep_memory() -> None:
    """Let the C library keep freed image buffers for the next image.

    A buffer returned to the kernel is paged in again, zeroed, for the next image, which takes a good part of a
    worker's time.  The price is that a worker keeps the memory of its largest few images until it ends.
    """
    if sys.platform == "linux":
        import ctypes

        m_trim_threshold, m_mmap_threshold = -1, -3  # of glibc's malloc.h; other C libraries ignore or lack the call
        with suppress(AttributeError):
            ctypes.CDLL(None).mallopt(m_mmap_threshold, 1 << 30)
            ctypes.CDLL(None).mallopt(m_trim_threshold, 1 << 30)


def _die_of_interrupts() -> None:
    """End silently at Ctrl-C, which a terminal sends to all processes: only the command reports it."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def die_with_parent(parent: int) -> None:
    """Make this process end when its parent does, however that ends; called at the start of a worker process.

    Without it, workers of a command ended by kill -9 would wait for tasks forever.

    Args:
        parent: process id of the parent.
    """
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before the line above
            os._exit(1)
    else:
        _watch_parent()


def _watch_parent() -> None:
    """The same for other kernels: a thread that waits for the parent's end."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait_for_handle([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="watch-parent").start()
