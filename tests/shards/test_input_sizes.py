"""Labels for several input sizes over one set of pixels, in both formats."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from yolopipe.config.params import STRIDES
from yolopipe.errors import ShardError
from yolopipe.inspection.inspect_labels import run as inspect
from yolopipe.inspection.label_request import DatasetRequest
from yolopipe.labels.assign import assign
from yolopipe.labels.sparse import encode_dense, preprocess_true_boxes
from yolopipe.shards.manifest import load_manifest
from yolopipe.shards.reader import read_rows
from yolopipe.shards.schema import arrays_of, boxes_at_size, decode_pixels
from yolopipe.stages import augment, precompute

pytestmark = pytest.mark.slow

_spec = importlib.util.spec_from_file_location("test_shards_helpers", Path(__file__).with_name("test_shards.py"))
helpers = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(helpers)

SIZES = (64, 128, 160)
FORMATS = ("parquet", "tfrecord")
RULE = "next-anchor"


def make_config(sizes=SIZES, **params):
    config = helpers.make_config(input_size=sizes, **params)
    rule = config.assignment.model_copy(update={"collisions": RULE, "iou_threshold": 0.2})
    return config.model_copy(update={"assignment": rule})


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Shards with three sizes in both formats under ``FORMAT/``, and with the largest only under ``one-FORMAT/``."""
    folder = tmp_path_factory.mktemp("sizes")
    helpers.draw_project(folder, images=40)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        augment.run(make_config())
        for form in FORMATS:
            for name, sizes in ((form, SIZES), (f"one-{form}", SIZES[-1])):
                precompute.run(make_config(sizes, format=form))
                (folder / "data/shards").rename(folder / name)
    return folder


def rows_of(folder, copy=None, split="train"):
    return list(read_rows(folder, load_manifest(folder), split, copy=copy))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("size", SIZES)
