"""Every rule of the checks with its severity, unit and advice, and every threshold; docs/checks.md explains them.

The thresholds are constants, not params: they change no output, so DVC must not watch them, and results of different
projects stay comparable.
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
"""Two boxes of one class above this are treated as one object labelled twice."""

CONFLICT_IOU = 0.9
"""Two boxes of different classes above this are treated as one object with two class names."""

TINY_PX = 8.0
"""A side below this, at the smallest network input, is less than one cell of the finest grid."""

SMALL_PX, LARGE_PX = 32.0, 96.0
"""As in COCO: an area below 32 x 32 px is small, from 96 x 96 px large; here in pixels of the network input."""

HUGE_SHARE = 0.9
"""A box that covers more than this share of its image."""

RARE_SHARE = 0.1
"""A class with fewer boxes than this share of the most frequent class, in train."""

ANCHOR_GAIN = 0.05
"""Nine other anchors are reported when their mean best IoU is higher by at least this."""

MOST_BITS_ACROSS, MOST_BITS_DOWN = 6, 8
"""Bits that two difference hashes may differ in; the search relies on the first being below 8."""

THUMBNAIL_CORRELATION = 0.96
"""Correlation of two 16 x 16 thumbnails.  Measured with all three limits: 99 % of 79 photographs re-encoded at
quality 30, resized to 0.6, brightened, blurred, with noise or in grey are found; cropped by 1 % 80 %, by 3 % 11 %."""

FLAT_GREY = 2.0
"""A thumbnail with a smaller standard deviation (of 255) is uniform and cannot be compared."""


class CheckRule(NamedTuple):
    """The fixed part of a rule.

    Args:
        severity: what it means when it applies.
        unit: what is counted.
        advice: what to do, one line.
    """

    severity: Severity
    unit: str
    advice: str


RULES: dict[str, CheckRule] = {
    "zero-size": CheckRule("error", "boxes", "redraw or delete them in the labelling tool; parse dropped them"),
    "outside-image": CheckRule(
        "error", "boxes", "fix the coordinates; often the image was resized or rotated after labelling"
    ),
    "dropped": CheckRule(
        "error", "lines and boxes", "fix the annotation text; boxes that parse dropped are not trained on"
    ),
    "unreadable": CheckRule("error", "images", "replace or remove the files, then: dvc repro"),
    "leak": CheckRule("error", "val images", "remove them from train or from val: scores on them are meaningless"),
    "leak-near": CheckRule("error", "val images", "look at the pairs; keep images of one scene in one split"),
    "val-only-class": CheckRule(
        "error", "classes", "add examples to train, or remove the class from val: its AP will be 0"
    ),
    "double-box": CheckRule("warning", "boxes", "delete one of each pair; often the same object was labelled twice"),
    "class-conflict": CheckRule(
        "warning", "boxes", "decide which class the object has; the two labels contradict each other"
    ),
    "tiny": CheckRule(
        "warning", "boxes", "raise precompute.input_size, cut the images into tiles, or drop them (parse.min_box_px)"
    ),
    "duplicate-image": CheckRule("warning", "images", "keep one of each, with all its boxes on one line"),
    "near-duplicate": CheckRule(
        "warning", "images", "look at the pairs; frames of one video add little and weigh much"
    ),
    "collision": CheckRule(
        "warning", "boxes", "delete those that are double boxes; for the rest try assignment.collisions: next-anchor"
    ),
    "past-list-end": CheckRule(
        "warning", "boxes", "raise assignment.max_bbox_per_scale: predictions on boxes not listed count as background"
    ),
    "unused-class": CheckRule("warning", "classes", "remove the names, or look for labels lost during conversion"),
    "anchor-fit": CheckRule("warning", "boxes", "yolopipe anchors prints nine that fit, to paste into params.yaml"),
    "unused-anchor": CheckRule(
        "warning", "anchors", "yolopipe anchors prints nine that fit, to paste into params.yaml"
    ),
    "untested-class": CheckRule("note", "classes", "add examples to val, or the class has no AP"),
    "forced": CheckRule(
        "note", "boxes", "a few do no harm; many mean that the anchors do not fit (yolopipe anchors)"
    ),
    "partly-overwritten": CheckRule("note", "boxes", "nothing: they keep their other anchors"),
    "class-balance": CheckRule(
        "note", "classes", "expect lower AP for the rare classes; look at AP per class, not only at the mean"
    ),
    "small-boxes": CheckRule("note", "boxes", "a larger precompute.input_size helps small objects most"),
    "huge-box": CheckRule("note", "boxes", "check whether the label is of one object or of the whole image"),
    "backgrounds": CheckRule("note", "images", "nothing if they show no object; otherwise their labels are missing"),
    "unwatched": CheckRule("note", "images", "move them under data.images; DVC does not notice changes elsewhere"),
}
"""Worst first, and in this order on the screen."""


def make_check(rule: str, count: int, base: int, summary: str, hits: Sequence[Hit] = ()) -> Check:
    """A :class:`Check` of a known rule; the summary of a passed check says what was checked.

    >>> make_check("tiny", 0, 12, "all sides are 8 px or more").advice[:5]
    'raise'
    """
    severity, unit, advice = RULES[rule]
    return Check(rule, severity, count, base, unit, summary, advice, tuple(hits[:MOST_HITS]))
