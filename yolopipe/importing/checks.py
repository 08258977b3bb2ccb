"""Checks of a data set that can be imported: image headers, and notes on what ``parse`` will report.

Notes name the place in the source; the data are written unchanged.  The rules on boxes are those of ``parse``
(:class:`~yolopipe.parsing.box_rules.BoxChecker`), with the settings of ``params.yaml`` here, or else the defaults.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress

import numpy as np

from yolopipe.config.params import Config, Data
from yolopipe.config.params_file import load_config
from yolopipe.errors import ConfigError, Problem
from yolopipe.formats.yolo import to_pixels
from yolopipe.imaging.headers import read_headers
from yolopipe.importing.reading import Counted, Reading, SourceImage, SourceSplit
from yolopipe.parsing.box_rules import BoxChecker
from yolopipe.parsing.policy import Scope

__all__ = ["find_notes", "project_config", "read_sizes", "scope_of_rule"]


def read_sizes(reading: Reading) -> None:
    """Read the headers of all images: fill in their sizes, and turn fractions into pixels.

    Args:
        reading: changed in place; images that cannot be read are added to its problems.
    """
    every = [image.path for split in reading.splits.values() for image in split.images]
    headers = read_headers(every, title=f"import {reading.kind}")
    for split in reading.splits.values():
        found = [next(headers) for _ in split.images]
        split.size_wh = np.array([header[:2] for header in found], np.int32).reshape(-1, 2)
        split.orientation = np.array([header.orientation for header in found], np.int32)
        reading.problems += [
            Problem(image.file, image.line, 0, header.rule, header.message, image.path, scope="image")
            for image, header in zip(split.images, found, strict=True)
            if header.rule
        ]
        if reading.fractions:
            sizes_wh = split.size_wh[split.box_image].astype(np.float64)
            split.boxes_xyxy, on_edge = to_pixels(split.boxes_xyxy, sizes_wh)
            split.counted.append(Counted("put_on_edge", on_edge, "boxes a rounding error past an edge, put on it"))


def project_config() -> Config:
    """That of ``params.yaml`` in this folder; the defaults where there is none that is right."""
    with suppress(ConfigError):
        return load_config()
    return Config(data=Data(train="-", val="-", classes="-", images="-"))


def scope_of_rule(rule: str) -> Scope:
    """What ``parse`` takes for bad where a rule of :func:`find_notes` is broken."""
    if rule in ("duplicate-image", "train-val-leak"):
        return "image"
    return "box" if rule in ("no-area", "outside-image", "tiny", "duplicate-box") else "note"


def find_notes(reading: Reading) -> list[Problem]:
    """What ``parse`` will report, with file and line of the source.

    Args:
        reading: with the sizes of its images.

    Returns:
        Notes: the rules of ``parse`` on boxes, ``duplicate-image``, ``train-val-leak``, ``empty-split``, and
        ``image-size`` where the source states another size than the image has.
    """
    found = [
        note
        for split in reading.splits.values()
        for note in (*_other_sizes(split), *_duplicates(split), *_box_notes(split))
    ]
    for name, split in reading.splits.items():
        if not split.images:
            found.append(Problem(str(reading.root), 0, 0, "empty-split", f"{name} has no image"))
        elif split.ignore.all():
            message = f"none of the {len(split.images):,} images of {name} has a box"
            why = f": {split.no_boxes}" if split.no_boxes else ""
            found.append(Problem(str(reading.root), 0, 0, "no-boxes", f"{message}{why}"))
    return [*found, *_leaks(reading.splits)]


def _note(image: SourceImage, rule: str, message: str, line: int = 0, column: int = 0) -> Problem:
    return Problem(image.file, line or image.line, column, rule, message, image.path)


def _other_sizes(split: SourceSplit) -> Iterator[Problem]:
    for image, size, orientation in zip(
        split.images, split.size_wh.tolist(), split.orientation.tolist(), strict=True
    ):
        stated = list(image.size_wh)
        if min(stated) > 0 and stated != size:
            turned = orientation >= 5 and stated == size[::-1]
            why = f": EXIF orientation {orientation} rotates it, and the boxes may ignore that" if turned else ""
            message = f"the image is {size[0]}x{size[1]}, its annotation says {stated[0]}x{stated[1]}{why}"
            yield _note(image, "image-size", message)


def _duplicates(split: SourceSplit) -> Iterator[Problem]:
    first: dict[str, SourceImage] = {}
    for image in split.images:
        before = first.setdefault(image.path, image)
        if before is not image:
            yield _note(image, "duplicate-image", f"image {image.path} was already listed ({_place(before)})")


def _leaks(splits: Mapping[str, SourceSplit]) -> Iterator[Problem]:
    if "train" in splits and "val" in splits:
        train = {os.path.realpath(image.path): image for image in splits["train"].images}
        for image in splits["val"].images:
            other = train.get(os.path.realpath(image.path))
            if other is not None:
                yield _note(image, "train-val-leak", f"image {image.path} is also in train ({_place(other)})")


def _place(image: SourceImage) -> str:
    return f"{image.file}:{image.line}" if image.line else image.file


def _box_notes(split: SourceSplit) -> Iterator[Problem]:
    size = np.where(split.size_wh > 0, split.size_wh, np.nan).astype(np.float64)
    config = project_config()
    limits = config.precompute.smallest_size, config.parse.min_box_px
    checker = BoxChecker(int(split.labels.max(initial=0)) + 1, *limits)
    faults = checker.check(split.boxes_xyxy, split.labels, split.box_image, size, split.ignore)
    for rule, mask in faults.masks.items():
        for box in np.flatnonzero(mask).tolist():
            row = int(split.box_image[box])
            orientation = int(split.orientation[row])
            label = int(split.labels[box])
            message = checker.message(rule, split.boxes_xyxy[box], label, size[row], orientation=orientation)
            if rule == "duplicate-box":
                message += f" (line {split.places[faults.first[box], 0]})"
            yield _note(split.images[row], rule, message, *split.places[box].tolist())
