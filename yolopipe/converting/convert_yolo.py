"""YOLO writer: ``data.yaml``, ``SPLIT.txt``, ``labels/SPLIT/NAME.txt`` and links ``images/SPLIT/NAME.jpg``.

Tools look for the labels of ``images/...`` in ``labels/...``; hence the links, which take no room.  Images that have
one name in a split are numbered.  Eight decimals are 0.0001 px at 10,000 px.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ruamel.yaml import YAML

from yolopipe.converting.links import link_image, unique_stems
from yolopipe.converting.splits import TextSplit, problems_of, raise_problems
from yolopipe.errors import Problem
from yolopipe.formats.yolo import label_line

__all__ = ["write"]


def write(splits: Mapping[str, TextSplit], names: Sequence[str], partial: Path, final: Path) -> str:
    """Write all splits; see :class:`~yolopipe.converting.convert_formats.ConvertFormat`.

    Raises:
        ProblemsError: boxes with their centre outside the image, and boxes larger than it.
        YolopipeError: the file system has no links.
    """
    raise_problems([problem for split in splits.values() for problem in _not_normalised(split)])
    for name, split in splits.items():
        _write_split(partial, name, split, os.path.realpath(final))
    files = {name: f"{name}.txt" for name in splits}
    with (partial / "data.yaml").open("w", encoding="utf-8", newline="\n") as stream:
        yaml = YAML()
        yaml.width = 2**20  # a long name stays on its line
        yaml.dump({**files, "nc": len(names), "names": dict(enumerate(names))}, stream)
    return f"{final}: data.yaml, images (links), labels, {', '.join(files.values())}"


def _not_normalised(split: TextSplit) -> Iterator[Problem]:
    """Boxes whose centre or size would not be between 0 and 1, which other tools refuse."""
    text = split.text
    size = split.size_wh[text.box_image]
    low, high = text.boxes_xyxy[:, :2], text.boxes_xyxy[:, 2:]
    centre = (low + high) / 2
    outside = ((centre < 0) | (centre > size) | (high - low > size)).any(axis=1)
    message = "YOLO cannot hold this box: its centre is outside the image, or it is larger than the image"
    return problems_of(text, outside, "outside-image", message)


def _write_split(partial: Path, split_name: str, split: TextSplit, final: str) -> None:
    images, labels = partial / "images" / split_name, partial / "labels" / split_name
    images.mkdir(parents=True)
    labels.mkdir(parents=True)
    listed = []
    stems = unique_stems(split.text.image_paths)
    for stem, (path, size_wh, boxes) in zip(stems, split.images(), strict=True):
        lines = [label_line(box.label, box.box_xyxy, size_wh) for box in boxes]
        (labels / f"{stem}.txt").write_bytes("".join(f"{line}\n" for line in lines).encode())
        link = f"{stem}{os.path.splitext(path)[1]}"
        link_image(path, images / link, os.path.join(final, "images", split_name))
        listed.append(f"./images/{split_name}/{link}\n")
    (partial / f"{split_name}.txt").write_bytes("".join(listed).encode())
