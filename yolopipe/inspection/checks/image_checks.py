"""The rules on image files: duplicates, near duplicates, leaks between splits, unreadable files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from yolopipe.arrays import Ints, Mask
from yolopipe.inspection.checks.check_report import MOST_HITS, Check, Hit, Place
from yolopipe.inspection.checks.dataset import Dataset
from yolopipe.inspection.checks.fingerprints import Fingerprints
from yolopipe.inspection.checks.near_duplicates import NearDuplicates, find_near_duplicates
from yolopipe.inspection.checks.origins import DroppedBoxes, place_of
from yolopipe.inspection.checks.rules import make_check

__all__ = ["PIXEL_RULES", "image_checks", "unreadable_check"]

PIXEL_RULES = ("leak", "leak-near", "duplicate-image", "near-duplicate")
"""Rules that need the source images."""


def image_checks(data: Dataset, found: Fingerprints, left_out: list[str]) -> Iterator[Check]:
    """Duplicates and near duplicates, within a split and between splits.

    Args:
        data: images in order of split and line; val is the later split.
        found: their fingerprints.
        left_out: a sentence is appended for what could not be compared.
    """
    read = np.ones(len(data.paths), bool)
    read[[number for number, *_ in found.unreadable]] = False
    same = _equal_bytes(found.prints.digest, data.split, read)
    near = find_near_duplicates(found.prints, data.split, found.usable)
    flat = int((read & ~found.usable).sum())
    if flat:
        left_out.append(f"near-duplicate, leak-near: {flat:,} images of one uniform colour are not compared")
    if near.skipped:
        left_out.append(
            f"near-duplicate, leak-near: too many images are alike; {near.skipped:,} pairs were not compared"
        )
    near.other[same.other >= 0] = -1  # a duplicate is not reported as a near duplicate too
    near.same[same.same >= 0] = -1
    train, val = (int((data.split == number).sum()) for number in _train_val(data))
    images = len(data.paths)
    rows = (
        ("leak", same.other, val, "the same files are in train", f"no file of val is among the {train:,} of train"),
        (
            "leak-near",
            near.other,
            val,
            "near duplicates of an image in train",
            f"no image of val is a near duplicate of one of the {train:,} of train",
        ),
        (
            "duplicate-image",
            same.same,
            images,
            "duplicates of an earlier file",
            "no file occurs twice in a split",
        ),
        (
            "near-duplicate",
            near.same,
            images,
            "near duplicates of an earlier image",
            "no near duplicates within a split",
        ),
    )
    for rule, partner, base, applies, passed in rows:
        hits = _pair_hits(data, partner, "near duplicate of {}" if "near" in rule else "same file as {}")
        count = int((partner >= 0).sum())
        yield make_check(rule, count, base, applies if count else passed, hits)


def _train_val(data: Dataset) -> Iterator[int]:
    for name in ("train", "val"):
        yield data.split_names.index(name) if name in data.split_names else len(data.split_names)


def _equal_bytes(digest: npt.NDArray[np.uint64], split: npt.NDArray[np.uint8], read: Mask) -> NearDuplicates:
    """For each image the first one with the same bytes: in its split, and in an earlier one."""
    members = np.flatnonzero(read)
    partner = {"same": np.full(len(digest), -1, np.int64), "other": np.full(len(digest), -1, np.int64)}
    for name in ("same", "other"):
        keys = np.stack([digest[members], split[members] * np.uint64(name == "same")], axis=1)
        _, first, which = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        firsts = members[first[which.reshape(-1)]]
        right = (split[firsts] == split[members]) if name == "same" else (split[firsts] < split[members])
        chosen = (firsts != members) & right
        partner[name][members[chosen]] = firsts[chosen]
    return NearDuplicates(partner["same"], partner["other"])


def _pair_hits(data: Dataset, partner: Ints, words: str) -> list[Hit]:
    hits = []
    for image in np.flatnonzero(partner >= 0)[:MOST_HITS].tolist():
        other = int(partner[image])
        place = (data.split_names[data.split[other]], data.paths[other])
        named = f"{place[1]} ({place[0]}{_line(data, other)})"
        hits.append(image_hit(data, image, words.format(named), partner=place))
    return hits


def _line(data: Dataset, image: int) -> str:
    place = image_hit(data, image, "").place
    return f", {place}" if place else ""


def image_hit(
    data: Dataset,
    image: int,
    message: str,
    *,
    boxes: tuple[int, ...] = (),
    origin: Sequence[int] | None = None,
    partner: tuple[str, str] | None = None,
) -> Hit:
    """A hit in one image: at the ``origin`` of a box, else at the image's annotation line where that is known."""
    split = data.split_names[data.split[image]]
    place = place_of(data.files, split, (int(data.lines[image]), 0) if origin is None else origin)
    return Hit(split, data.paths[image], message, boxes, *(place if place.line else Place("")), partner)


def unreadable_check(
    data: Dataset, found: Fingerprints | None, dropped: DroppedBoxes | None, images_read: int
) -> Check:
    """Images that parse could not read, and images that cannot be read now."""
    unreadable = found.unreadable if found else []
    dropped = dropped or DroppedBoxes()
    hits = dropped.hits + [
        image_hit(data, number, f"{rule}: {message}") for number, rule, message in unreadable[:MOST_HITS]
    ]
    count = dropped.count + len(unreadable)
    parts = [f"{len(unreadable):,} cannot be read now"] if unreadable else []
    parts += [f"{dropped.count:,} could not be read by parse"] if dropped.count else []
    hits.sort(key=lambda hit: (hit.split, hit.line))
    return make_check(
        "unreadable", count, max(images_read, len(data.paths)), ", ".join(parts) or "every image can be read", hits
    )
