from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from yolopipe.model.loss import ScaleTarget, bbox_giou, compute_loss

ANCHORS_PX = np.array(
    [[[10, 13], [16, 30], [33, 23]], [[30, 61], [62, 45], [59, 119]], [[116, 90], [156, 198], [373, 326]]], float
)
SCALES = [(8, ANCHORS_PX[0]), (16, ANCHORS_PX[1]), (32, ANCHORS_PX[2])]
Batch = tuple[np.ndarray, ScaleTarget, np.ndarray, np.ndarray]


# The reference: the dense reference formulas in float64, on dense labels built from the sparse targets.


def dense_label(
    target: ScaleTarget, boxes: np.ndarray, classes: np.ndarray, grid: int, num_classes: int, smooth: float
):
    batch, slots = target.cell.shape[0], target.slots.shape[1]
    label = np.zeros((batch, grid, grid, 3, 5 + num_classes))
    listed = np.zeros((batch, slots, 4))

    def xywh(box: np.ndarray) -> np.ndarray:
        box = box.astype(np.float64)
        return np.concatenate([(box[:2] + box[2:]) / 2, box[2:] - box[:2]])

    for b in range(batch):
        for cell, box in zip(target.cell[b], target.box[b], strict=True):
            if cell >= 0:
                y, x, a = cell // 3 // grid, cell // 3 % grid, cell % 3
                onehot = np.eye(num_classes)[classes[b, box]]
                label[b, y, x, a] = [*xywh(boxes[b, box]), 1.0, *(onehot * (1 - smooth) + smooth / num_classes)]
        for t, box in enumerate(target.slots[b]):
            if box >= 0:
                listed[b, t] = xywh(boxes[b, box])
    return label, listed


def dense_loss(conv, label, listed, any_class, anchors, stride, threshold, m: Any):
    """The reference formulas of the whole loss; ``m`` is NumPy or TensorFlow, all in float64.

    Their GIoU also runs on cells without a label, where it may be 0/0 with enough bad luck; random floats have none.
    """
    concat = (lambda parts: np.concatenate(parts, -1)) if m is np else (lambda parts: tf.concat(parts, -1))
    log1p, sigmoid = (np.log1p, lambda v: 1 / (1 + np.exp(-v))) if m is np else (tf.math.log1p, tf.sigmoid)
    size = label.shape[1]
    conv = m.reshape(conv, label.shape)
    y, x = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    xy_grid = np.stack([x, y], -1)[None, :, :, None, :].astype(np.float64)
    pred_xy = (sigmoid(conv[..., 0:2]) + xy_grid) * stride
    pred_wh = m.exp(conv[..., 2:4]) * anchors * stride
    pred_xywh = concat([pred_xy, pred_wh])
    raw_conf, raw_prob = conv[..., 4:5], conv[..., 5:]
    label_xywh, respond, label_prob = label[..., 0:4], label[..., 4:5], label[..., 5:]

    def corners(box):
        low, high = box[..., :2] - box[..., 2:] * 0.5, box[..., :2] + box[..., 2:] * 0.5
        return m.minimum(low, high), m.maximum(low, high)

    def overlap(box1, box2):
        (low1, high1), (low2, high2) = corners(box1), corners(box2)
        area1 = (high1 - low1)[..., 0] * (high1 - low1)[..., 1]
        area2 = (high2 - low2)[..., 0] * (high2 - low2)[..., 1]
        inter = m.maximum(m.minimum(high1, high2) - m.maximum(low1, low2), 0.0)
        inter_area = inter[..., 0] * inter[..., 1]
        enclose = m.maximum(high1, high2) - m.minimum(low1, low2)
        return inter_area, area1 + area2 - inter_area, enclose[..., 0] * enclose[..., 1]

    def cross_entropy(z, logit):
        return m.maximum(logit, 0.0) - logit * z + log1p(m.exp(-m.abs(logit)))

    inter, union, enclose = overlap(pred_xywh, label_xywh)
    giou = (inter / union - (enclose - union) / enclose)[..., None]
    scale = 2.0 - label_xywh[..., 2:3] * label_xywh[..., 3:4] / (stride * size) ** 2
    giou_loss = respond * scale * (1 - giou)

    inter, union, _ = overlap(pred_xywh[:, :, :, :, None, :], listed[:, None, None, None, :, :])
    low, high = (np.asarray(corner) for corner in corners(pred_xywh))
    area = np.prod(high - low, axis=-1)[..., None]  # as the overlap is computed: exactly 1 of what lies inside
    iou = np.asarray(inter) / np.where(any_class[:, None, None, None, :], area, np.asarray(union))
    background = (1 - respond) * (iou.max(-1)[..., None] < threshold)
    focal = (respond - sigmoid(raw_conf)) ** 2
    conf_loss = focal * (respond + background) * cross_entropy(respond, raw_conf)
    prob_loss = respond * cross_entropy(label_prob, raw_prob)
    total = np.sum if m is np else tf.reduce_sum
    return [total(term) / label.shape[0] for term in (giou_loss, conf_loss, prob_loss)]


