"""The COCO reader against pycocotools, a list of broken records, and the exactness of sizes."""

from __future__ import annotations

import contextlib
import io
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolopipe.formats.coco import CocoFile, read_coco, read_coco_names, read_coco_results, read_coco_truth
from yolopipe.formats.coco_records import bbox_text, corners_of

IMAGES = [{"id": 30, "file_name": "a b.jpg", "width": 64, "height": 48}, {"id": 7, "file_name": "ö.png"}]
CATEGORIES = [{"id": 90, "name": "cat"}, {"id": 3, "name": "stop sign"}]


def annotation(number: Any, **changes: Any) -> dict[str, Any]:
    return {"id": number, "image_id": 30, "category_id": 3, "bbox": [1, 2, 3, 4]} | changes


def write(folder: Path, annotations: Any = (), images: Any = IMAGES, categories: Any = CATEGORIES) -> Path:
    """One record a line: images from line 2, categories from 4 more, annotations last."""
    lists = {"images": images, "categories": categories, "annotations": list(annotations)}
    text = ",\n".join(f'"{k}": [\n' + ",\n".join(map(json.dumps, v)) + "\n]" for k, v in lists.items())
    file = folder / "a.json"
    file.write_text("{" + text + "}", encoding="utf-8")
    return file


def rules(coco: CocoFile) -> list[tuple[int, str]]:
    return [(p.line, p.rule) for p in coco.problems]


def test_images_categories_and_boxes(tmp_path: Path) -> None:
    crowd = annotation(3, iscrowd=1, bbox=[], segmentation={"counts": [1, 2], "size": [2, 2]})
    coco = read_coco(write(tmp_path, [annotation(1), annotation(2, image_id=7, bbox=[0.1, 0.2, 0.6, 1e2]), crowd]))
    assert rules(coco) == []
    assert [(i, image.file_name, image.size_wh, image.place) for i, image in coco.images.items()] == [
        (30, "a b.jpg", (64, 48), (2, 1)),
        (7, "ö.png", (0, 0), (3, 1)),
    ]
    assert {number: name for number, (name, _) in coco.categories.items()} == {90: "cat", 3: "stop sign"}
    assert coco.boxes_xyxy.tolist() == [[1, 2, 4, 6], [0.1, 0.2, 0.7, 100.2], [0, 0, 2, 2]]
    assert coco.image.tolist() == [0, 1, 0]
    assert coco.category.tolist() == [1, 1, 1]
    assert coco.places.tolist() == [[10, 1], [11, 1], [12, 1]]
    assert coco.crowd.tolist() == [False, False, True]


def test_the_lists_may_come_in_any_order_and_be_empty(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps({"annotations": [annotation(1)], "categories": CATEGORIES, "images": IMAGES, "x": 1}))
    assert read_coco(file).boxes_xyxy.tolist() == [[1, 2, 4, 6]]
    empty = read_coco(write(tmp_path, images=[], categories=[]))
    assert (rules(empty), empty.boxes_xyxy.shape, empty.places.shape) == ([], (0, 4), (0, 2))


@pytest.mark.parametrize(
    ("record", "rules_found"),
    [
        ([1], ["bad-record"]),
        (annotation(True), ["bad-record"]),
        (annotation(2**63), ["bad-record"]),
        (annotation("1"), ["duplicate-id"]),
        (annotation(5, category_id=None), ["bad-record"]),
        (annotation(5, category_id=None, bbox=[1]), ["bad-record", "bad-box"]),
        ({"id": 5, "bbox": [1, 2, 3, 4]}, ["missing-key"]),
        ({"image_id": 30, "category_id": 3, "bbox": [1, 2, 3, 4]}, ["missing-key"]),
        (annotation(5, bbox=None), ["bad-box"]),
        (annotation(5, bbox=[]), ["bad-box"]),
        (annotation(5, bbox=[1, 2, 3]), ["bad-box"]),
        (annotation(5, bbox=[1, "2", 3, 4]), ["bad-box"]),
        (annotation(5, bbox=[1, True, 3, 4]), ["bad-box"]),
        (annotation(5, bbox=[1, [2], 3, 4]), ["bad-box"]),
        (annotation(5, bbox=[1, float("nan"), 3, 4]), ["bad-box"]),
        (annotation(5, bbox=[1, float("inf"), 3, 4]), ["bad-box"]),
        (annotation(5, bbox=[1, 10**400, 3, 4]), ["bad-box"]),
        (annotation(5, bbox=[1, 2, -3, 4]), ["bad-box"]),
        (annotation(5, bbox=[1, 2, 3, -0.5]), ["bad-box"]),
        (annotation(5, image_id=31), ["unknown-image"]),
        (annotation(5, category_id=4), ["unknown-category"]),
        (annotation(1), ["duplicate-id"]),
    ],
)
def test_broken_annotations_are_named_and_the_rest_is_read(
    tmp_path: Path, record: Any, rules_found: list[str]
) -> None:
    coco = read_coco(write(tmp_path, [annotation(1), record, annotation(9)]))
    assert rules(coco) == [(11, rule) for rule in rules_found]
    assert coco.boxes_xyxy.tolist() == [[1, 2, 4, 6]] * 2


