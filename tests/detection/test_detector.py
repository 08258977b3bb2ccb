"""``yolopipe.Detector``: what ``evaluate`` finds, in any order, size and form."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

import yolopipe
from yolopipe.detection.detector import Detector, ImagePrediction
from yolopipe.errors import DataError, ImageError, UsageError
from yolopipe.stages import evaluate

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def detector(trained: Path) -> Detector:
    return yolopipe.Detector(trained / "models/best.weights.h5", min_score=0.2, batch_size=4)


def val_images() -> list[str]:
    return [line.split()[0] for line in Path("val.txt").read_text().splitlines()]


def equal(one: ImagePrediction, other: ImagePrediction) -> None:
    assert one.names == other.names
    assert one.size_wh == other.size_wh
    np.testing.assert_allclose(one.boxes_xyxy, other.boxes_xyxy, atol=1e-3)
    np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)


def test_what_evaluate_predicts(
    project: Path, drawn: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("EVAL_METRICS", "EVAL_PLOTS", "PREDICTIONS"):
        monkeypatch.setattr(f"yolopipe.paths.{name}", tmp_path / f"{name}.parquet")
    evaluate.run(drawn.make_config(evaluate={"score_threshold": 0.05, "weights": "best", "batch_size": 3}))
    table = pq.read_table(tmp_path / "PREDICTIONS.parquet").to_pandas()
    assert len(table) > 20
    found = Detector("models/best.weights.h5", min_score=0.05).predict_batch(val_images())
    for path, ours in zip(val_images(), found, strict=True):
        theirs = table[table["image"] == path]
        assert len(ours) == len(theirs)
        np.testing.assert_allclose(ours.boxes_xyxy, theirs[["x1", "y1", "x2", "y2"]], atol=2e-3)
        np.testing.assert_allclose(ours.scores, theirs["score"], atol=1e-5)


def test_one_by_one_is_as_in_a_batch_and_as_pixels(project: Path, detector: Detector) -> None:
    paths = [*val_images(), *val_images()[:3]]
    together = detector.predict_batch(paths)
    assert sum(map(len, together)) > 5
    for path, found in zip(paths, together, strict=True):
        equal(detector.predict(path), found)
        pixels = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)
        if path.endswith(".png"):
            equal(detector.predict(pixels), found)
        assert found.size_wh == pixels.shape[1::-1]
        assert (found.boxes_xyxy >= 0).all()
        assert (found.boxes_xyxy <= np.tile(found.size_wh, 2)).all()
        assert (np.diff(found.scores) <= 0).all()
        assert found.names == tuple(detector.class_names[number] for number in found.classes)


def test_nothing_in_nothing_out(project: Path, detector: Detector) -> None:
    assert detector.predict_batch([]) == []
    nothing = Detector("models/best.weights.h5", min_score=1.0).predict(np.zeros((9, 9), np.uint8))
    assert (len(nothing), nothing.names, nothing.boxes_xyxy.shape) == (0, (), (0, 4))


def test_some_classes_only(project: Path, detector: Detector) -> None:
    everything = detector.predict_batch(val_images())
    chosen = Detector("models/best.weights.h5", min_score=0.2, classes=["c", "a", "c"]).predict_batch(val_images())
    assert {name for found in everything for name in found.names} >= {"a", "b"}
    for ours, found in zip(chosen, everything, strict=True):
        keep = [number for number, name in enumerate(found.names) if name != "b"]
        assert ours.names == tuple(found.names[number] for number in keep)
        np.testing.assert_allclose(ours.boxes_xyxy, found.boxes_xyxy[keep], atol=1e-3)
    few = Detector("models/best.weights.h5", min_score=0.0, classes=["a"], max_detections=3).predict(val_images()[0])
    assert few.names == ("a", "a", "a")


@pytest.mark.parametrize(("classes", "named"), [(["aa", "xyz"], ["'aa'", "'xyz'", "a, b, c"]), ([], ["a, b, c"])])
def test_unknown_classes_are_named_with_the_known_ones(project: Path, classes: list[str], named: list[str]) -> None:
    with pytest.raises(UsageError) as refused:
        Detector("models/best.weights.h5", classes=classes)
    assert [word for word in named if word not in refused.value.message] == []


def test_wrong_files_arrays_and_numbers(project: Path, detector: Detector) -> None:
    with pytest.raises(DataError) as missing:
        Detector("nowhere.weights.h5")
    assert "nowhere.weights.h5" in missing.value.message
    with pytest.raises(DataError) as array:
        detector.predict(np.zeros((8, 8, 3)))
    assert "float64" in array.value.message
    with pytest.raises(ImageError) as image:
        detector.predict_batch(["nowhere.jpg"])
    assert image.value.rule == "missing-image"
    with pytest.raises(UsageError):
        Detector("models/best.weights.h5", min_score=2)


def test_the_python_of_the_page_runs(
    project: Path, repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (repo / "docs/predict.md").read_text(), re.DOTALL)
    (tmp_path / "photo.jpg").symlink_to(project / next(path for path in val_images() if path.endswith(".jpg")))
    (tmp_path / "models").symlink_to(project / "models")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(code, "docs/predict.md", "exec"), names)
    assert len(capsys.readouterr().out.splitlines()) == len(names["found"]) > 0
    equal(names["both"][1], names["found"])
