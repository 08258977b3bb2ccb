"""``yolopipe labels split``: annotation text to train, val and test or to folds, no group of images cut in two."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from yolopipe.arrays import Ints
from yolopipe.errors import DataError, UsageError
from yolopipe.files import atomic_file
from yolopipe.formats.class_names import write_class_names
from yolopipe.labelsets.label_set import (
    LabelSet,
    OnBad,
    kept_inputs,
    left_out_rows,
    read_label_set,
    write_annotations,
)
from yolopipe.labelsets.near_groups import near_duplicate_pairs
from yolopipe.labelsets.select import image_hashes
from yolopipe.labelsets.stratify import deal_groups, group_counts, joined_groups
from yolopipe.result import CommandResult
from yolopipe.workers.pool import Workers

__all__ = ["SplitRequest", "run", "split_by_groups"]


MOST_CLASS_ROWS = 20
"""Classes listed on the screen, those farthest from their shares; all are in the JSON report."""


@dataclass(frozen=True, slots=True)
class SplitRequest:
    """How a set is split.

    Args:
        shares: split name to its part of the whole, sum 1; or
        folds: number of folds, each of which is val once while the others are train; 0 for none.
        group: ``folder``, a regular expression on the path (its first group, else the whole match, names the group of
            an image), or nothing: each image by itself.
        near_duplicates: keep equal and nearly equal pictures in one split.
        seed: decides between groups that count the same.
    """

    shares: Mapping[str, float] = field(default_factory=dict)
    folds: int = 0
    group: str = ""
    near_duplicates: bool = True
    seed: int = 0


def run(
    texts: Sequence[Path],
    out: Path,
    request: SplitRequest,
    *,
    classes: Path | None = None,
    on_bad: OnBad = "fail",
    workers: Workers = 1,
) -> CommandResult:
    """Split annotation text.

    Args:
        texts: one or more, together the whole set.
        out: folder for ``SPLIT.txt`` or ``fold-K/{train,val}.txt``, ``classes.names`` and ``split.csv``.
        request: shares or folds, and the groups.
        classes: names file; by default ``classes.names`` beside the first text.
        on_bad: what becomes of lines and boxes that cannot be read.
        workers: processes that read the pictures; changes nothing but the time.

    Returns:
        Images, boxes and class shares of each split.

    Raises:
        UsageError: shares, folds or the regular expression cannot be used, or an output is one of the texts.
        DataError: a text cannot be used, or there are fewer groups than splits.
    """
    names, shares = _shares(request)
    label_set, left_out = read_label_set(texts, classes, on_bad=on_bad)
    group, unmatched = _groups(label_set, request.group)
    rows: dict[str, object] = {"read": label_set.counts_text()}
    if unmatched:
        rows["not matched"] = f"{unmatched:,} images do not match --group; each is a group of its own"
    pairs: Callable[[Ints], tuple[Ints, Ints]] | None = None
    if request.near_duplicates:
        search = near_duplicate_pairs(label_set.image_paths, workers=workers)
        pairs, rows = search.across, {**rows, **search.rows}
    split, group = split_by_groups(label_set, group, shares, seed=request.seed, pairs=pairs)
    groups = int(group.max(initial=-1)) + 1
    if groups < len(names):
        message = f"{groups:,} groups of images cannot fill {len(names)} splits: {', '.join(names)}"
        raise DataError(message, hint="fewer splits, a finer --group, or --no-near-duplicates")
    rows["groups"] = f"{groups:,}, the largest of {int(np.bincount(group).max()):,} images"
    files = _write(label_set, split, group, names, out, request, texts)
    facts = _facts(label_set, split, names, shares)
    rows |= {name: _split_row(facts[name]) for name in names} | _class_rows(facts, names, shares, label_set.names)
    rows |= left_out_rows(left_out)
    rows["written"] = f"{out}: {', '.join(files)}"
    report = {"splits": facts, "groups": groups, "left_out": len(left_out), "files": files}
    title = f"labels split: {len(names)} {'folds' if request.folds else 'splits'}, no group in two of them"
    first = out / "fold-1" if request.folds else out
    next_step = f"name {first}/... under data: in params.yaml, then: yolopipe check"
    return CommandResult(title, rows, report, next_step=next_step)


def _shares(request: SplitRequest) -> tuple[tuple[str, ...], tuple[float, ...]]:
    if request.folds:
        if request.shares:
            raise UsageError("--folds makes equal parts: leave --share out")
        if request.folds < 2:
            raise UsageError(f"--folds must be at least 2, got {request.folds}")
        names = tuple(f"fold-{number}" for number in range(1, request.folds + 1))
        return names, (1 / request.folds,) * request.folds
    shares = dict(request.shares) or {"train": 0.8, "val": 0.2}
    total = sum(shares.values())
    if len(shares) < 2 or min(shares.values()) <= 0 or abs(total - 1) > 1e-6:
        given = ", ".join(f"{name}={share:g}" for name, share in shares.items())
        raise UsageError(f"--share: expected at least two positive shares with sum 1, got {given} (sum {total:g})")
    return tuple(shares), tuple(share / total for share in shares.values())


def _groups(label_set: LabelSet, rule: str) -> tuple[Ints, int]:
    """The group of each image, and how many images the rule does not match."""
    names: list[str] = []
    unmatched = 0
    pattern = _compiled(rule) if rule not in ("", "folder") else None
    for path in label_set.image_paths:
        match = pattern.search(path) if pattern else None
        if rule == "folder":
            names.append(f"folder {PurePosixPath(path).parent}")
        elif match:
            names.append(f"group {match[1] if match.re.groups and match[1] is not None else match[0]}")
        else:
            unmatched += pattern is not None
            names.append(f"image {path}")
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([numbers[name] for name in names], np.int64), unmatched


def _compiled(rule: str) -> re.Pattern[str]:
    try:
        return re.compile(rule)
    except re.error as error:
        raise UsageError(f"--group {rule!r} is not a regular expression: {error}", hint="--group folder") from None


def split_by_groups(
    label_set: LabelSet,
    group: Ints,
    shares: Sequence[float],
    *,
    seed: int = 0,
    pairs: Callable[[Ints], tuple[Ints, Ints]] | None = None,
) -> tuple[Ints, Ints]:
    """Deal groups to splits, and join groups that share a near-duplicate, until none lies in two splits.

    Args:
        label_set: M images.
        group: (M,) group of each image.
        shares: (S,) part of each split.
        seed: decides between groups that count the same.
        pairs: from the split of each image to pairs of images in different splits that must lie in the same one.

    Returns:
        (M,) split and (M,) group of each image.
    """
    images = np.arange(len(label_set.image_paths))
    objects = label_set.boxes(~label_set.ignore)
    first = np.unique(np.stack([objects.box_image, objects.classes]), axis=1)
    columns = 1 + 2 * len(label_set.names)
    content = [(images, np.zeros_like(images)), (objects.box_image, 1 + 2 * objects.classes)]
    content.append((first[0], 2 + 2 * first[1]))
    hashes = image_hashes(label_set.image_paths, seed)
    none = np.empty(0, np.int64)
    group = joined_groups(group, none, none)
    while True:
        counts = group_counts(group, content, columns)
        keys = np.full(len(counts), np.iinfo(np.uint64).max, np.uint64)
        np.minimum.at(keys, group, hashes)  # of a group's images: no matter in which order they are listed
        split = deal_groups(counts, shares, keys)[group]
        if pairs is None:
            return split, group
        one, two = pairs(split)
        if not len(one):
            return split, group
        group = joined_groups(group, one, two)


def _write(
    label_set: LabelSet,
    split: Ints,
    group: Ints,
    names: Sequence[str],
    out: Path,
    request: SplitRequest,
    texts: Sequence[Path],
) -> list[str]:
    parts: dict[str, npt.NDArray[np.bool_]] = {}
    for number, name in enumerate(names):
        if request.folds:
            parts[f"{name}/train.txt"] = split != number
            parts[f"{name}/val.txt"] = split == number
        else:
            parts[f"{name}.txt"] = split == number
    kept_inputs([out / name for name in (*parts, "classes.names", "split.csv")], texts)
    for name, keep in parts.items():
        write_annotations(out / name, label_set.images(keep))
    write_class_names(out / "classes.names", label_set.names)
    with atomic_file(out / "split.csv") as partial, partial.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["image", "split", "group"])
        for path, part, number in zip(label_set.image_paths, split.tolist(), group.tolist(), strict=True):
            writer.writerow([path, names[part], number])
    return [*parts, "classes.names", "split.csv"]


def _facts(label_set: LabelSet, split: Ints, names: Sequence[str], shares: Sequence[float]) -> dict[str, Any]:
    count = len(label_set.names)
    total = np.bincount(label_set.classes[~label_set.ignore], minlength=count)
    facts: dict[str, Any] = {}
    for number, name in enumerate(names):
        own = label_set.images(split == number)
        boxes = np.bincount(own.classes[~own.ignore], minlength=count)
        part = np.divide(boxes, total, out=np.zeros(count), where=total > 0)
        facts[name] = {
            "share": shares[number],
            **own.counts(),
            "image_share": float((split == number).mean()) if len(split) else 0.0,
            "boxes_per_class": dict(zip(label_set.names, boxes.tolist(), strict=True)),
            "class_shares": dict(zip(label_set.names, part.round(6).tolist(), strict=True)),
        }
    return facts


def _split_row(facts: Mapping[str, Any]) -> str:
    wanted, got = f"{facts['share']:.1%}", f"{facts['image_share']:.1%}"
    ignored = f", {facts['ignored']:,} ignored" if facts["ignored"] else ""
    return f"{facts['images']:,} images ({got}, asked for {wanted}), {facts['boxes']:,} boxes{ignored}"


def _class_rows(
    facts: Mapping[str, Any], names: Sequence[str], shares: Sequence[float], classes: Sequence[str]
) -> dict[str, object]:
    """The part of each class that each split has; the classes farthest from their shares where there are many."""
    part = np.array([[facts[name]["class_shares"][kind] for kind in classes] for name in names]).reshape(
        len(names), -1
    )
    present = np.flatnonzero(part.sum(axis=0) > 0)
    off = np.abs(part - np.array(shares)[:, np.newaxis]).max(axis=0)
    shown = sorted(present[np.argsort(-off[present], kind="stable")][:MOST_CLASS_ROWS].tolist())
    rows: dict[str, object] = {
        f"class {classes[kind]}": ", ".join(f"{part[at, kind]:.1%} {name}" for at, name in enumerate(names))
        for kind in shown
    }
    if len(present) > len(shown):
        rows["more classes"] = f"{len(present) - len(shown):,}, nearer to their shares than these (--json lists all)"
    return rows
