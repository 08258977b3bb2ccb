"""Samples fetched from the mapped copy of the table, against the table itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolopipe.shards import samples
from yolopipe.shards.plan import image_digests, plan_shards
from yolopipe.shards.samples import SampleTable
from yolopipe.tables import AUGMENTED_SCHEMA, TableReader, read_table, table_writer


def rows_of(first: int, count: int) -> pa.Table:
    """Rows that all differ."""
    numbers = range(first, first + count)
    values = {
        "image": [f"images/ä {number}.jpg" for number in numbers],
        "copy": [number % 3 for number in numbers],
        "boxes_xyxy": [[[number, 0, number + 1, 2]] * (number % 4) for number in numbers],
        "classes": [[number % 5] * (number % 4) for number in numbers],
        "ignore": [[False] * (number % 4) for number in numbers],
        "origin": [[[number, 3]] * (number % 4) for number in numbers],
    }
    columns = {field.name: values.get(field.name, _filled(field.type, numbers)) for field in AUGMENTED_SCHEMA}
    return pa.table(columns, schema=AUGMENTED_SCHEMA)


def _filled(kind: pa.DataType, numbers: range) -> list[object]:
    if pa.types.is_fixed_size_list(kind):
        return [[float(number)] * kind.list_size for number in numbers]
    return [str(number) if pa.types.is_string(kind) else number for number in numbers]


def written(file: Path, lengths: Sequence[int]) -> pa.Table:
    with table_writer(file, AUGMENTED_SCHEMA, ["thing"]) as write:
        for first, count in zip(np.cumsum([0, *lengths])[:-1].tolist(), lengths, strict=True):
            write(rows_of(first, count))
    return read_table(file, made_by="augment")[0]


@pytest.mark.slow
@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_any_rows_in_any_order_however_the_table_is_cut(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], piece: int, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("samples")
    whole = written(folder / "t.parquet", lengths)
    with pytest.MonkeyPatch.context() as patch, TableReader(folder / "t.parquet", made_by="augment") as reader:
        patch.setattr(samples, "PIECE_ROWS", piece)
        table = SampleTable(reader, folder / "scratch.arrow")
    assert not (folder / "scratch.arrow").exists()
    assert table.boxes == sum(len(boxes) for boxes in whole["boxes_xyxy"].to_pylist())
    assert table.copies.tolist() == whole["copy"].to_pylist()
    rng = np.random.default_rng(seed)
    for _ in range(2):  # twice: what was let go of comes back
        wanted = rng.permutation(whole.num_rows)[: rng.integers(1, whole.num_rows + 1)]
        assert table.take(wanted).to_pylist() == whole.take(pa.array(wanted)).to_pylist()


def test_an_order_that_a_few_lines_of_python_give_too() -> None:
    """Sorted by the whole SHA-256 of the path, as the shards were when they were defined."""
    import hashlib

    images = [f"images/{number}.jpg" for number in range(500)] * 2
    copies = [0] * 500 + [1] * 500
    for shard in plan_shards("train", image_digests(images), copies, 1000):
        ours = [images[number] for number in shard.samples]
        assert ours == sorted(ours, key=lambda image: hashlib.sha256(image.encode()).digest())
    assert plan_shards("train", image_digests([]), [], 10) == []
