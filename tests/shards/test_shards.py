"""Shards end to end: from drawn images to rows and batches, in both formats."""

import json
import shutil

import cv2
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from yolopipe.config.params import STRIDES, Augment, Config
from yolopipe.errors import ProblemsError, ShardError
from yolopipe.files import sha256_file
from yolopipe.imaging.geometry import invert_affine, transform_boxes
from yolopipe.labels.sparse import encode_dense, preprocess_true_boxes
from yolopipe.shards.manifest import load_manifest
from yolopipe.shards.reader import read_rows
from yolopipe.shards.schema import ARRAYS, FEATURES, decode_pixels
from yolopipe.shards.verify import verify_shards
from yolopipe.stages import augment, precompute
from yolopipe.stages.augment import augment_table
from yolopipe.tables import PARSED_SCHEMA, Boxes, box_columns, read_table, split_boxes, write_table

DATA = {"train": "t", "val": "v", "classes": "c", "images": "images"}
ANCHORS = ["8x8", "12x12", "10x20", "20x20", "30x20", "20x40", "50x50", "60x90", "120x100"]


def draw_project(folder, *, images=70, seed=3):
    """Parsed tables over drawn images: white boxes on black, some backgrounds, paths with blanks and umlauts."""
    rng = np.random.default_rng(seed)
    (folder / "bilder für train").mkdir(parents=True)
    for split, count in (("train", images), ("val", 5)):
        names, sizes, boxes, lengths = [], [], [], []
        for index in range(count):
            width, height = (int(side) for side in rng.integers(60, 140, 2))
            picture = np.zeros((height, width, 3), np.uint8)
            number = int(rng.integers(0, 4))
            for _ in range(number):
                x1, y1 = rng.integers(0, width - 20), rng.integers(0, height - 20)
                x2, y2 = rng.integers(x1 + 8, width + 1), rng.integers(y1 + 8, height + 1)
                picture[y1:y2, x1:x2] = 255
                boxes.append([x1, y1, x2, y2])
            name = f"bilder für train/{split} {index}.png"
            cv2.imwrite(str(folder / name), picture)
            names.append(name)
            sizes.append((width, height))
            lengths.append(number)
        columns = {
            "image": names,
            "line": range(1, count + 1),
            "width": [w for w, _ in sizes],
            "height": [h for _, h in sizes],
            "orientation": [1] * count,
            **box_columns(
                table_boxes(boxes, np.arange(len(boxes)) % 3, lengths),
                table_boxes(*ignored_boxes(sizes), [index % 2 for index in range(count)]),
            ),
        }
        import pyarrow as pa

        arrays = [pa.array(columns[f.name], f.type) for f in PARSED_SCHEMA]
        write_table(folder / f"data/parsed/{split}.parquet", pa.table(arrays, schema=PARSED_SCHEMA), ["a", "b", "c"])


def table_boxes(boxes_xyxy, classes, lengths):
    origins = np.column_stack([np.repeat(np.arange(len(lengths)) + 1, lengths), np.arange(len(classes)) + 7])
    return Boxes(
        np.array(boxes_xyxy, np.float32).reshape(-1, 4),
        np.array(classes, np.int32),
        origins.astype(np.int32),
        np.cumsum([0, *lengths]),
    )


def ignored_boxes(sizes_wh):
    """A box of every second image, the left half of it, of any class or of class 1."""
    chosen = sizes_wh[1::2]
    return [(0, 0, width / 2, height) for width, height in chosen], [index % 3 - 1 for index in range(len(chosen))]


