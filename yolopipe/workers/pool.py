"""A pool of workers: the interface of :mod:`~yolopipe.workers.processes` and :mod:`~yolopipe.workers.cluster`."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

__all__ = ["ATTEMPTS", "Pool", "Task", "Workers"]

Task = TypeVar("Task")

Workers = int | str
"""How many processes on this machine, or the address of a dask scheduler (``tcp://host:8786``)."""

ATTEMPTS = 3
"""How often a task may die with its worker before it is named and the stage fails."""


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
