from __future__ import annotations

import json
import re
from pathlib import Path

import keras
import numpy as np
import pytest

from yolopipe.errors import DataError
from yolopipe.model.card import ModelCard, load_model, read_card, write_card
from yolopipe.model.yolov3 import YOLOv3

CARD = ModelCard(
    ("a cat", "çelik", "0"), tuple((8.0 * n, 5.5 * n) for n in range(1, 10)), input_size=64, width=0.125, depth=0.1
)


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, Path, keras.Model]:
    keras.utils.set_random_seed(1)
    model = YOLOv3(3, width=0.125, depth=0.1)
    card, weights = tmp_path / "model.json", tmp_path / "m.weights.h5"
    write_card(card, CARD)
    model.save_weights(weights)
    return card, weights, model


def test_the_card_comes_back_equal(tmp_path: Path) -> None:
    write_card(tmp_path / "card.json", CARD)
    assert read_card(tmp_path / "card.json") == CARD


def test_anchors_in_strides() -> None:
    assert CARD.anchors.shape == (3, 3, 2)
    np.testing.assert_allclose(
        CARD.anchors * np.array([8, 16, 32]).reshape(3, 1, 1), np.reshape(CARD.anchors_px, (3, 3, 2))
    )


def test_the_network_comes_back_equal(saved: tuple[Path, Path, keras.Model]) -> None:
    card_path, weights_path, model = saved
    again, card = load_model(card_path, weights_path)
    assert card == CARD
    image = np.random.default_rng(0).random((1, 64, 64, 3), np.float32)
    for ours, theirs in zip(again(image), model(image), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_two_saves_of_equal_weights_are_equal_bytes(saved: tuple[Path, Path, keras.Model], tmp_path: Path) -> None:
    """Also from another model object with other automatic names: DVC must see no change."""
    card_path, weights_path, _ = saved
    load_model(card_path, weights_path)[0].save_weights(tmp_path / "again.weights.h5")
    assert (tmp_path / "again.weights.h5").read_bytes() == weights_path.read_bytes()


def _changed(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"schema_version": 2}, "expected a model card of schema version 1, got 2"),
        ({"class_names": ["one"]}, "the weights do not fit"),
        ({"width": 0.25}, "the weights do not fit"),
        ({"depth": 0.33}, "the weights do not fit"),
        ({"anchors_px": [[1, 2]]}, "the model card cannot be used"),
        ({"strides": [4, 8, 16]}, "the model card cannot be used"),
        ({"class_names": []}, "the model card cannot be used"),
    ],
)
def test_what_does_not_fit_is_said(saved: tuple[Path, Path, keras.Model], changes: dict, sentence: str) -> None:
    card_path, weights_path, _ = saved
    _changed(card_path, **changes)
    with pytest.raises(DataError, match=sentence) as caught:
        load_model(card_path, weights_path)
    assert str(card_path) in str(caught.value)


def test_missing_and_damaged_files_are_said(saved: tuple[Path, Path, keras.Model], tmp_path: Path) -> None:
    card_path, weights_path, _ = saved
    with pytest.raises(DataError, match=r"no model card at .*nowhere"):
        load_model(tmp_path / "nowhere.json", weights_path)
    with pytest.raises(DataError, match=r"no weights at .*nowhere"):
        load_model(card_path, tmp_path / "nowhere.weights.h5")
    weights_path.write_bytes(weights_path.read_bytes()[:1000])
    with pytest.raises(DataError, match=re.escape(str(weights_path))):
        load_model(card_path, weights_path)
    card_path.write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        load_model(card_path, weights_path)
    card_path.write_text('{"schema_version": 1}')
    with pytest.raises(DataError, match="lacks 'class_names'"):
        load_model(card_path, weights_path)
    card_path.write_text("[1]")
    with pytest.raises(DataError, match="schema version 1, got None"):
        load_model(card_path, weights_path)
