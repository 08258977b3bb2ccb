"""``yolopipe cache``: contents of the side cache, and pruning on request."""

from __future__ import annotations

from yolopipe.cache.pruning import CacheSize, cache_size, prune
from yolopipe.cache.session import last_run
from yolopipe.cache.settings import GB, cache_bytes, cache_directory
from yolopipe.errors import UsageError
from yolopipe.result import CommandResult

__all__ = ["run"]


def run(*, prune_now: bool = False, max_gb: float | None = None) -> CommandResult:
    """Show the cache of this project, pruned first on request.

    Args:
        prune_now: evict the entries used longest ago, until at most ``max_gb`` are left.
        max_gb: by default the bound of the runs; 0 empties the cache.

    Raises:
        UsageError: an invalid size, or one without ``prune_now``.
    """
    if max_gb is not None and (not prune_now or max_gb < 0):
        raise UsageError(f"--max-gb {max_gb:g} needs --prune and a number of gigabytes, 0 or more")
    directory, bound = cache_directory(), cache_bytes()
    before = cache_size(directory)
    if prune_now:
        prune(directory, bound if max_gb is None else int(max_gb * GB))
    return _result(before, cache_size(directory), bound)


def _result(before: CacheSize, now: CacheSize, bound: int) -> CommandResult:
    directory = cache_directory()
    last = last_run(directory)
    rows: dict[str, object] = {
        "folder": directory,
        "holds": f"{now.entries:,} pictures in {now.packs:,} packs, {now.bytes / GB:,.3f} GB",
        "may hold": f"{bound / GB:,.1f} GB (YOLOPIPE_CACHE_GB, precompute --cache-size)" if bound else "nothing: off",
        "last run": f"{last['reused']:,} reused, {last['encoded']:,} encoded" if last else "none yet",
    }
    if now != before:
        rows["removed"] = (
            f"{before.entries - now.entries:,} pictures, {max(0, before.bytes - now.bytes) / GB:,.3f} GB"
        )
    report = {
        **{"folder": str(directory), "entries": now.entries, "bytes": now.bytes, "packs": now.packs},
        **{"max_bytes": bound, "last_run": last, "removed_entries": before.entries - now.entries},
    }
    return CommandResult("cache: encoded pixels that precompute can reuse", rows, report)