@pytest.mark.parametrize(
    ("key", "record", "rule"),
    [
        ("images", 3, "bad-record"),
        ("images", {"id": 1}, "missing-key"),
        ("images", {"id": 30, "file_name": "other.jpg"}, "duplicate-id"),
        ("images", {"id": 1, "file_name": " "}, "bad-record"),
        ("images", {"id": 1, "file_name": 5}, "bad-record"),
        ("categories", {"id": 1}, "missing-key"),
        ("categories", {"id": 90, "name": "dog"}, "duplicate-id"),
        ("categories", {"id": 1, "name": "cat"}, "duplicate-id"),
        ("categories", {"id": 1, "name": ""}, "no-class-name"),
        ("categories", {"id": 1, "name": "a\nb"}, "no-class-name"),
        ("categories", {"id": 1, "name": "half a character: \ud800"}, "bad-record"),
        ("images", {"id": 1, "file_name": "\ud800.jpg"}, "bad-record"),
    ],
)
def test_broken_images_and_categories(tmp_path: Path, key: str, record: Any, rule: str) -> None:
    lists = {"images": IMAGES, "categories": CATEGORIES}
    lists[key] = [*lists[key], record]
    coco = read_coco(write(tmp_path, [annotation(1)], **lists))
    assert rules(coco) == [(4 if key == "images" else 8, rule)]
    assert len(coco.boxes_xyxy) == 1


def test_a_cut_file_is_one_problem_not_thousands(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    text = json.dumps({"annotations": [annotation(n) for n in range(50)], "categories": CATEGORIES, "images": IMAGES})
    for length in range(0, len(text) - 1, 97):
        file.write_text(text[:length])
        assert [rule for _, rule in rules(read_coco(file))] == ["bad-json"]
    file.write_text('{"images": []}')
    assert [rule for _, rule in rules(read_coco(file))] == ["missing-key", "missing-key"]


NUMBERS = st.floats(0, 5000) | st.integers(0, 5000)


@given(
    st.lists(
        st.tuples(st.sampled_from([30, 7]), st.sampled_from([90, 3]), st.lists(NUMBERS, min_size=4, max_size=4)),
        max_size=8,
    )
)
def test_pycocotools_reads_the_same(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]) -> None:
    from pycocotools.coco import COCO

    annotations = [
        annotation(n, image_id=i, category_id=c, bbox=b, iscrowd=0, area=1) for n, (i, c, b) in enumerate(rows)
    ]
    file = write(tmp_path_factory.mktemp("c"), annotations)
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = COCO(file)
    ours = read_coco(file)
    categories = list(ours.categories)
    for position, image in enumerate(ours.images):
        mine = ours.image == position
        loaded = theirs.loadAnns(theirs.getAnnIds(imgIds=[image]))
        assert [categories[place] for place in ours.category[mine]] == [entry["category_id"] for entry in loaded]
        x, y, width, height = np.array([entry["bbox"] for entry in loaded], float).reshape(-1, 4).T
        expected = np.stack([x, y, x + width, y + height], axis=1)
        np.testing.assert_allclose(ours.boxes_xyxy[mine], expected, rtol=1e-15, atol=0)  # sums of floats are rounded


ANY = (
    st.floats(-1e9, 1e9)
    | st.floats(-1e4, 1e4).map(lambda value: round(value, 2))
    | st.integers(-9999, 9999).map(float)
)


@given(st.lists(ANY, min_size=4, max_size=4))
def test_written_boxes_are_read_back_to_the_last_bit(values: list[float]) -> None:
    """Any corners, also left of the image and with sums of which float arithmetic misses the last bit."""
    x1, x2, y1, y2 = *sorted(values[:2]), *sorted(values[2:])
    text = f'{{"id": 1, "bbox": {bbox_text([x1, y1, x2, y2])}}}'
    bbox = json.loads(text)["bbox"]
    assert list(corners_of(bbox, text)) == [x1, y1, x2, y2]
    assert bbox[:2] == [x1, y1]
    assert bbox[2:] == [float(Fraction(repr(b)) - Fraction(repr(a))) for a, b in ((x1, x2), (y1, y2))]


