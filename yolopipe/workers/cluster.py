"""The pool of :mod:`yolopipe.workers.mapping` on other machines: a dask.distributed cluster (extra ``distributed``).

The machines share a file system: tasks read and write there and return a few hundred bytes.  The scheduler repeats a
task whose worker died, sometimes also one that had finished; that is harmless, since tasks write under a name of
their own and rename.  Before a task runs, its worker checks that it sees the project folder and has the same
versions, so that it cannot write to another place, or other bytes.
"""

from __future__ import annotations

import logging
import os
import platform
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from yolopipe import __version__, paths
from yolopipe.errors import UsageError, YolopipeError
from yolopipe.workers.pool import Pool, Task

__all__ = ["checked_address", "connect"]

CONNECT_SECONDS = 10.0
NO_WORKER_SECONDS = 60.0
"""How long a cluster may be without any worker, while machines start or are replaced."""

RETRIES = 2
"""How often the scheduler repeats a task after an unexpected error, such as a short failure of the file system."""

SCHEMES = ("tcp://", "tls://")


def checked_address(address: str, source: str) -> str:
    """``address``, if it has the form of a dask scheduler's and dask is installed.

    Args:
        address: ``tcp://host:8786`` or ``tls://host:8786``.
        source: option or variable that gave it, for the message.

    Returns:
        The address.

    Raises:
        UsageError: it has another form, or the extra is not installed.
    """
    host, _, port = address.partition("://")[2].rpartition(":")
    if not address.startswith(SCHEMES) or not host or not port.isdigit():
        raise UsageError(f"{source}: expected an address like tcp://host:8786, got {address!r}")
    if find_spec("distributed") is None:
        raise UsageError(
            f"{source} {address} needs dask.distributed, which is not installed here",
            hint="pip install 'yolopipe[distributed]'",
        )
    return address


class _Home(NamedTuple):
    """What a worker checks before it runs a task: a file in the project folder, and the versions of packages."""

    mark: Path
    versions: dict[str, str]


class _Raised(NamedTuple):
    """A YolopipeError as a value: the scheduler repeats tasks that raise, and this one would fail again."""

    error: YolopipeError


@cache
def _versions() -> dict[str, str]:
    import cv2
    import numpy as np
    import pyarrow as pa

    python = ".".join(platform.python_version_tuple()[:2])
    packages = {"numpy": np.__version__, "opencv": cv2.__version__, "pyarrow": pa.__version__}
    return {"Python": python, "yolopipe": __version__, **packages}


def _at_worker(function: Callable[[Task], Any], task: Task, home: _Home) -> Any:
    """Called on the other machine."""
    try:
        _check_home(home)
        return function(task)
    except YolopipeError as error:
        return _Raised(error)


def _check_home(home: _Home) -> None:
    here = f"the worker on {socket.gethostname()} (process {os.getpid()})"
    if not home.mark.exists():
        raise YolopipeError(
            f"{here} does not see the project folder {home.mark.parents[1]}",
            hint="keep the project on a file system that all machines mount at the same place (docs/scaling.md)",
        )
    own = _versions()
    differing = [
        f"{name} {own.get(name)} instead of {ours}" for name, ours in home.versions.items() if own.get(name) != ours
    ]
    if differing:
        raise YolopipeError(
            f"{here} has other versions, with which the bytes can differ: {', '.join(differing)}",
            hint="start the workers from one environment on the shared file system (docs/scaling.md)",
        )


class _Cluster(Pool):
    """A dask scheduler and its workers, whose number may change at any time."""

    attempts = 2  # the scheduler has tried each time until its own limit (allowed-failures, 3)
    hint = "see the log of that worker; often memory: fewer --nworkers on a machine (docs/scaling.md)"

    def __init__(self, client: Any, address: str, home: _Home) -> None:
        from distributed.scheduler import KilledWorker

        super().__init__(client.get_executor(pure=False, retries=RETRIES), 0)
        self.lost = KilledWorker
        self.client, self.address, self.home = client, address, home
        self.last_seen = time.monotonic()

    def width(self) -> int:
        return max(1, sum(self._threads().values()))

    def submit(self, function: Callable[[Task], Any], task: Task) -> Future[Any]:
        return self.executor.submit(_at_worker, function, task, self.home)

    def result(self, future: Future[Any]) -> Any:
        try:
            result = future.result()
        except ModuleNotFoundError as error:
            raise YolopipeError(
                f"a worker of {self.address} cannot import {error.name}",
                hint="install the same yolopipe on every machine (docs/scaling.md)",
            ) from error
        except CancelledError:
            raise self._gone() from None
        if isinstance(result, _Raised):
            raise result.error
        return result

    def check(self) -> None:
        if self._threads():
            self.last_seen = time.monotonic()
        elif time.monotonic() - self.last_seen > NO_WORKER_SECONDS:
            raise _no_worker(self.address)

    def _threads(self) -> dict[str, int]:
        try:
            return dict(self.client.nthreads())
        except OSError:
            raise self._gone() from None

    def _gone(self) -> YolopipeError:
        return YolopipeError(
            f"the connection to the dask scheduler at {self.address} was lost",
            hint="start it again, then run the same command again",
        )


def _no_worker(address: str) -> YolopipeError:
    return YolopipeError(
        f"the dask scheduler at {address} has had no worker for {NO_WORKER_SECONDS:.0f} s",
        hint=f"start workers: dask worker {address} --nworkers -1 --nthreads 1",
    )


@contextmanager
def connect(address: str) -> Iterator[Pool]:
    """Connect to a cluster that has at least one worker; unfinished tasks are cancelled at the end.

    Args:
        address: of the scheduler.

    Yields:
        The pool.

    Raises:
        YolopipeError: no scheduler answers, or it has no worker, within a bounded time.
    """
    import distributed

    for name in ("distributed", "distributed.client", "distributed.core"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # errors are raised
    try:
        client = distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise YolopipeError(
            f"no dask scheduler answers at {address} ({error})",
            hint="start one: dask scheduler   (docs/scaling.md); or use this machine: --workers",
        ) from None
    with client, _mark() as mark:
        _wait_for_a_worker(client, address)
        pool = _Cluster(client, address, _Home(mark, _versions()))
        try:
            yield pool
        finally:
            pool.executor.shutdown(wait=False)


def _wait_for_a_worker(client: Any, address: str) -> None:
    try:
        client.wait_for_workers(1, timeout=NO_WORKER_SECONDS)
    except TimeoutError:
        raise _no_worker(address) from None


@contextmanager
def _mark() -> Iterator[Path]:
    """A file in the project folder that workers look for; its name is new, so that no file system has it cached."""
    mark = Path.cwd() / paths.SIDE / f"cluster-{uuid.uuid4().hex}"
    mark.parent.mkdir(exist_ok=True)
    mark.touch()
    try:
        yield mark
    finally:
        mark.unlink(missing_ok=True)