def make_config(**precompute_params):
    return Config.model_validate(
        {
            "seed": 1,
            "data": DATA,
            "augment": {"copies": 2, "hue": 0.02, "saturation": 0.3, "value": 0.3},
            "precompute": {"input_size": 96, "shard_rows": 16, **precompute_params},
            "assignment": {"anchors": ANCHORS},
        }
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with parsed and augmented tables, and shards in both formats under ``FORMAT/``."""
    folder = tmp_path_factory.mktemp("projekt ö")
    draw_project(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        augment.run(make_config())
        for form in ("parquet", "tfrecord"):
            precompute.run(make_config(format=form))
            (folder / "data/shards").rename(folder / form)
    return folder


def all_rows(folder, split, copy=None):
    return list(read_rows(folder, load_manifest(folder), split, copy=copy))


def bboxes_of(row, scale=1.0):
    """(N, 6) all boxes of a row as ``parse_annotation`` returns them, at another size of the input."""
    boxes_xyxy = (row.every_box.boxes_xyxy.astype(np.float64) * scale).astype(np.float32)
    return np.column_stack([boxes_xyxy, row.every_box.classes, row.ignore]).astype(np.float32)


def equal_rows(first, second):
    assert (first.path, first.copy, first.source_wh, first.image) == (
        second.path,
        second.copy,
        second.source_wh,
        second.image,
    )
    for a, b in zip(
        (first.matrix, *first.every_box, first.ignore, *(p for label in first.labels for p in label)),
        (second.matrix, *second.every_box, second.ignore, *(p for label in second.labels for p in label)),
        strict=True,
    ):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def test_every_sample_is_in_exactly_one_shard(project):
    rows = all_rows(project / "parquet", "train")
    assert sorted((row.copy, row.path) for row in rows) == sorted(
        (copy, f"bilder für train/train {index}.png") for copy in (0, 1) for index in range(70)
    )
    manifest = load_manifest(project / "parquet")
    assert manifest.splits["train"].rows == 140
    assert manifest.splits["train"].copies == 2
    assert manifest.splits["train"].rows_per_copy == 70
    assert len(manifest.splits["train"].shards) == 10
    assert manifest.splits["train"].boxes == sum(len(row.boxes_xyxy) for row in rows)
    assert manifest.splits["train"].backgrounds == sum(len(row.boxes_xyxy) == 0 for row in rows) > 0


def test_both_formats_hold_the_same_rows(project):
    for split in ("train", "val"):
        pairs = zip(all_rows(project / "parquet", split), all_rows(project / "tfrecord", split), strict=True)
        for parquet, tfrecord in pairs:
            equal_rows(parquet, tfrecord)


def test_stored_labels_are_those_of_the_formulas(project):
    manifest = load_manifest(project / "tfrecord")
    for row in all_rows(project / "tfrecord", "train"):
        bboxes = bboxes_of(row)
        dense = preprocess_true_boxes(bboxes, input_size=96, anchors=manifest.anchors_in_strides, num_classes=3)
        for index, (label, stride) in enumerate(zip(row.labels, STRIDES, strict=True)):
            ours, slots = encode_dense(label, row.every_box.boxes_xyxy, row.classes, grid=96 // stride, num_classes=3)
            np.testing.assert_array_equal(ours, dense[index])
            np.testing.assert_array_equal(slots, dense[3 + index])


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["keep-best-iou", "next-anchor"])
def test_stored_labels_follow_the_collision_rule(project, monkeypatch, rule):
    """A threshold of 0.05 makes boxes of one cell candidates for the same anchors."""
    monkeypatch.chdir(project)
    base = make_config()
    config = base.model_copy(
        update={"assignment": base.assignment.model_copy(update={"collisions": rule, "iou_threshold": 0.05})}
    )
    precompute.run(config, workers=2)
    manifest = load_manifest("data/shards")
    assert manifest.collisions == rule
    lost = 0
    for row in all_rows("data/shards", "train"):
        bboxes = bboxes_of(row)
        options = {"input_size": 96, "anchors": manifest.anchors_in_strides, "iou_threshold": 0.05}
        dense = preprocess_true_boxes(bboxes, num_classes=3, collisions=rule, **options)
        assigned = set()
        for index, (label, stride) in enumerate(zip(row.labels, STRIDES, strict=True)):
            ours, slots = encode_dense(label, row.every_box.boxes_xyxy, row.classes, grid=96 // stride, num_classes=3)
            np.testing.assert_array_equal(ours, dense[index])
            np.testing.assert_array_equal(slots, dense[3 + index])
            assigned |= set(label.box.tolist())
        lost += len(row.classes) - len(assigned)
    info = manifest.splits["train"]
    assert lost == info.without_positive[rule] == info.overwritten
    assert set(info.without_positive) == {"notes", "keep-best-iou", "next-anchor"}
    shutil.rmtree("data/shards")


def test_boxes_lie_on_what_was_drawn(project):
    """White inside, dark or grey just outside: pixels and boxes went through the same maps."""
    seen = 0
    for row in all_rows(project / "parquet", "train"):
        if len(row.boxes_xyxy) != 1:
            continue
        pixels = decode_pixels(row.image, encoding="jpeg", input_size=96).mean(axis=2)
        x1, y1, x2, y2 = np.round(row.boxes_xyxy[0]).astype(int)
        middle = pixels[y1 + 2 : y2 - 2, x1 + 2 : x2 - 2]
        assert middle.size
        assert middle.min() > 140  # 255 under the lowest value gain 0.7, less JPEG ringing
        outside = pixels.copy()
        outside[max(0, y1 - 2) : y2 + 2, max(0, x1 - 2) : x2 + 2] = 0
        assert outside.max() < 165  # black, or grey 128 that colour leaves alone, plus JPEG ringing
        seen += 1
    assert seen > 20


def test_matrix_maps_boxes_back_to_the_source(project):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        table, _ = read_table("data/parsed/train.parquet", made_by="parse")
    boxes, _, _, offsets = split_boxes(table)
    wanted = {name: boxes[offsets[i] : offsets[i + 1]] for i, name in enumerate(table["image"].to_pylist())}
    for row in all_rows(project / "parquet", "train"):
        back = transform_boxes(invert_affine(row.matrix), row.boxes_xyxy)
        np.testing.assert_allclose(back, wanted[row.path], atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 4])
@pytest.mark.parametrize("form", ["parquet", "tfrecord"])
def test_same_bytes_for_any_worker_count(project, form, workers, monkeypatch):
    monkeypatch.chdir(project)
    precompute.run(make_config(format=form), workers=workers, cache_gb=0)
    again = {path.name: path.read_bytes() for path in (project / "data/shards").iterdir()}
    assert again == {path.name: path.read_bytes() for path in (project / form).iterdir()}
    shutil.rmtree(project / "data/shards")


def test_table_is_the_same_for_other_neighbours(project):
    """A sample's randomness depends on seed, image and copy only: dropping other images changes nothing."""
    table, _ = read_table(project / "data/parsed/train.parquet", made_by="parse")
    params = Augment(copies=2)
    for copy in range(params.copies):
        whole = augment_table(table, params, 1, copy).to_pandas().set_index(["image", "copy"])
        part = augment_table(table.slice(30, 5), params, 1, copy).to_pandas().set_index(["image", "copy"])
        assert len(part) == 5
        pd.testing.assert_frame_equal(whole.loc[part.index], part)


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["png", "raw"])
def test_lossless_encodings_agree(project, encoding, monkeypatch):
    """PNG and raw hold the pixels that JPEG was made from."""
    monkeypatch.chdir(project)
    precompute.run(make_config(encoding=encoding))
    for lossless, jpeg in zip(all_rows("data/shards", "val"), all_rows(project / "parquet", "val"), strict=True):
        pixels = decode_pixels(lossless.image, encoding=encoding, input_size=96)
        assert abs(pixels.astype(int) - decode_pixels(jpeg.image, encoding="jpeg", input_size=96)).mean() < 3
        good, encoded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
        assert good
        assert encoded.tobytes() == jpeg.image
    shutil.rmtree("data/shards")


