"""Checkpoints on disk: one folder a run, locked while it trains; one file an epoch, with checksums.

They lie outside the outputs, which DVC deletes before it runs a stage again, and are never shared by runs that could
differ: a folder is named after everything that decides the result (see :mod:`yolopipe.training.resume`).  NumPy only.
"""

from __future__ import annotations

import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from yolopipe import paths
from yolopipe.errors import YolopipeError
from yolopipe.files import atomic_file
from yolopipe.locks import locked_file, try_lock

__all__ = ["Checkpoint", "RunFolder", "open_run", "read_checkpoint", "runs_directory", "write_checkpoint"]

KEPT_EPOCHS = 2
"""Checkpoints of a running training: the last, and the one before in case the last cannot be read."""

KEPT_RUNS = 4
"""Run folders that are kept, the most recently used; those that train at the moment are not counted.  A full network
needs 0.75 GB a checkpoint, 1 GB with averaged weights, and its best weights 0.25 GB more."""

LOCK = "lock"
FACTS = "facts"
EPOCH, FINISHED = "epoch", "finished"

DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError, TypeError)
"""Exceptions of NumPy and zipfile for damaged files, beside ValueError and OSError."""

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Checkpoint:
    """The content of one file.

    Args:
        arrays: by name.
        facts: plain JSON types.
    """

    arrays: Arrays
    facts: dict[str, Any]


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, atomically and synced: an uncompressed ``.npz``, whose CRCs a reader checks."""
    facts = np.frombuffer(json.dumps(checkpoint.facts).encode(), np.uint8)
    arrays: dict[str, Any] = {FACTS: facts, **checkpoint.arrays}
    with atomic_file(path) as partial, partial.open("wb") as file:
        np.savez(file, **arrays)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        ValueError: the file is truncated, damaged or not a checkpoint; the message is the reason.
        OSError: the file cannot be read.
    """
    try:
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as file:  # closed also where NumPy fails
            arrays = {name: file[name] for name in file.files}
        return Checkpoint(arrays, json.loads(arrays.pop(FACTS).tobytes()))
    except DAMAGED as error:
        raise ValueError(str(error) or type(error).__name__) from None


@dataclass(frozen=True)
class RunFolder:
    """The checkpoints of one run.

    Args:
        directory: absolute.
    """

    directory: Path

    def _numbered(self, kind: str) -> list[tuple[int, Path]]:
        """(epoch, file), the latest first."""
        found = [(path.stem.rpartition("-")[2], path) for path in self.directory.glob(f"{kind}-*.npz")]
        return sorted(((int(epoch), path) for epoch, path in found if epoch.isdigit()), reverse=True)

    def unfinished(self) -> list[tuple[int, Path]]:
        """(epoch, file) of an unfinished run, the latest first."""
        return self._numbered(EPOCH)

    def last_epoch(self) -> int:
        """The last epoch with a checkpoint of an unfinished run; 0 without one."""
        return max((epoch for epoch, _ in self.unfinished()), default=0)

    def any(self) -> list[tuple[int, Path]]:
        """(epoch, file), finished or not, the latest first."""
        return sorted([*self._numbered(EPOCH), *self._numbered(FINISHED)], reverse=True)

    def save(self, epoch: int, checkpoint: Checkpoint) -> None:
        """Add the checkpoint of an epoch, and drop the oldest."""
        write_checkpoint(self.directory / f"{EPOCH}-{epoch:06}.npz", checkpoint)
        for _, old in self.unfinished()[KEPT_EPOCHS:]:
            old.unlink()

    def finish(self) -> None:
        """Keep only the last state of a finished run, for a later run with more epochs."""
        states = self.unfinished()
        for _, old in [*self._numbered(FINISHED), *states[1:]]:
            old.unlink()
        for epoch, latest in states[:1]:
            latest.replace(self.directory / f"{FINISHED}-{epoch:06}.npz")


def runs_directory() -> Path:
    """The folder of all run folders, shared by experiments in temporary folders."""
    return paths.side_directory() / "train"


@contextmanager
def open_run(name: str) -> Iterator[RunFolder]:
    """The folder of a run, created and locked for this process; the least recently used folders are removed.

    Raises:
        YolopipeError: another process trains this run now.
    """
    directory = runs_directory() / name
    directory.mkdir(parents=True, exist_ok=True)
    os.utime(directory)  # first of all: another run that starts now must not take it for an old one
    with (directory / LOCK).open("a+") as lock:
        if not try_lock(lock.fileno()):
            lock.seek(0)
            raise YolopipeError(
                f"process {lock.read().strip() or '?'} is already training this run (same params, same shards): "
                f"{directory} is locked",
                hint="wait for it, or stop it: this command then continues after its last finished epoch",
            )
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        _forget_old_runs(directory)
        yield RunFolder(directory)


def _forget_old_runs(mine: Path) -> None:
    """Remove the least recently used runs, but none that is training."""
    others = [path for path in mine.parent.iterdir() if path != mine]
    for old in sorted(others, key=_used, reverse=True)[KEPT_RUNS - 1 :]:
        with suppress(OSError), locked_file(old / LOCK, wait=False) as lock:
            if lock is not None:
                shutil.rmtree(old)


def _used(directory: Path) -> float:
    """Time of last use; 0 for a folder that another run has just removed."""
    try:
        return directory.stat().st_mtime
    except OSError:
        return 0.0
