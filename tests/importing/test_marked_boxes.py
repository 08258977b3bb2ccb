"""Crowds, groups and difficult objects of every format that marks them, and boxes of classes that are not wanted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.helpers.drawn_sets import text_of
from yolopipe.cli import app, guarded
from yolopipe.errors import UsageError
from yolopipe.importing.import_data import import_data
from yolopipe.importing.import_formats import IMPORTERS

CLASSES = ["cat", "dog"]


class Drawn(NamedTuple):
    name: str
    box: tuple[int, int, int, int]
    marked: bool


Pictures = dict[str, list[Drawn]]


def voc(folder: Path, pictures: Pictures) -> None:
    for name, objects in pictures.items():
        xml = "".join(
            f"<object><name>{one.name}</name><difficult>{one.marked:d}</difficult><bndbox><xmin>{one.box[0]}</xmin>"
            f"<ymin>{one.box[1]}</ymin><xmax>{one.box[2]}</xmax><ymax>{one.box[3]}</ymax></bndbox></object>"
            for one in objects
        )
        (folder / f"{name}.xml").write_text(f"<annotation>{xml}</annotation>")


def labelme(folder: Path, pictures: Pictures) -> None:
    """The mark is a key of the shape in one file, a flag in the other."""
    for name, objects in pictures.items():
        shapes = [
            {
                "label": one.name,
                "points": [one.box[:2], one.box[2:]],
                "shape_type": "rectangle",
                **({"difficult": one.marked} if name == "a" else {"flags": {"difficult": one.marked, "x": True}}),
            }
            for one in objects
        ]
        (folder / f"{name}.json").write_text(json.dumps({"shapes": shapes, "imagePath": f"{name}.png"}))


def coco(folder: Path, pictures: Pictures) -> None:
    annotations = [
        {
            "image_id": image,
            "category_id": CLASSES.index(one.name),
            "bbox": [*one.box[:2], one.box[2] - one.box[0], one.box[3] - one.box[1]],
            **({"iscrowd": 1} if one.marked else {}),
        }
        for image, objects in enumerate(pictures.values())
        for one in objects
    ]
    document = {
        "images": [{"id": n, "file_name": f"{name}.png"} for n, name in enumerate(pictures)],
        "annotations": [{"id": n} | one for n, one in enumerate(annotations)],
        "categories": [{"id": n, "name": name} for n, name in enumerate(CLASSES)],
    }
    (folder / "x.json").write_text(json.dumps(document))


def open_images(folder: Path, pictures: Pictures) -> None:
    rows = []
    for name, objects in pictures.items():
        for one in objects:
            x1, y1, x2, y2 = (number / side for number, side in zip(one.box, (100, 80) * 2, strict=True))
            rows.append(f"{name},/m/{one.name},{x1},{x2},{y1},{y2},{one.marked:d}")
    text = "\n".join(["ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf", *rows])
    (folder / "boxes.csv").write_text(f"{text}\n")
    (folder / "class-descriptions.csv").write_text("/m/cat,cat\n/m/dog,dog\n")


def parquet(folder: Path, pictures: Pictures) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    objects = [
        {
            "bbox": [[*one.box[:2], one.box[2] - one.box[0], one.box[3] - one.box[1]] for one in of],
            "category": [CLASSES.index(one.name) for one in of],
            "iscrowd": [int(one.marked) for one in of],
        }
        for of in pictures.values()
    ]
    kind = pa.struct(
        {"bbox": pa.list_(pa.list_(pa.float64())), "category": pa.list_(pa.int64()), "iscrowd": pa.list_(pa.int8())}
    )
    images = [{"bytes": (folder / f"{name}.png").read_bytes(), "path": f"{name}.png"} for name in pictures]
    names = json.dumps({"info": {"features": {"objects": {"category": {"names": CLASSES}}}}})
    table = pa.table({"image": pa.array(images), "objects": pa.array(objects, kind)}, metadata={"huggingface": names})
    pq.write_table(table, folder / "x.parquet")
    for name in pictures:
        (folder / f"{name}.png").unlink()


class Format(NamedTuple):
    draw: Callable[[Path, Pictures], None]
    option: str
    key: str


FORMATS = {
    "voc": Format(voc, "difficult", "difficult"),
    "labelme": Format(labelme, "difficult", "difficult"),
    "coco": Format(coco, "crowds", "crowd_boxes"),
    "open-images": Format(open_images, "crowds", "group_boxes"),
    "parquet": Format(parquet, "crowds", "crowd_boxes"),
}


def draw(kind: str, pictures: Pictures, folder: str = "set") -> None:
    Path(folder).mkdir()
    for name in pictures:
        Image.new("RGB", (100, 80), (ord(name), 9, 9)).save(Path(folder, f"{name}.png"))
    FORMATS[kind].draw(Path(folder), pictures)


def lines_of(pictures: Pictures, treatment: str) -> list[str]:
    lines = []
    for name, objects in pictures.items():
        boxes = [one for one in objects if treatment != "skip" or not one.marked]
        mark = [",1" if one.marked and treatment == "ignore" else "" for one in boxes]
        corners = [",".join(map(str, (*one.box, CLASSES.index(one.name)))) for one in boxes]
        lines.append(" ".join([f"{name}.png", *map("".join, zip(corners, mark, strict=True))]))
    return lines


@st.composite
def drawn(draw_: Any) -> Drawn:
    (x1, x2), (y1, y2) = (
        sorted(draw_(st.lists(st.integers(0, side // 5), min_size=2, max_size=2, unique=True))) for side in (100, 80)
    )
    return Drawn(draw_(st.sampled_from(CLASSES)), (5 * x1, 5 * y1, 5 * x2, 5 * y2), draw_(st.booleans()))


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_every_format_with_a_mark_is_drawn() -> None:
    assert set(FORMATS) == {name for name, form in IMPORTERS.items() if len(form.marks) == 1}


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(drawn(), max_size=4), st.lists(st.booleans(), min_size=2, max_size=2))
@pytest.mark.parametrize("kind", FORMATS)
def test_marked_boxes_are_ignored_left_out_or_kept(
    kind: str, tmp_path_factory: pytest.TempPathFactory, first: list[Drawn], marks: list[bool]
) -> None:
    pictures = {
        "a": first,
        "b": [Drawn(name, (1, 2, 30, 40), mark) for name, mark in zip(CLASSES, marks, strict=True)],
    }
    form, every = FORMATS[kind], [*first, *pictures["b"]]
    many = sum(one.marked for one in every)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("marked"))
        draw(kind, pictures)
        for treatment in ("ignore", "skip", "keep"):
            report = import_data(kind, "set", treatment, **{form.option: treatment}).report  # type: ignore[arg-type]
            text = text_of(f"{treatment}/all.txt")
            expected = lines_of(pictures, treatment)
            assert text == (expected if first or kind != "open-images" else expected[1:])
            facts = report["splits"]["all"]
            assert facts["ignored"] == (many if treatment == "ignore" else 0)
            assert facts["boxes"] == len(every) - (many if treatment != "keep" else 0)
            assert sum(facts["boxes_per_class"].values()) == facts["boxes"]
            left_out = many if treatment == "skip" else 0
            assert (facts[f"{form.key}_left_out"], facts[form.key]) == (left_out, many - left_out)
            objects = [treatment == "keep" or not one.marked for one in every]
            assert ("no-boxes" in report["notes"]) is not any(objects)
        import_data("auto", "set", "auto")
        assert text_of("auto/all.txt") == text_of("ignore/all.txt")


ALL_MARKED: Pictures = {"a": [Drawn("cat", (1, 2, 30, 40), True)], "b": [Drawn("dog", (1, 2, 30, 40), True)]}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("treatment", ["ignore", "skip"])
def test_a_split_of_marked_boxes_only_names_the_option(kind: str, treatment: Any) -> None:
    draw(kind, ALL_MARKED)
    option = FORMATS[kind].option
    result = import_data(kind, "set", "out", **{option: treatment})
    assert f"--{option} keep" in str(result.rows["warning"])
    assert result.report["splits"]["all"]["backgrounds"] == 2


def test_lists_of_images_keep_and_count_the_marks() -> None:
    draw("voc", ALL_MARKED)
    Path("one.txt").write_text("b\n")
    report = import_data("voc", "set", "out", files={"val": "one.txt"}).report
    assert text_of("out/val.txt") == ["b.png 1,2,30,40,1,1"]
    assert (report["splits"]["val"]["difficult"], report["splits"]["val"]["ignored"]) == (1, 1)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(drawn(), max_size=5))
def test_boxes_of_other_classes(tmp_path_factory: pytest.TempPathFactory, objects: list[Drawn]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("others"))
        draw("coco", {"a": objects})
        Path("dog.names").write_text("dog\n")
        cats = sum(one.name == "cat" for one in objects)
        for others, key in (("drop", "other_classes_left_out"), ("ignore", "other_classes_ignored")):
            report = import_data("coco", "set", others, classes="dog.names", others=others).report  # type: ignore[arg-type]
            expected = ["a.png"]
            for one in objects:
                corners = ",".join(map(str, one.box))
                if one.name == "dog":
                    expected.append(f"{corners},0{',1' if one.marked else ''}")
                elif others == "ignore" and f"{corners},-1,1" not in expected:  # else the same region
                    expected.append(f"{corners},-1,1")
            assert text_of(f"{others}/all.txt") == [" ".join(expected)]
            facts = report["splits"]["all"]
            assert facts[key] == cats
            assert facts["boxes"] == sum(one.name == "dog" and not one.marked for one in objects)
            regions = [one.box for one in objects if one.name == "cat"]
            if others == "ignore":
                assert facts["other_classes_equal"] == len(regions) - len(set(regions))
            assert not {"class-range", "tiny"} & report["notes"].keys()


def call(*arguments: str) -> int:
    return guarded(lambda: app(list(arguments), standalone_mode=False)) or 0


@pytest.mark.parametrize("kind", sorted(set(IMPORTERS) - {"auto"}))
def test_options_of_other_formats_are_refused(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = {"crowds", "difficult"} - {mark.option for mark in IMPORTERS[kind].marks}
    for option in options:
        assert call("import", kind, "nowhere", "--out", "o", f"--{option}", "keep") == 2
        assert f"--{option}" in capsys.readouterr().err
        with pytest.raises(UsageError):
            import_data(kind, "nowhere", "o", **{option: "skip"})


@pytest.mark.parametrize("kind", FORMATS)
def test_the_import_commands(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    draw(kind, ALL_MARKED)
    option = f"--{FORMATS[kind].option}"
    for form, treatment, ignored, boxes in ((kind, "ignore", 2, 0), (kind, "keep", 0, 2), ("auto", "skip", 0, 0)):
        assert call("import", form, "set", "--out", treatment, option, treatment, "--json") == 0
        facts = json.loads(capsys.readouterr().out)["splits"]["all"]
        assert (facts["ignored"], facts["boxes"]) == (ignored, boxes)


def imported(project: str) -> list[str]:
    return sorted(line for name in ("train", "val") for line in text_of(f"{project}/data/annotations/{name}.txt"))


def test_a_new_project(capsys: pytest.CaptureFixture[str]) -> None:
    draw("coco", ALL_MARKED, "crowds")
    draw("voc", ALL_MARKED, "difficult")
    assert call("init", "one", "--from", "coco", "crowds") == 0
    assert imported("one") == ["a.png 1,2,30,40,0,1", "b.png 1,2,30,40,1,1"]
    assert "2 ignored" in capsys.readouterr().out
    assert call("init", "two", "--from", "voc", "difficult", "--difficult", "keep") == 0
    assert imported("two") == ["a.png 1,2,30,40,0", "b.png 1,2,30,40,1"]
    Path("dog.names").write_text("dog\n")
    others = ("--classes", "dog.names", "--others", "ignore", "--crowds", "keep")
    assert call("init", "three", "--from", "auto", "crowds", *others) == 0
    assert imported("three") == ["a.png 1,2,30,40,-1,1", "b.png 1,2,30,40,0"]


def test_other_classes_need_a_names_file(capsys: pytest.CaptureFixture[str]) -> None:
    draw("coco", ALL_MARKED)
    for others in ("drop", "ignore"):
        assert call("import", "coco", "set", "--out", "o", "--others", others) == 2
        assert "--classes" in capsys.readouterr().err


def test_options_of_the_import_need_a_source(capsys: pytest.CaptureFixture[str]) -> None:
    for option in (("--crowds", "keep"), ("--difficult", "skip"), ("--others", "ignore"), ("--on-bad", "skip")):
        assert call("init", "p", *option) == 2
        assert "--from" in capsys.readouterr().err
