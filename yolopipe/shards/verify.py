"""``yolopipe verify``: shards compared with the checksums of their manifest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from yolopipe import console
from yolopipe.errors import ShardError
from yolopipe.files import sha256_file
from yolopipe.result import CommandResult
from yolopipe.shards.manifest import Manifest, ShardInfo, load_manifest
from yolopipe.shards.reader import READERS

__all__ = ["run", "verify_shards"]

MOST_NAMED = 20


def verify_shards(directory: str | Path, manifest: Manifest, shards: Sequence[ShardInfo] | None = None) -> int:
    """Compare length and SHA-256 of shards with the manifest.

    Args:
        directory: the folder of shards.
        manifest: from :func:`yolopipe.shards.manifest.load_manifest`.
        shards: which; all by default.

    Returns:
        The number of bytes checked.

    Raises:
        ShardError: naming each shard that differs and, where its format can tell, the record or row group.
    """
    if shards is None:
        shards = [shard for split in manifest.splits.values() for shard in split.shards]
    damaged = []
    with console.progress("verify", len(shards), unit="shards") as advance:
        for shard in shards:
            damage = _damage(Path(directory) / shard.name, shard, manifest.format)
            if damage is not None:
                damaged.append(damage)
            advance(1, f"{len(damaged)} damaged" if damaged else "")
    if damaged:
        raise _error(damaged, len(shards))
    return sum(shard.bytes for shard in shards)


def _error(damaged: list[str], count: int) -> ShardError:
    more = [f"... and {len(damaged) - MOST_NAMED:,} more"] if len(damaged) > MOST_NAMED else []
    lines = "\n".join(f"  {line}" for line in [*damaged[:MOST_NAMED], *more])
    return ShardError(
        f"{len(damaged)} of {count} shards differ from the manifest:\n{lines}",
        hint="a damaged disk, an incomplete copy or a manual edit; regenerate them: dvc repro -f precompute",
    )


def _damage(path: Path, shard: ShardInfo, form: str) -> str | None:
    """What is wrong with a shard, or None."""
    try:
        size = path.stat().st_size
        if size != shard.bytes:
            return f"{path} has {size:,} bytes, the manifest says {shard.bytes:,}"
        return None if sha256_file(path) == shard.sha256 else _where(path, shard, form)
    except FileNotFoundError:
        return f"{path} is missing"
    except OSError as error:
        return f"{path} cannot be read: {error.strerror or error}"


def _where(path: Path, shard: ShardInfo, form: str) -> str:
    """Read a shard that differs, to find the damaged record; some damage (a footer's padding) has no such place."""
    rows = 0
    try:
        for _ in READERS[form](path):
            rows += 1
    except ShardError as error:
        return error.message
    except Exception as error:  # damaged bytes may break the reader of a format anywhere
        return f"{path}: damaged after row {rows} ({type(error).__name__})"
    if rows != shard.rows:
        return f"{path}: undamaged, but it has {rows:,} rows; the manifest says {shard.rows:,}"
    return f"{path}: its {rows:,} rows can be read, but its SHA-256 differs"


def run(directory: str | Path) -> CommandResult:
    """``yolopipe verify``: all shards against the manifest.

    Raises:
        ShardError: no manifest, or shards that differ from it.
    """
    manifest = load_manifest(directory, check_files=False)
    size = verify_shards(directory, manifest)
    count = sum(len(split.shards) for split in manifest.splits.values())
    rows = sum(split.rows for split in manifest.splits.values())
    report = {"shards": count, "rows": rows, "bytes": size}
    return CommandResult(f"verify: {count:,} shards, {rows:,} rows, {size / 1e6:,.1f} MB: all correct", {}, report)
