"""``yolopipe predict`` end to end, on a small untrained network with loud scores."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import shutil
import signal
import weakref
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from yolopipe.cli import app, guarded
from yolopipe.detection.detector import Detector
from yolopipe.prediction import detect_all as run
from yolopipe.prediction import predict as command

pytestmark = pytest.mark.slow

MODEL = "models/best.weights.h5"

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # OpenCV reads it once; some tests open videos themselves


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
    printed, said = capsys.readouterr()
    document = read(out)
    assert json.loads(printed) == document
    assert "images/s" in said
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
    assert "b, c" in capsys.readouterr().err
    predict("val.txt", "--ids", tmp_path / "truth.json", "--classes", "a", "--out", tmp_path / "out", code=4)
    assert "images/val0" in capsys.readouterr().err
    predict("val.txt", "--ids", "val.txt", "--out", tmp_path / "out", code=4)
    assert "val.txt" in capsys.readouterr().err
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
    printed, said = capsys.readouterr()
    assert f"truncated-image: {mixed}/b.jpg" in said
    assert f"not-an-image: {mixed}/c.png" in said
    assert "not read" in printed
    assert "passed over" in printed
    document = read(out)
    assert [image["image"] for image in document["images"]] == [f"{mixed}/a.jpg", f"{mixed}/deep/a.jpg"]
    assert [image["id"] for image in document["images"]] == [1, 4]
    assert [problem["rule"] for problem in document["problems"]] == ["truncated-image", "not-an-image"]
    assert document["complete"] is False
    assert pictures(out) == ["drawn/a.jpg", "drawn/deep/a.jpg", "predictions.json"]
    predict(mixed / "b.jpg", mixed / "c.png", "--out", tmp_path / "none", code=4)
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
    assert f"{tmp_path}/a/drawn/same.jpg" in capsys.readouterr().err
    assert (tmp_path / "a/drawn/same.jpg").read_bytes() == before
    predict(tmp_path / "a", "--recursive", "--out", tmp_path / "a")
    assert [image["image"] for image in read(tmp_path / "a")["images"]] == [f"{tmp_path}/a/same.jpg"]


CODECS = {".mp4": "mp4v", ".avi": "MJPG"}


def make_video(path: Path, frames: int = 21) -> None:
    files = sorted(Path("images").glob("*.jpg"))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*CODECS[path.suffix]), 10, (96, 64))
    for number in range(frames):
        writer.write(cv2.resize(cv2.imread(str(files[number % len(files)])), (96, 64)))
    writer.release()


def test_videos_whole_and_broken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_video(tmp_path / "whole.mp4")
    make_video(tmp_path / "cut.avi")
    (tmp_path / "cut.avi").write_bytes(
        (tmp_path / "cut.avi").read_bytes()[: -(tmp_path / "cut.avi").stat().st_size // 3]
    )
    (tmp_path / "none.mkv").write_bytes(b"none")
    out = tmp_path / "out"
    predict(tmp_path, sorted(Path("images").glob("*"))[0], "--out", out, "--coco", "--csv", code=1)
    printed, said = capsys.readouterr()
    assert f"short-video: {tmp_path}/cut.avi" in said
    assert f"unreadable-video: {tmp_path}/none.mkv" in said
    assert "not in coco.json" in printed
    document = read(out)
    assert [problem["rule"] for problem in document["problems"]] == ["short-video", "unreadable-video"]
    assert len(document["images"]) == 1
    cut, whole = document["videos"]
    assert [frame["frame"] for frame in whole["frames"]] == list(range(21))
    assert 3 < len(cut["frames"]) < 21
    for video in (cut, whole):
        assert video["drawn"] == f"drawn/{Path(video['video']).name}.webm"
        assert frames_in(out / video["drawn"]) == len(video["frames"])
    lines = csv_lines(out)
    assert {line["frame"] for line in lines if line["image"].endswith("whole.mp4")} <= {str(n) for n in range(21)}
    predict(tmp_path / "whole.mp4", "--max-frames", 5, "--no-draw", "--out", tmp_path / "five")
    assert pictures(tmp_path / "five") == ["predictions.json"]
    assert len(read(tmp_path / "five")["videos"][0]["frames"]) == 5


def frames_in(path: Path) -> int:
    return int(cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT))


class Camera:
    """A camera made of a video; after some frames it stops, or its driver raises."""

    def __init__(self, file: Path, frames: int = 10**9, error: Exception | None = None) -> None:
        self.file, self.left, self.error = cv2.VideoCapture(str(file)), frames, error
        self.isOpened, self.release = self.file.isOpened, self.file.release

    def get(self, what: int) -> float:
        return 0.0 if what == cv2.CAP_PROP_FRAME_COUNT else self.file.get(what)

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.left -= 1
        if self.left < 0 and self.error:
            raise self.error
        return self.file.read() if self.left >= 0 else (False, None)


def test_cameras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    make_video(tmp_path / "whole.avi", 9)
    cameras = {
        0: Camera(tmp_path / "whole.avi"),
        1: Camera(tmp_path / "whole.avi", 5, cv2.error("the driver failed")),
        2: Camera(tmp_path / "whole.avi", 3),
    }
    real = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", lambda source: cameras.get(source) or real(source))
    predict("1", "2", "0", "77", "--max-frames", 7, "--out", tmp_path / "out", code=1)
    document = read(tmp_path / "out")
    assert {video["video"]: len(video["frames"]) for video in document["videos"]} == {
        "camera 1": 5,
        "camera 2": 3,
        "camera 0": 7,
    }, "what a camera gave before it failed is kept, and the others go on"
    assert [(problem["path"], problem["rule"]) for problem in document["problems"]] == [
        ("camera 1", "short-video"),
        ("camera 2", "short-video"),
        ("camera 77", "unreadable-video"),
    ]
    assert document["complete"] is False
    for video in document["videos"]:
        assert video["drawn"] == f"drawn/{video['video']}.webm"
        assert frames_in(tmp_path / "out" / video["drawn"]) == len(video["frames"])
    predict("77", "--out", tmp_path / "none", code=4)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("source", ["images", "video"])
@pytest.mark.parametrize("ending", ["Ctrl-C", "SIGTERM", "full disk"])
def test_whatever_ends_a_run_what_was_found_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], source: str, ending: str
) -> None:
    make_video(tmp_path / "v.mp4")
    result = run.PictureResult
    good, sent = 9, []

    def end(path: str, number: int, *arguments: Any, **options: Any) -> Any:
        if number >= good + (source == "images"):  # images count from 1, frames from 0
            if ending == "full disk":
                raise OSError(errno.ENOSPC, "No space left on device")
            if ending == "Ctrl-C":
                raise KeyboardInterrupt
            if not sent:
                sent.append(os.kill(os.getpid(), signal.SIGTERM))
        return result(path, number, *arguments, **options)

    code = 5 if ending == "full disk" else 130
    what = "images" if source == "images" else tmp_path / "v.mp4"
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(run, "PictureResult", end)
    predict(what, "--out", tmp_path / "out", "--csv", "--coco", code=code)
    document = read(tmp_path / "out")
    count = len(document["images"]) if source == "images" else len(document["videos"][0]["frames"])
    assert 0 < count < 21 if ending == "SIGTERM" else count == good
    assert str(count) in capsys.readouterr().err.split()
    assert (document["complete"], document["interrupted"]) == (False, ending != "full disk")
    if source == "video":
        assert frames_in(tmp_path / "out/drawn/v.mp4.webm") >= count
    assert len(csv_lines(tmp_path / "out")) == sum(
        len(picture["detections"]) for picture in document["images"] or document["videos"][0]["frames"]
    )
    assert not [name for name in pictures(tmp_path / "out") if ".partial" in name]
    assert signal.getsignal(signal.SIGTERM) == before
    if ending == "SIGTERM":  # sent from a thread: which picture it meets is not known
        return
    good = 0
    predict(what, "--out", tmp_path / "nothing", code=code)
    assert not (tmp_path / "nothing/predictions.json").exists()


@pytest.mark.parametrize("source", ["images", "video"])
def test_few_results_are_in_memory_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """As many as are drawn ahead of their turn, not as many as there are pictures."""
    make_video(tmp_path / "v.mp4", 60)
    alive = most = 0
    result = run.PictureResult

    def gone() -> None:
        nonlocal alive
        alive -= 1

    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal most, alive
        made = result(*arguments, **options)
        alive += 1
        weakref.finalize(made, gone)
        most = max(most, alive)
        return made

    monkeypatch.setattr(run, "PictureResult", counted)
    what = "images" if source == "images" else tmp_path / "v.mp4"
    predict(what, "--batch", 2, "--no-draw", "--csv", "--out", tmp_path / "out")
    assert 0 < most <= 2 + run.DRAW_THREADS + 2


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["val.txt", "--classes", "a,bb"], 2, ["'bb'", "'b'?)", "a, b, c"]),
        (["val.txt", "--classes", 'a, "b, big"'], 2, ["'b, big'"]),
        (["val.txt", "--out", "val.txt"], 2, ["--out", "val.txt"]),
        (["nowhere.jpg"], 4, ["nowhere.jpg"]),
        (["val.txt", "--model", "nowhere.weights.h5"], 4, ["nowhere.weights.h5"]),
        (["val.txt", "--model", "val.txt"], 4, ["val.txt"]),
        (["val.txt", "--min-score", "2"], 2, ["--min-score"]),
        ([], 2, ["PATH"]),
    ],
)
def test_wrong_calls(arguments: list[str], code: int, named: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    predict(*arguments, code=code)
    said = capsys.readouterr().err
    assert [word for word in named if word not in said] == []
    assert not Path("predicted").exists()
