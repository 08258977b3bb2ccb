"""The shards of a run as tasks made on demand, so that only those being worked on take memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from yolopipe.cache.settings import CacheRun
from yolopipe.config.params import Assignment, Precompute
from yolopipe.shards.build import ShardTask
from yolopipe.shards.plan import PlannedShard
from yolopipe.shards.samples import SampleTable

__all__ = ["ShardTasks"]


@dataclass(frozen=True)
class ShardTasks:
    """A sequence of :class:`ShardTask`.

    Args:
        plans: the rows of each shard, and which of them.
        class_names: of the whole data set.
        directory: of the shards.
        precompute: params of the pixels.
        assignment: params of the labels.
        cache: of encoded pixels, or None.
        project: where relative image paths start.
    """

    plans: list[tuple[SampleTable, PlannedShard]]
    class_names: tuple[str, ...]
    directory: Path
    precompute: Precompute
    assignment: Assignment
    cache: CacheRun | None = None
    project: Path = field(default_factory=Path.cwd)

    def __len__(self) -> int:
        return len(self.plans)

    def __getitem__(self, index: int) -> ShardTask:
        table, plan = self.plans[index]
        return ShardTask(
            plan,
            table.take(plan.samples),
            self.directory,
            self.precompute,
            self.assignment,
            len(self.class_names),
            self.project,
            self.cache,
        )

    def __iter__(self) -> Iterator[ShardTask]:
        return (self[index] for index in range(len(self)))

    @cached_property
    def rows(self) -> npt.NDArray[np.int64]:
        """(T,) samples in each shard."""
        return np.array([len(plan.samples) for _, plan in self.plans], np.int64)

    @cached_property
    def boxes(self) -> int:
        """Boxes in all shards."""
        return sum(table.boxes for table in {id(table): table for table, _ in self.plans}.values())
