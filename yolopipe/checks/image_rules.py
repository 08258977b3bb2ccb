"""The rules on image files: equal and nearly equal ones, leaks between splits, files that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from yolopipe.checks.dataset import Dataset
from yolopipe.checks.fingerprints import Fingerprints
from yolopipe.checks.report import MOST_HITS, Check, Hit
from yolopipe.checks.rules import make_check
from yolopipe.checks.sources import Losses
from yolopipe.checks.twins import Twins, find_twins

__all__ = ["PIXEL_RULES", "image_checks", "unreadable_check"]

PIXEL_RULES = ("leak", "leak-near", "duplicate-image", "near-duplicate")
"""What needs the source images."""

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def image_checks(data: Dataset, found: Fingerprints, left_out: list[str]) -> Iterator[Check]:
    """Equal and nearly equal images, within splits and across.

    Args:
        data: images in order of split and line; val is the later split.
        found: their fingerprints.
        left_out: gets a sentence about what could not be compared.
    """
    read = np.ones(len(data.paths), bool)
    read[[number for number, *_ in found.troubles]] = False
    same = _equal_bytes(found.prints.digest, data.split, read)
    near = find_twins(found.prints, data.split, found.usable)
    flat = int((read & ~found.usable).sum())
    if flat:
        left_out.append(f"near-duplicate, leak-near: {flat:,} images of one grey all over are not compared")
    if near.skipped:
        left_out.append(
            f"near-duplicate, leak-near: too many images look alike to compare all; {near.skipped:,} pairs were not"
        )
    near.other[same.other >= 0] = -1  # one image, one rule: equal bytes say it all
    near.same[same.same >= 0] = -1
    train, val = (int((data.split == number).sum()) for number in _train_val(data))
    images = len(data.paths)
    equal, alike = "the same file as {}", "nearly the same picture as {}"
    yield _pair_check("leak", data, same.other, val, f"no file of val is in train ({train:,} images) too", equal)
    yield _pair_check(
        "leak-near", data, near.other, val, f"no image of val is nearly one of train's {train:,}", alike
    )
    yield _pair_check("duplicate-image", data, same.same, images, "no file is there twice in a split", equal)
    yield _pair_check(
        "near-duplicate", data, near.same, images, "no two images of a split are nearly the same", alike
    )


def _train_val(data: Dataset) -> Iterator[int]:
    for name in ("train", "val"):
        yield data.split_names.index(name) if name in data.split_names else len(data.split_names)


def _equal_bytes(digest: npt.NDArray[np.uint64], split: npt.NDArray[np.uint8], read: Mask) -> Twins:
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
    return Twins(partner["same"], partner["other"])


def _pair_check(rule: str, data: Dataset, partner: Ints, base: int, passed: str, words: str) -> Check:
    chosen = np.flatnonzero(partner >= 0)
    hits = []
    for image in chosen[:MOST_HITS].tolist():
        other = int(partner[image])
        place = (data.split_names[data.split[other]], data.paths[other])
        named = f"{place[1]} ({place[0]}{_line(data, other)})"
        hits.append(image_hit(data, image, words.format(named), partner=place))
    summary = f"{words.format(hits[0].partner[1])}: {hits[0].image}" if hits and hits[0].partner else passed
    return make_check(rule, len(chosen), base, summary, hits)


def _line(data: Dataset, image: int) -> str:
    file = data.files.get(data.split_names[data.split[image]], "")
    return f", {file}:{data.lines[image]}" if file and data.lines[image] else ""


def image_hit(
    data: Dataset, image: int, message: str, *, boxes: tuple[int, ...] = (), partner: tuple[str, str] | None = None
) -> Hit:
    """A hit in one image, with its place in the annotation text where that is known."""
    split = data.split_names[data.split[image]]
    line = int(data.lines[image])
    return Hit(split, data.paths[image], message, boxes, data.files.get(split, "") if line else "", line, partner)


def unreadable_check(data: Dataset, found: Fingerprints | None, losses: Losses | None, images_read: int) -> Check:
    """Images that parse dropped because they could not be read, and those that cannot be read now."""
    troubles = found.troubles if found else []
    dropped = losses or Losses()
    hits = dropped.hits + [
        image_hit(data, number, f"{rule}: {message}") for number, rule, message in troubles[:MOST_HITS]
    ]
    count = dropped.count + len(troubles)
    parts = [f"{len(troubles):,} cannot be read now"] if troubles else []
    parts += [f"{dropped.count:,} could not be read by parse"] if dropped.count else []
    return make_check(
        "unreadable", count, max(images_read, len(data.paths)), ", ".join(parts) or "all can be read", hits
    )
