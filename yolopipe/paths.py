"""Paths of the stages' outputs, relative to the project folder; equal to those in ``dvc.yaml`` (tested)."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = [
    "AUGMENTED",
    "BEST_WEIGHTS",
    "EVAL_METRICS",
    "EVAL_PLOTS",
    "LABELS_PAGE",
    "LAST_WEIGHTS",
    "MODEL_CARD",
    "PARSED",
    "PREDICTIONS",
    "REPORT",
    "SAMPLE",
    "SHARDS",
    "SIDE",
    "TRAIN_METRICS",
    "TRAIN_PLOTS",
    "side_directory",
]

SAMPLE = Path("data/sample")
PARSED = Path("data/parsed")
AUGMENTED = Path("data/augmented")
SHARDS = Path("data/shards")
BEST_WEIGHTS = Path("models/best.weights.h5")
LAST_WEIGHTS = Path("models/last.weights.h5")
MODEL_CARD = Path("models/model.json")
TRAIN_METRICS = Path("metrics/train.json")
TRAIN_PLOTS = Path("plots/train")
EVAL_METRICS = Path("metrics/eval.json")
EVAL_PLOTS = Path("plots/evaluate")
PREDICTIONS = Path("predictions/val.parquet")

REPORT = Path("reports/evaluate.html")
"""Not an output of ``evaluate``: the page compares with the last commit, so it changes with that, too."""

SIDE = Path(".yolopipe")
"""Untracked files that can be deleted (problem lists of failed runs, TensorBoard logs, caches)."""

LABELS_PAGE = SIDE / "labels.html"
"""The file of ``inspect-labels --open`` when none is named."""


def side_directory() -> Path:
    """:data:`SIDE` under ``$DVC_ROOT``, so that experiments in temporary folders share it; else under this folder."""
    return Path(os.environ.get("DVC_ROOT") or Path.cwd()).resolve() / SIDE
