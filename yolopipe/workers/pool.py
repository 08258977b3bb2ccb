"""A pool of workers: the interface of :mod:`~yolopipe.workers.processes` and :mod:`~yolopipe.workers.cluster`."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

__all__ = ["ATTEMPTS", "Pool", "Task", "Workers"]

Task = TypeVar("Task")

Workers = int | str
"""The number of processes on this machine, or the address of a dask scheduler (``tcp://host:8786``)."""

ATTEMPTS = 3
"""How often the worker of a task may die before the stage fails and names the task."""


class Pool:
    """Workers that take tasks.

    Args:
        executor: runs functions.
        width: tasks it can run at once.
    """

    lost: type[Exception] = BrokenProcessPool
    """Raised by a future whose worker died for good."""
    attempts = ATTEMPTS
    hint = "often out of memory: fewer processes, e.g. --workers 1"

    def __init__(self, executor: Executor, width: int) -> None:
        self.executor = executor
        self._width = width

    def width(self) -> int:
        """The number of tasks that can run at once, now."""
        return self._width

    def submit(self, function: Callable[[Task], Any], task: Task) -> Future[Any]:
        """Submit a task."""
        return self.executor.submit(function, task)

    def result(self, future: Future[Any]) -> Any:
        """The result of a finished task; raises what the task raised."""
        return future.result()

    def check(self) -> None:
        """Raise when no worker is left."""
