"""Ctrl-C and SIGTERM as ``KeyboardInterrupt``, held back while a file is written."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

__all__ = ["Interrupts"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """While entered, SIGTERM raises ``KeyboardInterrupt`` as Ctrl-C does; no effect outside the main thread.

    >>> with Interrupts() as interrupts:
    ...     try:
    ...         with interrupts.held():
    ...             signal.raise_signal(signal.SIGTERM)
    ...             print("written")
    ...     except KeyboardInterrupt:
    ...         print("interrupted")
    written
    interrupted
    """

    def __init__(self) -> None:
        self._before: dict[signal.Signals, Any] = {}
        self._holding = self._waiting = False

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._arrived) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    @contextmanager
    def held(self, *, dropped: bool = False) -> Iterator[None]:
        """Raise for a signal at the end of the block, or, when ``dropped``, not at all."""
        self._holding = True
        try:
            yield
        finally:
            self._holding = False
        if self._waiting and not dropped:
            self._waiting = False
            raise KeyboardInterrupt

    def _arrived(self, number: int, frame: FrameType | None) -> None:
        self._waiting = self._holding
        if not self._holding:
            raise KeyboardInterrupt
