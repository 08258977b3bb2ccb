"""CVAT writer: ``annotations.xml`` of "CVAT for images 1.1", with the split of an image as its subset.

Image names are the paths of the annotation text, so they are relative to the project folder; CVAT matches them with
the images of a task.  Corners have as many digits as they need, and labels are in the order of the classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from yolopipe.converting.splits import TextSplit
from yolopipe.converting.xml_text import check_text
from yolopipe.formats.annotation_line import number_text

__all__ = ["write"]


def write(splits: Mapping[str, TextSplit], names: Sequence[str], partial: Path, final: Path) -> str:
    """Write all splits; see :class:`~yolopipe.converting.convert_formats.ConvertFormat`.

    Raises:
        DataError: a class name that XML cannot hold.
        ProblemsError: image paths that XML cannot hold.
    """
    check_text(splits, names, paths=True)
    with (partial / "annotations.xml").open("w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(_document(splits, names))
    return f"{final}/annotations.xml"


def _document(splits: Mapping[str, TextSplit], names: Sequence[str]) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n  <meta>\n    <task>\n'
    yield f"      <size>{sum(len(split.text.image_paths) for split in splits.values())}</size>\n"
    yield "      <mode>annotation</mode>\n      <labels>\n"
    for name in names:
        yield f"        <label><name>{escape(name)}</name><type>rectangle</type><attributes/></label>\n"
    yield "      </labels>\n    </task>\n  </meta>\n"
    number = count()
    for name, split in splits.items():
        yield from _images(name, split, names, number)
    yield "</annotations>\n"


def _images(subset: str, split: TextSplit, names: Sequence[str], number: Iterator[int]) -> Iterator[str]:
    for path, (width, height), boxes in split.images():
        place = f"id={quoteattr(str(next(number)))} name={quoteattr(path)} subset={quoteattr(subset)}"
        yield f'  <image {place} width="{width}" height="{height}">\n'
        for number_of_class, box_xyxy, _ in boxes:
            corners = " ".join(
                f'{key}="{number_text(value)}"'
                for key, value in zip(("xtl", "ytl", "xbr", "ybr"), box_xyxy, strict=True)
            )
            label = quoteattr(names[number_of_class])
            yield f'    <box label={label} source="manual" occluded="0" {corners} z_order="0"/>\n'
        yield "  </image>\n"
