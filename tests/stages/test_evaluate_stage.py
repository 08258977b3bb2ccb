"""The stage end to end: a tiny network from its file, real shards, and as truth what this network detects.

The truth is made of the detections above a score that lies in a gap between scores.  So each of them is a true
positive and all others score less: every measure is 1, until a box is renamed, removed or added.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.helpers import shard_builder, small_network
from yolopipe import paths
from yolopipe.config.params import Config
from yolopipe.detection.nms import ImageDetections, detect_batch
from yolopipe.detection.suppression import Suppression
from yolopipe.detection.to_source import detections_in_source
from yolopipe.errors import DataError, ShardError
from yolopipe.model.card import ModelCard
from yolopipe.scoring import render_report
from yolopipe.scoring.same_data import check_same_data
from yolopipe.shards.manifest import Manifest
from yolopipe.stages import evaluate

SIZE = 96
NAMES = ("cat", "dog/wolf", "never seen")
IMAGES = {
    "b/wide.png": (192, 96),
    "a/tall.png": (48, 96),
    "c/0.png": (96, 96),
    "c/1.png": (96, 96),
    "d.png": (96, 96),
}
ANCHORS = tuple((float(width), float(height)) for width, height in shard_builder.ANCHORS_PX.reshape(9, 2))
CARD = ModelCard(NAMES, ANCHORS, input_size=SIZE, width=0.125, depth=0.1)
SUPPRESSION = {"score_threshold": 0.01, "nms_iou": 0.2, "max_detections": 20}

Truth = dict[str, tuple[np.ndarray, np.ndarray]]


def config(**params: float) -> Config:
    data = {"train": "t", "val": "v", "classes": "c", "images": "i"}
    return Config.model_validate({"data": data, "evaluate": {"batch_size": 2, **SUPPRESSION, **params}})


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """The network's file, the images, and what it detects in them: never the third class."""
    with pytest.MonkeyPatch.context() as patch:
        small_network.install(patch)
        yield _network(tmp_path_factory.mktemp("network") / "model.weights.h5")


def _network(file: Path) -> SimpleNamespace:
    import keras

    from yolopipe.detection.network import predictor
    from yolopipe.model.model_file import save_model

    keras.utils.set_random_seed(5)
    rng = np.random.default_rng(5)
    model = small_network.SmallYOLO(len(NAMES))
    head = 3 * (5 + len(NAMES))
    for weight in model.weights:
        if weight.path.endswith("bias"):
            bias = rng.normal(0, 1.5, weight.shape)
            if weight.shape == (head,):
                bias[4::8] -= 3
                bias[7::8] = -12
            weight.assign(bias)
        elif weight.shape[-1] == head:
            weight.assign(weight * 100)  # boxes and scores follow the image
    save_model(file, model, CARD)
    blocks = rng.integers(0, 256, (len(IMAGES), 6, 6, 3), dtype=np.uint8)
    pixels = blocks.repeat(16, axis=1).repeat(16, axis=2)
    predict = predictor(model, CARD)

    def detections(sigma: float = 0.0, batch_size: int = len(IMAGES)) -> tuple[dict[str, ImageDetections], int]:
        """In source pixels by image, and how many lie in the padding; a network rounds by the size of its batch."""
        found, outside = {}, 0
        suppression = Suppression(**SUPPRESSION, soft_nms_sigma=sigma)
        batches = [pixels[at : at + batch_size] for at in range(0, len(pixels), batch_size)]
        images = [image for batch in batches for image in detect_batch(predict(batch), suppression)]
        for (path, wh), image in zip(IMAGES.items(), images, strict=True):
            row = shard_builder.build_row(path, [], [], size=SIZE, source_wh=wh)
            found[path], dropped = detections_in_source(row, image)
            outside += dropped
        return found, outside

    found, _ = detections()
    scores = np.sort(np.concatenate([image.scores for image in found.values()]))[::-1][8:24]
    gap = int(np.argmax(scores[:-1] - scores[1:]))
    return SimpleNamespace(file=file, pixels=pixels, detections=detections, score=float(scores[gap : gap + 2].mean()))


