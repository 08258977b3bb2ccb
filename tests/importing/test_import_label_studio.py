from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.drawn_sets import draw_pictures, faults_of, text_of
from yolopipe.errors import DataError
from yolopipe.importing.import_data import import_data


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    draw_pictures(Path("set/images"), "a 1.png", "b.png")


def region(x: Any = 10, y: Any = 25, width: Any = 50, height: Any = 50, **changes: Any) -> dict[str, Any]:
    """By default 10,20,60,60 of 100x80 px."""
    value = {"x": x, "y": y, "width": width, "height": height, "rotation": 0, "rectanglelabels": ["cat"]}
    value |= changes
    return {"id": "r", "type": "rectanglelabels", "original_width": 100, "original_height": 80, "value": value}


def annotation(*results: Any, **changes: Any) -> dict[str, Any]:
    return {"id": 1, "was_cancelled": False, "ground_truth": False, "result": list(results), **changes}


def task(*annotations: Any, image: Any = "/data/upload/1/0f1e2d3c-a 1.png", **changes: Any) -> dict[str, Any]:
    return {"id": 1, "data": {"image": image}, "annotations": list(annotations), "predictions": [{}], **changes}


def write(*tasks: Any) -> None:
    """A task a line, from line 2 on."""
    text = "[\n" + ",\n".join(json.dumps(one) for one in tasks) + "\n]"
    Path("set/export.json").write_text(text, encoding="utf-8")


def counts(*keys: str) -> list[int]:
    report = import_data("label-studio", "set", "out").report["splits"]["all"]
    return [report[key] for key in keys]


def test_regions_become_bounds() -> None:
    results = [
        region(),
        region(50, 50, 20, 12.5, rotation=90),  # 20x10 px turned clockwise around (50, 40): 40,40 to 50,60
        {"type": "polygonlabels", "value": {"points": [[5, 10], [20, 30], [7, 20]], "polygonlabels": ["dog"]}},
        {
            "type": "ellipselabels",
            "value": {"x": 50, "y": 50, "radiusX": 10, "radiusY": 5, "rotation": 90, "ellipselabels": ["dog"]},
        },
        region(0, 0, 100, 100, rectanglelabels=["cat", "dog"]),
        {"type": "choices", "value": {"choices": ["night"]}},
        {"type": "keypointlabels", "value": {"x": 1, "y": 2, "width": 0.3, "keypointlabels": ["nose"]}},
        {"type": "brushlabels", "value": {"format": "rle", "rle": [1], "brushlabels": ["cat"]}},
        {"type": "relation", "from_id": "r", "to_id": "r"},
    ]
    write(task(annotation(*results)))
    keys = ("shapes_made_boxes", "several_labels", "other_results_left_out")
    assert counts(*keys) == [3, 1, 4]
    # The ellipse is 20x8 px; turned by 90 degrees 8x20 px.
    assert text_of("out/all.txt") == [
        "a 1.png 10,20,60,60,0 40,40,50,60,0 5,8,20,24,1 46,30,54,50,1 0,0,100,80,0 0,0,100,80,1"
    ]
    assert Path("out/classes.names").read_text() == "cat\ndog\n"


def test_a_rectangle_and_its_labels_may_be_two_results() -> None:
    corners = {"x": 10, "y": 25, "width": 50, "height": 50, "rotation": 0}
    pair = [{"id": "q", "type": "rectangle", "value": corners}]
    pair += [{"id": "q", "type": "labels", "value": {**corners, "labels": ["cat"]}}]
    write(task(annotation(*pair)))
    assert counts("other_results_left_out") == [0]
    assert text_of("out/all.txt") == ["a 1.png 10,20,60,60,0"]
    write(task(annotation(pair[0])))
    assert faults_of("label-studio", "set", "new") == [("set/export.json", 2, "no-class-name", "box")]


def test_one_annotation_counts() -> None:
    old, new = "2026-01-01T00:00:00.000000Z", "2026-02-01T00:00:00.000000Z"
    one = annotation(region(0), updated_at=old)
    two = annotation(region(10), updated_at=new, id=2)
    cancelled = annotation(region(20), updated_at=new, was_cancelled=True, id=3)
    for choice, x1, others in (
        ([one, two, cancelled], 10, 1),
        ([two, one], 10, 1),
        ([{**one, "ground_truth": True}, two], 0, 1),
        ([{**one, "updated_at": None}, {**two, "updated_at": None}], 10, 1),
    ):
        write(task(*choice))
        assert counts("other_annotations_left_out") == [others]
        assert text_of("out/all.txt") == [f"a 1.png {x1},20,{x1 + 50},60,0"]


