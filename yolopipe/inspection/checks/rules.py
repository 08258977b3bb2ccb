"""Every rule of the checks: its severity, what it counts, what to do; and every threshold.  docs/checks.md explains.

The thresholds are constants, not params: they change no output, so DVC must not watch them, and a check that each
project sets for itself says nothing to others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from yolopipe.inspection.checks.check_report import MOST_HITS, Check, Hit, Severity

__all__ = [
    "ANCHOR_GAIN",
    "CONFLICT_IOU",
    "DOUBLE_IOU",
    "FLAT_GREY",
    "HUGE_SHARE",
    "LARGE_PX",
    "MOST_BITS_ACROSS",
    "MOST_BITS_DOWN",
    "RARE_SHARE",
    "RULES",
    "SMALL_PX",
    "THUMBNAIL_CORRELATION",
    "TINY_PX",
    "CheckRule",
    "make_check",
]

DOUBLE_IOU = 0.7
"""Two boxes of one class above this are taken for one object labelled twice."""

CONFLICT_IOU = 0.9
"""Two boxes of different classes above this are taken for one object with two names."""

TINY_PX = 8.0
"""A side below this, at the smallest network input, is less than one cell of the finest grid."""

SMALL_PX, LARGE_PX = 32.0, 96.0
"""COCO's: an area below 32 x 32 px is small, from 96 x 96 px on large; here in pixels of the network input."""

HUGE_SHARE = 0.9
"""A box that covers more than this share of its image."""

RARE_SHARE = 0.1
"""A class with fewer boxes than this share of the commonest class's, in train."""

ANCHOR_GAIN = 0.05
"""Nine other anchors that reach a mean best IoU higher by this are worth a word."""

MOST_BITS_ACROSS, MOST_BITS_DOWN = 6, 8
"""Bits that two difference hashes may differ in; the search relies on the first being below 8."""

THUMBNAIL_CORRELATION = 0.96
"""Of two 16 x 16 thumbnails.  Of 79 photographs saved again at quality 30, at 0.6 of their size, brighter, blurred,
noisy or grey, 99 % stay above all three limits, of those cropped by 1 % 80 %, by 3 % 11 %."""

FLAT_GREY = 2.0
"""A picture whose thumbnail varies by less (standard deviation, of 255) looks like any other empty one."""


class CheckRule(NamedTuple):
    """What is fixed of a rule.

    Args:
        severity: what it means when it applies.
        unit: what is counted.
        advice: what to do, one line.
    """

    severity: Severity
    unit: str
    advice: str


RULES: dict[str, CheckRule] = {
    "zero-size": CheckRule("error", "boxes", "redraw or delete them where they were drawn; parse dropped them"),
    "outside-image": CheckRule(
        "error", "boxes", "mend the coordinates; often the image was resized or turned after labelling"
    ),
    "dropped": CheckRule(
        "error", "lines and boxes", "mend the annotation text; what parse dropped is taught to nobody"
    ),
    "unreadable": CheckRule("error", "images", "replace or remove the files, then: dvc repro"),
    "leak": CheckRule("error", "val images", "take them out of train or out of val: every score on them is a lie"),
    "leak-near": CheckRule("error", "val images", "look at the pairs; keep shots of one scene in one split"),
    "val-only-class": CheckRule("error", "classes", "give train examples of it, or take it out of val: it scores 0"),
    "double-box": CheckRule("warning", "boxes", "delete one of each pair; often the same object was labelled twice"),
    "class-conflict": CheckRule(
        "warning", "boxes", "decide which class the object has; both are taught at one place"
    ),
    "tiny": CheckRule(
        "warning", "boxes", "raise precompute.input_size, cut the images into tiles, or drop them (parse.min_box_px)"
    ),
    "duplicate-image": CheckRule("warning", "images", "keep one of each; its boxes then go on one line"),
    "near-duplicate": CheckRule(
        "warning", "images", "look at the pairs; frames of one film teach little and count much"
    ),
    "collision": CheckRule(
        "warning", "boxes", "mend those that are double boxes; for the rest try assignment.collisions: next-anchor"
    ),
    "past-list-end": CheckRule(
        "warning", "boxes", "raise assignment.max_bbox_per_scale: a box not listed is taught to be background"
    ),
    "unused-class": CheckRule(
        "warning", "classes", "take the names out, or look for labels that were lost on the way"
    ),
    "anchor-fit": CheckRule("warning", "boxes", "yolopipe anchors prints nine that fit, to paste into params.yaml"),
    "unused-anchor": CheckRule(
        "warning", "anchors", "yolopipe anchors prints nine that fit, to paste into params.yaml"
    ),
    "untested-class": CheckRule("note", "classes", "give val examples of it, or its score stays unknown"),
    "forced": CheckRule("note", "boxes", "fine when few; many mean that the anchors do not fit (yolopipe anchors)"),
    "partly-overwritten": CheckRule("note", "boxes", "fine: they are taught at their other places"),
    "class-balance": CheckRule(
        "note", "classes", "expect low scores of the rare ones; look at AP by class, not at the mean alone"
    ),
    "small-boxes": CheckRule("note", "boxes", "a larger precompute.input_size helps small objects most"),
    "huge-box": CheckRule("note", "boxes", "see whether the label means one object or the whole picture"),
    "backgrounds": CheckRule("note", "images", "fine when nothing is on them; else their labels were lost"),
    "unwatched": CheckRule("note", "images", "move them under data.images, or DVC does not notice when they change"),
}
"""Worst first, and in this order on the screen."""


def make_check(rule: str, count: int, base: int, summary: str, hits: Sequence[Hit] = ()) -> Check:
    """A :class:`Check` of a known rule; the summary of a check that passed says what was looked at.

    >>> make_check("tiny", 0, 12, "all sides are 8 px or more").advice[:5]
    'raise'
    """
    severity, unit, advice = RULES[rule]
    return Check(rule, severity, count, base, unit, summary, advice, tuple(hits[:MOST_HITS]))
