"""Class numbers in the order of a names file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Literal

import numpy as np

from yolopipe.errors import Problem
from yolopipe.formats.class_names import read_class_names
from yolopipe.importing.reading import Counted, Reading, SourceSplit

__all__ = ["Others", "apply_class_order"]

Others = Literal["fail", "drop"]


def apply_class_order(reading: Reading, classes: str | Path | None, others: Others = "fail") -> None:
    """Renumber the classes in the order of a names file.

    Args:
        reading: changed in place: names and labels; boxes of other classes are taken out.
        classes: a names file; None keeps the order of the source.
        others: whether a box of a class that is not in the file is a problem (``unknown-class``) or only counted.

    Raises:
        DataError: the names file cannot be used.
    """
    if classes is None:
        return
    wanted = read_class_names(classes)
    number = {name: index for index, name in enumerate(wanted)}
    table = np.array([number.get(name, -1) for name in reading.names], np.int64)
    left_out: Counter[str] = Counter()
    for split in reading.splits.values():
        other = np.flatnonzero(table[split.labels] < 0)
        if others == "fail":
            reading.problems += [_unknown_class(reading, split, box, classes) for box in other.tolist()]
        else:
            left_out.update(reading.names[label] for label in split.labels[other].tolist())
            split.counted.append(Counted("other_classes_left_out", len(other), "boxes of other classes left out"))
        split.keep_boxes(table[split.labels] >= 0)
        split.labels = table[split.labels]
    if left_out:
        counts = ", ".join(f"{name} {n:,}" for name, n in left_out.most_common(10))
        more = f" and {len(left_out) - 10} more" if len(left_out) > 10 else ""
        reading.rows["other classes"] = f"left out, as not in {classes}: {counts}{more}"
    reading.names, reading.order = wanted, f"as in {classes}"


def _unknown_class(reading: Reading, split: SourceSplit, box: int, classes: str | Path) -> Problem:
    image, (line, column) = split.images[int(split.box_image[box])], split.places[box].tolist()
    message = f"class {reading.names[int(split.labels[box])]!r} is not in {classes}; to leave it out: --others drop"
    return Problem(image.file, line, column, "unknown-class", message, image.path, scope="box")
