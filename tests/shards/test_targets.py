"""The places of each box, against a plain walk through the reference rule."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolopipe.errors import ShardError
from yolopipe.inspection.label_totals import SplitTotals
from yolopipe.labels.scale_label import ScaleLabel
from yolopipe.shards.targets import assigned_batches, box_targets

SIZE = 96
NAMES = ("cat", "dog")


def plain_places(boxes: list[list[float]], anchors_px: np.ndarray) -> tuple[dict, dict, list[bool]]:
    """The reference loop with Python numbers: who writes each (stride, y, x, anchor), in order; IoU; forced."""
    writers: dict[tuple[int, int, int, int], list[int]] = {}
    overlap: dict[tuple[int, tuple[int, int, int, int]], float] = {}
    forced = []
    for number, (x1, y1, x2, y2) in enumerate(boxes):
        scores = []
        for scale, stride in enumerate((8, 16, 32)):
            cx, cy = int((x1 + x2) / 2 // stride), int((y1 + y2) / 2 // stride)
            for anchor, (w, h) in enumerate(anchors_px[scale]):
                left, top = (cx + 0.5) * stride - w / 2, (cy + 0.5) * stride - h / 2
                shared_w = max(0.0, min(x2, left + w) - max(x1, left))
                shared_h = max(0.0, min(y2, top + h) - max(y1, top))
                shared = shared_w * shared_h
                iou = shared / ((x2 - x1) * (y2 - y1) + w * h - shared)
                scores.append((iou, (stride, cy, cx, anchor)))
        chosen = [place for iou, place in scores if iou > 0.3]
        forced.append(not chosen)
        chosen = chosen or [max(scores, key=lambda item: item[0])[1]]
        for iou, place in scores:
            if place in chosen:
                writers.setdefault(place, []).append(number)
                overlap[number, place] = iou
    return writers, overlap, forced


def totals_of(rows: list, manifest) -> SplitTotals:
    """What inspection counts over rows, two at a time."""
    totals = SplitTotals("train")
    for batch in assigned_batches(rows, manifest, at_once=2):
        totals.add("train", 0, batch)
    return totals


def random_boxes(rng: np.random.Generator, count: int) -> list[list[float]]:
    """Quarter-pixel boxes (exact in float32), few centres, so that places are lost."""
    sizes = rng.integers(8, 240, (count, 2)) / 4
    centres = rng.integers(5, 12, (count, 2)) * 8.25
    corners = np.clip(np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1), 0, SIZE)
    return corners.tolist()


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 12))
def test_places_equal_a_plain_walk(shards, seed: int, count: int) -> None:
    boxes = random_boxes(np.random.default_rng(seed), count)
    row = shards.build_row("a.png", boxes, [n % 2 for n in range(count)], size=SIZE)
    manifest = _manifest(shards)
    writers, overlap, forced = plain_places(boxes, shards.ANCHORS_PX)
    targets = box_targets(row, manifest)
    assert len(targets) == count
    for box in targets:
        expected = {place for place, numbers in writers.items() if box.number in numbers}
        seen = {(p.stride, *p.cell_yx, p.anchor): p for p in box.places}
        assert set(seen) == expected
        assert box.forced == forced[box.number]
        for key, place in seen.items():
            last = writers[key][-1]
            assert place.taken_by == (None if last == box.number else last)
            assert place.iou == pytest.approx(overlap[box.number, key], abs=1e-5)
            assert place.anchor_wh == tuple(shards.ANCHORS_PX[(8, 16, 32).index(place.stride), place.anchor])
        assert len(box.assigned) + len(box.overwritten) == len(box.places) > 0


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(0, 6))
def test_totals_are_the_sum_of_the_rows(shards, seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 9, rows)
    split = [
        shards.build_row(f"{n}.png", random_boxes(rng, k), [0] * int(k), size=SIZE, list_length=3)
        for n, k in enumerate(counts)
    ]
    manifest = _manifest(shards, list_length=3)
    totals = totals_of(split, manifest)
    each = [box_targets(row, manifest) for row in split]
    boxes = [box for targets in each for box in targets]
    assert (totals.images, totals.boxes, totals.backgrounds) == (rows, counts.sum(), (counts == 0).sum())
    assert totals.overwritten == sum(not box.assigned for box in boxes)
    assert totals.partly_overwritten == sum(bool(box.assigned and box.overwritten) for box in boxes)
    assert totals.forced == sum(box.forced for box in boxes)
    assert totals.past_list_end == sum(len(box.unlisted) for box in boxes)
    assert totals.positives.sum() == sum(len(box.assigned) for box in boxes)
    troubled = [n for n, targets in enumerate(each) if any(b.overwritten or b.forced or b.unlisted for b in targets)]
    assert {tally.path for tally in totals.worst} == {f"{n}.png" for n in troubled}
    weights = [tally.weight for tally in totals.worst]
    assert weights == sorted(weights, reverse=True)


def test_the_worst_images_are_kept_and_no_more(shards) -> None:
    """Thirty images, each with one to four copies of one box: all but one copy are overwritten."""
    rows = [
        shards.build_row(f"{n}", [[40, 40, 60, 60]] * (1 + n % 4), [0] * (1 + n % 4), size=SIZE) for n in range(30)
    ]
    worst = totals_of(rows, _manifest(shards)).worst
    assert [tally.path for tally in worst] == [str(n) for n in (3, 7, 11, 15, 19, 23, 27, 2, 6, 10)]
    assert [tally.overwritten for tally in worst] == [3] * 7 + [2] * 3


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["keep-best-iou", "next-anchor"])
@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 14))
def test_places_under_the_other_rules(shards, rule: str, seed: int, count: int) -> None:
    """The places of the walk, each held by the box of the highest IoU; no box matches a rescued place."""
    boxes = random_boxes(np.random.default_rng(seed), count)
    row = shards.build_row("a.png", boxes, [0] * count, size=SIZE, collisions=rule)
    manifest = _manifest(shards, collisions=rule)
    writers, overlap, _ = plain_places(boxes, shards.ANCHORS_PX)
    targets = box_targets(row, manifest)
    holders: dict[tuple[int, int, int, int], int] = {}
    for box in targets:
        for place in box.places:
            key = (place.stride, *place.cell_yx, place.anchor)
            assert (key in writers and box.number in writers[key]) != place.rescued
            if place.taken_by is None:
                assert holders.setdefault(key, box.number) == box.number
            else:
                assert overlap[place.taken_by, key] >= overlap[box.number, key] - 1e-6
        assert not any(place.rescued for place in box.places) or len(box.assigned) == 1
    assert {key for key in holders if key in writers} == set(writers)
    totals = totals_of([row], manifest)
    assert totals.overwritten == totals.without_positive[rule] == sum(not box.assigned for box in targets)


def test_labels_of_another_rule_are_an_error(shards) -> None:
    """Three equal boxes: the rule in the manifest decides what the shard must hold."""
    row = shards.build_row("a.png", [[30, 30, 50, 50]] * 3, [0] * 3, size=SIZE, collisions="next-anchor")
    assert [len(box.assigned) for box in box_targets(row, _manifest(shards, collisions="next-anchor"))][:2] == [1, 1]
    with pytest.raises(ShardError, match=r"stride \d+: "):
        box_targets(row, _manifest(shards))


def test_a_box_past_the_end_of_the_list_is_named(shards) -> None:
    """Five boxes for a list of three: the last two take the slots of the first two."""
    boxes = [[8.0 * n, 40, 8.0 * n + 8, 48] for n in range(5)]
    row = shards.build_row("a.png", boxes, [0] * 5, size=SIZE, list_length=3)
    targets = box_targets(row, _manifest(shards, list_length=3))
    assert [box.unlisted for box in targets] == [(8,), (8,), (), (), ()]
    assert all(box.assigned for box in targets)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda label: label._replace(cell=label.cell[1:], box=label.box[1:]), "is missing"),
        (lambda label: label._replace(box=label.box * 0 + 1), "box 0 at cell .* is missing"),
        (lambda label: label._replace(slots=label.slots[::-1]), "its box list is"),
    ],
)
def test_a_label_that_differs_is_an_error(shards, damage, message: str) -> None:
    boxes = [[8, 8, 18, 18], [40, 40, 50, 50]]
    row = shards.build_row("some/a.png", boxes, [0, 1], size=SIZE)
    labels: tuple[ScaleLabel, ...] = (damage(row.labels[0]), *row.labels[1:])
    with pytest.raises(ShardError, match=rf"some/a\.png \(copy 0\), stride 8: .*{message}"):
        box_targets(replace(row, labels=labels), _manifest(shards))


def _manifest(shards, list_length: int = 150, collisions: str = "notes"):
    from yolopipe.shards.manifest import Manifest

    anchors = tuple(tuple(map(tuple, scale)) for scale in shards.ANCHORS_PX.tolist())
    return Manifest(
        format="parquet",
        encoding="raw",
        jpeg_quality=95,
        input_size=SIZE,
        input_sizes=(SIZE,),
        strides=(8, 16, 32),
        anchors=anchors,
        iou_threshold=0.3,
        max_bbox_per_scale=list_length,
        collisions=collisions,
        class_names=NAMES,
        splits={},
    )
