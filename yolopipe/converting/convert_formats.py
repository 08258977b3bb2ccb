"""Table of the formats that ``yolopipe convert`` writes; cheap to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["CONVERTERS", "ConvertFormat", "Marks"]

Marks = Literal["none", "class", "any"]
"""Which boxes to be ignored a format can hold: none, those of a class, or those of any class as well."""


@dataclass(frozen=True, slots=True)
class ConvertFormat:
    """One format.

    Args:
        module: below ``yolopipe.converting``, with ``write(splits, names, partial, final) -> str``: it writes into
            the folder ``partial``, which becomes ``final`` when it is complete, and names the files for the summary.
        help: what ``yolopipe convert --help`` says of it.
        marks: which boxes to be ignored it can hold; the others are left out before, and counted.
    """

    module: str
    help: str
    marks: Marks = "none"


CONVERTERS = {
    "coco": ConvertFormat(
        module="convert_coco",
        help="Write COCO JSON; boxes are exact, images are named.",
        marks="any",
    ),
    "yolo": ConvertFormat(
        module="convert_yolo",
        help="Write YOLO label files and data.yaml; images are linked.",
    ),
    "voc": ConvertFormat(
        module="convert_voc",
        help="Write Pascal VOC XML and lists; images are linked.",
        marks="class",
    ),
    "cvat": ConvertFormat(
        module="convert_cvat",
        help="Write CVAT XML (for images 1.1); images are named.",
    ),
    "label-studio": ConvertFormat(
        module="convert_label_studio",
        help="Write Label Studio tasks (JSON) and its labelling config.",
    ),
}
"""Format name to format, in the order of the help."""
