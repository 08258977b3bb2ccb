"""Starting from Darknet's files and from yolopipe's own, also with other classes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import keras
import numpy as np
import pytest

from yolopipe.errors import DataError
from yolopipe.model.card import ModelCard, write_card
from yolopipe.model.model_file import save_model
from yolopipe.model.warm_start import WarmStart, warm_start
from yolopipe.model.yolov3 import YOLOv3

pytestmark = pytest.mark.slow

ANCHORS = tuple((8.0 * n, 5.5 * n) for n in range(1, 10))


def card(*class_names: str, width: float = 0.125, depth: float = 0.1) -> ModelCard:
    return ModelCard(class_names, ANCHORS, input_size=64, width=width, depth=depth)


def build(seed: int, model_card: ModelCard) -> keras.Model:
    keras.utils.set_random_seed(seed)
    return YOLOv3(len(model_card.class_names), width=model_card.width, depth=model_card.depth)


def parts(model: keras.Model) -> dict[str, np.ndarray]:
    """All numbers of each part in one row."""
    found: dict[str, list[np.ndarray]] = {}
    for layer in sorted(model.layers, key=lambda layer: layer.name):
        for array in layer.get_weights():
            found.setdefault(layer.name.split("_")[0], []).append(array.ravel())
    return {part: np.concatenate(arrays) for part, arrays in found.items()}


def saved(folder: Path, model_card: ModelCard, seed: int = 9) -> tuple[Path, keras.Model]:
    """A model of ours with all numbers moved from where they start, on disk."""
    model, rng = build(seed, model_card), np.random.default_rng(seed)
    model.set_weights([array + rng.uniform(0.1, 0.2, array.shape) for array in model.get_weights()])
    folder.mkdir(parents=True)
    save_model(folder / "last.weights.h5", model, model_card)
    return folder / "last.weights.h5", model


def test_all_but_the_heads_of_a_darknet_file_with_other_classes(darknet, tmp_path: Path) -> None:
    sections = darknet.small_cfg(classes=80)
    _, path = darknet.write(tmp_path, sections, darknet.random_weights(sections))
    there, here = build(1, card(*map(str, range(80)))), build(1, card("a", "b", "c"))
    fresh = parts(here)
    everything = warm_start(there, card(*map(str, range(80))), path)
    assert everything == WarmStart({"backbone": 16, "neck": 20, "head": 3}, {}, "")
    start = warm_start(here, card("a", "b", "c"), path)
    assert (start.loaded, start.left) == ({"backbone": 16, "neck": 20}, {"head": 3})
    assert re.findall(r"\d+", start.remark) == ["80", "3"]
    assert not np.array_equal(parts(here)["backbone"], fresh["backbone"])
    for part in ("backbone", "neck"):
        np.testing.assert_array_equal(parts(here)[part], parts(there)[part])
    np.testing.assert_array_equal(parts(here)["head"], fresh["head"])


def test_a_backbone_alone(darknet, tmp_path: Path) -> None:
    arrays = darknet.random_weights(darknet.small_cfg())
    (tmp_path / "any name").write_bytes(darknet.weights_bytes(arrays[: 5 * 16]))
    model = build(1, card("a"))
    fresh = parts(model)
    start = warm_start(model, card("a"), tmp_path / "any name")
    assert start == WarmStart({"backbone": 16}, {"neck": 20, "head": 3}, "not in the file")
    assert sorted(parts(model)["backbone"]) == sorted(np.concatenate([array.ravel() for array in arrays[: 5 * 16]]))
    for part in ("neck", "head"):
        np.testing.assert_array_equal(parts(model)[part], fresh[part])


@pytest.mark.parametrize(
    ("names_here", "remark", "heads"),
    [
        (("a", "b"), "", True),
        (("a", "ö"), "as many classes, but b is now ö", True),
        (("a",), "2 classes there, 1 here", False),
        (("a", "b", "c"), "2 classes there, 3 here", False),
    ],
)
def test_from_a_model_of_yolopipe(tmp_path: Path, names_here: tuple[str, ...], remark: str, heads: bool) -> None:
    path, other = saved(tmp_path / "alte läufe", card("a", "b"))
    model = build(1, card(*names_here))
    fresh = parts(model)
    start = warm_start(model, card(*names_here), path)
    assert start.remark == remark
    assert start.left == ({} if heads else {"head": 3})
    for part in ("backbone", "neck"):
        np.testing.assert_array_equal(parts(model)[part], parts(other)[part])
    np.testing.assert_array_equal(parts(model)["head"], (parts(other) if heads else fresh)["head"])


def test_three_of_many_renamed_classes_are_named(tmp_path: Path) -> None:
    path, _ = saved(tmp_path / "there", card(*"abcdef"))
    start = warm_start(build(1, card(*"uvwxyz")), card(*"uvwxyz"), path)
    assert re.findall(r"\b([a-f]) is now ([u-z])\b", start.remark) == [("a", "u"), ("b", "v"), ("c", "w")]
    assert "3 more" in start.remark


def refused(path: Path, fact: str) -> None:
    model = build(1, card("a", "b"))
    fresh = parts(model)
    with pytest.raises(DataError, match=fact) as caught:
        warm_start(model, card("a", "b"), path)
    assert str(path) in caught.value.message
    assert caught.value.hint
    for part, numbers in parts(model).items():
        np.testing.assert_array_equal(numbers, fresh[part])


@pytest.mark.parametrize("changed", [{"width": 0.25}, {"depth": 0.33}])
def test_another_width_or_depth_is_refused(tmp_path: Path, changed: dict[str, float]) -> None:
    refused(saved(tmp_path / "there", card("a", "b", **changed))[0], r"\b0\.125\b.*\b0\.1\b")


def test_weights_of_another_training_than_the_card(tmp_path: Path) -> None:
    path, model = saved(tmp_path / "there", card("a", "b"))
    save_model(path, model, card("a"))
    refused(path, rf"\b{build(1, card('a')).count_params():,}\b.*\b{model.count_params():,}\b")


def test_a_file_of_an_earlier_build_with_its_card_beside_it(tmp_path: Path) -> None:
    path, other = saved(tmp_path / "there", card("a", "b"))
    other.save_weights(path)
    refused(path, r"there/model\.json")
    write_card(tmp_path / "there/model.json", card("a", "b"))
    model = build(1, card("a", "b"))
    assert not warm_start(model, card("a", "b"), path).left
    np.testing.assert_array_equal(parts(model)["head"], parts(other)["head"])


def test_hdf5_that_is_truncated_or_not_a_model(tmp_path: Path) -> None:
    import h5py

    path, _ = saved(tmp_path / "there", card("a", "b"))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refused(path, rf"\b{len(whole):,} .*\b{len(whole) // 2:,}\b")
    path.unlink()
    with h5py.File(path, "w") as file:
        file["numbers"] = np.arange(9)
    refused(path, r"there/model\.json")
    write_card(tmp_path / "there/model.json", card("a", "b"))
    refused(path, r"\bfile 9\b")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        warm_start(build(1, card("a")), card("a"), tmp_path / "nowhere")


def test_the_card_remembers_and_older_cards_are_read(tmp_path: Path) -> None:
    from dataclasses import replace

    from yolopipe.model.card import read_card

    plain = card("a")
    write_card(tmp_path / "plain.json", plain)
    assert "started_from" not in json.loads((tmp_path / "plain.json").read_text())
    assert read_card(tmp_path / "plain.json") == plain
    started = replace(plain, started_from={"path": "yolov3.weights", "sha256": "0" * 64})
    write_card(tmp_path / "started.json", started)
    assert read_card(tmp_path / "started.json") == started