def random_batch(
    rng: np.random.Generator, grid: int, stride: int, num_classes: int, counts: list[int], spread: float = 1.5
) -> Batch:
    """Raw outputs and sparse targets; some predictions are put on boxes, so that the ignore mask has work to do."""
    batch, most = len(counts), max([*counts, 1])
    corner = rng.random((batch, most, 2)) * stride * grid * 0.8
    far = np.minimum(corner + rng.random((batch, most, 2)) * stride * 6 + 1, stride * grid)  # boxes lie in the input
    boxes = np.concatenate([corner, far], -1).astype(np.float32)
    classes = rng.integers(0, num_classes, (batch, most)).astype(np.int32)
    cell = np.full((batch, most), -1, np.int32)
    box, slots = np.zeros((batch, most), np.int32), np.full((batch, most), -1, np.int32)
    for b, count in enumerate(counts):
        count = min(count, grid * grid * 3)
        cell[b, :count] = np.sort(rng.choice(grid * grid * 3, count, replace=False))
        box[b, :count] = rng.permutation(count)
        slots[b, :count] = rng.permutation(count)
    conv = rng.normal(0, spread, (batch, grid, grid, 3 * (5 + num_classes))).astype(np.float32)
    return conv, ScaleTarget(cell, box, slots), boxes, classes


def ours(batch: Batch, stride: int, anchors_px: np.ndarray, **options: float) -> tuple[np.ndarray, np.ndarray]:
    """The three terms and the gradient of each with respect to the raw outputs."""
    conv, target, boxes, classes = batch
    raw = tf.constant(conv, keras.config.floatx())
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(raw)
        terms = compute_loss(raw, target, boxes, classes, anchors=anchors_px / stride, stride=stride, **options)
    gradients = [tape.gradient(term, raw, unconnected_gradients="zero").numpy() for term in terms]
    return np.array([float(term) for term in terms]), np.stack(gradients)


def reference(batch: Batch, stride: int, anchors_px: np.ndarray, threshold: float, smooth: float):
    conv, target, boxes, classes = batch
    grid, num_classes = conv.shape[1], conv.shape[-1] // 3 - 5
    label, listed = dense_label(target, boxes, classes, grid, num_classes, smooth)
    anchors = anchors_px / stride
    any_class = (target.slots >= 0) & (np.take_along_axis(classes, np.maximum(target.slots, 0), axis=1) == -1)
    values = dense_loss(conv.astype(np.float64), label, listed, any_class, anchors, stride, threshold, np)
    raw = tf.constant(conv, tf.float64)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(raw)
        terms = dense_loss(raw, label, listed, any_class, anchors, stride, threshold, tf)
    np.testing.assert_allclose([float(t) for t in terms], values, rtol=1e-12)
    gradients = [tape.gradient(term, raw, unconnected_gradients="zero").numpy() for term in terms]
    return np.array(values), np.stack(gradients)


@pytest.fixture(scope="module")
def assert_equal_loss(float64) -> Callable[..., None]:
    def check(batch: Batch, stride: int, anchors_px: np.ndarray, threshold: float, smooth: float) -> None:
        """In float64, where both formulas agree to rounding, which no overlap near the threshold gets lost in."""
        with float64.computing():
            values, gradients = ours(batch, stride, anchors_px, ignore_threshold=threshold, label_smoothing=smooth)
        true_values, true_gradients = reference(batch, stride, anchors_px, threshold, smooth)
        np.testing.assert_allclose(values, true_values, rtol=float64.RTOL, atol=1e-12)
        for gradient, true in zip(gradients, true_gradients, strict=True):
            np.testing.assert_allclose(gradient, true, rtol=0, atol=float64.RTOL * np.abs(true).max() + 1e-15)

    return check


