"""Work handed to processes, here or on a cluster, and results taken back as they come.

Every task is a pure function of its argument that writes, at most, a file of its own; so neither the worker count nor
the place changes more than the time.  A worker that dies (out of memory, kill -9) costs a retry of the tasks it took
with it.  One loop drives both kinds of pool; :mod:`yolopipe.cluster` is the other one.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import chain, islice
from multiprocessing.connection import wait as wait_for_handle
from typing import Any, Generic, TypeVar

from yolopipe.errors import UsageError, YolopipeError

__all__ = ["Pool", "Workers", "chosen_workers", "die_with_parent", "map_in_order", "map_unordered", "worker_count"]

Task = TypeVar("Task")
Result = TypeVar("Result")

Workers = int | str
"""How many processes on this machine, or the address of a dask scheduler (``tcp://host:8786``)."""

ATTEMPTS = 3
"""How often a task may die with its worker before it is named and the stage fails."""

AHEAD = 8
"""Where results are wanted in order: how many tasks a worker may be started before the oldest one is done."""

CHECK_SECONDS = 5.0
"""How long nothing may finish before the pool is asked whether anybody is still at work."""


def worker_count(option: int | None = None) -> int:
    """How many processes to use: the option, else ``YOLOPIPE_WORKERS``, else every core this process may use.

    Raises:
        UsageError: when either is not a whole number of at least 1.

    >>> worker_count(3)
    3
    """
    source, text = "--workers", "" if option is None else str(option)
    if option is None:
        source, text = "YOLOPIPE_WORKERS", os.environ.get("YOLOPIPE_WORKERS", "")
    if not text:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not text.isdigit() or int(text) < 1:
        raise UsageError(f"{source} must be a whole number of at least 1, got {text!r}")
    return int(text)


def chosen_workers(count: int | None = None, scheduler: str | None = None) -> Workers:
    """Where the work is done: an option beats the environment, and there a scheduler beats a count.

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
    from yolopipe.cluster import checked_address

    return checked_address(address, source)


class Pool:
    """Workers that take tasks.

    Args:
        executor: runs functions.
        width: tasks it can run at once.
    """

    lost: type[Exception] = BrokenProcessPool
    """What a future raises whose worker died for good."""
    attempts = ATTEMPTS
    hint = "often memory: fewer processes with --workers 1"

    def __init__(self, executor: Executor, width: int) -> None:
        self.executor = executor
        self._width = width

    def width(self) -> int:
        """How many tasks can run at once, now."""
        return self._width

    def submit(self, function: Callable[[Task], Any], task: Task) -> Future[Any]:
        """Hand over a task."""
        return self.executor.submit(function, task)

    def result(self, future: Future[Any]) -> Any:
        """What became of a finished task; raises what it raised."""
        return future.result()

    def check(self) -> None:
        """Raise when nobody is left to work."""


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
def _processes(width: int) -> Iterator[Pool]:
    """Spawned, not forked: TensorFlow and OpenCV threads do not survive a fork."""
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(width, context, initializer=_start_worker, initargs=(os.getpid(),))
    try:
        yield _Processes(executor, width)
    except BaseException:
        executor.shutdown(cancel_futures=True)  # waits: a worker must not write into what the caller cleans up
        raise
    executor.shutdown()


def _pool(workers: Workers) -> AbstractContextManager[Pool]:
    if isinstance(workers, int):
        return _processes(workers)
    from yolopipe.cluster import connect

    return connect(workers)


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


def map_unordered(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    *,
    workers: Workers,
    name: Callable[[Task], str] = str,
    ahead: int | None = None,
) -> Iterator[tuple[int, Result]]:
    """Run ``function`` on every task and yield ``(index, result)`` as each is done.

    Args:
        function: importable by name.  On a cluster it may be run again after it has succeeded, even at the same time.
        tasks: picklable arguments; paths in them absolute, or joined to a folder that the task names.  They are taken
            from the iterable when there is room for them: no more than twice the workers are held at a time.
        workers: processes, 1 runs in this one; or the address of a dask scheduler.
        name: what to call a task in an error message.
        ahead: tasks a worker that may be started before the oldest one is done; as many as there are by default.

    Yields:
        Number of the task, from 0, and result, in order of completion.

    Raises:
        YolopipeError: when a task killed its worker :data:`ATTEMPTS` times.
        Exception: whatever ``function`` raises, from the first task that does.
    """
    stream = enumerate(tasks)
    first = list(islice(stream, 2))
    if workers == 1 or not first or (isinstance(workers, int) and len(first) == 1):
        yield from ((index, function(task)) for index, task in chain(first, stream))
        return
    work = _Work(chain(first, stream), ahead)
    while not work.over():
        with _pool(workers) as pool:
            yield from _until_a_death(pool, function, work)
        worst = max(work.held, key=lambda index: work.deaths[index], default=None)
        if worst is not None and work.deaths[worst] >= pool.attempts:
            message = f"a worker process died {work.deaths[worst]} times while it worked on {name(work.held[worst])}"
            raise YolopipeError(message, hint=pool.hint)


def map_in_order(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    *,
    workers: Workers,
    name: Callable[[Task], str] = str,
) -> Iterator[Result]:
    """The results of :func:`map_unordered` in the order of the tasks, each as soon as all before it are there.

    One slow task does not let the results of all others pile up: the next ones wait for it (:data:`AHEAD`).

    >>> list(map_in_order(abs, [-1, 2, -3], workers=1))
    [1, 2, 3]
    """
    early: dict[int, Result] = {}
    wanted = 0
    for index, result in map_unordered(function, tasks, workers=workers, name=name, ahead=AHEAD):
        early[index] = result
        while wanted in early:
            yield early.pop(wanted)
            wanted += 1


class _Work(Generic[Task]):
    """Tasks that are still to be done: those of the stream, and those held because they have been started.

    Args:
        stream: number and task.
        ahead: see :func:`map_unordered`.
    """

    def __init__(self, stream: Iterator[tuple[int, Task]], ahead: int | None) -> None:
        self._stream: Iterator[tuple[int, Task]] = stream
        self._ahead = ahead
        self._taken = 0
        self.held: dict[int, Task] = {}
        self.deaths: Counter[int] = Counter()

    def next(self, running: Collection[int], width: int) -> int | None:
        """What one of ``width`` workers is to start next: a task whose worker died before all others."""
        suspects = [index for index in self.held if index not in running]
        if suspects:
            return max(suspects, key=lambda index: (self.deaths[index], -index))
        if self.held and self._ahead is not None and self._taken - min(self.held) >= self._ahead * width:
            return None
        for index, task in self._stream:
            self.held[index], self._taken = task, index + 1
            return index
        return None

    def over(self) -> bool:
        """Whether nothing is left; takes a task from the stream to know."""
        return self.next((), 1) is None


def _until_a_death(pool: Pool, function: Callable[[Task], Result], work: _Work[Task]) -> Iterator[tuple[int, Result]]:
    """Yield results until all is done or a worker is lost; then what still runs, counting deaths for the rest."""
    running: dict[Future[Any], int] = {}
    broken = False
    while True:
        # Whatever was in flight when a worker died runs alone the next time, so that the guilty one is known.
        most = 1 if any(work.deaths[index] for index in work.held) else 2 * pool.width()
        try:
            while (
                not broken
                and len(running) < most
                and (index := work.next(running.values(), pool.width())) is not None
            ):
                running[pool.submit(function, work.held[index])] = index
        except pool.lost:
            broken = True
        if not running:
            return
        for future in _done(running, pool):
            index = running.pop(future)
            try:
                result = pool.result(future)
            except pool.lost:
                work.deaths[index], broken = work.deaths[index] + 1, True
            else:
                del work.held[index]
                yield index, result


def _done(running: dict[Future[Any], int], pool: Pool) -> list[Future[Any]]:
    done: set[Future[Any]] = set()
    while not done:
        done, _ = wait(running, timeout=CHECK_SECONDS, return_when=FIRST_COMPLETED)
        if not done:
            pool.check()
    return sorted(done, key=running.__getitem__)