def test_a_parquet_shard_opens_in_pandas(project):
    shard = load_manifest(project / "parquet").splits["train"].shards[0]
    frame = pd.read_parquet(project / "parquet" / shard.name)
    assert len(frame) == shard.rows
    assert list(frame.columns[:4]) == ["path", "copy", "source_width", "source_height"]
    codecs = {
        column["path_in_schema"]: column["compression"]
        for column in pq.read_metadata(project / "parquet" / shard.name).row_group(0).to_dict()["columns"]
    }
    assert codecs.pop("image") == "UNCOMPRESSED"
    assert set(codecs.values()) == {"ZSTD"}


def test_a_tfrecord_opens_with_plain_tensorflow(project):
    """TensorFlow's own reader and parser accept our bytes and see the same features."""
    import tensorflow as tf

    shard = load_manifest(project / "tfrecord").splits["train"].shards[0]
    spec = {name: tf.io.FixedLenFeature([], tf.string) for name in FEATURES}
    records = list(tf.data.TFRecordDataset(str(project / "tfrecord" / shard.name)))
    assert len(records) == shard.rows
    for record, row in zip(records, read_rows_of(project / "tfrecord", shard.name), strict=True):
        features = tf.io.parse_single_example(record, spec)
        assert features["path"].numpy().decode() == row.path
        assert features["image"].numpy() == row.image
        boxes = tf.io.decode_raw(features["boxes_xyxy"], ARRAYS["boxes_xyxy"])
        np.testing.assert_array_equal(tf.reshape(boxes, [-1, 4]), row.every_box.boxes_xyxy)
        np.testing.assert_array_equal(tf.io.decode_raw(features["cell_16"], tf.int32), row.labels[1].cell)


