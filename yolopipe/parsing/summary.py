"""What the user of ``parse`` is told: how much there is, and everything that was lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from yolopipe import paths
from yolopipe.parsing.policy import Kept, SplitFindings, count_by_rule
from yolopipe.result import CommandResult

__all__ = ["Counts", "ParsedSplit", "add_counts", "counts_of", "split_counts", "summary_of"]

Counts = dict[str, Any]
"""Plain JSON: names to numbers, or to more of the same."""

MANY_CLASSES = 24
"""More are not listed one a line."""

SPLITS = ("train", "val")


@dataclass(frozen=True, slots=True)
class ParsedSplit:
    """A split after the policy, in the order of the text.

    Args:
        split: all that was read, and what was found.
        kept: what is left of it.
    """

    split: SplitFindings
    kept: Kept

    @property
    def boxes(self) -> int:
        """How many boxes are kept."""
        return int(self.kept.boxes.sum())

    @property
    def images(self) -> int:
        """How many images are kept."""
        return int(self.kept.images.sum())


def counts_of(splits: Mapping[str, Counts], names: Sequence[str], policy: str) -> Counts:
    """The facts of a run, as plain JSON: what ``data/parsed/counts.json`` holds.

    Args:
        splits: :func:`split_counts` of each split.
        names: class names in order.
        policy: ``parse.on_bad``.

    Returns:
        Images, backgrounds, boxes, boxes by class, and problems by rule and action, for each split.
    """
    return {
        "on_bad": policy,
        "classes": list(names),
        "splits": dict(splits),
    }


def add_counts(first: Counts, second: Counts) -> Counts:
    """Sums of numbers, key by key and level by level; keys in the order of ``first``, then of ``second``.

    >>> add_counts({"a": 1, "b": {"x": 2}}, {"b": {"x": 1, "y": 5}, "c": 4})
    {'a': 1, 'b': {'x': 3, 'y': 5}, 'c': 4}
    """
    total = dict(first)
    for key, value in second.items():
        known = total.get(key)
        if isinstance(value, dict):
            total[key] = add_counts(known or {}, value)
        else:
            total[key] = value if known is None else known + value
    return total


def split_counts(part: ParsedSplit, names: Sequence[str]) -> Counts:
    """The facts of a split, or of a part of it: numbers, such that those of two parts add up."""
    text, kept = part.split.text, part.kept
    per_class = np.bincount(text.classes[kept.boxes], minlength=len(names)).tolist()
    filled = np.unique(text.box_image[kept.boxes]).size
    per_rule: dict[str, dict[str, int]] = {}
    for rule, action, n in count_by_rule(kept.problems):
        per_rule.setdefault(rule, {})[action] = n
    unread = Counter(fault.problem.rule for fault in text.faults)
    return {
        "images": part.images,
        "backgrounds": part.images - filled,
        "boxes": part.boxes,
        "boxes_per_class": dict(zip(names, per_class, strict=True)),
        "orientations_fixed": int((part.split.orientation[kept.images] != 1).sum()),
        "images_read": len(text.image_paths) + unread["not-utf8"] + unread["no-image-path"],
        "boxes_read": len(text.classes) + unread["bad-box-text"],
        "problems": per_rule,
    }


def summary_of(counts: dict[str, Any], names: Sequence[str], guesses: Sequence[str] = ()) -> CommandResult:
    """The same facts for people, on one screen.

    Args:
        counts: from :func:`counts_of`.
        names: class names in order.
        guesses: what else a text may be, in words.

    Returns:
        Title, rows, and ``counts`` as report.
    """
    splits = counts["splits"]
    images = sum(split["images"] for split in splits.values())
    boxes = sum(split["boxes"] for split in splits.values())
    rows: dict[str, object] = {}
    for name, split in splits.items():
        backgrounds = f" ({split['backgrounds']:,} without boxes)" if split["backgrounds"] else ""
        rows[name] = f"{split['images']:,} images{backgrounds}, {split['boxes']:,} boxes"
    rows |= _class_rows(splits, names)
    rows |= _loss_rows(splits)
    empty = [name for name in names if splits["train"]["boxes_per_class"][name] == 0]
    warnings = [f"no box in train of: {', '.join(empty)}"] if empty else []
    if warnings or guesses:
        rows["warning"] = "; ".join([*warnings, *guesses])
    rows["written"] = f"{paths.PARSED}/{{train,val}}.parquet, problems.csv, counts.json"
    title = f"parse: {images:,} images, {boxes:,} boxes, {len(names):,} class{'es' if len(names) > 1 else ''}"
    return CommandResult(title, rows, counts, next_step="yolopipe augment")


def _class_rows(splits: dict[str, Any], names: Sequence[str]) -> dict[str, str]:
    train, val = (splits[name]["boxes_per_class"] for name in SPLITS)
    shown = sorted(names, key=train.__getitem__)[:MANY_CLASSES] if len(names) > MANY_CLASSES else names
    rows = {f"class {name}": f"{train[name]:,} boxes in train, {val[name]:,} in val" for name in shown}
    if len(names) > MANY_CLASSES:
        rows["classes"] = f"above: the {MANY_CLASSES} rarest of {len(names)}; all of them: {paths.PARSED}/counts.json"
    return rows


def _loss_rows(splits: dict[str, Any]) -> dict[str, str]:
    turned = sum(split["orientations_fixed"] for split in splits.values())
    rows = {"EXIF": f"{turned:,} images turned upright"} if turned else {}
    totals: Counter[tuple[str, str]] = Counter()
    for split in splits.values():
        for rule, actions in split["problems"].items():
            totals.update({(action, rule): n for action, n in actions.items()})
    for (action, rule), n in sorted(totals.items()):
        rows[f"{action} {rule}"] = f"{n:,} ({paths.PARSED}/problems.csv)"
    lost = sum(split["boxes_read"] - split["boxes"] for split in splits.values())
    gone = sum(split["images_read"] - split["images"] for split in splits.values())
    if lost or gone:
        rows["lost"] = f"{gone:,} images and {lost:,} boxes of those read"
    return rows
