"""``map`` over processes of this machine or of a cluster.

Every task is a pure function of its argument that writes, at most, a file of its own, so the worker count and the
machines change the time and never the result.  When a worker dies (out of memory, kill -9), its tasks are tried
again.  One loop drives both kinds of pool, :mod:`~yolopipe.workers.processes` and :mod:`~yolopipe.workers.cluster`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AbstractContextManager
from itertools import chain, islice
from typing import Any, Generic, TypeVar

from yolopipe.errors import YolopipeError
from yolopipe.workers.cluster import connect
from yolopipe.workers.pool import Pool, Task, Workers
from yolopipe.workers.processes import processes

__all__ = ["map_in_order", "map_unordered"]

Result = TypeVar("Result")

AHEAD = 8
"""For results in order: how many tasks for each worker may be started before the oldest one is done."""

CHECK_SECONDS = 5.0
"""How long to wait for a result before the pool is asked whether it still has workers."""


def _pool(workers: Workers) -> AbstractContextManager[Pool]:
    if isinstance(workers, int):
        return processes(workers)
    return connect(workers)


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
        function: importable by name.  A cluster may run it twice for one task, even at the same time.
        tasks: picklable arguments; paths in them absolute, or joined to a folder that the task names.  They are taken
            from the iterable on demand: no more than twice the number of workers are held at a time.
        workers: number of processes, 1 being this one; or the address of a dask scheduler.
        name: of a task, for error messages.
        ahead: how many tasks for each worker may be started before the oldest one is done; no limit by default.

    Yields:
        Number of the task, from 0, and result, in order of completion.

    Raises:
        YolopipeError: the worker of one task died :data:`~yolopipe.workers.pool.ATTEMPTS` times.
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
    """The results of :func:`map_unordered` in the order of the tasks, each as soon as all before it are done.

    While one task is slow, only a bounded number of later ones is started (:data:`AHEAD`), so that their results do
    not pile up in memory.

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
    """Unfinished tasks: those of the stream, and those held because they have been started.

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
        """The task to start next on one of ``width`` workers: first those whose worker died."""
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
        """Whether no task is left; may take one from the stream."""
        return self.next((), 1) is None


def _until_a_death(pool: Pool, function: Callable[[Task], Result], work: _Work[Task]) -> Iterator[tuple[int, Result]]:
    """Yield results until all tasks are done or a worker is lost; then those still running; count other deaths."""
    running: dict[Future[Any], int] = {}
    broken = False
    while True:
        # The tasks that were running when a worker died run alone next time, to find out which one kills it.
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
