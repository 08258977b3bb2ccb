"""Table of the formats that ``yolopipe import`` and ``yolopipe init --from`` know; cheap to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["IMPORTERS", "ImportFormat", "Mark"]


class Mark(NamedTuple):
    """How a format marks boxes that are no ordinary objects.

    Args:
        option: of the command, which decides about them: ``crowds`` or ``difficult``.
        key: their number in the JSON report.
        words: what they are called in the summary.
    """

    option: str
    key: str
    words: str


_CROWDS = Mark("crowds", "crowd_boxes", "crowd boxes")
_GROUPS = Mark("crowds", "group_boxes", "boxes of groups")
_DIFFICULT = Mark("difficult", "difficult", "boxes marked difficult")


@dataclass(frozen=True, slots=True)
class ImportFormat:
    """One format.

    Args:
        module: below ``yolopipe.importing``, with ``read(request: ImportRequest) -> Reading``; imported when used.
        help: what ``yolopipe import --help`` says of it.
        source: what the argument SOURCE may be.
        images: what happens to the images, for the help of the command.
        marks: its mark, if it has one; those of the formats that ``auto`` recognises.
        json_splits: a split is a JSON file, which ``--split NAME=FILE`` may name.
    """

    module: str
    help: str
    source: str
    images: str = "Images are referenced, not copied."
    marks: tuple[Mark, ...] = ()
    json_splits: bool = False


IMPORTERS = {
    "voc": ImportFormat(
        module="import_voc",
        help="Import Pascal VOC: XML files and lists of images.",
        source="a folder with Annotations, ImageSets/Main and JPEGImages.",
        marks=(_DIFFICULT,),
    ),
    "coco": ImportFormat(
        module="import_coco",
        help="Import COCO JSON; crowds become boxes to be ignored.",
        source="a JSON file, or a folder with annotations/instances_*.json.",
        marks=(_CROWDS,),
        json_splits=True,
    ),
    "yolo": ImportFormat(
        module="import_yolo",
        help="Import YOLO label files; polygons become boxes.",
        source="a data.yaml, a darknet .data file, or a folder with images.",
    ),
    "labelme": ImportFormat(
        module="import_labelme",
        help="Import labelme JSON; polygons and circles become boxes.",
        source="a folder with a JSON file for each image, or one such file.",
        marks=(_DIFFICULT,),
    ),
    "cvat": ImportFormat(
        module="import_cvat",
        help="Import CVAT XML (for images 1.1); polygons become boxes.",
        source="an annotations.xml, or the folder with it and the images.",
    ),
    "label-studio": ImportFormat(
        module="import_label_studio",
        help="Import Label Studio JSON or JSON-MIN.",
        source="the JSON file, or the folder with it and the images.",
    ),
    "open-images": ImportFormat(
        module="import_open_images",
        help="Import Open Images CSV; groups become boxes to be ignored.",
        source="a CSV file, or the folder with CSV files, class descriptions and images.",
        marks=(_GROUPS,),
    ),
    "tf-csv": ImportFormat(
        module="import_tf_csv",
        help="Import TF Object Detection CSV: filename,class,xmin ...",
        source="a CSV file, or the folder with CSV files and images.",
    ),
    "parquet": ImportFormat(
        module="import_parquet",
        help="Import Hugging Face's Parquet; its images are written.",
        images="Images are inside the files and are written to DIR/images.",
        source="a Parquet file, or the folder with train-00000-of-00002.parquet ...",
        marks=(_CROWDS,),
    ),
    "auto": ImportFormat(
        module="import_auto",
        help="Import as the format that is recognised, and say why.",
        source="a file or folder of any of these formats.",
        marks=(_CROWDS, _DIFFICULT),
        json_splits=True,
    ),
}
"""Format name to format, in the order of the help."""
