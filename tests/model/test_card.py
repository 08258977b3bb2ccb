from __future__ import annotations

import json
import re
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
    ("changes", "fact"),
    [
        ({"schema_version": 2}, r"\b1, got 2\b"),
        ({"anchors_px": [[1, 2]]}, "anchors"),
        ({"strides": [4, 8, 16]}, r"\(8, 16, 32\)"),
        ({"class_names": []}, "class"),
        ({"letterbox_fill": 114}, r"letterbox_fill: .*\b128, got 114\b"),
    ],
)
def test_cards_that_do_not_fit_this_version(changes: dict, fact: str) -> None:
    with pytest.raises(DataError, match=rf"^a/model\.json: .*{fact}"):
        card_from_text(json.dumps({**json.loads(card_text(CARD)), **changes}), "a/model.json")


@pytest.mark.parametrize(
    ("text", "fact"),
    [("{", "JSON"), ("", "JSON"), ('{"schema_version": 1}', "'class_names'"), ("[1]", r"\b1, got None\b")],
)
def test_files_that_are_not_cards(tmp_path: Path, text: str, fact: str) -> None:
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(DataError, match=rf"model\.json: .*{fact}"):
        read_card(tmp_path / "model.json")


def test_a_missing_card_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.json", tmp_path):
        with pytest.raises(DataError, match=re.escape(str(path))):
            read_card(path)
