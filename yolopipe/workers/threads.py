"""``map`` over threads, with a bounded number of results ahead, for work that releases Python's lock.

OpenCV's decoding and warping do, as does waiting for a device.  Memory is that of the inputs in progress.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["in_threads"]

Given = TypeVar("Given")
Made = TypeVar("Made")


def in_threads(
    function: Callable[[Given], Made], inputs: Iterable[Given], *, threads: int = 1, ahead: int = 1
) -> Iterator[Made]:
    """``map``, with up to ``ahead`` results worked on while the caller is busy with an earlier one.

    Args:
        function: called in threads, with one input each.
        inputs: taken in the caller's thread, on demand.
        threads: number of calls at once; with 1 they do not overlap.
        ahead: how many inputs are taken before their turn.

    Yields:
        The results in the order of the inputs; what ``function`` raises is raised when its turn comes.

    >>> list(in_threads(lambda n: n * n, range(4), threads=2, ahead=2))
    [0, 1, 4, 9]
    """
    waiting: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for value in inputs:
                waiting.append(pool.submit(function, value))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
