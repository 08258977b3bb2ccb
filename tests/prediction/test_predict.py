"""``yolopipe predict`` end to end, on a small untrained network with loud scores."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from yolopipe.cli import app, guarded
from yolopipe.detection.detector import Detector
from yolopipe.prediction import detect_all as run
from yolopipe.prediction import predict as command
from yolopipe.prediction.video import video_writer

MODEL = "models/best.weights.h5"


@pytest.fixture(scope="module")
def kept() -> dict[str, Detector]:
    return {}


@pytest.fixture(autouse=True)
def one_detector(project: Path, kept: dict[str, Detector], monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiling a network takes seconds: one for all commands that ask for the same."""

    def detector(model: Path, **options: Any) -> Detector:
        key = repr((model, sorted(options.items())))
        if key not in kept:
            kept[key] = Detector(model, **options)
        return kept[key]

    monkeypatch.setattr(command, "Detector", detector)


def predict(*arguments: object, code: int = 0) -> None:
    given = ["predict", *map(str, arguments), *(["--model", MODEL] if "--model" not in arguments else [])]
    assert guarded(lambda: app(given, standalone_mode=False)) == code


def read(out: Path) -> dict[str, Any]:
    return json.loads((out / "predictions.json").read_text())


def csv_lines(out: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((out / "predictions.csv").read_text(encoding="utf-8"), newline="")))


