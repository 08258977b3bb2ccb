import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.labels.formulas_reference import reference_labels
from yolopipe import assign, decode_sparse, encode_dense, encode_sparse, preprocess_true_boxes
from yolopipe.config.params import STRIDES, Assignment
from yolopipe.labels.boxes import xyxy_to_xywh

ANCHORS = Assignment().anchors_px / np.array(STRIDES)[:, None, None]


def random_boxes(rng, count, size, classes=4, whole=False):
    """Boxes of all shapes inside the input, some of them touching its edges."""
    wh = np.exp(rng.uniform(np.log(1.0), np.log(size), (count, 2)))
    xy = rng.uniform(0, 1, (count, 2)) * (size - wh)
    boxes = np.concatenate([xy, xy + wh], axis=1)
    if whole:
        boxes = np.floor(boxes)
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    return np.concatenate([boxes, rng.integers(0, classes, (count, 1))], axis=1)


def both(bboxes, size=416, classes=4):
    ours = preprocess_true_boxes(bboxes, input_size=size, anchors=ANCHORS, num_classes=classes)
    return ours, reference_labels(bboxes, size, ANCHORS, classes)


@pytest.mark.parametrize("count", [0, 1, 2, 13, 60, 200])
@pytest.mark.parametrize("size", [160, 416, 608])
@pytest.mark.parametrize("whole", [False, True])
def test_equals_the_reference_bit_for_bit(count, size, whole):
    bboxes = random_boxes(np.random.default_rng([count, size]), count, size, whole=whole)
    for ours, theirs in zip(*both(bboxes, size), strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("kind", [np.int64, np.float32, np.float64])
def test_input_types_of_the_reference(kind):
    bboxes = random_boxes(np.random.default_rng(5), 50, 416, whole=True).astype(kind)
    for ours, theirs in zip(*both(bboxes), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@given(st.integers(0, 2**32), st.integers(0, 40))
@settings(max_examples=60)
def test_equals_the_reference_on_crowded_cells(seed, count):
    """Many boxes of few sizes in few places: cells are overwritten again and again."""
    rng = np.random.default_rng(seed)
    centres = rng.integers(1, 4, (count, 2)) * 90 + rng.uniform(-3, 3, (count, 2))
    wh = rng.choice([9.0, 33.0, 61.0, 120.0], (count, 2))
    bboxes = np.concatenate([centres - wh / 2, centres + wh / 2, rng.integers(0, 4, (count, 1))], axis=1)
    for ours, theirs in zip(*both(bboxes), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@given(st.integers(0, 2**32), st.integers(0, 30), st.integers(0, 5), st.sampled_from([3, 20, 150]))
@settings(max_examples=60)
def test_boxes_to_be_ignored_only_follow_in_the_three_lists(seed, count, ignored, longest):
    """Cells are those of the reference without them; each list of it goes on with them as far as there is room."""
    rng = np.random.default_rng(seed)
    bboxes = random_boxes(rng, count + ignored, 416)
    ignore = np.zeros(count + ignored)
    ignore[rng.permutation(count + ignored)[:ignored]] = 1
    bboxes[ignore > 0, 4] = rng.integers(-1, 4, ignored)
    options = {"input_size": 416, "anchors": ANCHORS, "num_classes": 4, "max_bbox_per_scale": longest}
    ours = preprocess_true_boxes(np.column_stack([bboxes, ignore]), **options)
    theirs = reference_labels(bboxes[ignore == 0], 416, ANCHORS, 4, longest=longest)
    more = xyxy_to_xywh(bboxes[ignore > 0, :4]).astype(np.float32)
    for index in range(3):
        np.testing.assert_array_equal(ours[index], theirs[index])
        listed = int((theirs[3 + index][:, 2] > 0).sum())
        wanted = np.concatenate([theirs[3 + index][:listed], more, np.zeros((longest, 4))])[:longest]
        np.testing.assert_array_equal(ours[3 + index], wanted)


def test_list_of_a_scale_wraps():
    """200 equal-sized boxes: 200 labels, a list of 150 whose first 50 slots hold boxes 150 to 199."""
    places = np.array([(x, y) for y in range(10, 400, 20) for x in range(10, 400, 32)][:200], float)
    bboxes = np.concatenate([places - 10, places + 10, np.zeros((200, 1))], axis=1)
    ours, theirs = both(bboxes)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine, other)
    np.testing.assert_array_equal(ours.sbboxes[:50, :2], places[150:].astype(np.float32))
    found = assign(bboxes[:, :4], np.zeros(200, int), input_size=416, anchors=ANCHORS)
    assert found.counts()["past_list_end"] >= 50


def test_forced_box_takes_the_best_of_nine():
    """400 x 2 pixels fit no anchor; the box goes to the one with the highest IoU."""
    found = assign([[8, 200, 408, 202]], [0], input_size=416, anchors=ANCHORS)
    assert found.forced.tolist() == [True]
    assert found.wanted.tolist() == [1]
    for ours, theirs in zip(*both(np.array([[8, 200, 408, 202, 1.0]])), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_overwritten_box_is_counted():
    """The same box twice, other class: the later one takes every place of the earlier."""
    bboxes = np.array([[100, 100, 200, 180, 0], [100, 100, 200, 180, 1], [300, 300, 310, 312, 0]], float)
    found = assign(bboxes[:, :4], np.zeros(3, int), input_size=416, anchors=ANCHORS)
    assert found.counts()["overwritten"] == 1
    assert found.positives[0] == 0
    assert found.positives[1] == found.wanted[1] == found.wanted[0]
    labels = preprocess_true_boxes(bboxes, input_size=416, anchors=ANCHORS, num_classes=2)
    assert {c for dense in labels[:3] for c in decode_sparse(dense).classes.tolist()} == {0, 1}


@pytest.mark.parametrize("corner", [(416, 416), (416, 100), (100, 416), (0, 0)])
def test_centre_on_an_edge_stays_in_the_last_cell(corner):
    x, y = corner
    bbox = np.array([[x - 15, y - 20, x + 15, y + 20, 0]], float)
    labels = preprocess_true_boxes(bbox, input_size=416, anchors=ANCHORS, num_classes=1)
    for dense, stride in zip(labels[:3], STRIDES, strict=True):
        for line, column in np.argwhere(dense[..., 4])[:, :2]:
            assert (line, column) == (min(y // stride, 416 // stride - 1), min(x // stride, 416 // stride - 1))
    assert sum(dense[..., 4].sum() for dense in labels[:3]) > 0


@pytest.mark.parametrize(
    ("bbox", "sentence"),
    [
        ([-60, 10, 10, 40, 0], "outside the 416 px"),  # the reference writes this to the opposite side
        ([410, 10, 430, 40, 0], "outside the 416 px"),
        ([np.nan, 10, 430, 40, 0], "outside the 416 px"),
        ([10, 10, 30, 40, 2], "class 2; expected a whole number from 0 to 1"),
        ([10, 10, 30, 40, -1], "class -1"),  # the reference takes the last class
        ([10, 10, 30, 40, 0.5], "class 0.5"),
        ([10, 10, 30, 40], "must be .N, 5."),
    ],
)
def test_boxes_that_the_reference_labels_wrongly_are_refused(bbox, sentence):
    with pytest.raises(ValueError, match=sentence):
        preprocess_true_boxes([bbox], input_size=416, anchors=ANCHORS, num_classes=2)


@pytest.mark.slow
@given(st.integers(0, 2**32), st.lists(st.integers(0, 12), min_size=1, max_size=8))
@settings(max_examples=40)
def test_many_images_at_once_equal_each_alone(seed, counts):
    rng = np.random.default_rng(seed)
    images = [random_boxes(rng, count, 416) for count in counts]
    rows = np.repeat(np.arange(len(images)), counts)
    bboxes = np.concatenate(images)
    together = encode_sparse(assign(bboxes[:, :4], rows, input_size=416, anchors=ANCHORS), rows, len(images))
    for image, labels in zip(images, together, strict=True):
        one_row = np.zeros(len(image), int)
        (alone,) = encode_sparse(assign(image[:, :4], one_row, input_size=416, anchors=ANCHORS), one_row, 1)
        for ours, theirs in zip(labels, alone, strict=True):
            for a, b in zip(ours, theirs, strict=True):
                assert a.dtype == b.dtype
                np.testing.assert_array_equal(a, b)


@given(st.integers(0, 2**32), st.integers(0, 30))
@settings(max_examples=40)
def test_sparse_and_dense_are_inverses(seed, count):
    bboxes = random_boxes(np.random.default_rng(seed), count, 416).astype(np.float32)
    rows = np.zeros(count, int)
    (labels,) = encode_sparse(assign(bboxes[:, :4], rows, input_size=416, anchors=ANCHORS), rows, 1)
    for label, stride in zip(labels, STRIDES, strict=True):
        dense, slots = encode_dense(label, bboxes[:, :4], bboxes[:, 4], grid=416 // stride, num_classes=4)
        back = decode_sparse(dense)
        np.testing.assert_array_equal(back.cell, label.cell)
        np.testing.assert_array_equal(back.boxes_xywh, xyxy_to_xywh(bboxes[:, :4])[label.box])
        np.testing.assert_array_equal(back.classes, bboxes[:, 4][label.box])
        assert (slots[len(label.slots) :] == 0).all()
        assert (np.diff(label.cell) > 0).all()


@pytest.mark.slow
def test_equals_the_reference_on_real_scenes():
    """The boxes of the embedded sample: real handwriting, composed."""
    from yolopipe.imaging.geometry import letterbox_matrix, transform_boxes
    from yolopipe.sample.scenes import compose_scene
    from yolopipe.stages.sample import load_handwriting

    glyphs, digits = load_handwriting()
    boxes_seen = 0
    for number in range(25):
        scene = compose_scene(glyphs, digits, np.random.default_rng(number), size=192, max_digits=12)
        height, width = scene.image.shape[:2]
        boxes = transform_boxes(letterbox_matrix((width, height), 416), scene.boxes_xyxy)
        bboxes = np.concatenate([boxes, np.asarray(scene.classes)[:, None]], axis=1).astype(np.float32)
        for ours, theirs in zip(*both(bboxes, classes=10), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        boxes_seen += len(bboxes)
    assert boxes_seen > 50
