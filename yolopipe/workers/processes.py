"""Worker processes of this machine: spawned, ended with their parent, quiet at Ctrl-C."""

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
        """Hand over a task.

        Ctrl-C waits meanwhile, also for a process that this starts, which then does not die of it with a traceback
        while it imports what it needs (:func:`_die_of_interrupts`).
        """
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return super().submit(function, task)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def processes(width: int) -> Iterator[Pool]:
    """Spawned, not forked: TensorFlow and OpenCV threads do not survive a fork."""
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(width, context, initializer=_start_worker, initargs=(os.getpid(),))
    try:
        yield _Processes(executor, width)
    except BaseException:
        executor.shutdown(cancel_futures=True)  # waits: a worker must not write into what the caller cleans up
        raise
    executor.shutdown()


def _start_worker(parent: int) -> None:
    die_with_parent(parent)
    _die_of_interrupts()
    _keep_memory()
    gc.set_threshold(50_000)  # rows are many small arrays, none of them in a cycle: looking for cycles cost a tenth
    import cv2

    cv2.setNumThreads(1)  # the processes are the parallelism; threads of each would fight for the same cores


def _keep_memory() -> None:
    """Let the C library keep freed picture buffers for the next picture instead of giving them back.

    Each buffer handed back is paged in afresh, zeroed by the kernel, for the next image: a third of a worker's time.
    The price is that a worker holds on to its largest few pictures until it ends.
    """
    if sys.platform == "linux":
        import ctypes

        m_trim_threshold, m_mmap_threshold = -1, -3  # of glibc's malloc.h; other C libraries ignore or lack the call
        with suppress(AttributeError):
            ctypes.CDLL(None).mallopt(m_mmap_threshold, 1 << 30)
            ctypes.CDLL(None).mallopt(m_trim_threshold, 1 << 30)


def _die_of_interrupts() -> None:
    """Ctrl-C in a terminal reaches all processes: the command says so, and its workers end without a word."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def die_with_parent(parent: int) -> None:
    """Make this process end when its parent does, however that ends; for the start of a worker process.

    Without it a kill -9 of the command leaves its workers waiting for tasks for ever.

    Args:
        parent: process id of the parent.
    """
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)
    else:
        _watch_parent()


def _watch_parent() -> None:
    """The same without help of the kernel: a thread that waits for the parent's end."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait_for_handle([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="watch-parent").start()