def with_ignored(batch: Batch, rng: np.random.Generator, number: int) -> Batch:
    """Further boxes in no cell and at the end of the list, some of any class."""
    conv, target, boxes, classes = batch
    count, side = len(boxes), boxes.max(initial=8.0)
    corner = rng.uniform(0, side, (count, number, 2))
    more = np.concatenate([corner, corner + rng.uniform(1, side, (count, number, 2))], -1).astype(np.float32)
    slots = np.tile(np.arange(boxes.shape[1], boxes.shape[1] + number, dtype=np.int32), (count, 1))
    kinds = rng.choice([-1, 0], (count, number)).astype(np.int32)
    target = target._replace(slots=np.concatenate([target.slots, slots], 1))
    return conv, target, np.concatenate([boxes, more], 1), np.concatenate([classes, kinds], 1)


@pytest.mark.parametrize(("stride", "anchors_px"), SCALES)
@pytest.mark.parametrize("counts", [[3], [0, 5, 1], [40, 7]])
def test_equals_the_dense_loss_of_the_formulas(
    assert_equal_loss, stride: int, anchors_px: np.ndarray, counts: list[int]
) -> None:
    rng = np.random.default_rng(stride + len(counts))
    batch = random_batch(rng, 416 // stride, stride, 5, counts)
    assert_equal_loss(batch, stride, anchors_px, 0.5, 0.01)
    values, gradients = ours(batch, stride, anchors_px)
    exact_values, exact_gradients = reference(batch, stride, anchors_px, 0.5, 0.01)
    np.testing.assert_allclose(values, exact_values, rtol=1e-5)
    for gradient, exact in zip(gradients, exact_gradients, strict=True):
        # No sums over cells here, so no processor's order of them: float32 rounds the terms around one of GIoU's
        # gradient before they cancel, which leaves small ones less exact.
        np.testing.assert_allclose(gradient, exact, rtol=0, atol=1e-5 * np.abs(exact).max() + 5e-7)


@pytest.mark.slow
@settings(max_examples=20)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(SCALES),
    st.lists(st.integers(0, 20), min_size=1, max_size=3),
    st.integers(1, 6),
    st.sampled_from([0.0, 0.05, 0.3, 0.5, 1.0]),
    st.sampled_from([0.0, 0.01, 0.3]),
    st.integers(0, 3),
)
def test_equals_the_dense_loss_whatever_the_numbers(
    assert_equal_loss, seed, scale, counts, grid, threshold, smooth, ignored
) -> None:
    stride, anchors_px = scale
    rng = np.random.default_rng(seed)
    batch = with_ignored(random_batch(rng, grid, stride, 1 + seed % 4, counts), rng, ignored)
    assert_equal_loss(batch, stride, anchors_px, threshold, smooth)


@pytest.mark.slow
def test_200_boxes_some_of_which_are_ignored(assert_equal_loss) -> None:
    batch = random_batch(np.random.default_rng(3), 26, 16, 3, [200, 33])
    assert_equal_loss(batch, 16, ANCHORS_PX[1], 0.3, 0.01)
    ignored = ours(batch, 16, ANCHORS_PX[1], ignore_threshold=0.3)[0]
    counted = ours(batch, 16, ANCHORS_PX[1], ignore_threshold=1.0)[0]
    assert ignored[1] < 0.95 * counted[1]
    assert ignored[0] == counted[0]


@pytest.mark.parametrize(
    ("box", "label", "background"),
    [
        ((0, 0, 32, 32), -1, False),  # all of it lies in a box of any class
        ((0, 0, 11.9, 32), -1, True),  # less than half
        ((0, 0, 12.1, 32), -1, False),
        ((0, 0, 32, 32), 0, True),  # IoU 1/16
        ((8, 8, 16, 15), 0, False),
    ],
)
def test_a_prediction_in_a_box_to_be_ignored(box: tuple[float, ...], label: int, background: bool) -> None:
    """Known answer: one prediction, 8 to 16 px; every other cell predicts nothing."""
    conv = np.full((1, 4, 4, 18), -100.0, np.float32)
    conv[0, 1, 1, 0:5] = 0.0
    target = ScaleTarget(*(np.array([[v]], np.int32) for v in (-1, 0, 0)))
    batch = (conv, target, np.array([[box]], np.float32), np.array([[label]], np.int32))
    anchors_px = np.array([[8, 8], [300, 300], [300, 300]], float)
    assert ours(batch, 8, anchors_px)[0][1] == pytest.approx(0.25 * np.log(2) * background, abs=1e-9)


