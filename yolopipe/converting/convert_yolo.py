"""YOLO writer: ``data.yaml``, ``SPLIT.txt``, ``labels/SPLIT/NAME.txt`` and links ``images/SPLIT/NAME.jpg``.

Tools look for the labels of ``images/...`` in ``labels/...``; hence the links, which take no room.  Images that have
one name in a split are numbered.  Eight decimals are 0.0001 px at 10,000 px.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from ruamel.yaml import YAML

from yolopipe.converting.splits import TextSplit, problems_of, raise_problems
from yolopipe.errors import Problem, YolopipeError
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
    text = split.text
    stems = _unique_stems(text.image_paths)
    ends = np.searchsorted(text.box_image, np.arange(len(stems) + 1))
    boxes, classes, sizes = text.boxes_xyxy.tolist(), text.classes.tolist(), split.size_wh.tolist()
    listed = []
    for row, (path, stem) in enumerate(zip(text.image_paths, stems, strict=True)):
        lines = [label_line(classes[box], boxes[box], sizes[row]) for box in range(ends[row], ends[row + 1])]
        (labels / f"{stem}.txt").write_bytes("".join(f"{line}\n" for line in lines).encode())
        link = f"{stem}{os.path.splitext(path)[1]}"
        _link(path, images / link, os.path.join(final, "images", split_name))
        listed.append(f"./images/{split_name}/{link}\n")
    (partial / f"{split_name}.txt").write_bytes("".join(listed).encode())


def _unique_stems(image_paths: Sequence[str]) -> list[str]:
    """File names without suffix, made distinct, also where a file system ignores case."""
    taken: set[str] = set()
    last: dict[str, int] = {}
    stems = []
    for path in image_paths:
        base = stem = os.path.splitext(os.path.basename(path))[0]
        while stem.lower() in taken:
            last[base.lower()] = last.get(base.lower(), 1) + 1
            stem = f"{base}_{last[base.lower()]}"
        taken.add(stem.lower())
        stems.append(stem)
    return stems


def _link(path: str, link: Path, final_folder: str) -> None:
    """A relative link for a relative path, so that the project and the new folder can be moved together."""
    target = path if os.path.isabs(path) else os.path.relpath(os.path.abspath(path), final_folder)
    try:
        link.symlink_to(target)
    except OSError as error:
        hint = "choose a folder on a file system with symbolic links: --out DIR"
        raise YolopipeError(f"cannot link {link.name}: {error.strerror}", hint=hint) from None
