"""Work handed to processes, results taken back in order.

Every task is a pure function of its argument that writes, at most, a file of its own; so the worker count changes
the time and nothing else.  A worker that dies (out of memory, kill -9) costs a retry of the tasks it took with it.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from yolopipe.errors import UsageError, YolopipeError
from yolopipe.orphans import die_with_parent

__all__ = ["map_unordered", "worker_count"]

Task = TypeVar("Task")
Result = TypeVar("Result")

ATTEMPTS = 3
"""How often a task may die with its worker before it is named and the stage fails."""


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


def map_unordered(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    *,
    workers: int,
    name: Callable[[Task], str] = str,
) -> Iterator[tuple[int, Result]]:
    """Run ``function`` on every task and yield ``(index, result)`` as each is done.

    Args:
        function: importable by name (processes are spawned, not forked: TensorFlow and OpenCV threads do not
            survive a fork).
        tasks: picklable arguments.
        workers: processes; 1 runs in this process.
        name: what to call a task in an error message.

    Yields:
        Index into ``tasks`` and result, in order of completion.

    Raises:
        YolopipeError: when a task killed its worker :data:`ATTEMPTS` times.
        Exception: whatever ``function`` raises, from the first task that does.
    """
    if workers == 1 or len(tasks) <= 1:
        yield from ((index, function(task)) for index, task in enumerate(tasks))
        return
    left = dict(enumerate(tasks))
    deaths = dict.fromkeys(left, 0)
    while left:
        for index, result in _one_pool(function, left, workers, deaths):
            del left[index]
            yield index, result
        worst = max(left, key=deaths.__getitem__, default=None)
        if worst is not None and deaths[worst] >= ATTEMPTS:
            raise YolopipeError(
                f"a worker process died {ATTEMPTS} times while it worked on {name(left[worst])}",
                hint="often memory: fewer processes with --workers 1",
            )


def _one_pool(
    function: Callable[[Task], Result], left: dict[int, Task], workers: int, deaths: dict[int, int]
) -> Iterator[tuple[int, Result]]:
    """Yield results until all is done or a worker dies; then count a death for each task that was in flight."""
    context = multiprocessing.get_context("spawn")
    queue = iter(sorted(left))
    running: dict[Future[Result], int] = {}
    # After a death the tasks that were in flight run one at a time, so that the guilty one is known.
    width = 1 if any(deaths[index] for index in left) else workers
    with ProcessPoolExecutor(width, mp_context=context, initializer=die_with_parent) as pool:
        try:
            for index in queue:
                running[pool.submit(function, left[index])] = index
                if len(running) >= 2 * width:
                    yield from _take(running)
            while running:
                yield from _take(running)
        except BrokenProcessPool:
            for index in running.values():
                deaths[index] += 1
        except BaseException:
            pool.shutdown(cancel_futures=True)  # waits: a worker must not write into what the caller cleans up
            raise


def _take(running: dict[Future[Result], int]) -> Iterator[tuple[int, Result]]:
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in sorted(done, key=running.__getitem__):
        result = future.result()  # on BrokenProcessPool the task stays in ``running``
        yield running.pop(future), result