def test_a_good_prediction_beside_its_cell_is_not_background() -> None:
    """Known answer: one box, predicted exactly, in a cell without a label; every other cell predicts nothing."""
    conv = np.full((1, 4, 4, 18), -100.0, np.float32)
    conv[0, 1, 1, 0:5] = 0.0  # centre of cell (1, 1), size of anchor 0, confidence one half
    box = np.array([[[8, 8, 16, 16]]], np.float32)
    target = ScaleTarget(*(np.array([[v]], np.int32) for v in (-1, 0, 0)))
    batch = (conv, target, box, np.zeros((1, 1), np.int32))
    anchors_px = np.array([[8, 8], [300, 300], [300, 300]], float)
    assert ours(batch, 8, anchors_px)[0][1] == pytest.approx(0, abs=1e-9)
    unlisted = (conv, target._replace(slots=np.array([[-1]], np.int32)), *batch[2:])
    assert ours(unlisted, 8, anchors_px)[0][1] == pytest.approx(0.25 * np.log(2), rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("stride", "anchors_px"), SCALES)
def test_no_boxes_leaves_only_background(assert_equal_loss, stride: int, anchors_px: np.ndarray) -> None:
    batch = random_batch(np.random.default_rng(1), 4, stride, 2, [0, 0])
    values, gradients = ours(batch, stride, anchors_px)
    assert values[0] == values[2] == 0
    assert values[1] > 0
    assert not gradients[0].any()
    assert not gradients[2].any()
    assert_equal_loss(batch, stride, anchors_px, 0.5, 0.01)


@pytest.mark.slow
@pytest.mark.parametrize("value", [100.0, -100.0, None])
@pytest.mark.parametrize(("stride", "anchors_px"), SCALES)
def test_extreme_outputs_give_finite_loss_and_gradient(
    value: float | None, stride: int, anchors_px: np.ndarray
) -> None:
    rng = np.random.default_rng(4)
    conv, *rest = random_batch(rng, 416 // stride, stride, 4, [9, 0, 2])
    conv = rng.choice([-100.0, 100.0], conv.shape).astype(np.float32) if value is None else np.full_like(conv, value)
    values, gradients = ours((conv, *rest), stride, anchors_px)
    assert np.isfinite(values).all()
    assert np.isfinite(gradients).all()


@pytest.mark.slow
@pytest.mark.parametrize("value", [0.0, 100.0, -100.0, -13.0])
@pytest.mark.parametrize("box", [[50, 50, 50, 50], [0, 0, 0, 0], [416, 416, 416, 416], [20, 30, 20, 90]])
def test_boxes_without_area_give_finite_loss_and_gradient(value: float, box: list[float]) -> None:
    conv = np.full((1, 52, 52, 18), value, np.float32)
    target = ScaleTarget(*(np.array([[v]], np.int32) for v in (((6 * 52 + 6) * 3), 0, 0)))
    batch = (conv, target, np.array([[box]], np.float32), np.zeros((1, 1), np.int32))
    values, gradients = ours(batch, 8, ANCHORS_PX[0])
    assert np.isfinite(values).all()
    assert np.isfinite(gradients).all()


def test_padding_changes_nothing() -> None:
    conv, target, boxes, classes = random_batch(np.random.default_rng(6), 13, 32, 3, [4, 2])
    wider = ScaleTarget(
        np.pad(target.cell, ((0, 0), (0, 9)), constant_values=-1),
        np.pad(target.box, ((0, 0), (0, 9))),
        np.pad(target.slots, ((0, 0), (0, 40)), constant_values=-1),
    )
    padded = (conv, wider, np.pad(boxes, ((0, 0), (0, 7), (0, 0))), np.pad(classes, ((0, 0), (0, 7))))
    narrow = ours((conv, target, boxes, classes), 32, ANCHORS_PX[2])
    for ours_now, before in zip(ours(padded, 32, ANCHORS_PX[2]), narrow, strict=True):
        np.testing.assert_allclose(ours_now, before, rtol=1e-6, atol=1e-7)


def test_half_precision_outputs_are_cast_up() -> None:
    conv, *rest = random_batch(np.random.default_rng(7), 13, 32, 3, [4])
    half = tf.cast(conv, tf.bfloat16)
    terms = compute_loss(half, *rest, anchors=ANCHORS_PX[2] / 32, stride=32)
    exact = ours((tf.cast(half, tf.float32).numpy(), *rest), 32, ANCHORS_PX[2])[0]
    assert all(term.dtype == tf.float32 for term in terms)
    np.testing.assert_allclose([float(t) for t in terms], exact, rtol=1e-6)


def test_a_nan_in_the_outputs_is_not_hidden() -> None:
    conv, *rest = random_batch(np.random.default_rng(8), 4, 32, 3, [2])
    conv[0, 0, 0] = np.nan
    assert np.isnan(ours((conv, *rest), 32, ANCHORS_PX[2])[0][1])


@pytest.mark.slow
def test_graph_of_unknown_sizes_equals_eager() -> None:
    batch = random_batch(np.random.default_rng(9), 13, 32, 3, [20, 3])
    ints = tf.TensorSpec((None, None), tf.int32)

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, None, None, 24)),
            ScaleTarget(ints, ints, ints),
            tf.TensorSpec((None, None, 4)),
            ints,
        ]
    )
    def graph(conv, target, boxes, classes):
        return compute_loss(conv, target, boxes, classes, anchors=ANCHORS_PX[2] / 32, stride=32)

    np.testing.assert_allclose(
        [float(t) for t in graph(batch[0], batch[1], batch[2], batch[3])],
        ours(batch, 32, ANCHORS_PX[2])[0],
        rtol=1e-6,
    )


