from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from yolopipe.errors import DataError
from yolopipe.model.card import ModelCard, card_from_text, card_text, read_card, write_card

CARD = ModelCard(
    ("a cat", "çelik", "0"), tuple((8.0 * n, 5.5 * n) for n in range(1, 10)), input_size=64, width=0.125, depth=0.1
)


@pytest.mark.parametrize("card", [CARD, replace(CARD, started_from={"path": "a.weights", "sha256": "0" * 64})])
def test_the_card_comes_back_equal(tmp_path: Path, card: ModelCard) -> None:
    write_card(tmp_path / "card.json", card)
    assert read_card(tmp_path / "card.json") == card
    assert (tmp_path / "card.json").read_text() == card_text(card)


def test_anchors_in_strides() -> None:
    assert CARD.anchors.shape == (3, 3, 2)
    np.testing.assert_allclose(
        CARD.anchors * np.array([8, 16, 32]).reshape(3, 1, 1), np.reshape(CARD.anchors_px, (3, 3, 2))
    )


def test_a_card_of_an_earlier_build() -> None:
    values = json.loads(card_text(CARD))
    assert values.pop("letterbox_fill") == 128
    assert card_from_text(json.dumps(values), "there") == CARD


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"schema_version": 2}, "expected a model card of schema version 1, got 2"),
        ({"anchors_px": [[1, 2]]}, "the model card cannot be used"),
        ({"strides": [4, 8, 16]}, "the model card cannot be used"),
        ({"class_names": []}, "the model card cannot be used"),
        ({"letterbox_fill": 114}, "the grey around pictures is 128 in this version, 114 in the card"),
    ],
)
def test_what_cannot_be_used_is_said(changes: dict, sentence: str) -> None:
    with pytest.raises(DataError, match=rf"^a/model\.json: .*{sentence}"):
        card_from_text(json.dumps({**json.loads(card_text(CARD)), **changes}), "a/model.json")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "cannot be read"),
        ("", "cannot be read"),
        ('{"schema_version": 1}', "lacks 'class_names'"),
        ("[1]", "schema version 1, got None"),
    ],
)
def test_what_is_no_card_is_said(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(DataError, match=sentence):
        read_card(tmp_path / "model.json")
    with pytest.raises(DataError, match=r"no model card at .*nowhere"):
        read_card(tmp_path / "nowhere.json")
    with pytest.raises(DataError, match=r"cannot be read: Is a directory"):
        read_card(tmp_path)
