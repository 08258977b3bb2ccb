"""What became of each box between two versions of a set: equal, moved, re-classed, removed or added."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from yolopipe.arrays import Floats, Ints
from yolopipe.detection.pairs import equal_pairs, pair_iou
from yolopipe.labelsets.label_set import LabelSet, renumbered

__all__ = ["MIN_IOU", "Changes", "compare"]


MIN_IOU = 0.5
"""Boxes that overlap by less are not the same box moved, but one removed and another added."""


class Changes(NamedTuple):
    """Every box of the old and of the new set exactly once.

    Args:
        equal: (E, 2) rows of old and new boxes that are the same.
        reclassed: (R, 2) same corners, another class, or ignored in one of the sets only.
        moved: (V, 2) same class, other corners.
        moved_reclassed: (X, 2) other corners and another class.
        removed: (D,) rows of old boxes without a partner.
        added: (A,) rows of new boxes without a partner.
        removed_images: rows of old images that the new set lacks.
        added_images: rows of new images that the old set lacks.
    """

    equal: Ints
    reclassed: Ints
    moved: Ints
    moved_reclassed: Ints
    removed: Ints
    added: Ints
    removed_images: Ints
    added_images: Ints


def compare(old: LabelSet, new: LabelSet, *, min_iou: float = MIN_IOU) -> Changes:
    """Find the partner of each box, image by image; images are the same when their paths are.

    Pairs are made in this order, the best of each kind first: same corners and class; same corners; same class, by
    falling IoU; any class, by falling IoU.  A box has one partner at most.  A box to be ignored is of another class
    than an object.

    Args:
        old: the earlier version.
        new: the later version; its class names may stand in another order.
        min_iou: least intersection over union of a box and its moved self.

    Returns:
        What changed.

    >>> import numpy as np
    >>> def boxes(*rows):
    ...     table = np.array(rows, float)
    ...     kinds, none = table[:, 4].astype(int), np.zeros(len(table), int)
    ...     start = ("a", "b"), ["x.jpg"], np.zeros((1, 2), np.int32), ("t",)
    ...     return LabelSet(*start, table[:, :4], kinds, none > 0, none)
    >>> found = compare(boxes([0, 0, 9, 9, 0], [20, 20, 30, 30, 0]), boxes([0, 0, 9, 9, 1], [40, 40, 50, 50, 0]))
    >>> found.reclassed.tolist(), found.removed.tolist(), found.added.tolist()
    ([[0, 0]], [1], [1])
    """
    names = {name: number for number, name in enumerate(dict.fromkeys((*old.names, *new.names)))}
    old_class, new_class = (
        2 * renumbered(one.classes, [names[name] for name in one.names]) + one.ignore for one in (old, new)
    )
    rows = {path: row for row, path in enumerate(old.image_paths)}
    same = np.array([rows.get(path, -1) for path in new.image_paths], np.int64)
    new_image = same[new.box_image]
    old_left, new_left = np.ones(len(old.classes), bool), new_image >= 0
    pairs = []
    corner = _rank(np.concatenate([old.boxes_xyxy, new.boxes_xyxy]))
    image = np.concatenate([old.box_image, new_image])
    place = _rank_pairs(image, corner)
    cut = len(old.classes)
    for key in (_rank_pairs(place, np.concatenate([old_class, new_class])), place):
        pairs.append(_equal_keys(key[:cut], key[cut:], old_left, new_left))
    old_rows, new_rows = np.flatnonzero(old_left), np.flatnonzero(new_left)
    at_old, at_new = equal_pairs(old.box_image[old_rows], new_image[new_rows])
    first, second = old_rows[at_old], new_rows[at_new]
    iou = pair_iou(old.boxes_xyxy[first], new.boxes_xyxy[second])
    near = iou >= min_iou
    first, second, iou = first[near], second[near], iou[near]
    for with_class in (True, False):
        fits = old_class[first] == new_class[second] if with_class else np.ones(len(first), bool)
        pairs.append(_greedy(first[fits], second[fits], iou[fits], old_left, new_left))
    equal, reclassed, moved, both = pairs
    lacking = np.ones(len(old.image_paths), bool)
    lacking[same[same >= 0]] = False
    return Changes(
        *(equal, reclassed, moved, both),
        removed=np.flatnonzero(old_left),
        added=np.flatnonzero(new_left | (new_image < 0)),
        removed_images=np.flatnonzero(lacking),
        added_images=np.flatnonzero(same < 0),
    )


def _rank(boxes_xyxy: Floats) -> Ints:
    """Equal numbers for equal boxes."""
    table = np.ascontiguousarray(boxes_xyxy + 0.0)  # -0.0 equals 0.0
    rows = table.view(np.dtype((np.void, table.dtype.itemsize * 4))).reshape(-1)
    return np.asarray(np.unique(rows, return_inverse=True)[1].reshape(-1), np.int64)


def _rank_pairs(first: Ints, second: Ints) -> Ints:
    """Equal numbers for equal pairs; both below 2**31 in size."""
    return np.asarray(np.unique((first << 32) + second, return_inverse=True)[1].reshape(-1), np.int64)


def _equal_keys(
    old_keys: Ints, new_keys: Ints, old_left: npt.NDArray[np.bool_], new_left: npt.NDArray[np.bool_]
) -> Ints:
    """Pair boxes of equal keys, the n-th of one set with the n-th of the other; paired ones are not left any more."""
    old_rows, new_rows = np.flatnonzero(old_left), np.flatnonzero(new_left)
    _, which = np.unique(np.concatenate([old_keys[old_rows], new_keys[new_rows]]), return_inverse=True)
    which = which.reshape(-1)
    numbered = [_number_within(part) for part in (which[: len(old_rows)], which[len(old_rows) :])]
    most = max((int(number.max(initial=0)) for number in numbered), default=0) + 1
    one, two = (
        part * most + number
        for part, number in zip((which[: len(old_rows)], which[len(old_rows) :]), numbered, strict=True)
    )
    _, at_old, at_new = np.intersect1d(one, two, assume_unique=True, return_indices=True)
    pairs = np.stack([old_rows[at_old], new_rows[at_new]], axis=1)
    pairs = pairs[np.argsort(pairs[:, 1], kind="stable")]
    old_left[pairs[:, 0]] = False
    new_left[pairs[:, 1]] = False
    return pairs


def _number_within(keys: Ints) -> Ints:
    """For each element how many equal ones stand before it."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(keys) else np.empty(0, np.int64)
    run = np.repeat(starts, np.diff(np.r_[starts, len(keys)])) if len(keys) else starts
    number = np.empty(len(keys), np.int64)
    number[order] = np.arange(len(keys)) - run
    return number


def _greedy(
    first: Ints, second: Ints, iou: Floats, old_left: npt.NDArray[np.bool_], new_left: npt.NDArray[np.bool_]
) -> Ints:
    """Pairs by falling IoU, ties by position, each box once; those paired are not left any more."""
    pairs = []
    for one, two in zip(*(part[np.lexsort([second, first, -iou])].tolist() for part in (first, second)), strict=True):
        if old_left[one] and new_left[two]:
            old_left[one] = new_left[two] = False
            pairs.append((one, two))
    found = np.array(pairs, np.int64).reshape(-1, 2)
    return found[np.argsort(found[:, 1], kind="stable")]