def read_rows_of(folder, name):
    from yolopipe.shards.reader import READERS

    return READERS["tfrecord"](folder / name)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["parquet", "tfrecord"])
def test_batches_equal_rows(project, form):
    from yolopipe.shards.tfdata import batches

    manifest = load_manifest(project / form)
    rows = all_rows(project / form, "train", copy=1)
    seen = []
    for batch in batches(
        project / form, manifest, "train", batch_size=8, copy=1, shuffle_seed=5, shuffle_rows=32
    ).as_numpy_iterator():
        assert batch["image"].dtype == np.uint8
        for i, number in enumerate(batch["row"].tolist()):
            row = rows[number]
            seen.append(number)
            np.testing.assert_array_equal(batch["image"][i], decode_pixels(row.image, encoding="jpeg", input_size=96))
            count = len(row.ignore)
            np.testing.assert_array_equal(batch["boxes_xyxy"][i, :count], row.every_box.boxes_xyxy)
            assert not batch["boxes_xyxy"][i, count:].any()
            np.testing.assert_array_equal(batch["classes"][i, :count], row.every_box.classes)
            for label, stride in zip(row.labels, STRIDES, strict=True):
                for part, fill in (("cell", -1), ("box", 0), ("slots", -1)):
                    wanted, found = getattr(label, part), batch[f"{part}_{stride}"][i]
                    np.testing.assert_array_equal(found[: len(wanted)], wanted)
                    assert (found[len(wanted) :] == fill).all()
    assert sorted(seen) == list(range(70))
    assert seen != sorted(seen)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["parquet", "tfrecord"])
def test_order_is_a_function_of_the_seed(project, form):
    from yolopipe.shards.tfdata import batches

    manifest = load_manifest(project / form)

    def order(seed):
        data = batches(project / form, manifest, "train", batch_size=8, copy=0, shuffle_seed=seed, shuffle_rows=32)
        return np.concatenate([batch["row"] for batch in data.as_numpy_iterator()]).tolist()

    assert order(1) == order(1)
    assert order(1) != order(2)


def damaged(project, tmp_path, form):
    folder = tmp_path / form
    shutil.copytree(project / form, folder)
    return folder, folder / load_manifest(folder).splits["train"].shards[1].name


