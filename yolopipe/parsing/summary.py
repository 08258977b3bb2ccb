"""The summary of ``parse``: counts of what was read, and of everything that was dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from yolopipe import paths
from yolopipe.errors import Problem
from yolopipe.parsing.apply_corrections import corrections_text
from yolopipe.parsing.policy import CheckedChunk, Kept, count_by_rule
from yolopipe.result import CommandResult

__all__ = [
    "SPLITS",
    "Counts",
    "ParsedChunk",
    "add_counts",
    "counts_of",
    "nested_counts",
    "split_counts",
    "summary_of",
]

Counts = dict[str, Any]
"""Plain JSON: names to numbers, or to more of the same."""

MANY_CLASSES = 24
"""Up to here the summary has a line for each class."""

SPLITS = ("train", "val")


@dataclass(frozen=True, slots=True)
class ParsedChunk:
    """A chunk after the policy, in the order of the text.

    Args:
        chunk: what was read and found.
        kept: what the policy keeps of it.
    """

    chunk: CheckedChunk
    kept: Kept

    @property
    def images(self) -> int:
        """Number of images kept."""
        return int(self.kept.images.sum())


def counts_of(
    splits: Mapping[str, Counts], names: Sequence[str], policy: str, corrections: Counts | None = None
) -> Counts:
    """The counts of a run, as plain JSON: the content of ``data/parsed/counts.json``.

    Args:
        splits: :func:`split_counts` of each split.
        names: class names in order.
        policy: ``parse.on_bad``.
        corrections: how many were applied, by kind, and problems of the others; None where no file is named.

    Returns:
        Images, backgrounds, boxes, boxes to be ignored, boxes by class, and problems by rule and action, by split.
    """
    return {
        "on_bad": policy,
        "classes": list(names),
        "splits": dict(splits),
        **({} if corrections is None else {"corrections": corrections}),
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


def split_counts(part: ParsedChunk, names: Sequence[str]) -> Counts:
    """The counts of a chunk; those of two chunks add up."""
    text, kept = part.chunk.text, part.kept
    boxes = kept.boxes & ~text.ignore
    per_class = np.bincount(text.classes[boxes], minlength=len(names)).tolist()
    filled = np.unique(text.box_image[boxes]).size
    unread = Counter(fault.problem.rule for fault in text.faults)
    return {
        "images": part.images,
        "backgrounds": part.images - filled,
        "boxes": int(boxes.sum()),
        "ignored": int((kept.boxes & text.ignore).sum()),
        "boxes_per_class": dict(zip(names, per_class, strict=True)),
        "orientations_fixed": int((part.chunk.orientation[kept.images] != 1).sum()),
        "images_read": len(text.image_paths) + unread["not-utf8"] + unread["no-image-path"],
        "boxes_read": len(text.classes) + unread["bad-box-text"],
        "problems": nested_counts(kept.problems),
    }


def nested_counts(problems: Sequence[Problem]) -> dict[str, dict[str, int]]:
    """How many problems there are, by rule and then by action."""
    per_rule: dict[str, dict[str, int]] = {}
    for rule, action, n in count_by_rule(problems):
        per_rule.setdefault(rule, {})[action] = n
    return per_rule


def summary_of(counts: dict[str, Any], names: Sequence[str], guesses: Sequence[str] = ()) -> CommandResult:
    """The counts as a summary of one screen.

    Args:
        counts: from :func:`counts_of`.
        names: class names in order.
        guesses: other formats that a text may be in, in words.

    Returns:
        The summary, with ``counts`` as report.
    """
    splits = counts["splits"]
    images = sum(split["images"] for split in splits.values())
    boxes = sum(split["boxes"] for split in splits.values())
    rows: dict[str, object] = {}
    for name, split in splits.items():
        backgrounds = f" ({split['backgrounds']:,} without boxes)" if split["backgrounds"] else ""
        ignored = f", {split['ignored']:,} boxes to be ignored" if split["ignored"] else ""
        rows[name] = f"{split['images']:,} images{backgrounds}, {split['boxes']:,} boxes{ignored}"
    corrections = counts.get("corrections")
    if corrections is not None:
        rows["data.corrections"] = corrections_text(corrections)
    rows |= _class_rows(splits, names)
    rows |= _dropped_rows(splits, corrections)
    empty = [name for name in names if splits["train"]["boxes_per_class"][name] == 0]
    warnings = [f"classes without a box in train: {', '.join(empty)}"] if empty else []
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


def _dropped_rows(splits: dict[str, Any], corrections: Counts | None) -> dict[str, str]:
    turned = sum(split["orientations_fixed"] for split in splits.values())
    rows = {"EXIF": f"{turned:,} images rotated upright"} if turned else {}
    totals: Counter[tuple[str, str]] = Counter()
    for part in (*splits.values(), *([corrections] if corrections else [])):
        for rule, actions in part["problems"].items():
            totals.update({(action, rule): n for action, n in actions.items()})
    for (action, rule), n in sorted(totals.items()):
        rows[f"{action} {rule}"] = f"{n:,} ({paths.PARSED}/problems.csv)"
    boxes = sum(split["boxes_read"] - split["boxes"] - split["ignored"] for split in splits.values())
    images = sum(split["images_read"] - split["images"] for split in splits.values())
    if boxes or images:
        rows["dropped"] = f"{images:,} images and {boxes:,} boxes of those read"
    return rows
