"""Results of steps, read a little later than they are made."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from yolopipe.training.nonfinite import NonFiniteError, Place, bad_term
from yolopipe.training.step import LOSS_NAMES, STEP_NAMES

__all__ = ["LossReader"]

READ_BEHIND = 8
"""How many steps the reader of losses stays behind the device.  Reading a value waits for it; one that is eight
steps old is there already, so that a GPU never idles for the sake of a number on the screen."""


@dataclass
class LossReader:
    """Reads results of steps a little later than they are made, in order; stops at the first that is not finite.

    Args:
        place: what is running, for the error.
        first_step: number of the first result, counted from 1 over the whole run.
        on_step: called with the step's number and its values by name.
    """

    place: Place
    first_step: int = 1
    on_step: Callable[[int, dict[str, float]], None] = lambda step, values: None
    images: int = 0
    sums: Any = field(default_factory=lambda: np.zeros(len(LOSS_NAMES)))
    _waiting: deque[tuple[Any, Any]] = field(default_factory=deque)
    _read: int = 0

    def add(self, result: Any, rows: Any) -> None:
        """Take the result of a step: values in the order of ``STEP_NAMES`` or its beginning; and its batch's rows."""
        self._waiting.append((result, rows))
        if len(self._waiting) > READ_BEHIND:
            self._read_one()

    def mean(self) -> dict[str, float]:
        """Mean losses per image of what has been read so far."""
        means = self.sums / max(self.images, 1)
        return dict(zip(LOSS_NAMES, means.tolist(), strict=True))

    def finish(self) -> dict[str, float]:
        """Read what is left and return the means of all."""
        while self._waiting:
            self._read_one()
        return self.mean()

    def _read_one(self) -> None:
        result, rows = self._waiting.popleft()
        numbers = np.asarray(result, np.float64)
        values = dict(zip(STEP_NAMES, numbers.tolist(), strict=False))
        step = self.first_step + self._read
        term = bad_term(values)
        if term is not None:
            raise NonFiniteError(self.place, step, term, values, np.asarray(rows).tolist())
        self._read += 1
        self.images += len(rows)
        self.sums += numbers[: len(LOSS_NAMES)] * len(rows)
        self.on_step(step, values)
