"""Table of the formats that ``yolopipe convert`` writes; cheap to import."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CONVERTERS", "ConvertFormat"]


@dataclass(frozen=True, slots=True)
class ConvertFormat:
    """One format.

    Args:
        module: below ``yolopipe.converting``, with ``write(splits, names, partial, final) -> str``: it writes into
            the folder ``partial``, which becomes ``final`` when it is complete, and names the files for the summary.
        help: what ``yolopipe convert --help`` says of it.
    """

    module: str
    help: str


CONVERTERS = {
    "coco": ConvertFormat(
        module="convert_coco", help="Write COCO JSON; boxes are exact, images are named, not copied."
    ),
    "yolo": ConvertFormat(
        module="convert_yolo",
        help="Write YOLO label files and data.yaml; images are linked.",
    ),
}
"""Format name to format, in the order of the help."""
