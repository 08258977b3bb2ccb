"""The stage end to end, with a network in place of which stands its answer: known boxes, known scores."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest

from yolopipe import paths
from yolopipe.config.params import Config
from yolopipe.detection.outputs import Decoded
from yolopipe.errors import DataError, ShardError
from yolopipe.stages import evaluate

SIZE = 96
NAMES = ("cat", "dog/wolf", "never seen")
WIDE, TALL = (192, 96), (48, 96)


def config(**evaluate_params: float) -> Config:
    data = {"train": "t", "val": "v", "classes": "c", "images": "i"}
    return Config.model_validate({"data": data, "evaluate": {"batch_size": 2, **evaluate_params}})


TRUTH = {
    "b/wide.png": (WIDE, [[20, 10, 80, 60], [100, 20, 190, 90]], [0, 1]),
    "a/tall.png": (TALL, [[4, 8, 40, 70]], [0]),
    "empty.png": ((SIZE, SIZE), [], []),
    "c/square.png": ((SIZE, SIZE), [[10, 10, 50, 50], [50, 50, 90, 90]], [1, 0]),
    "d/square.png": ((SIZE, SIZE), [[10, 30, 70, 80]], [0]),
}


@pytest.fixture
def project(shards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with shards; ``load_model`` gives a card that fits them."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    rows = [
        shards.build_row(
            path,
            boxes,
            classes,
            size=SIZE,
            source_wh=wh,
            pixels=rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8),
        )
        for path, (wh, boxes, classes) in TRUTH.items()
    ]
    shards.build_shards(tmp_path / paths.SHARDS, {"train": rows[:1], "val": rows}, size=SIZE, class_names=NAMES)
    card = SimpleNamespace(class_names=NAMES, input_size=SIZE, anchors_px=shards.ANCHORS_PX.reshape(9, 2))
    monkeypatch.setattr("yolopipe.model.model_file.load_model", lambda *_: (None, card))
    return tmp_path


def answer(
    monkeypatch: pytest.MonkeyPatch, shards, boxes_of: dict[str, list[tuple[list[float], int, float]]]
) -> None:
    """Let the network answer these (source box, class, score) for each image, decoded, in network-input pixels."""
    rows = list(TRUTH)
    place = iter(range(len(rows)))

    def predict(image) -> list[np.ndarray]:
        scales = [np.zeros((len(image), SIZE // s, SIZE // s, 3, 5 + len(NAMES)), np.float32) for s in (8, 16, 32)]
        for index in range(len(image)):
            path = rows[next(place)]
            for cell, (box, class_id, score) in enumerate(boxes_of.get(path, [])):
                row = shards.build_row(path, [box], [class_id], size=SIZE, source_wh=TRUTH[path][0])
                (x1, y1, x2, y2) = row.boxes_xyxy[0]
                target = scales[0][index].reshape(-1, 5 + len(NAMES))[cell]
                target[:4] = (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
                target[4], target[5 + class_id] = 1.0, score
        return scales

    def images(scales: list[np.ndarray]) -> list[Decoded]:
        return [Decoded(np.concatenate([part.reshape(-1, part.shape[-1]) for part in one])) for one in zip(*scales)]  # noqa: B905

    monkeypatch.setattr("yolopipe.detection.network.predictor", lambda model, card: predict)
    monkeypatch.setattr("yolopipe.detection.nms.raw_images", images)


def perfect(score: float = 0.9) -> dict[str, list[tuple[list[float], int, float]]]:
    return {path: [(b, c, score) for b, c in zip(boxes, classes)] for path, (_, boxes, classes) in TRUTH.items()}  # noqa: B905


def test_a_perfect_network_scores_one(project: Path, shards, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, shards, perfect())
    result = evaluate.run(config())
    metrics = json.loads(paths.EVAL_METRICS.read_text())
    ones = ("mAP", "mAP50", "mAP75", "AP_medium", "AR_10", "AR_100", "voc_mAP50_all_point", "voc_mAP50_11_point")
    assert [metrics[key] for key in ones] == [1.0] * len(ones)
    assert (metrics["AP_small"], metrics["AR_1"], metrics["images"], metrics["boxes"]) == (None, 1.0, 5, 6)
    best = [metrics[key] for key in ("F1", "F1_threshold", "F1_precision", "F1_recall")]
    assert best == [1.0, 0.899999, 1.0, 1.0], "the float32 below 0.9, rounded down"
    assert metrics["calibration_error"] == 0.1, "it says 0.9 and is always right"
    assert list(metrics["per_class"]) == ["cat", "dog/wolf", "never seen"]
    unseen = metrics["per_class"]["never seen"]
    assert unseen == {**dict.fromkeys(unseen), "boxes": 0}
    for name, boxes in (("cat", 4), ("dog/wolf", 2)):
        values = metrics["per_class"][name]
        assert [values[key] for key in ("AP", "AP50", "AR_100", "voc_AP50_all_point", "F1")] == [1.0] * 5
        assert values["boxes"] == boxes
    assert result.report["classes_without_truth"] == ["never seen"]
    json.dumps(result.report, allow_nan=False)


def test_predictions_are_source_pixels_in_the_order_of_paths(
    project: Path, shards, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = perfect()
    answers["empty.png"] = [([10, 10, 20, 20], 1, 0.25), ([30, 30, 60, 60], 2, 0.5)]
    answer(monkeypatch, shards, answers)
    evaluate.run(config())
    table = pq.read_table(paths.PREDICTIONS).to_pandas()
    assert list(table) == ["image", "class_id", "class", "score", "x1", "y1", "x2", "y2"]
    assert list(table["image"]) == sorted(table["image"])
    assert list(table[table["image"] == "empty.png"]["score"]) == [0.5, 0.25]
    for path, found in table.groupby("image"):
        expected = sorted((c, *map(float, b)) for b, c, _ in answers[path])
        got = sorted(found[["class_id", "x1", "y1", "x2", "y2"]].itertuples(index=False))
        np.testing.assert_allclose(got, expected, atol=1e-4)
    assert [NAMES[number] for number in table["class_id"]] == list(table["class"])


def test_plots(project: Path, shards, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = perfect()
    del answers["a/tall.png"]
    answer(monkeypatch, shards, answers)
    evaluate.run(config())
    files = sorted(file.relative_to(paths.EVAL_PLOTS).as_posix() for file in paths.EVAL_PLOTS.rglob("*.*"))
    assert files == [
        *("calibration.csv", "confusion.csv", "per_class.csv"),
        *("pr/00-cat.csv", "pr/01-dog_wolf.csv", "pr/all-classes.csv", "predictions.png"),
    ]
    with (paths.EVAL_PLOTS / "pr/00-cat.csv").open() as stream:
        curve = [(float(row["recall"]), float(row["precision"])) for row in csv.DictReader(stream)]
    assert [recall for recall, _ in curve] == [n / 100 for n in range(101)]
    assert [precision for _, precision in curve] == [1.0] * 76 + [0.0] * 25  # 3 of 4 cats found
    with (paths.EVAL_PLOTS / "per_class.csv").open() as stream:
        table = list(csv.DictReader(stream))
    assert [row["class"] for row in table] == list(NAMES)
    assert [row["boxes"] for row in table] == ["4", "2", "0"]
    assert table[2]["AP"] == table[2]["F1_threshold"] == ""
    assert table[0]["F1_recall"] == "0.75"
    confusion = (paths.EVAL_PLOTS / "confusion.csv").read_text().splitlines()
    assert confusion == ["annotated,found", *["cat,cat"] * 3, "cat,(background)", *["dog/wolf,dog/wolf"] * 2]
    calibration = (paths.EVAL_PLOTS / "calibration.csv").read_text().splitlines()
    assert calibration == ["score,precision,ideal,detections", "0.9,1.0,0.9,5"]


def test_what_is_taken_for_what(project: Path, shards, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cat taken for a wolf, a wolf invented, and one too unsure to be shown."""
    answers = perfect()
    answers["a/tall.png"] = [(TRUTH["a/tall.png"][1][0], 1, 0.6)]
    answers["empty.png"] = [([10, 10, 30, 30], 1, 0.5), ([50, 50, 80, 80], 0, 0.2)]
    answer(monkeypatch, shards, answers)
    evaluate.run(config(picture_score=0.4))
    rows = (paths.EVAL_PLOTS / "confusion.csv").read_text().splitlines()[1:]
    assert rows == [*["cat,cat"] * 3, "cat,dog/wolf", *["dog/wolf,dog/wolf"] * 2, "(background),dog/wolf"]


