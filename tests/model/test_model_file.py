"""Model files: saved and loaded again, equal bytes, errors for damaged ones."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from yolopipe.errors import DataError
from yolopipe.model.card import ModelCard, card_text, write_card
from yolopipe.model.model_file import CARD_KEY, card_of_model, load_model, save_model
from yolopipe.model.yolov3 import YOLOv3

CARD = ModelCard(
    ("a cat", "çelik", "0"), tuple((8.0 * n, 5.5 * n) for n in range(1, 10)), input_size=64, width=0.125, depth=0.1
)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(1)
    return YOLOv3(3, width=0.125, depth=0.1)


@pytest.fixture(scope="module")
def whole(model: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "m.weights.h5"
    save_model(path, model, CARD)
    return path


@pytest.fixture
def saved(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(whole, tmp_path))


@pytest.mark.slow
def test_the_network_comes_back_equal_from_the_file_alone(saved: Path, model: keras.Model) -> None:
    again, card = load_model(saved)
    assert card == CARD == card_of_model(saved)
    image = np.random.default_rng(0).random((1, 64, 64, 3), np.float32)
    for ours, theirs in zip(again(image), model(image), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_two_saves_of_equal_models_are_equal_bytes(saved: Path, tmp_path: Path) -> None:
    """Also from another model object with other automatic names: DVC must see no change."""
    save_model(tmp_path / "again.weights.h5", *load_model(saved))
    assert (tmp_path / "again.weights.h5").read_bytes() == saved.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"again.weights.h5", saved.name}


@pytest.mark.slow
def test_keras_alone_reads_it_too(saved: Path, model: keras.Model) -> None:
    """The card inside does not disturb Keras."""
    other = YOLOv3(3, width=0.125, depth=0.1)
    other.load_weights(str(saved))
    for ours, theirs in zip(other.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_more_classes_than_an_attribute_could_hold(saved: Path, model: keras.Model) -> None:
    names = tuple(f"a long name of a class, number {n}" for n in range(5000))
    save_model(saved, model, replace(CARD, class_names=names))
    assert card_of_model(saved).class_names == names


@pytest.mark.slow
def test_the_card_needs_no_keras(saved: Path) -> None:
    code = (
        "import sys; from yolopipe.model.model_file import card_of_model; "
        "print(card_of_model(sys.argv[1]).class_names[0], 'keras' in sys.modules, 'tensorflow' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code, saved], capture_output=True, text=True, check=True)
    assert found.stdout == "a cat False False\n"


@pytest.mark.slow
def test_a_file_of_an_earlier_build_takes_the_card_beside_it(tmp_path: Path, model: keras.Model) -> None:
    path = tmp_path / "old.weights.h5"
    model.save_weights(path)
    with pytest.raises(DataError, match=re.escape(str(tmp_path / "model.json"))):
        card_of_model(path)
    write_card(tmp_path / "model.json", CARD)
    assert load_model(path)[1] == CARD


def test_the_card_inside_goes_before_one_beside(saved: Path) -> None:
    write_card(saved.with_name("model.json"), replace(CARD, class_names=("of", "another", "model")))
    assert card_of_model(saved) == CARD


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"class_names": ("one",)}, {"width": 0.25}, {"depth": 0.33}])
def test_weights_that_do_not_fit_the_card(saved: Path, model: keras.Model, changes: dict) -> None:
    card = replace(CARD, **changes)
    save_model(saved, model, card)
    expected = YOLOv3(len(card.class_names), width=card.width, depth=card.depth).count_params()
    with pytest.raises(DataError, match=rf"\b{expected:,}\b.*\b{model.count_params():,}\b") as caught:
        load_model(saved)
    assert str(saved) in caught.value.message
    assert caught.value.hint


def test_a_card_of_another_version_inside(saved: Path) -> None:
    text = card_text(CARD).replace('"schema_version": 1', '"schema_version": 7')
    with h5py.File(saved, "r+") as file:
        del file[CARD_KEY]
        file[CARD_KEY] = np.frombuffer(text.encode(), np.uint8)
    with pytest.raises(DataError, match=r"m\.weights\.h5 .*\b1, got 7\b"):
        load_model(saved)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.999])
def test_a_truncated_file(saved: Path, share: float) -> None:
    whole = saved.read_bytes()
    here = int(len(whole) * share)
    saved.write_bytes(whole[:here])
    with pytest.raises(DataError, match=rf"\b{len(whole):,} .*\b{here:,}\b"):
        load_model(saved)


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (b"", r"\.weights\.h5 .*\bempty\b"),
        (b"\0\0\0\0\2\0\0\0" * 99, r"\.weights\.h5 .* b'.x00"),
        (b"PK\3\4 a Keras archive", r"\.weights\.h5 .* b'PK"),
        (b"\x89HDF\r\n\x1a\n and then garbage", "damaged"),
    ],
)
def test_files_that_are_not_models(tmp_path: Path, content: bytes, fact: str) -> None:
    path = tmp_path / "g.weights.h5"
    path.write_bytes(content)
    with pytest.raises(DataError, match=fact) as caught:
        card_of_model(path)
    assert str(path) in caught.value.message


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.weights.h5", tmp_path):
        with pytest.raises(DataError, match=re.escape(str(path))):
            load_model(path)


@pytest.mark.slow
def test_flipped_bytes_load_or_are_refused_by_name(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any byte may be damaged: the model loads, with other weights perhaps, or a DataError names the file."""
    other = YOLOv3(3, width=0.125, depth=0.1)
    monkeypatch.setattr("yolopipe.model.yolov3.YOLOv3", lambda *args, **more: other)  # built once
    whole, rng, loaded = saved.read_bytes(), np.random.default_rng(3), 0
    refused: list[str] = []
    for _ in range(60):
        damaged = bytearray(whole)
        for place in rng.integers(0, 4096, 6):
            damaged[place] = rng.integers(256)
        saved.write_bytes(damaged)
        try:
            load_model(saved)
            loaded += 1
        except DataError as error:
            refused.append(error.message)
    assert loaded > 0
    assert refused
    assert all(str(saved) in message for message in refused)
