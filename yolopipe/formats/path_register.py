"""Which images have been named, and on which line: 20 bytes an image, however long its path."""

from __future__ import annotations

import os
from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["PathRegister"]

DIGEST_BYTES = 16
"""Of ten million paths, two share such a digest once in 10^24 texts."""

Digests = npt.NDArray[np.bytes_]
Lines = npt.NDArray[np.int32]


class _Run(NamedTuple):
    """Images in the order of their digests, and the line of each."""

    digests: Digests
    lines: Lines


class PathRegister:
    """The images named so far and the line of each; a path is the same however it is spelt.

    Digests are kept in sorted runs, each at least twice as long as the next: adding costs what sorting does, and a
    path is looked up in few of them.

    >>> register = PathRegister()
    >>> register.enter(["a.jpg", "b.jpg", "./a.jpg"], [1, 2, 3]).tolist()
    [1, 2, 1]
    >>> register.lines(["b.jpg", "c.jpg"]).tolist()
    [2, 0]
    """

    def __init__(self) -> None:
        self._runs: list[_Run] = []

    def lines(self, image_paths: Sequence[str]) -> Lines:
        """Where each image is named first; 0 where it is not.  (N,) int32."""
        return self._find(_digests(image_paths))

    def enter(self, image_paths: Sequence[str], lines: npt.ArrayLike) -> Lines:
        """Add images.

        Args:
            image_paths: N paths.
            lines: (N,) the line that names each, from 1, ascending and after those of earlier calls.

        Returns:
            (N,) int32; where each is named first, which is its own line when it is new.
        """
        digests, first, of_image = np.unique(_digests(image_paths), return_index=True, return_inverse=True)
        own = np.asarray(lines, np.int32)[first]
        known = self._find(digests)
        new = known == 0
        self._add(_Run(digests[new], own[new]))
        return np.where(new, own, known)[of_image]

    def _find(self, digests: Digests) -> Lines:
        found = np.zeros(len(digests), np.int32)
        for run in self._runs:
            place = np.minimum(np.searchsorted(run.digests, digests), len(run.digests) - 1)
            found = np.where(run.digests[place] == digests, run.lines[place], found)
        return found

    def _add(self, run: _Run) -> None:
        if not len(run.lines):
            return
        while self._runs and len(self._runs[-1].lines) < 2 * len(run.lines):
            older = self._runs.pop()
            digests = np.concatenate([older.digests, run.digests])
            order = np.argsort(digests, kind="stable")
            run = _Run(digests[order], np.concatenate([older.lines, run.lines])[order])
        self._runs.append(run)


def _digests(image_paths: Sequence[str]) -> Digests:
    absolute = (os.path.abspath(path).encode("utf-8", "surrogatepass") for path in image_paths)  # whatever the locale
    packed = b"".join(blake2b(path, digest_size=DIGEST_BYTES).digest() for path in absolute)
    return np.frombuffer(packed, f"S{DIGEST_BYTES}")
