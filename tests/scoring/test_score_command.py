"""``yolopipe score`` on files, as a user meets it: pycocotools' numbers, ids of all kinds, every fault named."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from yolopipe.cli import app, guarded
from yolopipe.errors import ProblemsError
from yolopipe.scoring.score import run

KEYS = ["mAP", "mAP50", "mAP75", "AP_small", "AP_medium", "AP_large", "AR_1", "AR_10", "AR_100"]
KEYS += ["voc_mAP50_all_point", "voc_mAP50_11_point", "per_class"]


def call(*arguments: str) -> int:
    return guarded(lambda: app(list(arguments), standalone_mode=False))


def write(folder: Path, truth: object, predictions: object) -> tuple[Path, Path]:
    files = folder / "my predictions ü.json", folder / "truth.json"
    for file, content in zip(files, (predictions, truth), strict=True):
        file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return files


def close(ours: dict, theirs: dict) -> None:
    for key, value in theirs.items():
        if isinstance(value, dict):
            close(ours[key], value)
        else:
            assert ours[key] == (None if value is None else pytest.approx(value, abs=1e-12)), key


@pytest.mark.slow
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32 - 1),
    images=st.integers(1, 9),
    boxes=st.integers(0, 60),
    found=st.integers(0, 120),
    classes=st.integers(1, 5),
)
def test_equals_pycocotools(
    coco_reference, tmp_path: Path, seed: int, images: int, boxes: int, found: int, classes: int
) -> None:
    truth, predictions = coco_reference.random_files(seed, images=images, boxes=boxes, found=found, classes=classes)
    result = run(*write(tmp_path, truth, predictions))
    report = result.report
    assert list(report) == KEYS
    close(report, coco_reference.expected(truth, predictions))
    crowds = sum(box.get("iscrowd", 0) for box in truth["annotations"])
    assert sum(values["boxes"] for values in report["per_class"].values()) == boxes - crowds
    counts = [int(number) for number in re.findall(r"\d+", result.title)]
    assert counts == [images, boxes - crowds, *([crowds] if crowds else []), found]
    json.dumps(report, allow_nan=False)


@pytest.mark.parametrize("seed", [0, 1])
def test_more_than_100_detections_in_an_image(coco_reference, tmp_path: Path, seed: int) -> None:
    truth, predictions = coco_reference.random_files(seed, images=2, boxes=30, found=900, classes=2)
    close(run(*write(tmp_path, truth, predictions)).report, coco_reference.expected(truth, predictions))


TRUTH = {
    "images": [{"id": 7}, {"id": 9}],
    "categories": [{"id": 3, "name": "cat"}, {"id": 1, "name": "dog"}],
    "annotations": [{"id": 0, "image_id": 7, "category_id": 3, "bbox": [10, 10, 50, 50]}],
}
RIGHT = {"image_id": 7, "category_id": 3, "bbox": [10, 10, 50, 50], "score": 0.9}


def test_json_is_all_there_is_and_has_the_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    predictions, truth = write(tmp_path, TRUTH, [RIGHT])
    assert call("score", "--predictions", str(predictions), "--truth", str(truth), "--json") == 0
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert list(report) == KEYS
    assert "dog" in printed.err
    assert report["mAP"] == report["voc_mAP50_11_point"] == report["AR_1"] == 1.0
    assert report["AP_small"] is None
    assert list(report["per_class"]) == ["dog", "cat"], "in the order of ids"
    assert report["per_class"]["dog"] == {**dict.fromkeys(report["per_class"]["dog"]), "boxes": 0}
    assert report["per_class"]["cat"]["boxes"] == 1


def test_the_screen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    predictions, truth = write(tmp_path, TRUTH, [RIGHT])
    assert call("score", "--predictions", str(predictions), "--truth", str(truth)) == 0
    shown = capsys.readouterr().out
    assert "2 images, 1 boxes, 1 predictions" in shown
    assert "AP small, medium, large  -   1.0000   -" in shown
    assert "cat" in shown


def test_predictions_may_be_an_object_and_bring_more_keys(tmp_path: Path) -> None:
    files = write(tmp_path, TRUTH, {"info": 1, "annotations": [{**RIGHT, "segmentation": [], "area": None}]})
    assert run(*files).report["mAP50"] == 1.0


@pytest.mark.parametrize("predictions", [[], [RIGHT]])
@pytest.mark.parametrize("annotations", [[], TRUTH["annotations"]])
def test_nothing_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], predictions: list, annotations: list
) -> None:
    files = write(tmp_path, {**TRUTH, "annotations": annotations}, predictions)
    report = run(*files).report
    expected = None if not annotations else 1.0 if predictions else 0.0
    assert [report[key] for key in ("mAP", "AR_100", "voc_mAP50_all_point")] == [expected] * 3
    warned = capsys.readouterr().err.splitlines()
    assert len(warned) == (not annotations) + (not predictions) + bool(annotations)


def test_empty_lists_have_no_score(tmp_path: Path) -> None:
    report = run(*write(tmp_path, {"images": [], "annotations": [], "categories": []}, [])).report
    assert report == {**dict.fromkeys(KEYS), "per_class": {}}


def test_difficult_boxes_and_the_extra_pixel(tmp_path: Path) -> None:
    """4 x 9 of a box of 9 x 9: an IoU of 36/81, or 50/100 as the devkit counts, which is enough."""
    boxes = [{"image_id": 7, "category_id": 3, "bbox": [0, 0, 9, 9], "difficult": d} for d in (0, 1)]
    boxes[1]["bbox"] = [100, 100, 9, 9]
    predictions = [{**RIGHT, "bbox": [0, 0, 4, 9], "score": 0.5}, {**RIGHT, "bbox": [100, 100, 9, 9], "score": 0.9}]
    files = write(tmp_path, {**TRUTH, "annotations": boxes}, predictions)
    plain, plus_one = run(*files).report, run(*files, plus_one=True).report
    assert plain["voc_mAP50_all_point"] == 0.0, "and the difficult one counts for nothing"
    assert plus_one["voc_mAP50_all_point"] == 1.0
    assert plain["mAP50"] == plus_one["mAP50"] == pytest.approx(51 / 101), "COCO knows neither"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("truth", "predictions", "place"),
    [
        (TRUTH, "[{]", "my predictions ü.json:1:3: bad-json"),
        (TRUTH, "", "my predictions ü.json:1:1: bad-json"),
        (TRUTH, "[\n" * 3 + '{"image_id" 7}', "my predictions ü.json:4:13: bad-json"),
        ('{"images": [', [], "truth.json:1:13: bad-json"),
        (TRUTH, "[" * 100_000, "my predictions ü.json:1:2: bad-json"),
        (TRUTH, "9" * 5000, "my predictions ü.json:1:1: bad-json"),
        ([RIGHT], TRUTH, "truth.json:1:1: bad-json"),
        ({"images": [], "categories": {}}, [], "truth.json:1:30: bad-json"),
        ({"images": [], "categories": []}, [], "truth.json: missing-key"),
        (TRUTH, {"images": []}, "my predictions ü.json: missing-key"),
        (TRUTH, "5", "my predictions ü.json:1:1: bad-json"),
        (TRUTH, [RIGHT, {**RIGHT, "score": None}], "my predictions ü.json:1:77: bad-score"),
        ({**TRUTH, "categories": [{"id": 3, "name": "cat"}] * 2}, [], "truth.json:1:77: duplicate-id"),
        ({**TRUTH, "annotations": [{**RIGHT, "area": -1}]}, [], "truth.json:1:120: bad-area"),
    ],
)
def test_broken_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], truth: object, predictions: object, place: str
) -> None:
    """The rules are those of ``formats/coco``; here, that both files are read by them and nothing is scored."""
    found, true = write(tmp_path, truth, predictions)
    assert call("score", "--predictions", str(found), "--truth", str(true), "--json") == 4
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"{tmp_path / place}: ")
    assert "Traceback" not in printed.err


def test_all_faults_are_listed(tmp_path: Path) -> None:
    wrong = [{**RIGHT, "image_id": n} for n in range(100, 105)] + [{**RIGHT, "score": None}]
    predictions, truth = write(tmp_path, {**TRUTH, "annotations": [{}]}, [RIGHT, *wrong])
    with pytest.raises(ProblemsError) as caught:
        run(predictions, truth)
    assert caught.value.exit_code == 4
    assert Counter((Path(problem.file).name, problem.rule) for problem in caught.value.problems) == {
        ("truth.json", "missing-key"): 1,
        (predictions.name, "unknown-image"): 5,
        (predictions.name, "bad-score"): 1,
    }


def test_files_that_cannot_be_opened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    predictions, truth = write(tmp_path, TRUTH, [])
    for first, second, name in ((tmp_path / "no.json", truth, "no.json"), (predictions, tmp_path, tmp_path.name)):
        assert call("score", "--predictions", str(first), "--truth", str(second)) == 4
        assert f"{name}: " in capsys.readouterr().err
    predictions.write_bytes(b"[\xff]")
    assert call("score", "--predictions", str(predictions), "--truth", str(truth)) == 4
    assert f"{predictions}:1: " in capsys.readouterr().err
    assert call("score", "--predictions", str(predictions)) == 2
    assert "--truth" in capsys.readouterr().err


def test_a_mark_at_the_start_of_the_file_is_no_fault(tmp_path: Path) -> None:
    files = write(tmp_path, "\ufeff" + json.dumps(TRUTH), "\ufeff" + json.dumps([RIGHT]))
    assert run(*files).report["mAP"] == 1.0


def test_inputs_stay_as_they_are_and_the_same_input_gives_the_same_bytes(
    coco_reference, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predictions, truth = write(tmp_path, *coco_reference.random_files(11, images=8, boxes=40, found=90))
    before = predictions.read_bytes(), truth.read_bytes()
    shown = []
    for _ in range(2):
        assert call("score", "--predictions", str(predictions), "--truth", str(truth), "--json") == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1]
    assert (predictions.read_bytes(), truth.read_bytes()) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([predictions.name, truth.name])
    assert np.isfinite(json.loads(shown[0])["mAP"])
