"""Register of the images listed so far, with their lines: 20 bytes an image, however long its path."""

from __future__ import annotations

import os
from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["PathRegister"]

DIGEST_BYTES = 16
"""Two of ten million paths share a digest with a probability of 10^-24."""

Digests = npt.NDArray[np.bytes_]
Lines = npt.NDArray[np.int32]


class _Run(NamedTuple):
    """Images sorted by digest, and the line of each."""

    digests: Digests
    lines: Lines


class PathRegister:
    """Images and the line that listed each first; two spellings of a path are one image.

    Digests are kept in sorted runs, each at least twice as long as the next: adding costs no more than sorting, and
    there are few runs to look a path up in.

    >>> register = PathRegister()
    >>> register.enter(["a.jpg", "b.jpg", "./a.jpg"], [1, 2, 3]).tolist()
    [1, 2, 1]
    >>> register.lines(["b.jpg", "c.jpg"]).tolist()
    [2, 0]
    """

    def __init__(self) -> None:
        self._runs: list[_Run] = []

    def lines(self, image_paths: Sequence[str]) -> Lines:
        """(N,) int32 line that listed each image first; 0 for a new image."""
        return self._find(_digests(image_paths))

    def enter(self, image_paths: Sequence[str], lines: npt.ArrayLike) -> Lines:
        """Add images.

        Args:
            image_paths: N paths.
            lines: (N,) the line that lists each, from 1, ascending and after those of earlier calls.

        Returns:
            (N,) int32 line that listed each first: its own line for a new image.
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
    # surrogatepass: the digest does not depend on the locale
    absolute = (os.path.abspath(path).encode("utf-8", "surrogatepass") for path in image_paths)
    packed = b"".join(blake2b(path, digest_size=DIGEST_BYTES).digest() for path in absolute)
    return np.frombuffer(packed, f"S{DIGEST_BYTES}")
