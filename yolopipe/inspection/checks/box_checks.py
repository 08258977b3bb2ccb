"""The rules on boxes: sizes, double boxes, and the outcome of the assignment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt

from yolopipe.arrays import Ints
from yolopipe.inspection.checks.check_report import MOST_HITS, Check, Hit
from yolopipe.inspection.checks.dataset import FORCED, OVERWRITTEN, PARTLY, UNLISTED, Dataset
from yolopipe.inspection.checks.image_checks import image_hit
from yolopipe.inspection.checks.origins import DroppedBoxes
from yolopipe.inspection.checks.overlaps import Overlaps
from yolopipe.inspection.checks.rules import (
    CONFLICT_IOU,
    DOUBLE_IOU,
    HUGE_SHARE,
    LARGE_PX,
    SMALL_PX,
    TINY_PX,
    make_check,
)
from yolopipe.labels.collisions import COLLISION_RULES

__all__ = ["box_checks", "dropped_checks"]


def box_checks(data: Dataset) -> Iterator[Check]:
    """Every rule on the boxes of copy 0."""
    yield _overlap_check(
        "double-box", data, data.doubles, f"no two boxes of a class overlap above IoU {DOUBLE_IOU:g}"
    )
    yield _overlap_check(
        "class-conflict", data, data.conflicts, f"no two boxes of two classes overlap above IoU {CONFLICT_IOU:g}"
    )
    yield _tiny(data)
    yield _collisions(data)
    yield _past_list_end(data)
    yield _state_check(
        "forced",
        data,
        FORCED,
        "no anchor reaches IoU {1:g}: assigned to their best one",
        "every box has a matching anchor",
    )
    yield _state_check(
        "partly-overwritten", data, PARTLY, "other boxes took some of their anchors", "no box is overwritten in part"
    )
    yield _small(data)
    yield _huge(data)
    yield _backgrounds(data)


def _class_name(data: Dataset, box: int) -> str:
    return data.manifest.class_names[int(data.classes[box])]


def _hits(data: Dataset, boxes: Ints, message: Callable[[int], tuple[str, tuple[int, ...]]]) -> list[Hit]:
    """A hit for each of the first boxes; ``message`` returns the text and the index of other boxes of the image."""
    hits = []
    for box in boxes[:MOST_HITS].tolist():
        image, number = data.number_of(box)
        words, others = message(box)
        numbers = tuple(sorted({number, *(int(other - data.offsets[image]) for other in others)}))
        hits.append(image_hit(data, image, words, boxes=numbers, origin=data.origins[box].tolist()))
    return hits


def _overlap_check(rule: str, data: Dataset, found: Overlaps, passed: str) -> Check:
    partner = dict(zip(found.box[:MOST_HITS].tolist(), zip(found.first, found.iou, strict=False), strict=False))

    def message(box: int) -> tuple[str, tuple[int, ...]]:
        first, iou = partner[box]
        names = list(dict.fromkeys([_class_name(data, int(first)), _class_name(data, box)]))
        numbers = f"boxes {data.number_of(int(first))[1]} and {data.number_of(box)[1]}"
        return f"{numbers}, {' and '.join(names)}, overlap with IoU {iou:.2f}", (int(first),)

    summary = passed
    if len(found.box):
        what = "of their class" if rule == "double-box" else "of another class"
        summary = f"overlap an earlier box {what}: IoU {found.iou.min():.2f} to {found.iou.max():.2f}"
    return make_check(rule, len(found.box), len(data.classes), summary, _hits(data, found.box, message))


def _size_check(rule: str, data: Dataset, chosen: npt.NDArray[np.bool_], summary: str, size: int) -> Check:
    factor = size / data.manifest.input_size

    def message(box: int) -> tuple[str, tuple[int, ...]]:
        width, height = (data.sizes_wh[box] * factor).tolist()
        return (
            f"box {data.number_of(box)[1]}, {_class_name(data, box)}: {width:.1f} x {height:.1f} px at {size} px",
            (),
        )

    boxes = np.flatnonzero(chosen)
    return make_check(rule, len(boxes), len(data.classes), summary, _hits(data, boxes, message))


def _tiny(data: Dataset) -> Check:
    size = data.manifest.input_sizes[0]
    tiny = data.sizes_wh.min(axis=1, initial=np.inf) * (size / data.manifest.input_size) < TINY_PX - 1e-3
    what = f"a side below {TINY_PX:g} px" if tiny.any() else f"all sides are {TINY_PX:g} px or more"
    return _size_check(
        "tiny",
        data,
        tiny,
        f"{what} at {size} px, less than a cell of the finest grid" if tiny.any() else f"{what} at {size} px",
        size,
    )


def _collisions(data: Dataset) -> Check:
    unassigned = np.flatnonzero(data.state & OVERWRITTEN)
    winner = dict(data.overwriters.tolist())

    def message(box: int) -> tuple[str, tuple[int, ...]]:
        _, number = data.number_of(box)
        other = winner[box]
        taker = data.number_of(other)[1]
        return f"box {number}, {_class_name(data, box)}, is not assigned to any anchor: box {taker} took it", (other,)

    return make_check(
        "collision",
        len(unassigned),
        len(data.classes),
        _collision_words(data, unassigned),
        _hits(data, unassigned, message),
    )


def _collision_words(data: Dataset, unassigned: Ints) -> str:
    rule = data.manifest.collisions
    others = ", ".join(f"{name} {data.without_positive[name]:,}" for name in COLLISION_RULES if name != rule)
    if not len(unassigned):
        return f"every box is assigned to an anchor ({rule})"
    double = int(np.isin(unassigned, np.concatenate([data.doubles.box, data.doubles.first])).sum())
    of_these = {0: "none of them", len(unassigned): "all of them"}.get(double, f"{double:,} of them")
    copies = max(info.copies for info in data.manifest.splits.values())
    everywhere = sum(info.overwritten for info in data.manifest.splits.values())
    also = f"; {everywhere:,} in all copies" if copies > 1 else ""
    return f"not assigned to any anchor, {of_these} double boxes ({rule}; {others}{also})"


def _state_check(rule: str, data: Dataset, bit: int, words: str, passed: str) -> Check:
    chosen = np.flatnonzero(data.state & bit)
    filled = words.format(data.manifest.max_bbox_per_scale, data.manifest.iou_threshold)

    def message(box: int) -> tuple[str, tuple[int, ...]]:
        width, height = data.sizes_wh[box].tolist()
        return f"box {data.number_of(box)[1]}, {_class_name(data, box)}, {width:.1f} x {height:.1f} px", ()

    return make_check(
        rule, len(chosen), len(data.classes), filled if len(chosen) else passed, _hits(data, chosen, message)
    )


def _past_list_end(data: Dataset) -> Check:
    """Boxes to be ignored count too: to be in the lists is all they are for."""
    words = f"beyond a scale's box list of {data.manifest.max_bbox_per_scale}: not covered by the ignore mask"
    found = _state_check("past-list-end", data, UNLISTED, words, "every box is listed")
    ignored = len(data.unlisted)
    hits = [
        image_hit(data, image, f"box {number}, to be ignored", boxes=(number,), origin=(line, column))
        for image, number, line, column in data.unlisted[:MOST_HITS].tolist()
    ]
    return make_check(
        found.rule,
        found.count + ignored,
        found.base + int(data.ignored.sum()),
        f"{words}; {ignored:,} of them are to be ignored" if ignored else found.summary,
        sorted([*found.hits, *hits], key=lambda hit: (data.split_names.index(hit.split), hit.line, hit.column)),
    )


def _small(data: Dataset) -> Check:
    area = data.sizes_wh.astype(np.float64).prod(axis=1)
    small, large = area < SMALL_PX**2, area >= LARGE_PX**2
    count = max(1, len(area))
    shares = small.sum() / count, (~small & ~large).sum() / count, large.sum() / count
    words = (
        "small (< {0:g} x {0:g} px) {2:.0%}, medium {3:.0%}, large (>= {1:g} x {1:g} px) {4:.0%} at {5} px".format(
            SMALL_PX, LARGE_PX, *shares, data.manifest.input_size
        )
    )
    return _size_check("small-boxes", data, small, words, data.manifest.input_size)


def _huge(data: Dataset) -> Check:
    image = np.repeat(np.arange(len(data.paths)), np.diff(data.offsets))
    shown_wh = (
        data.source_wh * (data.manifest.input_size / np.maximum(1, data.source_wh.max(axis=1, initial=1)))[:, None]
    )
    share = data.sizes_wh.astype(np.float64).prod(axis=1) / shown_wh.prod(axis=1)[image]
    huge = share > HUGE_SHARE
    words = (
        f"cover more than {HUGE_SHARE:.0%} of their image"
        if huge.any()
        else f"none covers {HUGE_SHARE:.0%} of its image"
    )
    return _size_check("huge-box", data, huge, words, data.manifest.input_size)


def _backgrounds(data: Dataset) -> Check:
    empty = np.flatnonzero(np.diff(data.offsets) == 0)
    hits = []
    for image in empty[:MOST_HITS].tolist():
        ignored = f", {data.ignored[image]:,} to be ignored" if data.ignored[image] else ""
        hits.append(image_hit(data, image, f"no boxes{ignored}"))
    words = "no boxes: the whole image is background" if len(empty) else "every image has boxes"
    return make_check("backgrounds", len(empty), len(data.paths), words, hits)


def dropped_checks(dropped: Mapping[str, DroppedBoxes], boxes_read: int, images_read: int) -> Iterator[Check]:
    """The rules on boxes and images that parse dropped, clipped or noted."""
    bases = {"zero-size": boxes_read, "outside-image": boxes_read, "dropped": boxes_read + images_read}
    words = {
        "zero-size": ("without width or height", "every box has an area"),
        "outside-image": ("reach or lie outside their image", "every box lies in its image"),
        "dropped": ("other problems", "parse dropped nothing else"),
        "unwatched": ("not under data.images", "all images lie under data.images"),
    }
    for rule, (applies, passed) in words.items():
        found = dropped[rule]
        kinds = f" ({', '.join(f'{name} {n:,}' for name, n in sorted(found.rules.items()))})"
        summary = f"{applies}{kinds * (rule == 'dropped')}: {_tally(found.actions)}" if found.count else passed
        yield make_check(rule, found.count, bases.get(rule, images_read), summary, found.hits)


_ACTIONS = {
    "dropped-box": "dropped by parse",
    "dropped-image": "dropped with the image",
    "dropped-correction": "corrections left out by parse",
    "clipped": "clipped by parse",
}


def _tally(actions: Counter[str]) -> str:
    """How many parse dropped, and how many it clipped.

    >>> _tally(Counter({"dropped-box": 2, "clipped": 1}))
    '1 clipped by parse, 2 dropped by parse'
    """
    return ", ".join(f"{count:,} {_ACTIONS.get(action, action)}" for action, count in sorted(actions.items()))
