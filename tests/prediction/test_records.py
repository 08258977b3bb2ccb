from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from yolopipe.detection.detector import ImagePrediction
from yolopipe.errors import DataError
from yolopipe.prediction.records import (
    CocoIds,
    Looked,
    coco_results,
    csv_text,
    document,
    document_text,
    read_coco_ids,
)

FOUND = ImagePrediction(
    np.float32([[0.1, 2, 30.25, 40], [1, 1, 2, 2]]),
    np.float32([0.9, 0.3]),
    np.array([1, 0]),
    ('a, "b"', "ç"),
    (50, 60),
)
NOTHING = ImagePrediction(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), (), (5, 6))
LOOKED = [Looked("é/1.jpg", 1, FOUND), Looked("2.jpg", 3, NOTHING), Looked("v.mp4", 0, FOUND, of_video=True)]


def test_numbers_are_the_shortest_that_give_the_same_float() -> None:
    lines = csv_text(LOOKED).splitlines()
    assert lines[1:3] == ['é/1.jpg,,"a, ""b""",0.9,0.1,2.0,30.25,40.0', "é/1.jpg,,ç,0.3,1.0,1.0,2.0,2.0"]
    assert lines[3].startswith("v.mp4,0,")
    assert len(lines) == 5


def test_the_document_keeps_pictures_without_detections() -> None:
    made = document(LOOKED, {"2.jpg": "drawn/2.jpg"}, {"complete": True})
    assert json.loads(document_text(made)) == made
    assert [image["id"] for image in made["images"]] == [1, 3]
    assert made["images"][1] == {
        "image": "2.jpg",
        "id": 3,
        "width": 5,
        "height": 6,
        "drawn": "drawn/2.jpg",
        "detections": [],
    }
    assert made["videos"][0]["frames"][0]["frame"] == 0
    assert json.loads(document_text(document([], {}, {}))) == {"images": [], "videos": []}


def test_coco_results_leave_frames_out() -> None:
    results = json.loads(coco_results(LOOKED, CocoIds()))
    assert [(one["image_id"], one["category_id"]) for one in results] == [(1, 2), (1, 1)]
    assert results[0]["bbox"] == pytest.approx([0.1, 2, 30.15, 38])
    assert json.loads(coco_results([], CocoIds())) == []


def test_ids_by_name(tmp_path: Path) -> None:
    file = tmp_path / "truth.json"
    names = ["x/1.jpg", "y/1.jpg", "z/2.jpg", "plain.jpg"]
    images = [{"id": f"id {name}", "file_name": name} for name in names]
    categories = [{"id": 7, "name": "ç"}, {"id": 9, "name": 'a, "b"'}]
    file.write_text(json.dumps({"images": images, "categories": categories}))
    ids = read_coco_ids(file, FOUND.names)
    assert ids.image("./x/1.jpg", 1) == "id x/1.jpg"
    assert ids.image("/data/set/z/2.jpg", 1) == "id z/2.jpg"
    assert ids.image("2.jpg", 1) == "id z/2.jpg"
    assert (ids.category("ç", 0), ids.category('a, "b"', 1)) == (7, 9)
    for path, sentence in (("1.jpg", "it is 2 images there: x/1.jpg, y/1.jpg"), ("ain.jpg", "it is not there")):
        with pytest.raises(DataError, match=sentence):
            ids.image(path, 1)
    with pytest.raises(DataError, match=r"has no category dog; it has ç, a"):
        read_coco_ids(file, ["dog"])


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"images": [1], "categories": []}'])
def test_what_is_no_truth(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(DataError, match="expected COCO's annotations"):
        read_coco_ids(tmp_path / "t.json", [])
    with pytest.raises(DataError, match="cannot read"):
        read_coco_ids(tmp_path / "nowhere.json", [])
