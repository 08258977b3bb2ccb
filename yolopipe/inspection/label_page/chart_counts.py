"""What the page's charts count: every box of copy 0; and the image paths, from which the page chooses."""

from __future__ import annotations

import numpy as np

from yolopipe.arrays import Ints
from yolopipe.inspection.label_page.label_charts import HEAT_CELLS, SIZE_BINS
from yolopipe.shards.manifest import Manifest
from yolopipe.shards.targets import AssignedRows

__all__ = ["ChartCounts"]


class ChartCounts:
    """Counts over copy 0 of all splits.

    Attributes:
        sizes: (:data:`SIZE_BINS`, :data:`SIZE_BINS`) boxes by logarithm of width and height.
        centres: (classes, :data:`HEAT_CELLS`, :data:`HEAT_CELLS`) boxes by row and column of the centre.
        paths: image paths of each split, in shard order.
    """

    def __init__(self, manifest: Manifest) -> None:
        """Begin with nothing."""
        self._input_size = manifest.input_size
        self.sizes: Ints = np.zeros((SIZE_BINS, SIZE_BINS), np.int64)
        self.centres: Ints = np.zeros((len(manifest.class_names), HEAT_CELLS, HEAT_CELLS), np.int64)
        self.paths: dict[str, list[str]] = {split: [] for split in manifest.splits}

    @property
    def images(self) -> int:
        """Images in all splits."""
        return sum(map(len, self.paths.values()))

    def add(self, split: str, copy: int, batch: AssignedRows) -> None:
        """Count the boxes of copy 0."""
        if copy != 0:
            return
        self.paths[split] += [row.path for row in batch.rows]
        boxes_xyxy = np.concatenate([row.boxes_xyxy for row in batch.rows])
        classes = np.concatenate([row.classes for row in batch.rows]).astype(np.int64)
        sides = np.maximum(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 1.0)
        bins = (np.log(sides) * (SIZE_BINS / np.log(self._input_size))).astype(np.int64)
        np.add.at(self.sizes, tuple(np.minimum(bins, SIZE_BINS - 1).T), 1)
        centre = (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) * (HEAT_CELLS / 2 / self._input_size)
        x, y = np.clip(centre.astype(np.int64), 0, HEAT_CELLS - 1).T
        np.add.at(self.centres, (classes, y, x), 1)