def pictures(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_folder_with_all_outputs(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "found ü"
    predict("images", "--out", out, "--csv", "--coco", "--min-score", 0.2, "--json")
    printed, told = capsys.readouterr()
    document = read(out)
    assert json.loads(printed) == document
    assert "images/s" in told
    assert (document["complete"], document["problems"], document["classes"]) == (True, [], ["a", "b", "c"])
    files = sorted(path.as_posix() for path in Path("images").iterdir())
    assert [image["image"] for image in document["images"]] == files
    detector = Detector(MODEL, min_score=0.2)
    for image, found in zip(document["images"], detector.predict_batch(files), strict=True):
        assert (image["width"], image["height"]) == found.size_wh
        assert [one["class"] for one in image["detections"]] == list(found.names)
        np.testing.assert_allclose([one["box_xyxy"] for one in image["detections"]], found.boxes_xyxy, atol=1e-3)
        drawn = cv2.imread(str(out / image["drawn"]))
        assert drawn.shape[1::-1] == found.size_wh
        same = np.array_equal(drawn, cv2.imread(image["image"]))
        assert not (same and len(found)), "boxes are drawn"
    lines = csv_lines(out)
    assert [line["image"] for line in lines] == [
        image["image"] for image in document["images"] for _ in image["detections"]
    ]
    results = json.loads((out / "coco.json").read_text())
    assert len(results) == len(lines) > 20
    x, y, width, height = results[0]["bbox"]
    assert [x, y, x + width, y + height] == pytest.approx(
        [float(lines[0][side]) for side in ("x1", "y1", "x2", "y2")]
    )


def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        predict("images", "--out", tmp_path / name, "--csv")
    assert pictures(tmp_path / "one") == pictures(tmp_path / "two")
    for name in pictures(tmp_path / "one"):
        ours, theirs = ((tmp_path / which / name).read_bytes() for which in ("one", "two"))
        assert ours.replace(b"/one/", b"/two/") == theirs
        assert str(tmp_path).encode() not in ours


def test_coco_results_fit_the_truth_that_convert_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``score`` says the same of the ids of the text's order and of those that are looked up by name."""
    convert = ["convert", "coco", "--out", str(tmp_path / "truth"), "--val", "val.txt", "--classes", "classes.names"]
    assert guarded(lambda: app(convert, standalone_mode=False)) == 0
    truth = tmp_path / "truth/annotations/instances_val.json"
    files = [line.split()[0] for line in Path("val.txt").read_text().splitlines()]
    predict("val.txt", "--coco", "--min-score", 0.05, "--no-draw", "--out", tmp_path / "in order")
    predict(*reversed(files), "--ids", truth, "--min-score", 0.05, "--no-draw", "--out", tmp_path / "looked up")
    capsys.readouterr()
    reports = []
    for name in ("in order", "looked up"):
        score = ["score", "--predictions", str(tmp_path / name / "coco.json"), "--truth", str(truth), "--json"]
        assert guarded(lambda score=score: app(score, standalone_mode=False)) == 0
        reports.append(json.loads(capsys.readouterr().out))
    means = [{name: value for name, value in report.items() if name != "per_class"} for report in reports]
    assert means[0] == pytest.approx(means[1], abs=1e-6)
    assert means[0]["mAP50"] > 0
    order = {name: number for number, name in enumerate(files, start=1)}
    document = read(tmp_path / "in order")
    assert {image["image"]: image["id"] for image in document["images"]} == order
    results = json.loads((tmp_path / "looked up/coco.json").read_text())
    counts = {order[image["image"]]: len(image["detections"]) for image in document["images"]}
    assert {n: sum(one["image_id"] == n for one in results) for n in counts} == counts


def test_ids_that_do_not_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = {"images": [{"id": 1, "file_name": "else.jpg"}], "categories": [{"id": 1, "name": "a"}]}
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    predict("val.txt", "--ids", tmp_path / "truth.json", "--out", tmp_path / "out", code=4)
    assert "has no category b, c; it has a" in capsys.readouterr().err
    predict("val.txt", "--ids", tmp_path / "truth.json", "--classes", "a", "--out", tmp_path / "out", code=4)
    assert "expected the id of images/val0" in capsys.readouterr().err
    predict("val.txt", "--ids", "val.txt", "--out", tmp_path / "out", code=4)
    assert "expected COCO's annotations" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_read_is_named_and_the_rest_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mixed = tmp_path / "mixed"
    (mixed / "deep").mkdir(parents=True)
    good = sorted(Path("images").glob("*.jpg"))
    shutil.copy(good[0], mixed / "a.jpg")
    shutil.copy(good[1], mixed / "deep/a.jpg")
    (mixed / "b.jpg").write_bytes(good[0].read_bytes()[:-99])
    (mixed / "c.png").write_bytes(b"")
    (mixed / "d.md").write_text("no image")
    out = tmp_path / "out"
    predict(mixed, "--recursive", "--out", out, code=1)
    printed, told = capsys.readouterr()
    assert f"truncated-image: {mixed}/b.jpg is cut short" in told
    assert f"not-an-image: {mixed}/c.png" in told
    assert "not read     2" in printed
    assert "files that are neither image nor video by their names: 1" in printed
    document = read(out)
    assert [image["image"] for image in document["images"]] == [f"{mixed}/a.jpg", f"{mixed}/deep/a.jpg"]
    assert [image["id"] for image in document["images"]] == [1, 4]
    assert [problem["rule"] for problem in document["problems"]] == ["truncated-image", "not-an-image"]
    assert document["complete"] is False
    assert pictures(out) == ["drawn/a.jpg", "drawn/deep/a.jpg", "predictions.json"]
    predict(mixed / "b.jpg", mixed / "c.png", "--out", tmp_path / "none", code=4)
    assert "none of 2 images and videos could be read; nothing was written" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_files_of_one_name_do_not_meet_and_inputs_are_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = sorted(Path("images").glob("*.jpg"))
    for number, folder in enumerate(("a", "b", "a/drawn/x")):
        (tmp_path / folder).mkdir(parents=True)
        shutil.copy(source[number], tmp_path / folder / "same.jpg")
    predict(tmp_path / "a/same.jpg", tmp_path / "b", "--out", tmp_path / "out")
    assert pictures(tmp_path / "out/drawn") == ["a/same.jpg", "b/same.jpg"]
    before = (tmp_path / "a/drawn/x/same.jpg").read_bytes()
    capsys.readouterr()
    predict(tmp_path / "a/drawn/x/same.jpg", tmp_path / "a/x/same.jpg", "--out", tmp_path / "a", code=4)
    predict(tmp_path / "a/drawn/x/same.jpg", tmp_path / "b/same.jpg", "--out", tmp_path / "a")
    (tmp_path / "a/drawn/same.jpg").write_bytes(before)
    predict(tmp_path / "a/drawn/same.jpg", "--out", tmp_path / "a", code=2)
    assert "a/drawn/same.jpg would be overwritten by" in capsys.readouterr().err
    assert (tmp_path / "a/drawn/same.jpg").read_bytes() == before
    predict(tmp_path / "a", "--recursive", "--out", tmp_path / "a")
    assert [image["image"] for image in read(tmp_path / "a")["images"]] == [f"{tmp_path}/a/same.jpg"]


def make_video(path: Path, frames: int = 21) -> None:
    files = sorted(Path("images").glob("*.jpg"))
    with video_writer(path, 10) as writer:
        for number in range(frames):
            picture = cv2.cvtColor(cv2.imread(str(files[number % len(files)])), cv2.COLOR_BGR2RGB)
            writer.write(cv2.resize(picture, (96, 64)))


def test_videos_whole_and_broken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_video(tmp_path / "whole.mp4")
    make_video(tmp_path / "cut.avi")
    (tmp_path / "cut.avi").write_bytes(
        (tmp_path / "cut.avi").read_bytes()[: -(tmp_path / "cut.avi").stat().st_size // 3]
    )
    (tmp_path / "none.mkv").write_bytes(b"none")
    out = tmp_path / "out"
    predict(tmp_path, sorted(Path("images").glob("*"))[0], "--out", out, "--coco", "--csv", code=1)
    printed, told = capsys.readouterr()
    assert f"{tmp_path}/cut.avi ends early or has broken frames: it promises 21 frames" in told
    assert f"{tmp_path}/none.mkv cannot be opened as video" in told
    assert "not in coco.json" in printed
    document = read(out)
    assert len(document["images"]) == 1
    cut, whole = document["videos"]
    assert [frame["frame"] for frame in whole["frames"]] == list(range(21))
    assert 3 < len(cut["frames"]) < 21
    for video in (cut, whole):
        capture = cv2.VideoCapture(str(out / video["drawn"]))
        assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == len(video["frames"])
    lines = csv_lines(out)
    assert {line["frame"] for line in lines if line["image"].endswith("whole.mp4")} <= {str(n) for n in range(21)}
    predict(tmp_path / "whole.mp4", "--max-frames", 5, "--no-draw", "--out", tmp_path / "five")
    assert pictures(tmp_path / "five") == ["predictions.json"]
    assert len(read(tmp_path / "five")["videos"][0]["frames"]) == 5


def test_a_camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """There is none where tests run: a file stands for it."""
    make_video(tmp_path / "whole.avi", 9)
    real = cv2.VideoCapture
    monkeypatch.setattr(
        cv2, "VideoCapture", lambda source: real(str(tmp_path / "whole.avi") if source == 0 else source)
    )
    predict("0", "--max-frames", 4, "--out", tmp_path / "out")
    assert [len(video["frames"]) for video in read(tmp_path / "out")["videos"]] == [4]
    assert pictures(tmp_path / "out") == ["drawn/camera 0.mp4", "predictions.json"]
    predict("77", "--out", tmp_path / "none", code=4)
    assert "camera 77 cannot be opened" in capsys.readouterr().err


@pytest.mark.parametrize("source", ["images", "video"])
def test_ctrl_c_keeps_what_was_found_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], source: str
) -> None:
    make_video(tmp_path / "v.mp4")
    looked = run.Looked
    good = 9

    def interrupt(path: str, number: int, *arguments: Any, **options: Any) -> Any:
        if number >= good + (source == "images"):  # images count from 1, frames from 0
            raise KeyboardInterrupt
        return looked(path, number, *arguments, **options)

    monkeypatch.setattr(run, "Looked", interrupt)
    predict("images" if source == "images" else tmp_path / "v.mp4", "--out", tmp_path / "out", code=130)
    told = capsys.readouterr().err
    document = read(tmp_path / "out")
    count = len(document["images"]) if source == "images" else len(document["videos"][0]["frames"])
    assert count == good
    assert f"interrupted after {count} pictures; the outputs hold what was found" in told
    assert (document["complete"], document["interrupted"]) == (False, True)
    if source == "video":
        assert cv2.VideoCapture(str(tmp_path / "out/drawn/v.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == count
    assert not [name for name in pictures(tmp_path / "out") if ".partial" in name]
    good = 0
    predict("images" if source == "images" else tmp_path / "v.mp4", "--out", tmp_path / "nothing", code=130)
    assert not (tmp_path / "nothing/predictions.json").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["val.txt", "--classes", "a,bb"], 2, "no class 'bb' (did you mean 'b'?) in this model; it knows: a, b, c"),
        (["val.txt", "--classes", 'a, "b, big"'], 2, "no class 'b, big' in this model"),
        (["val.txt", "--out", "val.txt"], 2, "--out val.txt is a file"),
        (["nowhere.jpg"], 4, "nowhere.jpg is no file or folder"),
        (["val.txt", "--model", "nowhere.weights.h5"], 4, "no model at nowhere.weights.h5"),
        (["val.txt", "--model", "val.txt"], 4, "val.txt is no model of yolopipe"),
        (["val.txt", "--min-score", "2"], 2, "--min-score"),
        ([], 2, "PATH"),
    ],
)
def test_wrong_calls(arguments: list[str], code: int, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    predict(*arguments, code=code)
    assert sentence in capsys.readouterr().err
    assert not Path("predicted").exists()
