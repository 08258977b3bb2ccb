"""The three collision rules against plain loops, and how their results relate."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.labels import collision_reference as reference
from yolopipe import assign, decode_sparse, encode_sparse, preprocess_true_boxes
from yolopipe.config.params import STRIDES, Assignment, Config
from yolopipe.labels.collisions import COLLISION_RULES, best_of_key, first_come_pairs, last_of_key

ANCHORS = Assignment().anchors_px / np.array(STRIDES)[:, None, None]
SIZE = 416


def crowd(rng, count, spots=3):
    """Boxes in eighths of a pixel (exact in every type), few centres, few sizes, some of them equal."""
    centres = rng.integers(1, 1 + spots, (count, 2)) * 96 + rng.integers(-24, 24, (count, 2)) / 8
    halves = rng.choice([4.5, 8.0, 16.0, 30.0, 30.25, 60.0, 90.0], (count, 2))
    boxes = np.clip(np.concatenate([centres - halves, centres + halves], axis=1), 0, SIZE)
    equal = rng.random(count) < 0.2
    boxes[equal] = boxes[rng.integers(0, max(1, count), equal.sum())]
    return boxes


def owners(found, rows, row):
    """{(scale, y, x, anchor): box number within the image} of one image, and its lists."""
    owner, lists = {}, []
    for index, (label, stride) in enumerate(
        zip(encode_sparse(found, rows, int(rows.max(initial=row)) + 1)[row], STRIDES, strict=True)
    ):
        for cell, box in zip(label.cell.tolist(), label.box.tolist(), strict=True):
            place, anchor = divmod(cell, 3)
            owner[(index, *divmod(place, SIZE // stride), anchor)] = box
        lists.append(label.slots.tolist())
    return owner, lists


@pytest.mark.slow
@pytest.mark.parametrize("rule", COLLISION_RULES)
@given(seed=st.integers(0, 2**32), counts=st.lists(st.integers(0, 30), min_size=1, max_size=5))
@settings(max_examples=60)
def test_equals_the_plain_loop(rule, seed, counts):
    rng = np.random.default_rng(seed)
    images = [crowd(rng, count, spots=int(rng.integers(1, 4))) for count in counts]
    rows = np.repeat(np.arange(len(images)), counts)
    found = assign(np.concatenate(images), rows, input_size=SIZE, anchors=ANCHORS, collisions=rule)
    lost = 0
    for row, boxes in enumerate(images):
        owner, gone, lists = reference.assign_image(boxes, SIZE, ANCHORS, rule)
        found_owner, listed = owners(found, rows, row)
        assert found_owner == owner
        assert listed == lists
        lost += len(gone)
    assert found.counts()["overwritten"] == found.without_positive()[rule] == lost
    assert (found.positives == [sum(b == n for b in owner.values()) for owner, n in _numbered(images, rule)]).all()


def _numbered(images, rule):
    for boxes in images:
        owner, _, _ = reference.assign_image(boxes, SIZE, ANCHORS, rule)
        for number in range(len(boxes)):
            yield owner, number


@given(seed=st.integers(0, 2**32), count=st.integers(0, 60))
@settings(max_examples=60)
def test_how_the_rules_relate(seed, count):
    boxes = crowd(np.random.default_rng(seed), count, spots=2)
    rows = np.zeros(count, int)
    by_rule = {
        rule: assign(boxes, rows, input_size=SIZE, anchors=ANCHORS, collisions=rule) for rule in COLLISION_RULES
    }
    lost = [found.without_positive() for found in by_rule.values()]
    assert lost[0] == lost[1] == lost[2], "the counts do not depend on the rule in force"
    assert lost[0] == {rule: int((found.positives == 0).sum()) for rule, found in by_rule.items()}
    best, notes = (owners(by_rule[rule], rows, 0) for rule in ("keep-best-iou", "notes"))
    then = owners(by_rule["next-anchor"], rows, 0)
    assert set(best[0]) == set(notes[0]), "the same places, only their boxes differ"
    assert best[1] == notes[1]
    assert then[0] | best[0] == then[0], "no box loses a place"
    for grown, before in zip(then[1], notes[1], strict=True):
        assert grown[: len(before)] == before
    added = {place: box for place, box in then[0].items() if place not in best[0]}
    assert len(set(added.values())) == len(added) == int(by_rule["next-anchor"].rescued.sum())
    assert not set(added.values()) & set(best[0].values())
    for (scale, *_), box in added.items():
        assert box in then[1][scale], "the list of the scale holds the box"


@given(seed=st.integers(0, 2**32), count=st.integers(1, 25))
@settings(max_examples=40)
def test_without_equal_boxes_the_order_of_boxes_does_not_matter(seed, count):
    """``notes`` depends on the order of boxes; the two others do not, ties apart."""
    rng = np.random.default_rng(seed)
    boxes = np.unique(crowd(rng, count, spots=1) + rng.uniform(0, 0.01, (count, 4)), axis=0)
    order = rng.permutation(len(boxes))
    for rule in COLLISION_RULES[1:]:
        rows = np.zeros(len(boxes), int)
        one = assign(boxes, rows, input_size=SIZE, anchors=ANCHORS, collisions=rule)
        other = assign(boxes[order], rows, input_size=SIZE, anchors=ANCHORS, collisions=rule)
        mixed = {place: int(order[box]) for place, box in owners(other, rows, 0)[0].items()}
        assert mixed == owners(one, rows, 0)[0]


def test_all_nine_places_taken_is_lost_and_counted():
    """Twelve equal boxes: one keeps its candidates, some get one of the other places, the rest are not assigned."""
    boxes = np.tile([[100.0, 100, 160, 161]], (12, 1))
    found = assign(boxes, np.zeros(12, int), input_size=SIZE, anchors=ANCHORS, collisions="next-anchor")
    wanted = int(found.wanted[0])
    assert found.positives.tolist()[-1] == wanted, "of equal boxes the later"
    assert sum(found.positives) == 9
    assert found.positives.tolist()[-2::-1] == [1] * (9 - wanted) + [0] * (11 - (9 - wanted))
    lost = 12 - 1 - (9 - wanted)
    assert found.without_positive() == {"notes": 11, "keep-best-iou": 11, "next-anchor": lost}
    assert found.counts() == {
        "overwritten": lost,
        "partly_overwritten": 0,
        "forced": 0,
        "past_list_end": 0,
    }


def test_the_better_of_two_keeps_its_place():
    """Two boxes of one cell, the later one of a shape that fits the anchors worse."""
    boxes = np.array([[169, 177.5, 231, 222.5], [177, 178, 229, 222]])
    kept = assign(boxes, [0, 0], input_size=SIZE, anchors=ANCHORS, collisions="keep-best-iou")
    notes = assign(boxes, [0, 0], input_size=SIZE, anchors=ANCHORS)
    assert owners(kept, np.zeros(2, int), 0)[0] != owners(notes, np.zeros(2, int), 0)[0]
    for scale in kept.scales:
        for key in set(scale.cell.tolist()):
            rivals = np.flatnonzero(scale.cell == key)
            (winner,) = rivals[scale.wins[rivals]]
            assert scale.iou[winner] == scale.iou[rivals].max()


def test_a_list_that_is_full_wraps_for_given_places_too():
    boxes = np.tile([[100.0, 100, 160, 161]], (7, 1))
    found = assign(
        boxes, np.zeros(7, int), input_size=SIZE, anchors=ANCHORS, collisions="next-anchor", max_bbox_per_scale=2
    )
    for scale in found.scales:
        assert scale.slot.tolist() == [n % 2 for n in range(len(scale.slot))]
        assert scale.slot_wins.sum() == min(2, len(scale.slot))


@pytest.mark.parametrize("rule", COLLISION_RULES)
def test_dense_labels_of_every_rule(rule):
    """``preprocess_true_boxes`` labels exactly the boxes that the plain loop keeps."""
    rng = np.random.default_rng(8)
    boxes = crowd(rng, 30, spots=2)
    bboxes = np.concatenate([boxes, np.arange(30)[:, None]], axis=1)  # the class tells which box it is
    labels = preprocess_true_boxes(bboxes, input_size=SIZE, anchors=ANCHORS, num_classes=30, collisions=rule)
    owner, _, lists = reference.assign_image(boxes, SIZE, ANCHORS, rule)
    for index, stride in enumerate(STRIDES):
        decoded = decode_sparse(labels[index])
        places = [(index, *divmod(cell // 3, SIZE // stride), cell % 3) for cell in decoded.cell.tolist()]
        assert dict(zip(places, decoded.classes.tolist(), strict=True)) == {
            place: box for place, box in owner.items() if place[0] == index
        }
        listed = labels[3 + index][: len(lists[index])]
        corners = boxes[lists[index]]
        np.testing.assert_array_equal(listed[:, 2:], (corners[:, 2:] - corners[:, :2]).astype(np.float32))


def test_unknown_rules_are_refused():
    with pytest.raises(ValueError) as caught:
        preprocess_true_boxes([], input_size=SIZE, anchors=ANCHORS, num_classes=1, collisions="best")
    assert {*COLLISION_RULES, "'best'"} <= set(re.split("[ ,;]+", str(caught.value)))
    data = {"train": "t", "val": "v", "classes": "c", "images": "i"}
    with pytest.raises(ValidationError):
        Config(data=data, assignment={"collisions": "best"})


@given(st.integers(0, 2**32), st.integers(0, 60))
@settings(max_examples=60)
def test_best_of_key_and_first_come_pairs_equal_loops(seed, count):
    rng = np.random.default_rng(seed)
    keys, scores = rng.integers(0, 12, count) * 2**18, rng.integers(0, 4, count) / 4  # keys equal modulo the table
    best = best_of_key(keys, scores, last_of_key(keys))
    for key in set(keys.tolist()):
        rivals = [n for n in range(count) if keys[n] == key]
        assert np.flatnonzero(best[rivals]).tolist() == [rivals.index(max(rivals, key=lambda n: (scores[n], n)))]
    takers, places = np.unique(rng.integers(0, 8, (count, 2)), axis=0).T.reshape(2, -1)
    shuffled = rng.permutation(len(takers))
    takers, places = takers[shuffled], places[shuffled]
    scores = scores[: len(takers)]
    seen, expected = set(), []
    for _, taker, place, pair in sorted(
        zip((-scores).tolist(), (-takers).tolist(), places.tolist(), range(len(takers)), strict=True)
    ):
        if not seen & {("t", taker), ("p", place)}:
            seen |= {("t", taker), ("p", place)}
            expected.append(pair)
    assert first_come_pairs(takers, places, scores).tolist() == sorted(expected)
