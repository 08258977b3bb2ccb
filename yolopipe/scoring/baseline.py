"""Metrics of an earlier commit, to compare with."""

from __future__ import annotations

import json
from pathlib import Path

from yolopipe.errors import UsageError
from yolopipe.git import git_output
from yolopipe.scoring.report_page import Baseline

__all__ = ["committed_metrics"]


def committed_metrics(file: Path, revision: str | None = None) -> Baseline:
    """Read metrics from git.

    Args:
        file: path relative to the working folder.
        revision: a commit, branch or tag, which must have the file; None for the last commit, which may lack it.

    Returns:
        The metrics and the name of their commit; without metrics, the reason.

    Raises:
        UsageError: ``revision`` does not exist or has no such metrics.
    """
    wanted = revision or "HEAD"
    short = git_output("rev-parse", "--short", f"{wanted}^{{commit}}")
    text = None if short is None else git_output("show", f"{wanted}:./{file.as_posix()}")
    metrics = None if text is None else _parsed(text)
    if metrics is not None and short is not None:
        name = "the last commit" if revision is None else revision
        return Baseline(metrics, f"{name} ({short.strip()})")
    reason = (
        f"no commit {wanted}"
        if short is None
        else f"{file} is not in {'the last commit' if revision is None else revision}"
    )
    if revision is not None:
        raise UsageError(f"--against: {reason}", hint="git log --oneline -- " + str(file))
    return Baseline(None, reason if short is not None else "no commit yet, or git is missing")


def _parsed(text: str) -> dict[str, object] | None:
    try:
        tree = json.loads(text)
    except ValueError:
        return None
    return tree if isinstance(tree, dict) else None
