"""Some rows of shards by number, and paths alone, in both formats: the rows of a whole reading, and less work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from yolopipe.errors import ShardError
from yolopipe.shards.manifest import Manifest
from yolopipe.shards.reader import read_chosen, read_paths, read_rows
from yolopipe.shards.schema import Row

SIZE = 32
WANTED = {0: False, 5: True, 63: False, 64: True, 149: True}


@pytest.fixture(scope="module", params=["parquet", "tfrecord"])
def written(request, shards, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    """150 rows of two copies: three row groups a shard."""
    rng = np.random.default_rng(0)
    rows = []
    for copy in (0, 1):
        for number in range(150):
            pixels = rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
            boxes = [[2, 2, 20 + copy, 20]] * (number % 3)
            rows.append(
                shards.build_row(f"{number}.png", boxes, [0] * len(boxes), size=SIZE, copy=copy, pixels=pixels)
            )
    folder = tmp_path_factory.mktemp("chosen") / "shards"
    manifest = shards.build_shards(folder, {"train": rows}, size=SIZE, class_names=("a",), form=request.param)
    return folder, manifest


def facts(row: Row, pixels: bool) -> tuple[object, ...]:
    labels = [part.tolist() for label in row.labels for part in label]
    return row.path, row.copy, row.boxes_xyxy.tolist(), labels, row.image if pixels else b""


@pytest.mark.slow
@pytest.mark.parametrize("copy", [0, 1])
def test_chosen_rows_are_those_of_a_whole_reading(written: tuple[Path, Manifest], copy: int) -> None:
    folder, manifest = written
    rows = list(read_rows(folder, manifest, "train", copy=copy))
    chosen = list(read_chosen(folder, manifest, "train", WANTED, copy=copy))
    expected = [facts(rows[number], pixels) for number, pixels in WANTED.items()]
    assert [facts(row, pixels) for row, pixels in zip(chosen, WANTED.values(), strict=True)] == expected
    assert list(read_paths(folder, manifest, "train", copy=copy)) == [row.path for row in rows]


def test_a_cut_shard_is_an_error(written: tuple[Path, Manifest], tmp_path: Path) -> None:
    folder, manifest = written
    for shard in manifest.splits["train"].shards:
        content = (folder / shard.name).read_bytes()
        (tmp_path / shard.name).write_bytes(content[: len(content) // 2 + 7])
    with pytest.raises(ShardError):
        list(read_chosen(tmp_path, manifest, "train", WANTED, copy=0))
    with pytest.raises(ShardError):
        list(read_paths(tmp_path, manifest, "train", copy=0))