def test_another_bbox_inside_a_record_is_not_taken() -> None:
    text = '{"attributes": {"bbox": [9, 9, 9, 9]}, "bbox": [0.1, 0, 0.2, 1]}'
    assert corners_of([0.1, 0, 0.2, 1], text) == (0.1, 0, 0.3, 1)
    assert corners_of([0.1, 0, 0.2, 1], '{"\\u0062box": [0.1, 0, 0.2, 1]}') == (0.1, 0, 0.3, 1)


def results_file(folder: Path, *records: object) -> Path:
    file = folder / "results.json"
    file.write_text("[\n" + ",\n".join(map(json.dumps, records)) + "\n]")
    return file


RESULT = {"image_id": 7, "category_id": 3, "bbox": [1, 2, 3, 4], "score": 0.5}


@pytest.mark.parametrize(
    ("record", "rule"),
    [
        (5, "bad-record"),
        ({**RESULT, "image_id": [7]}, "bad-record"),
        ({**RESULT, "image_id": None}, "bad-record"),
        ({**RESULT, "image_id": 8}, "unknown-image"),
        ({**RESULT, "image_id": "007"}, "unknown-image"),
        ({**RESULT, "category_id": 2}, "unknown-category"),
        ({"score": 1}, "missing-key"),
        ({**RESULT, "score": float("nan")}, "bad-score"),
        ({**RESULT, "score": "0.5"}, "bad-score"),
        ({**RESULT, "score": True}, "bad-score"),
        ({**RESULT, "score": 10**400}, "bad-score"),
        ({**RESULT, "bbox": [1, 2, float("inf"), 4]}, "bad-box"),
        ({**RESULT, "bbox": "\ud800"}, "bad-box"),
    ],
)
def test_broken_results_are_named_and_the_rest_is_read(tmp_path: Path, record: Any, rule: str) -> None:
    """One reader for ``import`` and ``score``: the same rules, the same kind of place."""
    truth = read_coco_truth(write(tmp_path)).coco
    found = read_coco_results(results_file(tmp_path, RESULT, record, RESULT), truth)
    assert [(p.file, p.line, p.column, p.rule) for p in found.problems] == [
        (str(tmp_path / "results.json"), 3, 1, rule)
    ]
    assert found.boxes_xyxy.tolist() == [[1, 2, 4, 6]] * 2
    assert (found.image.tolist(), found.category.tolist(), found.scores.tolist()) == ([1, 1], [1, 1], [0.5, 0.5])


@pytest.mark.parametrize("form", [7, "7", 7.0])
@pytest.mark.parametrize("listed", [7, "7"])
def test_an_id_is_the_same_as_number_and_as_text(tmp_path: Path, form: object, listed: object) -> None:
    truth = read_coco_truth(write(tmp_path, [{**RESULT, "image_id": form}], [{"id": 30}, {"id": listed}]))
    found = read_coco_results(results_file(tmp_path, {**RESULT, "image_id": form}), truth.coco)
    assert (truth.coco.problems, found.problems) == ([], [])
    assert (truth.coco.image.tolist(), found.image.tolist()) == ([1], [1])
    assert list(truth.coco.images) == [30, listed]


def test_truth_to_score_against(tmp_path: Path) -> None:
    """Ids of annotations are not used, crowds are boxes, a category without a name is called by its id."""
    marked = {"iscrowd": 1, "difficult": True, "area": 2.5}
    file = write(tmp_path, [annotation(1), annotation(1, **marked)], categories=[{"id": 90}, {"id": 3, "name": "b"}])
    truth = read_coco_truth(file)
    assert truth.coco.problems == []
    assert (truth.area.tolist(), truth.crowd.tolist(), truth.difficult.tolist()) == ([12, 2.5], [0, 1], [0, 1])
    assert truth.sizes_wh.tolist() == [[3, 4]] * 2
    assert [name for name, _ in truth.coco.categories.values()] == ["90", "b"]
    for change, rule in (({"area": -1}, "bad-area"), ({"iscrowd": 2}, "bad-flag"), ({"difficult": "no"}, "bad-flag")):
        assert rules(read_coco_truth(write(tmp_path, [annotation(1, **change)])).coco) == [(10, rule)]
    ids = read_coco_truth(write(tmp_path, images=[{"id": 9}, {"id": "9"}, {"id": None}], categories=[{}])).coco
    assert rules(ids) == [(3, "duplicate-id"), (4, "bad-record"), (7, "missing-key")]


def test_names_alone(tmp_path: Path) -> None:
    """Boxes are not read, and ids stay as written."""
    coco = read_coco_names(write(tmp_path, ["broken"], [{"id": "7", "file_name": "a.jpg"}, {"id": 8}]))
    assert [(number, image.file_name) for number, image in coco.images.items()] == [("7", "a.jpg")]
    assert rules(coco) == [(3, "missing-key")]
    assert list(coco.categories) == [90, 3]