@pytest.fixture
def truth(network: SimpleNamespace) -> Truth:
    """By image the boxes in source pixels, and their classes: the detections above the gap."""
    return {
        path: (image.boxes_xyxy[image.scores > network.score], image.classes[image.scores > network.score])
        for path, image in network.detections()[0].items()
    }


@pytest.fixture
def build(network: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Truth], Manifest]:
    """``build(truth, ignored)`` writes the shards of a project, the working folder, that has the network."""
    monkeypatch.chdir(tmp_path)
    paths.LAST_WEIGHTS.parent.mkdir(parents=True)
    shutil.copy(network.file, paths.LAST_WEIGHTS)

    def write(truth: Truth, ignored: Truth | None = None) -> Manifest:
        shutil.rmtree(paths.SHARDS, ignore_errors=True)
        rows = []
        for (path, wh), pixels in zip(IMAGES.items(), network.pixels, strict=True):
            boxes, classes = (part.tolist() for part in truth[path])
            regions, kinds = (part.tolist() for part in ignored[path]) if ignored else ([], [])
            more = {"ignored": regions, "ignored_classes": kinds}
            rows.append(shard_builder.build_row(path, boxes, classes, size=SIZE, source_wh=wh, pixels=pixels, **more))
        splits = {"train": rows[:1], "val": rows}
        return shard_builder.build_shards(paths.SHARDS, splits, size=SIZE, class_names=NAMES)

    return write


@pytest.mark.slow
def test_what_the_network_detects_scores_one_and_is_the_same_twice(
    build, truth: Truth, network: SimpleNamespace, tmp_path: Path
) -> None:
    build(truth)
    outputs = []
    for workers in (1, 3):
        result = evaluate.run(config(picture_score=network.score), workers=workers)
        roots = (paths.EVAL_METRICS.parent, paths.EVAL_PLOTS, paths.PREDICTIONS.parent, paths.REPORT.parent)
        outputs.append(
            {str(file): file.read_bytes() for root in roots for file in root.rglob("*.*") if file.is_file()}
        )
    assert outputs[0] == outputs[1]
    assert not any(str(tmp_path).encode() in content for content in outputs[0].values())
    metrics = json.loads(paths.EVAL_METRICS.read_text())
    ones = ("mAP", "mAP50", "mAP75", "AR_10", "AR_100", "voc_mAP50_all_point", "voc_mAP50_11_point")
    assert [metrics[key] for key in ones] == [1.0] * len(ones)
    count = sum(len(classes) for _, classes in truth.values())
    assert (metrics["images"], metrics["boxes"]) == (5, count)
    assert (metrics["F1"], metrics["F1_precision"], metrics["F1_recall"]) == (1.0, 1.0, 1.0)
    lowest = pq.read_table(paths.PREDICTIONS)["score"].to_numpy()
    assert metrics["F1_threshold"] == np.floor(np.sort(lowest)[-count].astype(float) * 1e6) / 1e6
    assert 0 < metrics["calibration_error"] < 1
    assert list(metrics["per_class"]) == list(NAMES)
    unseen = metrics["per_class"]["never seen"]
    assert unseen == {**dict.fromkeys(unseen), "boxes": 0}
    for number, name in enumerate(NAMES[:2]):
        values = metrics["per_class"][name]
        assert [values[key] for key in ("AP", "AP50", "AR_100", "voc_AP50_all_point", "F1")] == [1.0] * 5
        assert values["boxes"] == sum(int((classes == number).sum()) for _, classes in truth.values()) > 0
    assert result.report["classes_without_truth"] == ["never seen"]
    json.dumps(result.report, allow_nan=False)