@pytest.mark.parametrize("form", ["parquet", "tfrecord"])
def test_damage_is_named(project, tmp_path, form):
    folder, shard = damaged(project, tmp_path, form)
    manifest = load_manifest(folder)
    assert verify_shards(folder, manifest) == sum(s.bytes for v in manifest.splits.values() for s in v.shards)

    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1  # one bit
    shard.write_bytes(content)
    with pytest.raises(ShardError, match=shard.name):
        verify_shards(folder, load_manifest(folder))
    with pytest.raises(ShardError, match=shard.name):
        all_rows(folder, "train")

    shard.write_bytes(content[:-20])
    with pytest.raises(ShardError, match=f"{shard.name} has .* bytes"):
        load_manifest(folder)
    shard.unlink()
    with pytest.raises(ShardError, match=f"{shard.name} is missing"):
        load_manifest(folder)


def test_a_shorter_shard_under_the_right_name_is_noticed(project, tmp_path):
    """A TFRecord with whole records but fewer of them reads without an error; the count in the manifest does not."""
    folder, shard = damaged(project, tmp_path, "tfrecord")
    other = folder / load_manifest(folder).splits["val"].shards[0].name
    shutil.copy(other, shard)
    tree = json.loads((folder / "manifest.json").read_text())
    tree["splits"]["train"]["shards"][1]["bytes"] = shard.stat().st_size
    (folder / "manifest.json").write_text(json.dumps(tree))
    with pytest.raises(ShardError) as caught:
        all_rows(folder, "train")
    assert str(shard) in caught.value.message.split()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda tree: tree.update(schema_version=99), "99;"),
        (lambda tree: tree.pop("schema_version"), "None;"),
        (lambda tree: tree.pop("splits"), "(KeyError('splits'))"),
    ],
)
def test_other_manifests_are_refused(project, tmp_path, change, word):
    folder, _ = damaged(project, tmp_path, "parquet")
    tree = json.loads((folder / "manifest.json").read_text())
    change(tree)
    (folder / "manifest.json").write_text(json.dumps(tree))
    with pytest.raises(ShardError) as caught:
        load_manifest(folder)
    assert {f"{folder / 'manifest.json'}:", word} <= set(caught.value.message.split())


def test_no_shards(tmp_path):
    with pytest.raises(ShardError) as caught:
        load_manifest(tmp_path / "nowhere")
    assert str(tmp_path / "nowhere/manifest.json") in caught.value.message.split()


@pytest.mark.slow
def test_bad_images_are_all_listed_and_nothing_is_written(tmp_path, monkeypatch):
    draw_project(tmp_path, images=40)
    monkeypatch.chdir(tmp_path)
    augment.run(make_config())
    (tmp_path / "bilder für train/train 3.png").unlink()
    whole = (tmp_path / "bilder für train/train 5.png").read_bytes()
    (tmp_path / "bilder für train/train 5.png").write_bytes(whole[: len(whole) // 2])
    cv2.imwrite("bilder für train/val 1.png", np.zeros((10, 20, 3), np.uint8))
    with pytest.raises(ProblemsError) as caught:
        precompute.run(make_config(), workers=2)
    rules = {problem.image.split("/")[1]: problem.rule for problem in caught.value.problems}
    assert rules == {
        "train 3.png": "missing-image",
        "train 5.png": "truncated-image",
        "val 1.png": "changed-image",
    }
    assert not (tmp_path / "data/shards").exists()
    assert sorted(p.name for p in (tmp_path / "data").iterdir()) == ["augmented", "parsed"]


def test_the_manifest_holds_no_machine_time_or_path(project):
    text = (project / "parquet/manifest.json").read_text()
    assert str(project) not in text
    assert not {"time", "date", "host", "duration", "version_of"} & set(json.loads(text))
    first = load_manifest(project / "parquet").splits["train"].shards[0]
    assert first.sha256 == sha256_file(project / "parquet" / first.name)
