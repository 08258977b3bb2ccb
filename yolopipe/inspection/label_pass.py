"""The one pass of ``inspect-labels`` over the shards: rows are read and assigned once, for everybody who counts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from yolopipe import console
from yolopipe.shards.manifest import Manifest
from yolopipe.shards.reader import read_rows
from yolopipe.shards.targets import AssignedRows, assigned_batches

__all__ = ["BatchReader", "read_labels"]


class BatchReader(Protocol):
    """Whatever counts rows: totals of a split, the checks, the charts of the page."""

    def add(self, split: str, copy: int, batch: AssignedRows) -> None:
        """Take up a batch of rows of one augmented copy of a split."""


def read_labels(
    shards: Path,
    manifest: Manifest,
    readers: Sequence[BatchReader],
    *,
    more_copies: tuple[str, int | None] | None = None,
) -> None:
    """Read copy 0 of every split, without pixels, and hand each batch of rows to all readers.

    Args:
        shards: the folder of shards.
        manifest: of the same shards.
        readers: each is given every batch.
        more_copies: a split of which another copy (None: every copy) is read too.

    Raises:
        ShardError: damaged shards, or labels that differ from an assignment of their boxes.
    """
    wanted = {name: [0] for name in manifest.splits}
    if more_copies is not None:
        split, copy = more_copies
        wanted[split] = sorted({0, copy} if copy is not None else range(manifest.splits[split].copies))
    rows = sum(
        shard.rows for name in wanted for copy in wanted[name] for shard in manifest.splits[name].of_copy(copy)
    )
    with console.progress("labels", rows) as advance:
        for split, copies in wanted.items():
            for copy in copies:
                stream = read_rows(shards, manifest, split, copy=copy, pixels=False)
                for batch in assigned_batches(stream, manifest):
                    for reader in readers:
                        reader.add(split, copy, batch)
                    advance(len(batch.rows))