@pytest.mark.slow
@pytest.mark.parametrize(("sigma", "batch_size"), [(0.0, 5), (0.5, 2)])
def test_predictions_are_source_pixels_in_the_order_of_paths(
    build, truth: Truth, network: SimpleNamespace, sigma: float, batch_size: int
) -> None:
    """Whatever the batch size: hard and soft suppression as configured, clipped, without those in the padding."""
    build(truth)
    result = evaluate.run(config(soft_nms_sigma=sigma, batch_size=batch_size))
    table = pq.read_table(paths.PREDICTIONS).to_pandas()
    assert list(table) == ["image", "class_id", "class", "score", "x1", "y1", "x2", "y2"]
    expected, outside = network.detections(sigma, batch_size)
    assert result.report["detections_outside_image"] == outside > 0
    assert result.report["detections"] == len(table) == sum(len(image.scores) for image in expected.values())
    assert list(table["image"]) == sorted(table["image"])
    assert [NAMES[number] for number in table["class_id"]] == list(table["class"])
    for path, rows in table.groupby("image"):
        np.testing.assert_allclose(rows["score"], expected[path].scores, atol=1e-5)
        np.testing.assert_allclose(rows[["x1", "y1", "x2", "y2"]], expected[path].boxes_xyxy, atol=0.01)
        assert (rows[["x1", "y1"]] >= 0).all(axis=None)
        assert (rows[["x2", "y2"]].to_numpy() <= IMAGES[path]).all()


@pytest.mark.slow
def test_plots_of_a_renamed_a_removed_and_an_added_box(build, truth: Truth, network: SimpleNamespace) -> None:
    """A detected cat is annotated as a dog, a detected dog is not, and a box is annotated where nothing is."""
    at = {number: [(p, n) for p, (_, c) in truth.items() for n in np.flatnonzero(c == number)] for number in (0, 1)}
    alone = [
        (path, n)
        for path, n in at[0]
        if not any(np.abs(truth[path][0][n] - truth[other][0][m]).max() < 1 for other, m in at[1] if other == path)
    ]
    (renamed_path, renamed), (removed_path, removed) = alone[0], next(one for one in at[1] if one[0] != alone[0][0])
    truth[renamed_path][1][renamed] = 1
    truth[removed_path] = tuple(np.delete(part, removed, axis=0) for part in truth[removed_path])
    boxes, classes = truth["d.png"]
    truth["d.png"] = (np.concatenate([boxes, [[1, 1, 4, 4]]]), np.append(classes, 2))
    build(truth)
    evaluate.run(config(picture_score=network.score))
    files = sorted(file.relative_to(paths.EVAL_PLOTS).as_posix() for file in paths.EVAL_PLOTS.rglob("*.*"))
    assert files == [
        *("calibration.csv", "confusion.csv", "per_class.csv"),
        *("pr/00-cat.csv", "pr/01-dog_wolf.csv", "pr/02-never_seen.csv", "pr/all-classes.csv", "predictions.png"),
    ]
    cats, dogs = len(at[0]), len(at[1])
    confusion = (paths.EVAL_PLOTS / "confusion.csv").read_text().splitlines()
    assert confusion == [
        "annotated,found",
        *["cat,cat"] * (cats - 1),
        "dog/wolf,cat",
        *["dog/wolf,dog/wolf"] * (dogs - 1),
        "never seen,(background)",
        "(background),dog/wolf",
    ]
    with (paths.EVAL_PLOTS / "pr/02-never_seen.csv").open() as stream:
        curve = [(float(row["recall"]), float(row["precision"])) for row in csv.DictReader(stream)]
    assert curve == [(n / 100, 0.0) for n in range(101)]
    with (paths.EVAL_PLOTS / "per_class.csv").open() as stream:
        table = list(csv.DictReader(stream))
    assert [(row["class"], row["boxes"]) for row in table] == [
        ("cat", str(cats - 1)),
        ("dog/wolf", str(dogs)),
        ("never seen", "1"),
    ]
    with (paths.EVAL_PLOTS / "calibration.csv").open() as stream:
        bins = list(csv.DictReader(stream))
    assert sum(int(row["detections"]) for row in bins) == cats + dogs
    wrong = sum(round((1 - float(row["precision"])) * int(row["detections"])) for row in bins)
    assert wrong == 2