def test_labels_of_each_size_are_those_of_the_scaled_boxes(project, form, size):
    """``preprocess_true_boxes`` on the boxes of each row at that size gives the stored labels."""
    manifest = load_manifest(project / form)
    options = {"anchors": manifest.anchors_in_strides, "num_classes": 3, "iou_threshold": 0.2, "collisions": RULE}
    positives = 0
    for row in rows_of(project / form):
        bboxes = helpers.bboxes_of(row, size / 160)
        dense = preprocess_true_boxes(bboxes, input_size=size, **options)
        for index, (label, stride) in enumerate(zip(row.labels_at(size), STRIDES, strict=True)):
            ours, slots = encode_dense(label, bboxes[:, :4], row.classes, grid=size // stride, num_classes=3)
            np.testing.assert_array_equal(ours, dense[index])
            np.testing.assert_array_equal(slots, dense[3 + index])
            positives += len(label.cell)
    info = manifest.splits["train"]
    counted = info if size == 160 else info.smaller[str(size)]
    assert positives == sum(sum(counts) for counts in counted.positives.values()) > 0


@pytest.mark.parametrize("split", ["train", "val"])
def test_both_formats_hold_the_same_rows(project, split):
    for one, other in zip(*(rows_of(project / form, split=split) for form in FORMATS), strict=True):
        helpers.equal_rows(one, other)
        assert tuple(one.smaller) == tuple(other.smaller) == (64, 128)
        for size in one.smaller:
            for a, b in zip(one.smaller[size], other.smaller[size], strict=True):
                for mine, theirs in zip(a, b, strict=True):
                    assert mine.dtype == theirs.dtype
                    np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("form", FORMATS)
def test_the_largest_size_is_as_if_it_were_the_only_one(project, form):
    for many, one in zip(rows_of(project / form), rows_of(project / f"one-{form}"), strict=True):
        helpers.equal_rows(many, one)
        assert one.smaller == {}
    many, one = (load_manifest(project / name).splits["train"] for name in (form, f"one-{form}"))
    assert (many.positives, many.without_positive) == (one.positives, one.without_positive)
    assert one.smaller == {}


@pytest.mark.parametrize("workers", [2, 3])
@pytest.mark.parametrize("form", FORMATS)
def test_same_bytes_for_any_worker_count_and_order_of_the_list(project, form, workers, monkeypatch):
    monkeypatch.chdir(project)
    precompute.run(make_config(SIZES[::-1], format=form), workers=workers)
    again = {path.name: path.read_bytes() for path in (project / "data/shards").iterdir()}
    assert again == {path.name: path.read_bytes() for path in (project / form).iterdir()}
    shutil.rmtree(project / "data/shards")


def averaged(pixels, size):
    """Each new pixel the mean of the area it covers, as two matrices of overlaps."""
    side = pixels.shape[0]
    low = np.arange(size)[:, None] * side / size
    high = low + side / size
    overlap = np.clip(np.minimum(high, np.arange(side) + 1) - np.maximum(low, np.arange(side)), 0, None)
    weights = overlap / overlap.sum(axis=1, keepdims=True)
    return np.einsum("lk,ikc->ilc", weights, np.einsum("ij,jkc->ikc", weights, pixels.astype(np.float64)))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("size", [None, *SIZES])
def test_batches_of_each_size_equal_rows(project, form, size):
    from yolopipe.shards.tfdata import batches

    manifest, rows = load_manifest(project / form), rows_of(project / form, copy=1)
    options = {"batch_size": 8, "copy": 1, "shuffle_seed": 5, "shuffle_rows": 32}
    side, seen = size or 160, []
    for batch in batches(project / form, manifest, "train", input_size=size, **options).as_numpy_iterator():
        assert batch["image"].dtype == np.uint8
        assert set(batch) == {"image", "boxes_xyxy", "classes", "row", *(n for n in arrays_of([]) if n[-1].isdigit())}
        for i, number in enumerate(batch["row"].tolist()):
            row, count = rows[number], len(rows[number].ignore)
            seen.append(number)
            stored = decode_pixels(row.image, encoding="jpeg", input_size=160)
            assert np.abs(batch["image"][i] - averaged(stored, side)).max() < (0.51 if side < 160 else 1e-9)
            np.testing.assert_array_equal(
                batch["boxes_xyxy"][i, :count], boxes_at_size(row.every_box.boxes_xyxy, side, 160)
            )
            assert not batch["boxes_xyxy"][i, count:].any()
            np.testing.assert_array_equal(batch["classes"][i, :count], row.every_box.classes)
            for label, stride in zip(row.labels_at(side), STRIDES, strict=True):
                for part, fill in (("cell", -1), ("box", 0), ("slots", -1)):
                    wanted, found = getattr(label, part), batch[f"{part}_{stride}"][i]
                    np.testing.assert_array_equal(found[: len(wanted)], wanted)
                    assert (found[len(wanted) :] == fill).all()
    assert sorted(seen) == list(range(40))


@pytest.mark.parametrize("form", FORMATS)
def test_batches_at_the_largest_size_are_those_of_one_size(project, form):
    from yolopipe.shards.tfdata import batches

    both = [
        batches(project / name, load_manifest(project / name), "train", batch_size=16, shuffle_seed=2)
        for name in (form, f"one-{form}")
    ]
    for many, one in zip(*(dataset.as_numpy_iterator() for dataset in both), strict=True):
        assert set(many) == set(one)
        for name in one:
            np.testing.assert_array_equal(many[name], one[name])


def test_a_size_that_is_not_there(project):
    from yolopipe.shards.tfdata import batches

    manifest = load_manifest(project / "parquet")
    with pytest.raises(ShardError) as caught:
        batches(project / "parquet", manifest, "train", batch_size=1, input_size=96)
    assert {"96", "64", "128", "160"} <= set(re.findall(r"\d+", caught.value.message))


@pytest.mark.parametrize("form", FORMATS)
def test_a_manifest_of_other_sizes_is_noticed(project, form, tmp_path):
    folder = shutil.copytree(project / form, tmp_path / form)
    tree = json.loads((folder / "manifest.json").read_text())
    tree["input_sizes"] = [128, 160]
    (folder / "manifest.json").write_text(json.dumps(tree))
    with pytest.raises(ShardError) as caught:
        rows_of(folder)
    assert {"[64, 128]", "[128]"} <= set(re.findall(r"\[.*?\]", caught.value.message))


def test_columns_are_as_documented(project):
    import pandas as pd

    folder = project / "parquet"
    shard = load_manifest(folder).splits["val"].shards[0].name
    names = list(pd.read_parquet(folder / shard).columns)
    labels = [f"{part}_{stride}" for stride in STRIDES for part in ("cell", "box", "slots")]
    assert names[9:] == [*labels, *(f"{n}_64" for n in labels), *(f"{n}_128" for n in labels), "image"]


@pytest.mark.parametrize("form", FORMATS)
def test_inspection_checks_and_counts_every_size(project, form, tmp_path):
    result, info = inspect(project / form, DatasetRequest()), load_manifest(project / form).splits["train"]
    assert "labels at 64 px" in result.text
    assert "labels at 128 px" in result.text
    assert result.text.count(f"{RULE} (in force)") == len(SIZES)
    assert max(map(len, result.text.splitlines())) <= 100
    for size in ("64", "128"):
        assert result.report["smaller"][size]["overwritten"] == info.smaller[size].overwritten
        assert result.report["smaller"][size]["forced"] == info.smaller[size].forced
        assert sum(sum(counts) for counts in info.smaller[size].positives.values()) > 0
    folder = shutil.copytree(project / form, tmp_path / form)
    tree = json.loads((folder / "manifest.json").read_text())
    tree["splits"]["train"]["smaller"]["64"]["forced"] += 1
    (folder / "manifest.json").write_text(json.dumps(tree))
    with pytest.raises(ShardError):
        inspect(folder, DatasetRequest())


@pytest.mark.parametrize("size", [32, 320, 352, 416, 544, 576])
def test_a_box_at_the_edge_stays_inside_at_every_size(size):
    """The scaled edge is the edge itself, so no centre is refused by a rounding error."""
    boxes = np.array([[607.9999, 607.9999, 608, 608], [0, 0, 608, 608], [608 - 2**-14, 0, 608, 1]], np.float32)
    scaled = boxes_at_size(boxes, size, 608)
    assert scaled.dtype == np.float32
    assert (scaled[:, 2] == size).all()
    assign(scaled, [0, 0, 0], input_size=size, anchors=np.full((3, 3, 2), 2.0))


@pytest.mark.parametrize("form", FORMATS)
def test_batches_of_several_sizes_are_those_of_each_size_alone(project, form):
    """Batch by batch, bit by bit, in the same order; the last batch is short."""
    from yolopipe.shards.tfdata import batches

    folder, turns = project / form, [128, 64, 160, 64, 128, 160]
    options = {"batch_size": 7, "copy": 0, "shuffle_seed": 3, "shuffle_rows": 16}
    manifest = load_manifest(folder)
    mixed = list(batches(folder, manifest, "train", batch_input_sizes=turns, **options))
    alone = {size: list(batches(folder, manifest, "train", input_size=size, **options)) for size in SIZES}
    assert len(mixed) == len(turns)
    assert {batch["image"].shape[1] for batch in mixed} == set(SIZES)
    for number, (batch, size) in enumerate(zip(mixed, turns, strict=True)):
        for name, value in alone[size][number].items():
            np.testing.assert_array_equal(batch[name], value, err_msg=f"{number} {name}")
