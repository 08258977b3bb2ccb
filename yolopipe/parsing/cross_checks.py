"""Findings that need more than one chunk of a text: images listed twice, in train and val, or elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import numpy as np

from yolopipe.formats.annotation_text import images_listed_twice
from yolopipe.formats.path_register import PathRegister
from yolopipe.parsing.lines import finding_of
from yolopipe.parsing.policy import CheckedChunk
from yolopipe.parsing.summary import SPLITS

__all__ = ["with_cross_checks"]


def with_cross_checks(
    chunks: Iterable[tuple[str, CheckedChunk]], *, images: str, train: str
) -> Iterator[tuple[str, CheckedChunk]]:
    """The same chunks with these findings added.

    Args:
        chunks: of train and then of val, in the order of their texts.
        images: ``data.images``.
        train: ``data.train``, for the messages.
    """
    seen = {name: PathRegister() for name in SPLITS}
    roots = tuple(os.path.join(root, "") for root in {os.path.abspath(images), os.path.realpath(images)})
    for name, chunk in chunks:
        named = chunk.text.image_paths
        chunk.findings += [finding_of(fault) for fault in images_listed_twice(chunk.text, seen[name])]
        in_train = seen["train"].lines(named) if name == "val" else np.zeros(len(named), np.int32)
        for image, path in enumerate(named):
            if not os.path.abspath(path).startswith(roots):
                message = f"not under data.images ({images}): DVC would not notice when this image changes"
                chunk.add(image, "outside-images-folder", message, scope="note")
            if in_train[image]:  # scores on an image that is trained on are meaningless
                chunk.add(image, "train-val-leak", f"image {path} is also in train ({train}:{in_train[image]})")
        yield name, chunk
