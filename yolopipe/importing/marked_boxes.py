"""Boxes that the source marks as no ordinary objects: ignored, left out, or taken as objects (``--crowds``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from yolopipe.importing.import_formats import IMPORTERS
from yolopipe.importing.reading import Counted, Reading

__all__ = ["Treatment", "treat_marked"]

Treatment = Literal["ignore", "skip", "keep"]
"""Boxes to be ignored, boxes left out and counted, or objects."""


def treat_marked(reading: Reading, treatments: Mapping[str, Treatment]) -> None:
    """Decide about the marked boxes, and count them.

    Args:
        reading: changed in place; ``ignore`` of its splits is what the source marks before, what is ignored after.
        treatments: option to treatment.
    """
    for mark in IMPORTERS[reading.kind].marks:
        treatment = treatments[mark.option]
        for split in reading.splits.values():
            marked = split.ignore
            many, images = int(marked.sum()), len(np.unique(split.box_image[marked]))
            skipped = many if treatment == "skip" else 0
            what = f"(in {images:,} images)" if treatment == "keep" else f"ignored (in {images:,} images)"
            split.counted.append(
                Counted(f"{mark.key}_left_out", skipped, f"{mark.words} left out (in {images:,} images)")
            )
            split.counted.append(Counted(mark.key, many - skipped, f"{mark.words} {what}"))
            if many and marked.all():
                done = "left out" if skipped else "ignored"
                split.no_boxes = f"{many:,} {mark.words} are {done}; to import them as objects: --{mark.option} keep"
            if treatment == "skip":
                split.keep_boxes(~marked)
            elif treatment == "keep":
                split.ignore = np.zeros_like(marked)
