"""Counts of positives and dropped boxes at one input size: per shard, summed per split, stored in the manifest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from yolopipe.config.params import ANCHORS_PER_SCALE, STRIDES
from yolopipe.labels.assign import Assignment
from yolopipe.labels.collisions import COLLISION_RULES

__all__ = ["LabelInfo", "collisions_text", "count_labels", "smaller_text", "sum_labels"]


@dataclass(frozen=True, kw_only=True)
class LabelInfo:
    """Counts over all boxes of a shard or split.

    Args:
        positives: per stride (as text) the number of positives of each anchor.
        listed: per stride the number of boxes in its list.
        overwritten: boxes with no positive left, all places overwritten by other boxes (the rule in force).
        partly_overwritten: boxes that lost some of their places.
        forced: boxes that no anchor fits above the threshold; their best anchor was taken.
        past_list_end: boxes overwritten in a scale's list, and boxes to be ignored for which it has no room.
        without_positive: per collision rule, in force or not, how many boxes it leaves with no positive.
    """

    positives: Mapping[str, tuple[int, ...]]
    listed: Mapping[str, int]
    overwritten: int
    partly_overwritten: int
    forced: int
    past_list_end: int
    without_positive: Mapping[str, int]


def count_labels(found: Assignment, unlisted: int = 0) -> LabelInfo:
    """The counts of one assignment; the collision rules that are not in force are tried for ``without_positive``.

    Args:
        found: the assignment.
        unlisted: how often a box to be ignored is missing from a full list.

    >>> from yolopipe.labels.assign import assign
    >>> boxes, anchors = [[60, 60, 120, 120]] * 2, np.full((3, 3, 2), 4.0)
    >>> count_labels(assign(boxes, [0, 0], input_size=416, anchors=anchors)).without_positive
    {'notes': 1, 'keep-best-iou': 1, 'next-anchor': 0}
    """
    anchors = [scale.cell[scale.wins] % ANCHORS_PER_SCALE for scale in found.scales]
    counts = [np.bincount(anchor, minlength=ANCHORS_PER_SCALE).tolist() for anchor in anchors]
    lost = found.counts()
    return LabelInfo(
        positives={str(stride): tuple(count) for stride, count in zip(STRIDES, counts, strict=True)},
        listed={str(stride): len(scale.slot_box) for stride, scale in zip(STRIDES, found.scales, strict=True)},
        without_positive=found.without_positive(),
        **{**lost, "past_list_end": lost["past_list_end"] + unlisted},
    )


def sum_labels(parts: Iterable[LabelInfo]) -> LabelInfo:
    """The sums over many shards."""
    infos = list(parts)
    return LabelInfo(
        positives={
            str(stride): tuple(
                sum(info.positives[str(stride)][anchor] for info in infos) for anchor in range(ANCHORS_PER_SCALE)
            )
            for stride in STRIDES
        },
        listed={str(stride): sum(info.listed[str(stride)] for info in infos) for stride in STRIDES},
        overwritten=sum(info.overwritten for info in infos),
        partly_overwritten=sum(info.partly_overwritten for info in infos),
        forced=sum(info.forced for info in infos),
        past_list_end=sum(info.past_list_end for info in infos),
        without_positive={rule: sum(info.without_positive[rule] for info in infos) for rule in COLLISION_RULES},
    )


def collisions_text(without_positive: Mapping[str, int], boxes: int, rule: str) -> str:
    """How many boxes each collision rule leaves without a positive, and which rule is in force.

    >>> collisions_text({"notes": 7, "keep-best-iou": 1, "next-anchor": 0}, 1000, "notes")
    'notes (in force) 7 (0.7%), keep-best-iou 1 (0.1%), next-anchor 0 (0.0%)'
    """
    return ", ".join(
        f"{name}{' (in force)' * (name == rule)} {without_positive[name]:,} "
        f"({without_positive[name] / max(1, boxes):.1%})"
        for name in COLLISION_RULES
    )


def smaller_text(labels: LabelInfo) -> str:
    """The labels of a smaller input size in one line."""
    positives = sum(sum(counts) for counts in labels.positives.values())
    return (
        f"{positives:,} positives; {labels.overwritten:,} boxes overwritten, {labels.partly_overwritten:,} in part; "
        f"{labels.forced:,} forced to their best anchor; {labels.past_list_end:,} past a list's end"
    )
