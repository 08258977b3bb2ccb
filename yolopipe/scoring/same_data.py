"""Check that a model and shards belong together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from yolopipe.errors import DataError
from yolopipe.scoring.results import shortened
from yolopipe.shards.manifest import Manifest

if TYPE_CHECKING:
    from yolopipe.model.card import ModelCard

__all__ = ["check_same_data"]


def check_same_data(weights: Path, card: ModelCard, manifest: Manifest) -> None:
    """Check that a model has the classes, input size and anchors of the shards; otherwise its scores would be wrong.

    Args:
        weights: file of the model, for the message.
        card: of the model.
        manifest: of the shards.

    Raises:
        DataError: classes, size or anchors differ.
    """
    hint = "make both from one params.yaml: dvc repro"
    if card.class_names != manifest.class_names:
        raise DataError(
            f"{weights} is a model for the classes {shortened(card.class_names)}, "
            f"but the shards hold {shortened(manifest.class_names)}{_apart(card.class_names, manifest.class_names)}",
            hint=hint,
        )
    if card.input_size != manifest.input_size:
        raise DataError(
            f"{weights} is a model trained at {card.input_size} px, "
            f"but the shards hold images of {manifest.input_size} px",
            hint=hint,
        )
    if not np.array_equal(np.reshape(card.anchors_px, (9, 2)), manifest.anchors_px.reshape(9, 2)):
        shown, expected = (
            " ".join(f"{w:g},{h:g}" for w, h in np.reshape(anchors, (9, 2)))
            for anchors in (card.anchors_px, manifest.anchors_px)
        )
        raise DataError(f"{weights} is a model with the anchors {shown}, but the shards have {expected}", hint=hint)


def _apart(theirs: Sequence[str], ours: Sequence[str]) -> str:
    """The first difference of two lists of equal length: the message may cut off their ends."""
    pairs = enumerate(zip(theirs, ours, strict=False))
    apart = next(((number, a, b) for number, (a, b) in pairs if a != b), None)
    if apart is None or len(theirs) != len(ours):
        return ""
    return f"; class {apart[0]} is {apart[1]} in the model and {apart[2]} in the shards"
