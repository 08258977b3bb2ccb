"""Assignment of boxes to cells and anchors, for any number of images in one call (docs/formulas.md, "Labels").

The reference goes from box to box; here the same comparisons are made for all boxes at once, in the same order of
floating-point operations, so that the result is equal bit for bit.  What a rule drops is counted and returned: boxes
overwritten by a later one, boxes forced onto their best anchor, boxes past the end of a list.  The two other
collision rules start from the assignment under ``notes``, the reference's rule, and change only the contested places.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from yolopipe.arrays import AnyFloats, Ints, Mask
from yolopipe.config.params import ANCHORS_PER_SCALE, STRIDES
from yolopipe.labels.boxes import xyxy_to_xywh
from yolopipe.labels.collisions import COLLISION_RULES, best_of_key, first_come_pairs, last_of_key, near

__all__ = ["Assignment", "Candidates", "Places", "assign"]


@dataclass(frozen=True)
class Places:
    """The nine places of every box, a place being an anchor of the cell of its centre, at one of three scales.

    Args:
        row: (M,) image of each box.
        first_cell: (M, scales) flat index of anchor 0 in the cell of its centre.
        ious: (M, scales, 3) with the anchors there.
        grids: cells per side of each scale.
        list_length: of each scale's box list.
    """

    row: Ints
    first_cell: Ints
    ious: AnyFloats
    grids: tuple[int, ...]
    list_length: int

    def cells(self, scale: Ints | int, box: Ints, anchor: Ints) -> Ints:
        """Flat indices within each scale."""
        return np.asarray(self.first_cell[box, scale] + anchor)

    def keys(self, scale: Ints | int, box: Ints, cell: Ints) -> Ints:
        """Numbers that are unique over the places of all scales and images, small stride first."""
        per_image = np.square(self.grids)[scale] * ANCHORS_PER_SCALE
        images = int(self.row[-1]) + 1 if len(self.row) else 0
        offset = np.asarray(scale) * (images * max(self.grids) ** 2 * ANCHORS_PER_SCALE)
        return np.asarray(offset + self.row[box] * per_image + cell)

    def slots(self, listed: Ints) -> tuple[Ints, Mask]:
        """Slots of boxes in order of arrival, and which boxes keep theirs."""
        rows = self.row[listed]
        arrival = _count_within(rows)
        if arrival.max(initial=0) < self.list_length:
            return arrival, np.ones(len(listed), bool)
        slot = arrival % self.list_length
        return slot, last_of_key(rows * self.list_length + slot)


def _count_within(rows: Ints) -> Ints:
    """0, 1, 2, ... restarting at each new row.

    >>> _count_within(np.array([3, 3, 5, 5, 5])).tolist()
    [0, 1, 0, 1, 2]
    """
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    lengths = np.diff(starts, append=len(rows))
    return np.arange(len(rows)) - np.repeat(starts, lengths)


@dataclass(frozen=True)
class Candidates:
    """Every positive (box, cell, anchor) of one scale, in the order in which the reference writes them.

    Under ``next-anchor`` the places given to boxes that had none left come last.

    Args:
        box: (K,) index into the boxes given to :func:`assign`.
        cell: (K,) flat index ``(y * grid + x) * 3 + anchor``.
        iou: (K,) IoU of box and anchor.
        forced: (K,) bool; no anchor of any scale passed the threshold, this is the best of all nine.
        wins: (K,) bool; no other box of the same image took the same cell and anchor (``notes``: no later one).
        rescued: (K,) bool; not positive by its IoU, given to a box that had no place left (``next-anchor``).
        slot_box: (L,) the boxes of this scale's list, in order of arrival.
        slot: (L,) their slot; it wraps at ``max_bbox_per_scale``.
        slot_wins: (L,) bool; not overwritten after the list wrapped.
    """

    box: Ints
    cell: Ints
    iou: AnyFloats
    forced: Mask
    wins: Mask
    rescued: Mask
    slot_box: Ints
    slot: Ints
    slot_wins: Mask


@dataclass(frozen=True)
class Assignment:
    """The result of :func:`assign`.

    Args:
        scales: :class:`Candidates` per stride, small stride first.
        positives: (M,) number of places at which each box is the label.
        wanted: (M,) number of places it is a candidate for; ``positives < wanted`` means overwritten.
        forced: (M,) bool.
        rescued: (M,) bool; its one place is none of its candidates (``next-anchor``).
        places: of all boxes.
        by_notes: the assignment under ``notes``; None when this is it.
    """

    scales: tuple[Candidates, ...]
    positives: Ints
    wanted: Ints
    forced: Mask
    rescued: Mask
    places: Places
    by_notes: Assignment | None = None

    def counts(self) -> dict[str, int]:
        """Numbers of boxes that the rule dropped, in whole or in part.

        Returns:
            ``overwritten`` boxes with no place left, ``partly_overwritten`` boxes that lost some, ``forced`` boxes,
            ``past_list_end`` boxes overwritten in a scale's list.
        """
        lost = self.positives == 0
        return {
            "overwritten": int(lost.sum()),
            "partly_overwritten": int(self.partly_overwritten.sum()),
            "forced": int(self.forced.sum()),
            "past_list_end": int(sum((~scale.slot_wins).sum() for scale in self.scales)),
        }

    @property
    def partly_overwritten(self) -> Mask:
        """(M,) boxes with some, but not all, of the places they are candidates for."""
        return np.logical_and(self.positives > 0, (self.positives < self.wanted) & ~self.rescued)

    def without_positive(self) -> dict[str, int]:
        """How many boxes are not assigned to any anchor under each collision rule, whichever is in force."""
        first = self.by_notes or self
        best = _resolve(first, "keep-best-iou")
        return {
            rule: int((found.positives == 0).sum())
            for rule, found in zip(COLLISION_RULES, (first, best, _rescue(best)), strict=True)
        }


def assign(
    boxes_xyxy: npt.ArrayLike,
    row_of_box: npt.ArrayLike,
    *,
    input_size: int,
    anchors: npt.ArrayLike,
    strides: tuple[int, ...] = STRIDES,
    iou_threshold: float = 0.3,
    max_bbox_per_scale: int = 150,
    collisions: str = "notes",
) -> Assignment:
    """Assign all boxes of many images at once.

    Args:
        boxes_xyxy: (M, 4) pixels of the network input, within an image in the order of the annotation text.
        row_of_box: (M,) which image each box is of; non-decreasing.
        input_size: side of the square network input in pixels.
        anchors: (scales, 3, 2) width and height in units of the stride.
        strides: pixels per cell.
        iou_threshold: an anchor is positive above this.
        max_bbox_per_scale: length of a scale's box list; box number n goes to slot ``n % length``.
        collisions: which box a place gets that several boxes of an image are candidates for: the later (``notes``),
            the one with the highest IoU, of equal ones the later (``keep-best-iou``), or that one, and a box left
            without a positive gets the best free one of its nine places (``next-anchor``; highest IoU first, of equal
            ones the later box, then the smaller stride and anchor).  The box lists are the same under all rules, but
            for boxes given a place of a scale that does not list them: these go to the end of that list.

    Returns:
        The assignment.

    Raises:
        ValueError: an unknown rule, or a box centre outside the input (a centre on the right or bottom edge belongs
            to the last cell).

    >>> anchors = np.array([[[2, 2], [4, 8], [4, 3]], [[2, 4], [4, 3], [4, 7]], [[4, 3], [5, 6], [12, 10]]])
    >>> found = assign([[60, 60, 120, 120]], [0], input_size=416, anchors=anchors)
    >>> [scale.cell.tolist() for scale in found.scales], found.counts()["overwritten"]
    ([[1750], [405, 406, 407], []], 0)
    """
    if collisions not in COLLISION_RULES:
        raise ValueError(f"collisions must be one of {', '.join(COLLISION_RULES)}; got {collisions!r}")
    boxes = np.asfortranarray(np.asarray(boxes_xyxy).reshape(-1, 4))  # see _match_anchors
    rows = np.asarray(row_of_box, np.int64).reshape(-1)
    boxes_xywh = xyxy_to_xywh(boxes)
    _check_centres(boxes_xywh, input_size)
    first_cell, ious = _match_anchors(boxes_xywh, np.asarray(anchors, np.float64), strides, input_size)
    grids = tuple(input_size // stride for stride in strides)
    places = Places(rows, first_cell, ious, grids, max_bbox_per_scale)
    return _resolve(_by_notes(places, iou_threshold), collisions)


def _by_notes(places: Places, iou_threshold: float) -> Assignment:
    ious = places.ious
    passed = ious > iou_threshold  # (M, scales, 3)
    forced: Mask = np.logical_not(passed.any(axis=(1, 2)))
    best = ious[forced].reshape(-1, len(places.grids) * ANCHORS_PER_SCALE).argmax(axis=1)
    passed[np.flatnonzero(forced), *np.divmod(best, ANCHORS_PER_SCALE)] = True

    scales = tuple(_candidates(places, i, passed[:, i], forced) for i in range(len(places.grids)))
    wanted = passed.sum(axis=(1, 2))
    return Assignment(scales, _positives(scales, len(ious)), wanted, forced, np.zeros(len(ious), bool), places)


def _positives(scales: tuple[Candidates, ...], count: int) -> Ints:
    won = (np.bincount(scale.box[scale.wins], minlength=count) for scale in scales)
    return sum(won, np.zeros(count, np.int64))


def _resolve(first: Assignment, rule: str) -> Assignment:
    """The assignment under another collision rule, from the one under ``notes``."""
    if rule == "notes":
        return first
    scales = tuple(_keep_best(first.places, i, scale) for i, scale in enumerate(first.scales))
    best = replace(first, scales=scales, positives=_positives(scales, len(first.positives)), by_notes=first)
    return best if rule == "keep-best-iou" else _rescue(best)


def _keep_best(places: Places, index: int, scale: Candidates) -> Candidates:
    keys = places.keys(index, scale.box, scale.cell)
    return replace(scale, wins=best_of_key(keys, scale.iou, scale.wins))


def _rescue(best: Assignment) -> Assignment:
    """Places for boxes that have none; no box loses one."""
    places, scales = best.places, len(best.scales)
    lost = np.flatnonzero(best.positives == 0)
    box = np.repeat(lost, scales * ANCHORS_PER_SCALE)
    scale = np.tile(np.repeat(np.arange(scales), ANCHORS_PER_SCALE), len(lost))
    anchor = np.tile(np.arange(ANCHORS_PER_SCALE), scales * len(lost))
    cell = places.cells(scale, box, anchor)
    keys = places.keys(scale, box, cell)
    taken = np.concatenate([places.keys(i, s.box[s.wins], s.cell[s.wins]) for i, s in enumerate(best.scales)])
    free = np.flatnonzero(~np.isin(keys, taken[near(taken, keys)]))
    chosen = free[first_come_pairs(box[free], keys[free], places.ious[box, scale, anchor][free])]
    rescued = np.zeros(len(best.positives), bool)
    rescued[box[chosen]] = True
    given = (chosen[scale[chosen] == index] for index in range(scales))
    grown = tuple(_give(best, index, box[new], cell[new]) for index, new in enumerate(given))
    return replace(best, scales=grown, positives=best.positives + rescued, rescued=rescued)


def _give(best: Assignment, index: int, box: Ints, cell: Ints) -> Candidates:
    """One scale with places added for some boxes, which are added to its list where they are not in it."""
    scale, places = best.scales[index], best.places
    listed = np.concatenate([scale.slot_box, box[~np.isin(box, scale.slot_box)]])
    listed = listed[np.argsort(places.row[listed], kind="stable")]
    slot, slot_wins = places.slots(listed)
    return Candidates(
        box=np.concatenate([scale.box, box]),
        cell=np.concatenate([scale.cell, cell]),
        iou=np.concatenate([scale.iou, places.ious[box, index, cell % ANCHORS_PER_SCALE]]),
        forced=np.concatenate([scale.forced, best.forced[box]]),
        wins=np.concatenate([scale.wins, np.ones(len(box), bool)]),
        rescued=np.concatenate([scale.rescued, np.ones(len(box), bool)]),
        slot_box=listed,
        slot=slot,
        slot_wins=slot_wins,
    )


def _check_centres(boxes_xywh: AnyFloats, input_size: int) -> None:
    centres = boxes_xywh[:, :2]
    wrong = np.flatnonzero(~((centres >= 0) & (centres <= input_size)).all(axis=1))
    if len(wrong):
        x, y = centres[wrong[0]].tolist()
        raise ValueError(
            f"box {wrong[0]} has its centre at ({x:g}, {y:g}), outside the {input_size} px network input; "
            f"{len(wrong)} such boxes"
        )


def _match_anchors(
    boxes_xywh: AnyFloats, anchors_wh: AnyFloats, strides: tuple[int, ...], input_size: int
) -> tuple[Ints, AnyFloats]:
    """First place (M, scales) of each box's cell, and IoU (M, scales, 3) with the anchors centred on that cell.

    The same operations in the same order as :func:`yolopipe.labels.boxes.bbox_iou`, with the boxes along the last
    axis and one coordinate at a time: NumPy's inner loop is then long instead of three or four, and the arrays stay
    in the processor's cache.  The results are views of that layout.
    """
    columns = np.ascontiguousarray(boxes_xywh.T)
    first_cell = np.empty((len(strides), len(boxes_xywh)), np.int64)
    ious = np.empty((len(strides), ANCHORS_PER_SCALE, len(boxes_xywh)))
    for i, stride in enumerate(strides):
        scaled = 1.0 * columns / np.int64(stride)
        grid = input_size // stride
        x, y = cell_xy = np.minimum(np.floor(scaled[:2]).astype(np.int64), grid - 1)
        first_cell[i] = (y * grid + x) * ANCHORS_PER_SCALE
        middle, half, anchors = cell_xy + 0.5, scaled[2:] * 0.5, anchors_wh[i, :, :, np.newaxis]
        sides = []
        for axis in (0, 1):
            anchor_half = anchors[:, axis] * 0.5
            high = np.minimum(scaled[axis] + half[axis], middle[axis] + anchor_half)
            low = np.maximum(scaled[axis] - half[axis], middle[axis] - anchor_half)
            high -= low
            sides.append(np.maximum(high, 0.0, out=high))
        overlap = np.multiply(sides[0], sides[1], out=sides[0])
        areas = scaled[2] * scaled[3] + anchors[:, 0] * anchors[:, 1]
        np.divide(overlap, np.subtract(areas, overlap, out=areas), out=ious[i])
    return first_cell.T, ious.transpose(2, 0, 1)


def _candidates(places: Places, index: int, positive: Mask, forced: Mask) -> Candidates:
    box, anchor = np.divmod(np.flatnonzero(positive), ANCHORS_PER_SCALE)  # by box, as the reference writes
    cell = places.cells(index, box, anchor)
    listed = np.flatnonzero(positive.any(axis=1))
    slot, slot_wins = places.slots(listed)
    return Candidates(
        box=box,
        cell=cell,
        iou=places.ious[box, index, anchor],
        forced=forced[box],
        wins=last_of_key(places.keys(index, box, cell)),
        rescued=np.zeros(len(box), bool),
        slot_box=listed,
        slot=slot,
        slot_wins=slot_wins,
    )