# bbox_giou


@pytest.mark.parametrize(
    ("box1", "box2", "expected"),
    [
        ([0, 0, 2, 2], [0, 0, 2, 2], 1.0),
        ([1, 1, 2, 2], [2, 1, 2, 2], 1 / 3),  # overlapping by half, nothing enclosed beside
        ([1, 1, 2, 2], [5, 1, 2, 2], -1 / 3),  # 12 enclosed, 8 covered
        ([1, 1, 2, 2], [3, 3, 2, 2], -0.5),  # corners touch: 16 enclosed, 8 covered
        ([1, 1, -2, 2], [1, 1, 2, -2], 1.0),  # negative sizes count as positive
        ([0, 0, 0, 0], [0, 0, 0, 0], 0.0),
        ([5, 5, 0, 0], [5, 5, 4, 4], 0.0),
        ([0, 0, 0, 0], [9, 9, 0, 0], -1.0),
        ([0, 0, 0, 0], [9, 0, 0, 0], 0.0),
    ],
)
def test_giou_known_answers(box1: list[float], box2: list[float], expected: float) -> None:
    for first, second in ((box1, box2), (box2, box1)):
        value = bbox_giou(tf.constant(first, tf.float32), tf.constant(second, tf.float32))
        assert float(value) == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1))
def test_giou_is_symmetric_bounded_at_most_iou_and_moves_along(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.uniform([-9, -9, 0.1, 0.1], [9, 9, 9, 9], (2, 30, 4)).astype(np.float32)
    giou = keras.ops.convert_to_numpy(bbox_giou(first, second))
    np.testing.assert_allclose(giou, bbox_giou(second, first), atol=1e-6)
    assert (np.abs(giou) <= 1 + 1e-6).all()
    np.testing.assert_allclose(bbox_giou(first * 3, second * 3), giou, atol=1e-5)
    shift = np.array([4, -7, 0, 0], np.float32)
    np.testing.assert_allclose(bbox_giou(first + shift, second + shift), giou, atol=1e-4)


def test_giou_broadcasts() -> None:
    boxes = np.random.default_rng(0).uniform(1, 5, (6, 4)).astype(np.float32)
    table = keras.ops.convert_to_numpy(bbox_giou(boxes[:, None], boxes[None]))
    assert table.shape == (6, 6)
    np.testing.assert_allclose(np.diag(table), 1, atol=1e-6)
