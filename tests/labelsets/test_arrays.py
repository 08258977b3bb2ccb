"""The arrays behind ``yolopipe labels``: dealing groups, joining them, comparing two versions, selecting, merging."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolopipe.errors import UsageError
from yolopipe.formats.class_names import write_class_names
from yolopipe.labelsets.compare import compare
from yolopipe.labelsets.label_set import LabelSet, read_label_set, write_annotations
from yolopipe.labelsets.merge import merge
from yolopipe.labelsets.select import class_map, image_hashes, map_classes, pick_images
from yolopipe.labelsets.split_labels import split_by_groups
from yolopipe.labelsets.stratify import deal_groups, group_counts, joined_groups


def make_set(names: tuple[str, ...], images: dict[str, list[tuple[float, ...]]], file: str = "t.txt") -> LabelSet:
    """A box is x1, y1, x2, y2, class, and 1 where it is to be ignored."""
    rows = [(*box[:5], sum(box[5:]), row) for row, boxes in enumerate(images.values()) for box in boxes]
    table = np.array(rows, float).reshape(-1, 7)
    places = np.stack([np.zeros(len(images)), np.arange(1, len(images) + 1)], axis=1).astype(np.int32)
    kinds, ignore, image = table[:, 4:].astype(np.int64).T
    return LabelSet(names, list(images), places, (file,), table[:, :4], kinds, ignore > 0, image)


KIND = st.sampled_from([(0, 0), (1, 0), (0, 1), (1, 1), (-1, 1)])
small_box = st.tuples(*(st.integers(0, 4),) * 2, *(st.integers(5, 9),) * 2, KIND).map(lambda box: (*box[:4], *box[4]))
some_images = st.dictionaries(st.sampled_from("abcd"), st.lists(small_box, max_size=4), max_size=4)


def boxes_of(label_set: LabelSet) -> dict[str, list[tuple[float, ...]]]:
    """The boxes of each image with the names of their classes and 1 where they are to be ignored."""
    found: dict[str, list[tuple[float, ...]]] = {path: [] for path in label_set.image_paths}
    columns = (label_set.boxes_xyxy, label_set.classes, label_set.ignore, label_set.box_image)
    for box, kind, ignore, image in zip(*(column.tolist() for column in columns), strict=True):
        name = label_set.names[kind] if kind >= 0 else "any"
        found[label_set.image_paths[image]].append((*box, name, int(ignore)))
    return found


def slow_iou(one: tuple[float, ...], two: tuple[float, ...]) -> float:
    width = min(one[2], two[2]) - max(one[0], two[0])
    height = min(one[3], two[3]) - max(one[1], two[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, two)]
    return shared / (sum(areas) - shared)


def slow_compare(old: dict, new: dict) -> tuple[int, ...]:
    """How many boxes are equal, re-classed, moved, both, removed, added: plain loops over all pairs."""
    counts = [0] * 4
    removed = sum(len(boxes) for name, boxes in old.items() if name not in new)
    added = sum(len(boxes) for name, boxes in new.items() if name not in old)
    for name in old.keys() & new.keys():
        left, right = list(enumerate(old[name])), list(enumerate(new[name]))
        rules = (
            lambda a, b: a == b,
            lambda a, b: a[:4] == b[:4],
            lambda a, b: a[4:] == b[4:] and slow_iou(a, b) >= 0.5,
            lambda a, b: slow_iou(a, b) >= 0.5,
        )
        for rule, fits in enumerate(rules):
            pairs = [(-slow_iou(a[1], b[1]), a[0], b[0], a, b) for a in left for b in right if fits(a[1], b[1])]
            for *_, one, two in sorted(pairs):
                if one in left and two in right:
                    left.remove(one)
                    right.remove(two)
                    counts[rule] += 1
        removed, added = removed + len(left), added + len(right)
    return (*counts, removed, added)


@given(some_images, some_images)
def test_compare_equals_plain_loops(old: dict, new: dict) -> None:
    found = compare(make_set(("a", "b"), old), make_set(("a", "b"), new))
    assert tuple(len(part) for part in found[:6]) == slow_compare(old, new)


@given(some_images, some_images)
def test_each_box_has_one_fate(old: dict, new: dict) -> None:
    one, two = make_set(("a", "b"), old), make_set(("b", "a"), new)
    found = compare(one, two)
    pairs = np.concatenate(found[:4])
    assert sorted([*pairs[:, 0], *found.removed]) == list(range(len(one.classes)))
    assert sorted([*pairs[:, 1], *found.added]) == list(range(len(two.classes)))
    assert {one.image_paths[row] for row in found.removed_images} == old.keys() - new.keys()
    assert {two.image_paths[row] for row in found.added_images} == new.keys() - old.keys()


def test_classes_are_compared_by_name() -> None:
    box = [(1, 2, 30, 40, 0)]
    found = compare(make_set(("cat", "dog"), {"a": box}), make_set(("dog", "cat"), {"a": [(1, 2, 30, 40, 1)]}))
    assert found.equal.tolist() == [[0, 0]]


@given(st.integers(1, 60), st.integers(1, 5), st.integers(2, 4), st.integers(0, 2**32))
def test_groups_are_dealt_the_same_in_any_order(groups: int, columns: int, splits: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 4, (groups, columns)).astype(float)
    keys = rng.integers(0, 2**63, groups).astype(np.uint64)
    shares = [1 / splits] * splits
    dealt = deal_groups(counts, shares, keys)
    order = rng.permutation(groups)
    np.testing.assert_array_equal(deal_groups(counts[order], shares, keys[order]), dealt[order])
    assert set(dealt.tolist()) <= set(range(splits))


def test_many_small_groups_give_every_class_its_share() -> None:
    rng = np.random.default_rng(4)
    image = np.repeat(np.arange(3000), rng.poisson(4, 3000))
    kind = rng.choice(6, len(image), p=[0.5, 0.3, 0.1, 0.06, 0.03, 0.01])
    counts = group_counts(np.arange(3000) // 3, [(np.arange(3000), np.zeros(3000, int)), (image, kind + 1)], 7)
    dealt = deal_groups(counts, [0.8, 0.1, 0.1], image_hashes([str(n) for n in range(1000)], 0))
    for split, share in enumerate((0.8, 0.1, 0.1)):
        part = counts[dealt == split].sum(axis=0) / counts.sum(axis=0)
        assert np.abs(part - share).max() < 0.01


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=12), st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)))
)
def test_joined_groups_are_the_connected_ones(group: list[int], pairs: list[tuple[int, int]]) -> None:
    count = len(group)
    pairs = [(a % count, b % count) for a, b in pairs]
    first, second = (np.array([pair[side] for pair in pairs], np.int64) for side in (0, 1))
    joined = joined_groups(np.array(group), first, second).tolist()
    linked = [
        [a == b or group[a] == group[b] or (a, b) in pairs or (b, a) in pairs for b in range(count)]
        for a in range(count)
    ]
    for middle, a, b in itertools.product(range(count), repeat=3):
        linked[a][b] |= linked[a][middle] and linked[middle][b]
    assert [[joined[a] == joined[b] for b in range(count)] for a in range(count)] == linked
    assert list(dict.fromkeys(joined)) == list(range(max(joined) + 1))


def test_an_object_that_is_now_ignored_is_re_classed() -> None:
    for kind in (0, -1):
        found = compare(
            make_set(("cat",), {"a": [(1, 2, 30, 40, 0)]}), make_set(("cat",), {"a": [(1, 2, 30, 40, kind, 1)]})
        )
        assert found.reclassed.tolist() == [[0, 0]]


def test_classes_are_kept_renamed_and_joined() -> None:
    images = {"a": [(0, 0, 5, 5, 0), (1, 1, 6, 6, 1), (2, 2, 7, 7, 2)], "b": []}
    picked, dropped = map_classes(
        make_set(("cat", "kitty", "dog"), images),
        class_map(("cat", "kitty", "dog"), keep=["cat"], rename={"kitty": "cat"}),
    )
    assert (picked.names, picked.classes.tolist(), picked.image_paths) == (("cat",), [0, 0], ["a", "b"])
    assert boxes_of(dropped) == {"a": [(2, 2, 7, 7, "dog", 0)], "b": []}
    with pytest.raises(UsageError, match="cow"):
        class_map(("cat",), keep=["cow"])


@given(some_images, st.booleans())
def test_other_classes_are_dropped_or_ignored(images: dict, ignore: bool) -> None:
    """Class a stays under another name and number; of equal regions of other classes one is written."""
    mapping = class_map(("a", "b"), keep=["new", "A"], rename={"a": "A", "b": "new"})._replace(
        target=np.array([1, -1])
    )
    mapped, other = map_classes(make_set(("a", "b"), images), mapping, "ignore" if ignore else "drop")
    expected: dict[str, list[tuple]] = {path: [] for path in images}
    for path, boxes in images.items():
        for *box, kind, mark in boxes:
            if kind == 0:
                expected[path].append((*box, "A", mark))
            elif ((*box, "any", 1) not in expected[path]) if ignore else (kind == -1):
                expected[path].append((*box, "any", 1))
    assert boxes_of(mapped) == expected
    others = {path: [(*box[:4], "b", box[5]) for box in boxes if box[4] == 1] for path, boxes in images.items()}
    assert boxes_of(other) == others


@given(some_images)
def test_ignored_boxes_are_no_boxes_of_an_image(images: dict) -> None:
    whole = make_set(("a", "b"), images)
    for backgrounds, wanted in (("drop", True), ("only", False)):
        taken = pick_images(whole, backgrounds=backgrounds)  # type: ignore[arg-type]
        assert taken.tolist() == [any(not box[5] for box in boxes) is wanted for boxes in images.values()]
    counts = whole.counts()
    assert (counts["boxes"], counts["ignored"]) == tuple(
        sum(box[5] == mark for boxes in images.values() for box in boxes) for mark in (0, 1)
    )


@given(some_images, st.integers(0, 3))
def test_ignored_boxes_do_not_change_a_split(images: dict, seed: int) -> None:
    whole = make_set(("a", "b"), images)
    group = np.arange(len(images))
    split, _ = split_by_groups(whole, group, [0.5, 0.5], seed=seed)
    without, _ = split_by_groups(whole.boxes(~whole.ignore), group, [0.5, 0.5], seed=seed)
    assert split.tolist() == without.tolist()


@given(some_images)
def test_written_sets_are_read_back(tmp_path_factory: pytest.TempPathFactory, images: dict) -> None:
    file = tmp_path_factory.mktemp("written") / "t.txt"
    whole = make_set(("a", "b"), images)
    write_annotations(file, whole)
    write_class_names(file.with_name("classes.names"), whole.names)
    assert boxes_of(read_label_set([file])[0]) == boxes_of(whole)
    plain = [len(token.split(",")) == 5 for line in file.read_text().splitlines() for token in line.split()[1:]]
    assert plain == [not box[5] for boxes in images.values() for box in boxes]


def test_images_by_pattern_background_and_fraction() -> None:
    images = {f"{folder}/{n}.jpg": [(0, 0, 5, 5, 0)] * (n % 2) for folder in ("day", "night") for n in range(200)}
    whole = make_set(("a",), images)
    assert pick_images(whole, patterns=["night/*"], backgrounds="only").sum() == 100
    half, tenth = (pick_images(whole, fraction=part, seed=3) for part in (0.5, 0.1))
    assert 150 < half.sum() < 250
    assert not (tenth & ~half).any()
    assert pick_images(whole, fraction=0.0).sum() == 0


def test_merged_by_name_and_conflicts_named() -> None:
    one = make_set(("cat", "dog"), {"a": [(0, 0, 5, 5, 1)], "b": [(1, 1, 9, 9, 0)]}, "one.txt")
    two = make_set(("cow", "dog"), {"a": [(0, 0, 5, 5, 1)], "b": [], "c": [(2, 2, 8, 8, 0)]}, "two.txt")
    merged, problems, repeated = merge([one, two])
    assert merged.names == ("cat", "dog", "cow")
    assert merged.image_paths == ["a", "b", "c"]
    assert merged.classes.tolist() == [1, 0, 2]
    assert repeated == 1
    assert [(p.file, p.line, p.rule, p.image) for p in problems] == [("two.txt", 2, "merge-conflict", "b")]
    assert [merged.place(row) for row in range(3)] == ["one.txt:1", "one.txt:2", "two.txt:3"]


@given(some_images, some_images)
def test_merged_sets_keep_every_box(first: dict, second: dict) -> None:
    one, two = make_set(("a", "b"), first, "1.txt"), make_set(("b", "c"), second, "2.txt")
    merged, problems, repeated = merge([one, two])
    found = boxes_of(merged)
    assert found == {**boxes_of(two), **boxes_of(one)}
    both = [path for path in first if path in second]
    same = [path for path in both if sorted(boxes_of(one)[path]) == sorted(boxes_of(two)[path])]
    assert (len(problems), repeated) == (len(both) - len(same), len(same))
