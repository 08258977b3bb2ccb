"""``yolopipe score`` on files, as a user meets it: pycocotools' numbers, ids of all kinds, every fault named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from yolopipe.cli import app, guarded
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
    report = run(*write(tmp_path, truth, predictions)).report
    assert list(report) == KEYS
    close(report, coco_reference.expected(truth, predictions))
    crowds = sum(box.get("iscrowd", 0) for box in truth["annotations"])
    assert sum(values["boxes"] for values in report["per_class"].values()) == boxes - crowds
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
    told = capsys.readouterr()
    report = json.loads(told.out)
    assert list(report) == KEYS
    assert "no true box of dog" in told.err
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


@pytest.mark.parametrize("form", [7, "7", 7.0])
@pytest.mark.parametrize("kind", [3, "3"])
def test_an_id_is_the_same_as_number_and_as_text(tmp_path: Path, form: object, kind: object) -> None:
    files = write(tmp_path, TRUTH, [{**RIGHT, "image_id": form, "category_id": kind}])
    assert run(*files).report["mAP"] == 1.0
    text = {**TRUTH, "images": [{"id": "7"}], "annotations": [{**TRUTH["annotations"][0], "image_id": "7"}]}
    assert run(*write(tmp_path, text, [{**RIGHT, "image_id": form}])).report["mAP"] == 1.0


def test_ids_of_annotations_are_not_used(tmp_path: Path) -> None:
    box = TRUTH["annotations"][0]
    far = {**box, "bbox": [100, 100, 50, 50]}
    del far["id"]
    truth = {**TRUTH, "annotations": [{**box, "id": 5}, {**far, "id": 5}, {**far, "image_id": 9}]}
    predictions = [{**RIGHT, "bbox": b["bbox"], "image_id": b["image_id"]} for b in truth["annotations"]]
    assert run(*write(tmp_path, truth, predictions)).report["mAP"] == 1.0


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
    warned = capsys.readouterr().err
    assert ("the truth has no boxes" in warned) == (not annotations)
    assert ("no predictions" in warned) == (not predictions)


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


def changed(place: str, **values: object) -> dict:
    """TRUTH with the first entry of a list changed; a value of ... takes the key away."""
    entry = {**TRUTH[place][0], **values}
    return {**TRUTH, place: [{k: v for k, v in entry.items() if v is not ...}, *TRUTH[place][1:]]}


@pytest.mark.parametrize(
    ("truth", "predictions", "words"),
    [
        (TRUTH, "[{]", ["my predictions ü.json:1:3: not valid JSON"]),
        (TRUTH, "", ["my predictions ü.json:1:1: not valid JSON"]),
        (TRUTH, "[\n" * 3 + '{"image_id" 7}', ["my predictions ü.json:4:13: not valid JSON"]),
        ('{"images": [', [], ["truth.json:1:13: not valid JSON"]),
        (TRUTH, "[" * 100_000, ["not a COCO file"]),
        (TRUTH, "9" * 5000, ["not a COCO file"]),
        ([RIGHT], TRUTH, ["truth.json: expected an object with images", "swap"]),
        ({"images": [], "categories": {}}, [], ["list under each of annotations, categories; it has images, categ"]),
        (TRUTH, {"images": []}, ["expected a list of predictions"]),
        (TRUTH, "5", ["expected a list of predictions, found 5"]),
        (TRUTH, [5], ["not-an-object: prediction 0: expected an object, found 5"]),
        (TRUTH, [{**RIGHT, "image_id": 8}], ["unknown-image: prediction 0: the truth lists no image with the id 8"]),
        (TRUTH, [{**RIGHT, "image_id": "000007"}], ["unknown-image"]),
        (TRUTH, [{**RIGHT, "image_id": [7]}], ["unknown-image"]),
        (TRUTH, [{**RIGHT, "image_id": True}], ["unknown-image"]),
        (TRUTH, [{**RIGHT, "image_id": None}], ["unknown-image"]),
        (TRUTH, [{**RIGHT, "category_id": 2}], ["unknown-category: prediction 0"]),
        (TRUTH, [{"score": 1}], ["'image_id' is missing", "'category_id' is missing", "'bbox' is missing"]),
        (TRUTH, [{**RIGHT, "score": float("nan")}], ["bad-score: prediction 0", "NaN"]),
        (TRUTH, [{**RIGHT, "score": "0.5"}], ["bad-score"]),
        (TRUTH, [{**RIGHT, "score": True}], ["bad-score"]),
        (TRUTH, [{**RIGHT, "score": 10**400}], ["bad-score"]),
        (TRUTH, [{**RIGHT, "bbox": [1, 2, float("inf"), 4]}], ["bad-box: prediction 0", "Infinity"]),
        (TRUTH, [{**RIGHT, "bbox": [1, 2, -3, 4]}], ["bad-box"]),
        (TRUTH, [{**RIGHT, "bbox": [1, 2, 3]}], ["bad-box"]),
        (TRUTH, [{**RIGHT, "bbox": [1, 2, 3, None]}], ["bad-box"]),
        (TRUTH, [{**RIGHT, "bbox": "\ud800"}], ["bad-box", "ud800"]),
        (changed("images", id=None), [], ["bad-id: image 0"]),
        (changed("images", id=9), [], ["double-id: image 1: id 9 is that of image 0 too", "unknown-image"]),
        (changed("images", id="9"), [], ["double-id"]),
        (changed("categories", id=...), [], ["bad-id: category 0"]),
        (changed("categories", name="dog"), [], ["double-name: two categories are called 'dog'"]),
        (changed("annotations", image_id=8), [], ["truth.json: unknown-image: annotation 0"]),
        (changed("annotations", bbox=...), [], ["missing-key: annotation 0: 'bbox' is missing"]),
        (changed("annotations", area=-1), [], ["bad-area"]),
        (changed("annotations", iscrowd=2), [], ["bad-flag"]),
        (changed("annotations", difficult="no"), [], ["bad-flag"]),
    ],
)
def test_broken_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], truth: object, predictions: object, words: list[str]
) -> None:
    found, true = write(tmp_path, truth, predictions)
    assert call("score", "--predictions", str(found), "--truth", str(true), "--json") == 4
    told = capsys.readouterr()
    assert told.out == ""
    assert "Traceback" not in told.err
    for word in words:
        assert word in told.err


def test_all_faults_are_listed_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = [{**RIGHT, "image_id": n} for n in range(100, 105)] + [{**RIGHT, "score": None}]
    predictions, truth = write(tmp_path, TRUTH, [RIGHT, *wrong])
    assert call("score", "--predictions", str(predictions), "--truth", str(truth)) == 4
    told = capsys.readouterr().err
    for place in range(1, 7):
        assert f"prediction {place}:" in told
    assert "6 problems (1 bad-score, 5 unknown-image); nothing was scored" in told


def test_files_that_cannot_be_opened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    predictions, truth = write(tmp_path, TRUTH, [])
    for first, second, name in ((tmp_path / "no.json", truth, "no.json"), (predictions, tmp_path, tmp_path.name)):
        assert call("score", "--predictions", str(first), "--truth", str(second)) == 4
        assert f"{name}: " in capsys.readouterr().err
    predictions.write_bytes(b"[\xff]")
    assert call("score", "--predictions", str(predictions), "--truth", str(truth)) == 4
    assert "not UTF-8 text (byte 1)" in capsys.readouterr().err
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