def test_soft_suppression_is_an_option(project: Path, shards, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two answers for one box: the hard rule drops the second, the soft one lowers it by exp(-1 / sigma)."""
    box = TRUTH["d/square.png"][1][0]
    found = {}
    for sigma in (0.0, 0.5):
        answer(monkeypatch, shards, {"d/square.png": [(box, 0, 0.9), (box, 0, 0.8)]})
        evaluate.run(config(soft_nms_sigma=sigma))
        found[sigma] = pq.read_table(paths.PREDICTIONS)["score"].to_pylist()
    assert found[0.0] == pytest.approx([0.9])
    assert found[0.5] == pytest.approx([0.9, 0.8 * np.exp(-2)], rel=1e-5)


def test_nothing_found_is_a_score_of_zero(project: Path, shards, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, shards, {})
    result = evaluate.run(config())
    assert (result.report["mAP"], result.report["detections"]) == (0.0, 0)
    assert pq.read_table(paths.PREDICTIONS).num_rows == 0


def test_boxes_are_clipped_and_those_in_the_border_left_out(
    project: Path, shards, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, shards, {"b/wide.png": [([150, 50, 230, 120], 0, 0.9), ([40, -60, 80, -20], 0, 0.8)]})
    result = evaluate.run(config())
    table = pq.read_table(paths.PREDICTIONS).to_pandas()
    np.testing.assert_allclose(table[["x1", "y1", "x2", "y2"]], [[150, 50, 192, 96]], atol=1e-4)
    assert (result.report["detections"], result.report["detections_outside_image"]) == (1, 1)
    assert "left out" in result.rows


def test_the_same_files_twice(project: Path, shards, monkeypatch: pytest.MonkeyPatch) -> None:
    def outputs() -> dict[str, bytes]:
        answer(monkeypatch, shards, perfect(0.5))
        evaluate.run(config(), workers=3)
        roots = (paths.EVAL_METRICS.parent, paths.EVAL_PLOTS, paths.PREDICTIONS.parent)
        return {str(file): file.read_bytes() for root in roots for file in root.rglob("*.*")}

    first = outputs()
    assert first == outputs()
    assert not any(str(project).encode() in content for content in first.values())


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ({"class_names": ("cat",)}, "model for the classes cat, but the shards hold cat, dog/wolf, never seen"),
        ({"class_names": ("cat", "dog/wolf", "seen")}, "; class 2 is seen there and never seen here"),
        ({"input_size": 416}, "trained at 416 px, but the shards hold images of 96 px"),
        ({"anchors_px": ((8, 8.5),) * 9}, "with the anchors 8,8.5 8,8.5 .*, but the shards have "),
    ],
)
def test_a_model_of_other_shards_is_refused(
    project: Path, shards, monkeypatch: pytest.MonkeyPatch, card: dict, message: str
) -> None:
    fitting = {"class_names": NAMES, "input_size": SIZE, "anchors_px": shards.ANCHORS_PX.reshape(9, 2)}
    wrong = SimpleNamespace(**{**fitting, **card})
    monkeypatch.setattr("yolopipe.model.model_file.load_model", lambda *_: (None, wrong))
    with pytest.raises(DataError, match=message):
        evaluate.run(config())
    assert not paths.EVAL_METRICS.exists()


def test_no_shards_and_no_truth(shards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ShardError, match="no shards here"):
        evaluate.run(config())
    rows = [shards.build_row("empty.png", [], [], size=SIZE)]
    shards.build_shards(tmp_path / paths.SHARDS, {"train": rows, "val": rows}, size=SIZE, class_names=NAMES)
    with pytest.raises(DataError, match="val split has no boxes"):
        evaluate.run(config())


def test_a_real_network_runs_through(project: Path, shards, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network of the package, untrained: its decoded boxes reach the table, and both batch sizes agree."""
    import keras

    from yolopipe.model.card import ModelCard
    from yolopipe.model.yolov3 import YOLOv3

    keras.utils.set_random_seed(1)
    anchors = tuple((float(w), float(h)) for w, h in shards.ANCHORS_PX.reshape(9, 2))
    card = ModelCard(NAMES, anchors, input_size=SIZE, width=0.125, depth=0.1)
    model = YOLOv3(len(NAMES), width=0.125, depth=0.1)
    monkeypatch.setattr("yolopipe.model.model_file.load_model", lambda *_: (model, card))
    tables = []
    for batch_size in (2, 5):
        result = evaluate.run(config(batch_size=batch_size, score_threshold=0.001, max_detections=20))
        tables.append(pq.read_table(paths.PREDICTIONS).to_pandas())
        assert 0 <= result.report["mAP"] < 0.5
    assert len(tables[0]) == len(tables[1]) > 0
    np.testing.assert_allclose(tables[0]["score"], tables[1]["score"], atol=1e-5)
    sizes = {path: wh for path, (wh, _, _) in TRUTH.items()}
    for row in tables[0].itertuples():
        width, height = sizes[row.image]
        assert 0 <= row.x1 < row.x2 <= width
        assert 0 <= row.y1 < row.y2 <= height
