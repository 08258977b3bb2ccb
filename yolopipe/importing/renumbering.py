"""Class numbers in the order of a names file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Literal

import numpy as np

from yolopipe.errors import Problem
from yolopipe.formats.class_names import read_class_names
from yolopipe.importing.reading import Counted, Reading, SourceSplit
from yolopipe.parsing.box_rules import repeated

__all__ = ["Others", "apply_class_order"]

Others = Literal["fail", "drop", "ignore"]


def apply_class_order(reading: Reading, classes: str | Path | None, others: Others = "fail") -> None:
    """Renumber the classes in the order of a names file.

    Args:
        reading: changed in place: names and labels.
        classes: a names file; None keeps the order of the source.
        others: a box of a class that is not in the file is a problem (``unknown-class``) and taken out; or taken out
            and counted; or a box of any class to be ignored, counted.

    Raises:
        DataError: the names file cannot be used.
    """
    if classes is None:
        return
    wanted = read_class_names(classes)
    number = {name: index for index, name in enumerate(wanted)}
    table = np.array([number.get(name, -1) for name in reading.names], np.int64)
    found: Counter[str] = Counter()
    done = "ignored" if others == "ignore" else "left out"
    for split in reading.splits.values():
        other = table[split.labels] < 0
        rows = np.flatnonzero(other)
        if others == "fail":
            reading.problems += [_unknown_class(reading, split, box, classes) for box in rows.tolist()]
        else:
            found.update(reading.names[label] for label in split.labels[rows].tolist())
            key = f"other_classes_{done.replace(' ', '_')}"
            split.counted.append(Counted(key, len(rows), f"boxes of other classes {done}"))
            if len(rows) and (other | split.ignore).all():
                split.no_boxes = f"{len(rows):,} boxes of classes that are not in {classes} are {done}"
        split.labels = table[split.labels]
        if others == "ignore":
            split.ignore = split.ignore | other
            other &= repeated(split.boxes_xyxy, split.labels, split.ignore, split.box_image)
            words = "of them equal to another, made one region"
            split.counted.append(Counted("other_classes_equal", int(other.sum()), words))
        split.keep_boxes(~other)
    if found:
        counts = ", ".join(f"{name} {n:,}" for name, n in found.most_common(10))
        more = f" and {len(found) - 10} more" if len(found) > 10 else ""
        reading.rows["other classes"] = f"{done}, as not in {classes}: {counts}{more}"
    reading.names, reading.order = wanted, f"as in {classes}"


def _unknown_class(reading: Reading, split: SourceSplit, box: int, classes: str | Path) -> Problem:
    image, (line, column) = split.images[int(split.box_image[box])], split.places[box].tolist()
    name = reading.names[int(split.labels[box])]
    message = f"class {name!r} is not in {classes}; --others drop leaves its boxes out, --others ignore ignores them"
    return Problem(image.file, line, column, "unknown-class", message, image.path, scope="box")
