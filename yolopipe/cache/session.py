"""The cache during one run of ``precompute``: opened, counted, and pruned to its bound at the end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from yolopipe.cache.pruning import prune
from yolopipe.cache.settings import CacheRun, start_run
from yolopipe.cache.store import close_store
from yolopipe.files import write_json

__all__ = ["cache_session", "last_run", "record_run"]

_LAST_RUN = "last_run.json"


@contextmanager
def cache_session(max_bytes: int) -> Iterator[CacheRun | None]:
    """Yield the run's settings (None for a cache of 0 bytes), and prune the folder to its bound afterwards.

    A cache that cannot be written is not an error: the result does not depend on it.
    """
    run = start_run(max_bytes)
    try:
        yield run
    finally:
        close_store()
        if run is not None:
            _quietly_prune(run)


def _quietly_prune(run: CacheRun) -> None:
    with suppress(OSError):
        prune(run.directory, run.max_bytes)


def record_run(run: CacheRun | None, *, reused: int, encoded: int) -> None:
    """Store for ``yolopipe cache`` how many pictures were reused and encoded."""
    if run is None or not run.directory.is_dir():
        return
    with suppress(OSError):
        write_json(run.directory / _LAST_RUN, {"reused": reused, "encoded": encoded})


def last_run(directory: Path) -> dict[str, int] | None:
    """Pictures ``reused`` and ``encoded`` by the last run that succeeded, or None."""
    try:
        tree = json.loads((directory / _LAST_RUN).read_text(encoding="utf-8"))
        return {name: int(tree[name]) for name in ("reused", "encoded")}
    except (OSError, ValueError, KeyError, TypeError):
        return None
