"""Training speed, and the share of the time spent waiting for input."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

__all__ = ["Batches", "Speed", "Stopwatch"]

Batches = Iterable[Mapping[str, Any]]


class Speed(NamedTuple):
    """The speed of a run, without validation.

    Args:
        images_per_second: without the first step of the run, which traces.
        seconds: how long the epochs took, validation and saving included.
        waiting: share of the time in which the loop waited for the next batch, 0 to 1; the first batch of each epoch
            counts.  Steps run behind the loop on a GPU, so the device idles only if this persists.
    """

    images_per_second: float
    waiting: float
    seconds: float = 0.0


class Stopwatch:
    """Counts time and images of training alone."""

    def __init__(self) -> None:
        self.images, self.seconds, self.lasted, self.waited = 0, 0.0, 0.0, 0.0
        self.epoch_waiting = 0.0
        self._begun = time.monotonic()

    def timed(self, batches: Batches) -> Iterator[Mapping[str, Any]]:
        """The same batches, with the time they take counted."""
        stream, waited = iter(batches), 0.0
        start = since = time.monotonic()
        while True:
            asked = time.monotonic()
            batch = next(stream, None)
            waited += time.monotonic() - asked
            if batch is None:
                break
            yield batch
            now = time.monotonic()
            self.epoch_waiting = waited / (now - start) if now > start else 0.0
            if self.seconds:
                self.seconds += now - since
                self.images += len(batch["image"])
            else:
                self.seconds = 1e-9
            since = now
        lasted = time.monotonic() - start
        self.epoch_waiting = waited / lasted if lasted else 0.0
        self.lasted, self.waited = self.lasted + lasted, self.waited + waited

    @property
    def speed(self) -> Speed:
        """The speed over all that was timed."""
        rate = self.images / self.seconds if self.images else 0.0
        waiting = self.waited / self.lasted if self.lasted else 0.0
        return Speed(rate, waiting, time.monotonic() - self._begun)