@pytest.mark.slow
def test_ignored_boxes_count_neither_way(build, truth: Truth, network: SimpleNamespace) -> None:
    """Half of the boxes are ignored, some of them for any class: every measure stays 1.  Removed, they are errors."""
    at = [(path, n) for path, (_, classes) in truth.items() for n in range(len(classes))]
    real, ignored = {}, {}
    for path, (boxes, classes) in truth.items():
        chosen = np.array([at.index((path, n)) % 2 == 0 for n in range(len(classes))], bool)
        real[path] = boxes[~chosen], classes[~chosen]
        ignored[path] = boxes[chosen], np.where(np.arange(chosen.sum()) % 2, -1, classes[chosen])
    kept, left = (sum(len(classes) for _, classes in part.values()) for part in (real, ignored))
    assert min(kept, left, sum(int((classes == -1).sum()) for _, classes in ignored.values())) > 0
    build(real, ignored)
    result = evaluate.run(config(picture_score=network.score))
    metrics = json.loads(paths.EVAL_METRICS.read_text())
    ones = ("mAP", "mAP50", "AR_100", "voc_mAP50_all_point", "F1", "F1_precision", "F1_recall")
    assert [metrics[key] for key in ones] == [1.0] * len(ones)
    assert (metrics["boxes"], metrics["ignored"]) == (kept, left)
    assert sum(values["boxes"] for values in metrics["per_class"].values()) == kept
    assert f"{kept} boxes, {left} ignored" in result.title
    pairs = [row.split(",") for row in (paths.EVAL_PLOTS / "confusion.csv").read_text().splitlines()[1:]]
    assert len(pairs) == kept
    assert all(annotated == found for annotated, found in pairs)
    page = paths.REPORT.read_bytes()
    render_report.run(config(picture_score=network.score))
    assert paths.REPORT.read_bytes() == page
    build(real)
    assert evaluate.run(config(picture_score=network.score)).report["mAP"] < 1
    assert json.loads(paths.EVAL_METRICS.read_text())["ignored"] == 0


@pytest.mark.slow
def test_nothing_found_is_a_score_of_zero(build, truth: Truth) -> None:
    build(truth)
    result = evaluate.run(config(score_threshold=0.999))
    assert (result.report["mAP"], result.report["detections"]) == (0.0, 0)
    assert pq.read_table(paths.PREDICTIONS).num_rows == 0


def test_a_model_of_other_shards_is_refused(build, truth: Truth) -> None:
    manifest = build(truth)
    file = Path("m.weights.h5")
    check_same_data(file, CARD, manifest)
    changes = {
        "class_names": (("cat", "dog/wolf", "seen"), ("seen", "never seen")),
        "input_size": (416, ("416", "96")),
        "anchors_px": (((8.0, 8.5),) * 9, ("8,8.5", "6,6")),
    }
    for key, (value, words) in changes.items():
        with pytest.raises(DataError) as caught:
            check_same_data(file, replace(CARD, **{key: value}), manifest)
        assert all(word in caught.value.message for word in (str(file), *words))
    rows = [shard_builder.build_row("x.png", [[1, 1, 9, 9]], [0], size=SIZE)]
    shutil.rmtree(paths.SHARDS)
    shard_builder.build_shards(paths.SHARDS, {"train": rows, "val": rows}, size=SIZE, class_names=("cat",))
    with pytest.raises(DataError):
        evaluate.run(config())
    assert not paths.EVAL_METRICS.exists()


def test_no_shards_and_no_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ShardError):
        evaluate.run(config())
    rows = [shard_builder.build_row("empty.png", [], [], size=SIZE, ignored=[[1, 1, 9, 9]])]
    shard_builder.build_shards(paths.SHARDS, {"train": rows, "val": rows}, size=SIZE, class_names=NAMES)
    with pytest.raises(DataError, match=r"\bval\b"):
        evaluate.run(config())
