"""The origin of a model: commit, data, and the scores measured on exactly these weights."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from yolopipe import paths
from yolopipe.errors import ConfigError
from yolopipe.formats.yaml_file import plain, read_yaml
from yolopipe.git import git_output

__all__ = ["git_state", "metrics_of"]

LOCK = Path("dvc.lock")


def git_state() -> dict[str, Any] | None:
    """The commit of the working folder, and whether tracked files differ from it; None outside git."""
    commit, status = (
        git_output("rev-parse", "--verify", "--quiet", "HEAD"),
        git_output("status", "--porcelain", "-uno"),
    )
    if commit is None or status is None:
        return None
    return {"commit": commit.strip(), "dirty": bool(status)}


def metrics_of(weights: Path) -> dict[str, Any] | None:
    """The metrics of ``evaluate`` for these weights; None if that cannot be shown.

    ``dvc.lock`` holds the checksums of what ``evaluate`` read and wrote: both the weights and the metrics must still
    be the same bytes.

    Args:
        weights: the file, in any folder.
    """
    try:
        stage = plain(read_yaml(LOCK))["stages"]["evaluate"]
        chosen = stage["params"]["params.yaml"]["evaluate"]["weights"]
        read = {entry["path"]: entry.get("md5") for entry in stage["deps"]}
        made = {entry["path"]: entry.get("md5") for entry in stage["outs"]}
        scored = {"best": paths.BEST_WEIGHTS, "last": paths.LAST_WEIGHTS}[chosen].as_posix()
        text = paths.EVAL_METRICS.read_bytes()
        same = made[paths.EVAL_METRICS.as_posix()] == _md5(text) and read[scored] == _md5(weights.read_bytes())
        return dict(json.loads(text)) if same else None
    except (OSError, ConfigError, KeyError, TypeError, ValueError, AttributeError):
        return None


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