def test_tasks_without_annotation_are_left_out_and_empty_ones_are_backgrounds() -> None:
    write(
        task(),
        task(annotation(was_cancelled=True), id=2),
        task(annotation(), image="images/b.png", id=3),
        task(annotation(region()), id=4),
    )
    assert counts("tasks_without_annotation", "backgrounds") == [2, 1]
    assert text_of("out/all.txt") == ["b.png", "a 1.png 10,20,60,60,0"]


def test_two_uploads_of_one_name_are_not_the_same_picture() -> None:
    write(task(annotation(region())), task(annotation(region(20)), image="/data/upload/1/deadbeef-a 1.png", id=2))
    assert faults_of("label-studio", "set", "out") == [("set/export.json", 3, "ambiguous-image", "image")]


def test_json_min() -> None:
    one = {"original_width": 100, "original_height": 80, **region()["value"]}
    first = {"image": "/data/local-files/?d=images%2Fa%201.png", "id": 1, "label": [one], "annotation_id": 5}
    second = {**first, "label": [{**one, "x": 0}], "annotation_id": 6, "updated_at": "2026-02-01T00:00:00Z"}
    background = {"image": "https://host/b.png?x=1", "id": 2, "choice": "night", "annotation_id": 7}
    write(second, {**first, "updated_at": "2026-01-01T00:00:00Z"}, background)
    assert counts("other_annotations_left_out", "backgrounds") == [1, 1]
    assert text_of("out/all.txt") == ["a 1.png 0,20,50,60,0", "b.png"]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ({"photo": "s3://b/images/a 1.png", "text": "words"}, True),
        ({"image": "a 1.png", "mask": "b.png"}, True),
        ({"left": "a 1.png", "right": "b.png"}, False),
        ({"text": "words"}, False),
        ({"image": ["a 1.png"]}, False),
    ],
)
def test_which_value_is_the_image(data: Any, found: bool) -> None:
    write(task(annotation(region()), data=data))
    if found:
        import_data("label-studio", "set", "out")
        assert text_of("out/all.txt") == ["a 1.png 10,20,60,60,0"]
    else:
        assert faults_of("label-studio", "set", "out") == [("set/export.json", 2, "bad-record", "image")]


@pytest.mark.parametrize(
    ("bad", "rule"),
    [
        (7, "bad-record"),
        (region(x="10"), "bad-box"),
        (region(x=None), "bad-box"),
        (region(x=float("inf")), "bad-box"),
        (region(width=-1), "bad-box"),
        (region(rotation="left"), "bad-box"),
        ({**region(rotation=5), "original_width": None}, "bad-box"),
        (region(rectanglelabels=[]), "no-class-name"),
        (region(rectanglelabels=["a\nb"]), "no-class-name"),
        (region(rectanglelabels="cat"), "no-class-name"),
        ({"type": "polygonlabels", "value": {"points": [[1]], "polygonlabels": ["cat"]}}, "bad-box"),
        ({"type": "polygonlabels", "value": {"points": [], "polygonlabels": ["cat"]}}, "bad-box"),
        ({"type": "polygonlabels", "value": {"points": [[1, "2"]], "polygonlabels": ["cat"]}}, "bad-box"),
    ],
)
def test_bad_results(bad: Any, rule: str) -> None:
    write(task(annotation(), image="b.png", id=2), task(annotation(bad, region(20))))
    assert faults_of("label-studio", "set", "out") == [("set/export.json", 3, rule, "box")]
    import_data("label-studio", "set", "out", on_bad="skip")
    assert text_of("out/all.txt") == ["b.png", "a 1.png 20,20,70,60,0"]


def test_bad_tasks_and_files() -> None:
    write(task(annotation(region())), 7, task(annotation(), image="no.png", id=2), task(annotation(result=5), id=3))
    assert faults_of("label-studio", "set", "out") == [
        ("set/export.json", 3, "bad-record", "image"),
        ("set/export.json", 4, "missing-image", "image"),
        ("set/export.json", 5, "bad-record", "image"),
    ]
    Path("set/export.json").write_text('[{"annotations":\n')
    assert faults_of("label-studio", "set", "out") == [("set/export.json", 2, "bad-json", "file")]
    Path("set/export.json").write_text('{"annotations": []}')
    with pytest.raises(DataError):
        import_data("label-studio", "set", "out")


def test_splits_are_words_of_the_file_name() -> None:
    write(task(annotation(region())))
    Path("set/export.json").rename("set/train-2026.json")
    import_data("label-studio", "set", "out")
    assert text_of("out/train.txt") == ["a 1.png 10,20,60,60,0"]
