"""The error for a non-finite loss or gradient: its step, term, batch and images, and what to type next."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from yolopipe.errors import YolopipeError
from yolopipe.files import write_json
from yolopipe.shards.manifest import Manifest
from yolopipe.shards.reader import read_rows

__all__ = ["NonFiniteError", "Place", "bad_term", "explained", "images_of"]

MOST_SHOWN = 4
"""Images named in the message; the file names all of the batch."""


@dataclass(frozen=True)
class Place:
    """A position in a run, for messages.

    Args:
        epoch: from 1.
        epochs: of the whole run.
        split: ``train`` or ``val``.
    """

    epoch: int
    epochs: int
    split: str = "train"

    def __str__(self) -> str:
        doing = {"train": "training", "val": "validation"}[self.split]
        return f"epoch {self.epoch}/{self.epochs} ({doing})"


class NonFiniteError(YolopipeError):
    """A loss term, or the norm of the gradient, is NaN or infinite.

    Args:
        place: epoch and split.
        step: number of the step in the run, of the batch in validation; from 1.
        term: name of the first value that is not finite.
        values: everything the step returned, by name.
        rows: (B,) the batch's row numbers in shard order.
    """

    def __init__(self, place: Place, step: int, term: str, values: Mapping[str, float], rows: Sequence[int]) -> None:
        super().__init__(
            f"training stopped in {place}, step {step}: {term} is {values[term]}",
            hint="set a lower train.lr_init or a longer train.warmup_epochs in params.yaml",
        )
        self.place, self.step, self.term = place, step, term
        self.values, self.rows = dict(values), [int(row) for row in rows]


def bad_term(values: Mapping[str, float]) -> str | None:
    """The first value that is not finite, a sum only where its terms are all finite.

    >>> nan = math.nan
    >>> bad_term({"total_loss": nan, "giou_loss": 1.0, "conf_loss": nan}), bad_term({"total_loss": 1.0})
    ('conf_loss', None)
    """
    total_last = sorted(values, key=lambda name: name == "total_loss")
    # The gradient of a loss that is not finite is not finite either: the cause is named, not what follows from it.
    causes_first = sorted(total_last, key=lambda name: name == "gradient_norm")
    return next((name for name in causes_first if not math.isfinite(values[name])), None)


def images_of(
    directory: str | Path, manifest: Manifest, split: str, rows: Sequence[int], *, copy: int | None
) -> list[dict[str, Any]]:
    """The samples behind row numbers, read from the shards, since batches hold no names.

    Args:
        directory: the folder of shards.
        manifest: of these shards.
        split: ``train`` or ``val``.
        rows: numbers in shard order, as batches hold them under ``row``.
        copy: the augmented copy the batches were of; None for all.

    Returns:
        ``{"image": path, "copy": number}`` of each, in the order of ``rows``.
    """
    found, wanted = {}, set(rows)
    rows_up_to_last = islice(read_rows(directory, manifest, split, copy=copy), max(rows, default=-1) + 1)
    for number, row in enumerate(rows_up_to_last):
        if number in wanted:
            found[number] = {"image": row.path, "copy": row.copy}
    return [found[number] for number in rows]


def explained(
    error: NonFiniteError, images: Sequence[Mapping[str, Any]], report: Path, *, lr_init: float, clip_norm: float
) -> YolopipeError:
    """Write all facts about ``error`` to ``report``, and return the error that the user sees.

    Args:
        error: from the training loop.
        images: of the batch, from :func:`images_of`.
        report: the JSON file to write.
        lr_init: the present rate, for the hint.
        clip_norm: the present clipping, for the hint; 0 for none.

    Returns:
        The error to raise.
    """
    place = error.place
    write_json(
        report,
        {
            "epoch": place.epoch,
            "epochs": place.epochs,
            "split": place.split,
            "step": error.step,
            "term": error.term,
            "values": {name: _json_number(value) for name, value in error.values.items()},
            "images": [dict(image) for image in images],
        },
    )
    shown = ", ".join(f"{image['image']} (copy {image['copy']})" for image in images[:MOST_SHOWN])
    more = f" and {len(images) - MOST_SHOWN} more" if len(images) > MOST_SHOWN else ""
    image, copy = shlex.quote(str(images[0]["image"])), images[0]["copy"]
    look = f"yolopipe inspect-labels --split {place.split} --image {image} --copy {copy}"
    clip = "train.clip_norm: 10" if not clip_norm else f"a train.clip_norm below {clip_norm:g}"
    return YolopipeError(
        f"{error.message}\n  the batch: {shown}{more}\n  details: {report}",
        hint=f"set train.lr_init below {lr_init:g}, or {clip}, in params.yaml; labels of the first image: {look}",
    )


def _json_number(value: float) -> float | str:
    """JSON has no NaN and no infinity: those become text."""
    return value if np.isfinite(value) else str(value)
