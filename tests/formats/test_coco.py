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

from yolopipe.formats.coco import CocoFile, bbox_text, corners_of, read_coco

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
    crowd = annotation(3, iscrowd=1, bbox="any", segmentation={"counts": [1, 2], "size": [2, 2]})
    coco = read_coco(write(tmp_path, [annotation(1), annotation(2, image_id=7, bbox=[0.1, 0.2, 0.6, 1e2]), crowd]))
    assert rules(coco) == []
    assert [(i, image.file_name, image.size_wh, image.place) for i, image in coco.images.items()] == [
        (30, "a b.jpg", (64, 48), (2, 1)),
        (7, "ö.png", (0, 0), (3, 1)),
    ]
    assert {number: name for number, (name, _) in coco.categories.items()} == {90: "cat", 3: "stop sign"}
    assert coco.boxes_xyxy.tolist() == [[1, 2, 4, 6], [0.1, 0.2, 0.7, 100.2]]
    assert coco.image_ids.tolist() == [30, 7]
    assert coco.places.tolist() == [[10, 1], [11, 1]]
    assert coco.crowds == [30]


def test_the_lists_may_come_in_any_order_and_be_empty(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps({"annotations": [annotation(1)], "categories": CATEGORIES, "images": IMAGES, "x": 1}))
    assert read_coco(file).boxes_xyxy.tolist() == [[1, 2, 4, 6]]
    empty = read_coco(write(tmp_path, images=[], categories=[]))
    assert (rules(empty), empty.boxes_xyxy.shape, empty.places.shape) == ([], (0, 4), (0, 2))


@pytest.mark.parametrize(
    ("record", "rule", "words"),
    [
        ([1], "bad-record", "expected an object"),
        (annotation(True), "bad-record", "'id' should be a whole number, found True"),
        (annotation("7"), "bad-record", "annotation '7'"),
        (annotation(2**63), "bad-record", "'id'"),
        (annotation(5, image_id=30.0), "bad-record", "annotation 5: 'image_id'"),
        (annotation(5, category_id=None), "bad-record", "'category_id'"),
        ({"id": 5, "bbox": [1, 2, 3, 4]}, "missing-key", "annotation 5 has no 'image_id' and no 'category_id'"),
        (
            {"image_id": 30, "category_id": 3, "bbox": [1, 2, 3, 4]},
            "missing-key",
            "annotation without id has no 'id'",
        ),
        (annotation(5, bbox=None), "bad-box", "'bbox' should be a list"),
        (annotation(5, bbox=[]), "bad-box", "0 values"),
        (annotation(5, bbox=[1, 2, 3]), "bad-box", "annotation 5: 'bbox' has 3 values"),
        (annotation(5, bbox=[1, "2", 3, 4]), "bad-box", "'2' in 'bbox' is not a number"),
        (annotation(5, bbox=[1, True, 3, 4]), "bad-box", "True"),
        (annotation(5, bbox=[1, [2], 3, 4]), "bad-box", "[2]"),
        (annotation(5, bbox=[1, float("nan"), 3, 4]), "bad-box", "nan"),
        (annotation(5, bbox=[1, float("inf"), 3, 4]), "bad-box", "inf"),
        (annotation(5, bbox=[1, 10**400, 3, 4]), "bad-box", "too large"),
        (annotation(5, bbox=[1, 2, -3, 4]), "bad-box", "negative size -3 x 4"),
        (annotation(5, bbox=[1, 2, 3, -0.5]), "bad-box", "negative size 3 x -0.5"),
        (annotation(5, image_id=31), "unknown-image", "annotation 5: there is no image with id 31"),
        (annotation(5, category_id=4), "unknown-category", "annotation 5: there is no category with id 4"),
        (annotation(1), "duplicate-id", "annotation id 1"),
    ],
)
def test_broken_annotations_are_named_and_the_rest_is_read(
    tmp_path: Path, record: Any, rule: str, words: str
) -> None:
    coco = read_coco(write(tmp_path, [annotation(1), record, annotation(9)]))
    assert rules(coco) == [(11, rule)]
    assert words in coco.problems[0].message
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
    for image in ours.images:
        mine = ours.image_ids == image
        loaded = theirs.loadAnns(theirs.getAnnIds(imgIds=[image]))
        assert ours.category_ids[mine].tolist() == [entry["category_id"] for entry in loaded]
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
