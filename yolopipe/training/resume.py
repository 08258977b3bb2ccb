"""Resuming a training run of the same params and shards.

A checkpoint holds all that the next epoch depends on: weights with batch normalisation's statistics, the
optimizer's slots and step, the averaged weights, the history.  The order of the data is a function of seed and epoch,
best epoch and early stopping are functions of the history; none of them is stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from yolopipe import console
from yolopipe.config.params import ALGORITHMS, Config
from yolopipe.files import atomic_file, canonical_json
from yolopipe.training.checkpoint import Checkpoint, RunFolder, read_checkpoint, runs_directory
from yolopipe.training.epoch_plan import EpochLog

__all__ = ["Resumable", "run_key"]

FORMAT = 1
"""Version of the checkpoint files; part of the key, so that files of another version are never read."""

BEST = "best"


def run_key(config: Config, inputs: Mapping[str, str]) -> str:
    """A hash of everything that decides the result, except the number of epochs.

    Args:
        config: ``seed``, ``model`` and ``train`` count.
        inputs: SHA-256 of the files that are read, by name; the manifest holds that of every shard.

    Returns:
        16 hex digits.
    """
    facts = {
        "format": FORMAT,
        "algorithm": ALGORITHMS["train"],
        "seed": config.seed,
        "model": config.model.model_dump(),
        "train": config.train.model_dump(exclude={"epochs"}),
        "inputs": dict(inputs),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
    }
    return hashlib.sha256(canonical_json(facts).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Resumable:
    """The state of a run, saved to and restored from its folder.

    Args:
        folder: of this run, locked.
        key: from :func:`run_key`.
        epochs: of this run; a part of the folder's name.
        variables: by group, all that training changes.
        best_weights: the file with the best weights so far, an output.
    """

    folder: RunFolder
    key: str
    epochs: int
    variables: Mapping[str, Sequence[Any]]
    best_weights: Path

    @staticmethod
    def folder_name(key: str, epochs: int) -> str:
        """The key and the number of epochs, so that a longer run finds the folder of a shorter one."""
        return f"{key}-{epochs}"

    def save(self, history: Sequence[EpochLog]) -> None:
        """Write the checkpoint of the last epoch; warn and go on if that fails."""
        arrays = {
            f"{group}/{number}": np.asarray(variable)
            for group, variables in self.variables.items()
            for number, variable in enumerate(variables)
        }
        try:
            if self.best_weights.exists():
                arrays[BEST] = np.frombuffer(self.best_weights.read_bytes(), np.uint8)
            facts = {"history": [asdict(log) for log in history]}
            self.folder.save(len(history), Checkpoint(arrays, facts))
        except OSError as error:
            console.note(
                f"warning: no checkpoint of epoch {len(history)}: {error.strerror or error}; training goes on"
            )

    def restore(self) -> list[EpochLog]:
        """Set all variables, and the file of best weights, to the latest checkpoint that can be read.

        Returns:
            The history up to there; empty without a usable checkpoint.
        """
        candidates = self._candidates()
        for path in candidates:
            try:
                history = self._load(read_checkpoint(path))
            except (OSError, ValueError, KeyError, TypeError) as error:
                console.note(f"warning: checkpoint {path} cannot be used ({error}); trying the one before")
                continue
            console.note(f"going on after epoch {len(history)}, from {path}")
            return history
        if candidates:
            console.note("no usable checkpoint: training starts from scratch")
        return []

    def _candidates(self) -> list[Path]:
        """Checkpoints of this run, then of otherwise equal runs with fewer epochs; the latest epoch first."""
        own = [path for _, path in self.folder.unfinished()]
        shorter = [
            (epoch, path)
            for directory in runs_directory().glob(f"{self.key}-*")
            if _epochs_of(directory) < self.epochs
            for epoch, path in RunFolder(directory).any()
        ]
        return own + [path for _, path in sorted(shorter, reverse=True)]

    def _load(self, checkpoint: Checkpoint) -> list[EpochLog]:
        history = [EpochLog(**log) for log in checkpoint.facts["history"]]
        pairs = [
            (variable, checkpoint.arrays.get(f"{group}/{number}"))
            for group, variables in self.variables.items()
            for number, variable in enumerate(variables)
        ]
        for variable, array in pairs:  # all are checked before the first is changed
            if array is None or tuple(array.shape) != tuple(variable.shape):
                raise ValueError(f"it holds no {variable.path} of shape {tuple(variable.shape)}")
        for variable, array in pairs:
            variable.assign(array)
        if BEST in checkpoint.arrays:
            with atomic_file(self.best_weights) as partial:
                partial.write_bytes(checkpoint.arrays[BEST].tobytes())
        return history


def _epochs_of(directory: Path) -> int:
    epochs = directory.name.rpartition("-")[2]
    return int(epochs) if epochs.isdigit() else 0
