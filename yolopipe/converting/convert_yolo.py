"""Annotation text to YOLO label files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from ruamel.yaml import YAML

from yolopipe.converting.splits import TextSplit, check_out, problems_of, read_splits, result_of, stop_if
from yolopipe.errors import Problem, YolopipeError
from yolopipe.files import atomic_directory
from yolopipe.formats.yolo import label_line
from yolopipe.result import CommandResult

__all__ = ["convert_yolo"]


def convert_yolo(texts: Mapping[str, str | Path], classes: str | Path, out: str | Path) -> CommandResult:
    """Write ``data.yaml``, ``SPLIT.txt``, ``labels/SPLIT/NAME.txt`` and links ``images/SPLIT/NAME.jpg``.

    Tools find the labels of ``images/...`` in ``labels/...``; hence the links, which take no room.  An image whose
    name another one of its split has already gets a number behind it.  Eight decimals: 0.0001 px at 10,000 px.

    Args:
        texts: split name to annotation text.
        classes: the names file.
        out: a new or empty folder.

    Returns:
        What was written.

    Raises:
        UsageError: ``out`` is not empty.
        ProblemsError: what YOLO labels cannot hold, all at once: also boxes whose centre lies outside their image or
            which are larger than it.
        YolopipeError: the file system has no links.
    """
    folder = Path(out)
    check_out(folder)
    splits, names = read_splits(texts, classes, kind="yolo")
    stop_if([problem for split in splits.values() for problem in _wild(split)])
    with atomic_directory(folder) as partial:
        for name, split in splits.items():
            _write_split(partial, name, split, os.path.realpath(folder))
        keys = {name: f"{name}.txt" for name in splits}
        with (partial / "data.yaml").open("w", encoding="utf-8", newline="\n") as stream:
            yaml = YAML()
            yaml.width = 2**20  # a long name stays on its line
            yaml.dump({**keys, "nc": len(names), "names": dict(enumerate(names))}, stream)
    return result_of(
        "yolo", splits, names, f"{folder}: data.yaml, images (links), labels, {', '.join(keys.values())}"
    )


def _wild(split: TextSplit) -> Iterator[Problem]:
    """Boxes whose centre or size is not between 0 and 1, which other tools refuse."""
    text = split.text
    size = split.size_wh[text.box_image]
    low, high = text.boxes_xyxy[:, :2], text.boxes_xyxy[:, 2:]
    centre = (low + high) / 2
    wild = ((centre < 0) | (centre > size) | (high - low > size)).any(axis=1)
    message = "no YOLO label: the centre is outside the image, or the box larger than it"
    return problems_of(text, wild, "outside-image", message)


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
    """File names without suffix, made distinct (whatever the case: some disks know no difference)."""
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
    """A relative link for a relative path, so that project and export can be moved together."""
    target = path if os.path.isabs(path) else os.path.relpath(os.path.abspath(path), final_folder)
    try:
        link.symlink_to(target)
    except OSError as error:
        hint = "choose a folder on a file system that has them (on Windows: allow links in developer mode)"
        raise YolopipeError(f"cannot link {link.name}: {error.strerror}", hint=hint) from None
