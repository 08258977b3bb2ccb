"""One picture as JSON, CSV and COCO, and the three files of many."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest

from yolopipe.detection.detector import ImagePrediction
from yolopipe.errors import ImageError
from yolopipe.prediction.coco_ids import CocoIds
from yolopipe.prediction.prediction_files import PredictionFiles
from yolopipe.prediction.records import CSV_HEADER, PictureResult, coco_records, csv_lines

FOUND = ImagePrediction(
    np.float32([[0.1, 2, 30.25, 40], [1, 1, 2, 2]]),
    np.float32([0.9, 0.3]),
    np.array([1, 0]),
    ('a, "b"', "ç"),
    (50, 60),
)
NOTHING = ImagePrediction(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), (), (5, 6))
RESULTS = [
    PictureResult("é/1.jpg", 1, FOUND),
    PictureResult("2.jpg", 3, NOTHING, "drawn/2.jpg"),
    PictureResult("v.mp4", 0, FOUND, of_video=True),
    PictureResult("v.mp4", 1, NOTHING, of_video=True),
    PictureResult("camera 0", 0, NOTHING, "drawn/camera 0.webm", of_video=True),
]


def test_numbers_are_the_shortest_that_give_the_same_float() -> None:
    assert csv_lines(RESULTS[0]) == 'é/1.jpg,,"a, ""b""",0.9,0.1,2.0,30.25,40.0\né/1.jpg,,ç,0.3,1.0,1.0,2.0,2.0\n'
    assert csv_lines(RESULTS[1]) == ""
    assert csv_lines(RESULTS[2]).startswith("v.mp4,0,")


def test_coco_boxes_are_corner_and_size() -> None:
    results = [json.loads(text) for text in coco_records(RESULTS[0], CocoIds(), "id")]
    assert [(one["image_id"], one["category_id"]) for one in results] == [("id", 2), ("id", 1)]
    assert results[0]["bbox"] == pytest.approx([0.1, 2, 30.15, 38])


def files(folder: Path, image_ids: tuple[int, ...] = ()) -> PredictionFiles:
    names = {"csv_file": folder / "p.csv", "coco_file": folder / "c.json"}
    return PredictionFiles(folder / "p.json", {"model": "m ü", "classes": ["ç"]}, **names, image_ids=image_ids)


def plain_document(results: list[PictureResult]) -> dict[str, list]:
    """``images`` and ``videos`` as lists in memory."""
    images, videos = [], {}
    for one in results:
        size = {"width": one.found.size_wh[0], "height": one.found.size_wh[1]}
        head = size | ({"drawn": one.drawn} if one.drawn else {})
        rows = zip(one.found.names, one.found.scores, one.found.boxes_xyxy, strict=True)
        detections = [
            {"class": name, "score": float(str(score)), "box_xyxy": [float(str(side)) for side in box]}
            for name, score, box in rows
        ]
        if one.of_video:
            video = videos.setdefault(one.path, {"video": one.path, **head, "frames": []})
            video["frames"].append({"frame": one.number, "detections": detections})
        else:
            images.append({"image": one.path, "id": one.number, **head, "detections": detections})
    return {"images": images, "videos": list(videos.values())}


@pytest.mark.parametrize("count", range(1, len(RESULTS) + 1))
@pytest.mark.parametrize("first", [0, 2])
def test_the_files_hold_what_came_at_any_time(tmp_path: Path, first: int, count: int) -> None:
    """Read while the run works, as after ``kill -9``, and when it ended; with and without images before videos."""
    results = RESULTS[first : first + count]
    writer = files(tmp_path, image_ids=(11, 12, 13))
    for result in results:
        writer.add(result)
    writer.add_problem("x.png", ImageError("not-an-image", "x.png: ü"))
    boxes = sum(len(one.found) for one in results if not one.of_video)
    for prefix in (".partial-", ""):
        document = json.loads((tmp_path / f"{prefix}p.json").read_text(encoding="utf-8"))
        assert {name: document[name] for name in ("images", "videos")} == plain_document(results)
        assert (document["model"], document["complete"], document["interrupted"]) == ("m ü", False, not prefix)
        rows = list(
            csv.DictReader(io.StringIO((tmp_path / f"{prefix}p.csv").read_text(encoding="utf-8"), newline=""))
        )
        assert len(rows) == sum(len(one.found) for one in results)
        coco = json.loads((tmp_path / f"{prefix}c.json").read_text(encoding="utf-8"))
        assert [one["image_id"] for one in coco] == [11] * boxes
        if prefix:
            writer.close(complete=False, interrupted=True)
    assert document["problems"] == [{"path": "x.png", "rule": "not-an-image", "message": "x.png: ü"}]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.json", "p.csv", "p.json"]


def test_complete_when_all_was_read(tmp_path: Path) -> None:
    writer = files(tmp_path)
    writer.add(RESULTS[1])
    writer.close(complete=True, interrupted=False)
    document = json.loads((tmp_path / "p.json").read_text())
    assert (document["complete"], document["interrupted"], document["problems"]) == (True, False, [])
    assert (tmp_path / "p.csv").read_text() == CSV_HEADER
    assert json.loads((tmp_path / "c.json").read_text()) == []
    assert (writer.images, writer.images_without_detections, writer.frames) == (1, 1, 0)


def test_without_a_picture_there_is_no_file(tmp_path: Path) -> None:
    writer = files(tmp_path)
    writer.add_problem("x.png", ImageError("not-an-image", ""))
    writer.close(complete=True, interrupted=False)
    assert not list(tmp_path.iterdir())


def fill_disk(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """So many writes go well; then no file can grow, and what lies on the disk can be written over."""
    real, writes, sizes = os.pwrite, 0, {}

    def limited(handle: int, content: bytes, place: int) -> int:
        nonlocal writes
        writes += 1
        room = len(content) if writes <= after else sizes.get(handle, 0) - place
        if room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        done = real(handle, content[:room], place)
        sizes[handle] = max(sizes.get(handle, 0), place + done)
        return done

    monkeypatch.setattr(os, "pwrite", limited)


@pytest.mark.parametrize("good_writes", range(13))
def test_the_disk_is_full_from_some_write_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, good_writes: int
) -> None:
    """Whichever write is the first to fail, each file can be read and none claims to be complete."""
    fill_disk(monkeypatch, good_writes)
    writer = files(tmp_path)
    writer.add_problem("x.png", ImageError("not-an-image", "too long for the room of the ending"))
    added, failures = 0, []
    try:
        for result in RESULTS:
            writer.add(result)
            added += 1
    except OSError as error:
        failures.append(error)
    try:
        writer.close(complete=not failures, interrupted=False)
    except OSError as error:
        failures.append(error)
    monkeypatch.undo()
    assert {error.errno for error in failures} == {errno.ENOSPC}
    if not added:
        assert not list(tmp_path.iterdir())
        return
    document = json.loads((tmp_path / "p.json").read_text())
    pictures = {name: document[name] for name in ("images", "videos")}
    assert pictures in [plain_document(RESULTS[: added + extra]) for extra in (0, 1)]
    assert document["complete"] is False
    assert (tmp_path / "p.csv").read_text().startswith(CSV_HEADER)
    assert len(json.loads((tmp_path / "c.json").read_text())) == 2
