"""Pascal VOC writer: ``Annotations/NAME.xml``, ``ImageSets/Main/SPLIT.txt`` and links ``JPEGImages/NAME.jpg``.

Corners are written as in the text, with as many digits as they need, as ``import voc`` reads them.  Boxes to be
ignored are marked difficult.  Images that have one name are numbered.  ``classes.names`` keeps the class order, which
VOC does not know.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from yolopipe.converting.links import link_image, unique_stems
from yolopipe.converting.splits import ImageBoxes, TextBox, TextSplit
from yolopipe.converting.xml_text import check_text, without_controls
from yolopipe.formats.annotation_line import number_text
from yolopipe.formats.class_names import write_class_names

__all__ = ["write"]

_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


def write(splits: Mapping[str, TextSplit], names: Sequence[str], partial: Path, final: Path) -> str:
    """Write all splits; see :class:`~yolopipe.converting.convert_formats.ConvertFormat`.

    Raises:
        DataError: a class name that XML cannot hold.
        YolopipeError: the file system has no links.
    """
    check_text(splits, names, paths=False)
    folders = [partial / name for name in ("Annotations", "JPEGImages", "ImageSets/Main")]
    for folder in folders:
        folder.mkdir(parents=True)
    annotations, pictures, lists = folders
    paths = [path for split in splits.values() for path in split.text.image_paths]
    stems = iter(unique_stems([_plain_name(path) for path in paths]))
    target = os.path.join(os.path.realpath(final), "JPEGImages")
    for split_name, split in splits.items():
        listed = []
        for image in split.images():
            stem = next(stems)
            picture = f"{stem}{os.path.splitext(_plain_name(image.path))[1]}"
            link_image(image.path, pictures / picture, target)
            (annotations / f"{stem}.xml").write_bytes(_document(picture, image, names).encode())
            listed.append(f"{stem}\n")
        (lists / f"{split_name}.txt").write_bytes("".join(listed).encode())
    write_class_names(partial / "classes.names", names)
    return f"{final}: Annotations, ImageSets/Main, JPEGImages (links), classes.names"


def _plain_name(path: str) -> str:
    """A file name that readers of VOC find: visible, without blanks at its ends, with one suffix of images."""
    stem, suffix = os.path.splitext(os.path.basename(path))
    if suffix.lower() not in _SUFFIXES:
        stem, suffix = f"{stem}{suffix}", ".jpg"
    stem = without_controls(stem).replace("\\", "_").strip()
    end = "_" if os.path.splitext(stem)[1].lower() in _SUFFIXES else ""
    return f"{'_' if stem[:1] in ('', '.') else ''}{stem}{end}{suffix}"


def _document(picture: str, image: ImageBoxes, names: Sequence[str]) -> str:
    width, height = image.size_wh
    size = f"<width>{width}</width><height>{height}</height><depth>3</depth>"
    objects = "".join(_object(names[box.label], box) for box in image.boxes)
    return f"<annotation>\n  <filename>{escape(picture)}</filename>\n  <size>{size}</size>\n{objects}</annotation>\n"


def _object(name: str, box: TextBox) -> str:
    corners = "".join(
        f"<{key}>{number_text(value)}</{key}>"
        for key, value in zip(("xmin", "ymin", "xmax", "ymax"), box.box_xyxy, strict=True)
    )
    head = f"<name>{escape(name)}</name><pose>Unspecified</pose><truncated>0</truncated>"
    return f"  <object>{head}<difficult>{box.ignore:d}</difficult><bndbox>{corners}</bndbox></object>\n"
