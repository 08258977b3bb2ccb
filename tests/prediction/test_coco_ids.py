"""Ids by name against the plain rule: every image compared with every name of the file."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolopipe.errors import DataError
from yolopipe.prediction.coco_ids import CocoIds, read_coco_ids


def plain_matches(path: str, names: list[str]) -> list[str]:
    """The name that a path is; else all names that the path ends with, or that end with the path, part by part."""
    path = Path(os.path.normpath(path)).as_posix()
    if path in names:
        return [path]
    return [name for name in names if path.endswith("/" + name) or name.endswith("/" + path)]


PARTS = st.sampled_from(["a", "b", "ab", "a.jpg", "b.jpg", "ü b.jpg", ".", "..", ""])
PATHS = st.builds(lambda parts, root: root + "/".join(parts), st.lists(PARTS, max_size=5), st.sampled_from(["", "/"]))


@given(path=PATHS, names=st.lists(PATHS, max_size=12, unique=True))
def test_the_index_finds_what_comparing_all_names_finds(path: str, names: list[str]) -> None:
    ids = CocoIds("truth.json", {name: f"id of {name}" for name in names})
    expected = plain_matches(path, names)
    if len(expected) == 1:
        assert ids.image(path, 1) == f"id of {expected[0]}"
    else:
        with pytest.raises(DataError):
            ids.image(path, 1)


class CountedNames(dict):
    """A dict that counts how often somebody walks through its names."""

    walks = 0

    def __iter__(self):
        CountedNames.walks += 1
        return super().__iter__()


@pytest.mark.parametrize("listed", ["{}.jpg", "set/{}/frame.jpg"])
def test_the_names_are_walked_through_once_for_all_images(listed: str) -> None:
    """Not once for each image, also where all files have one base name."""
    CountedNames.walks = 0
    ids = CocoIds("truth.json", CountedNames({listed.format(n): n for n in range(500)}))
    assert [ids.image(f"data/{listed.format(n)}", 1) for n in range(500)] == list(range(500))
    assert [ids.image(listed.format(n).removeprefix("set/"), 1) for n in range(500)] == list(range(500))
    assert CountedNames.walks <= 1
    assert all(len(names) <= 1 for end, names in ids._longer_names.items() if end != "frame.jpg")


def test_ids_by_name(tmp_path: Path) -> None:
    file = tmp_path / "truth.json"
    names = ["x/1.jpg", "y/1.jpg", "z/2.jpg", "plain.jpg"]
    images = [{"id": f"id {name}", "file_name": name} for name in names]
    categories = [{"id": 7, "name": "ç"}, {"id": 9, "name": 'a, "b"'}]
    file.write_text(json.dumps({"images": images, "categories": categories}))
    ids = read_coco_ids(file, ['a, "b"', "ç"])
    assert ids.image("./x/1.jpg", 1) == "id x/1.jpg"
    assert ids.image("/data/set/z/2.jpg", 1) == "id z/2.jpg"
    assert ids.image("2.jpg", 1) == "id z/2.jpg"
    assert (ids.category("ç", 0), ids.category('a, "b"', 1)) == (7, 9)
    with pytest.raises(DataError) as several:
        ids.image("1.jpg", 1)
    assert {"x/1.jpg", "y/1.jpg"} <= {word.strip(",") for word in several.value.message.split()}
    with pytest.raises(DataError) as unknown:
        read_coco_ids(file, ["dog", "ç"])
    assert "dog" in unknown.value.message
    assert "--classes" in unknown.value.hint


def test_without_a_file_ids_count_from_one() -> None:
    assert CocoIds().image("x.jpg", 4) == 4
    assert CocoIds().category("cat", 0) == 1


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"images": [1], "categories": []}'])
def test_another_kind_of_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.json").write_text(text)
    for name in ("t.json", "nowhere.json"):
        with pytest.raises(DataError) as refused:
            read_coco_ids(tmp_path / name, [])
        assert str(tmp_path / name) in refused.value.message
