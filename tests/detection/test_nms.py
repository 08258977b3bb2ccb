from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolopipe.config.params import Evaluate
from yolopipe.detection.nms import PART, detect, detect_batch, suppress
from yolopipe.detection.outputs import Decoded, RawScale, raw_images
from yolopipe.detection.suppression import Suppression
from yolopipe.errors import DataError, UsageError
from yolopipe.model.decode import decode


def overlap(a: list[float], b: list[float]) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union if union > 0 else 0.0


def plain_detections(
    predictions: np.ndarray, score_threshold: float, nms_iou: float, limit: int
) -> list[tuple[int, float, list[float]]]:
    """Class by class, box by box, with Python numbers: (class, score, box), best first."""
    found = []
    for class_id in range(predictions.shape[1] - 5):
        left = []
        for row, values in enumerate(predictions):
            score = float(values[4] * values[5 + class_id])
            if score > score_threshold:
                x, y, w, h = (float(v) for v in values[:4])
                left.append((-score, row, [x - w / 2, y - h / 2, x + w / 2, y + h / 2]))
        left.sort(key=lambda item: item[:2])
        while left:
            best = left.pop(0)
            found.append((best[0], best[1], class_id, best[2]))
            left = [item for item in left if overlap(best[2], item[2]) <= nms_iou]
    found.sort(key=lambda item: item[:3])
    return [(class_id, -score, box) for score, _, class_id, box in found[:limit]]


def random_predictions(rng: np.random.Generator, boxes: int, classes: int, crowding: float) -> np.ndarray:
    """Integer-free boxes (no overlap lies exactly at the threshold); scores from a coarse grid, so that many tie."""
    centres = rng.uniform(0, crowding, (boxes, 2))
    sizes = rng.uniform(5, 40, (boxes, 2))
    probabilities = rng.integers(0, 9, (boxes, 1 + classes)) / 8
    return np.concatenate([centres, sizes, probabilities], axis=1).astype(np.float32)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    boxes=st.integers(0, 60),
    classes=st.integers(1, 5),
    crowding=st.sampled_from([10.0, 60.0, 400.0]),
    limit=st.integers(1, 80),
    threshold=st.sampled_from([0.0, 0.01, 0.25, 0.9]),
    nms_iou=st.sampled_from([0.0, 0.45, 0.5, 1.0]),
)
def test_equals_the_plain_loop_over_each_class(
    seed: int, boxes: int, classes: int, crowding: float, limit: int, threshold: float, nms_iou: float
) -> None:
    predictions = random_predictions(np.random.default_rng(seed), boxes, classes, crowding)
    found = detect(predictions, Suppression(threshold, nms_iou, limit))
    expected = plain_detections(predictions, threshold, nms_iou, limit)
    assert found.classes.tolist() == [item[0] for item in expected]
    assert found.scores.tolist() == [pytest.approx(item[1], abs=1e-7) for item in expected]
    np.testing.assert_allclose(found.boxes_xyxy, np.reshape([e[2] for e in expected], (-1, 4)), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("crowding", [20.0, 150.0, 3000.0])
def test_many_chunks_and_the_early_stop_change_nothing(crowding: float) -> None:
    predictions = random_predictions(np.random.default_rng(1), 2 * PART, 1, crowding)
    for limit in (1, PART, 2 * PART):
        found = detect(predictions, Suppression(0.1, 0.5, limit))
        expected = plain_detections(predictions, 0.1, 0.5, limit)
        assert found.scores.tolist() == [item[1] for item in expected]
        np.testing.assert_allclose(found.boxes_xyxy, [item[2] for item in expected], atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("crowding", "limit", "dense", "cuts_used"),
    [(4000.0, 300, 0.2, 1), (60.0, 300, 0.2, 1), (60.0, 3000, 0.2, 2), (0.5, 300, 0.2, 2), (0.5, 300, 1.0, 3)],
)
def test_taking_the_best_candidates_first_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, crowding: float, limit: int, dense: float, cuts_used: int
) -> None:
    """80 classes, 840 boxes: enough for a cut above the floor, which is enough unless all boxes lie in one place."""
    rng = np.random.default_rng(3)
    predictions = random_predictions(rng, 840, 80, crowding)
    predictions[:, 4:] *= rng.uniform(0.9, 1.0, (840, 81))  # fewer ties, some scores alike
    predictions[:, 4] = np.maximum(predictions[:, 4], 0.1)
    predictions[:, 5:] *= rng.random((840, 80)) < dense
    taken = []
    above = Decoded.above
    monkeypatch.setattr(Decoded, "above", lambda self, lowest: taken.append(lowest) or above(self, lowest))
    found = detect(predictions, Suppression(0.01, 0.2, limit))
    assert len(taken) == cuts_used
    expected = plain_detections(predictions, 0.01, 0.2, limit)
    assert found.classes.tolist() == [item[0] for item in expected]
    np.testing.assert_allclose(found.boxes_xyxy, [item[2] for item in expected], atol=1e-3)


def test_ties_at_the_cut_are_not_split() -> None:
    """1,200 boxes in a row of 80 classes, all scores equal: the first boxes win, though the cut falls among ties."""
    rows = np.full((1200, 85), 0.5, np.float32)
    rows[:, 0], rows[:, 1], rows[:, 2:4] = np.arange(1200) * 20, 50, 10
    found = detect(rows, Suppression(0.01, 0.5, 300))
    assert found.classes.tolist() == [place % 80 for place in range(300)]
    assert found.boxes_xyxy[:, 0].tolist() == [place // 80 * 20 - 5 for place in range(300)]


def test_a_crowd_of_one_class_in_few_places() -> None:
    """Most candidates fall to boxes kept long before: the plain loop's answer all the same."""
    predictions = random_predictions(np.random.default_rng(4), 3 * PART, 2, 15.0)
    found = detect(predictions, Suppression(0.0, 0.1, 300))
    expected = plain_detections(predictions, 0.0, 0.1, 300)
    assert found.classes.tolist() == [item[0] for item in expected]
    np.testing.assert_allclose(found.boxes_xyxy, [item[2] for item in expected], atol=1e-3)


def test_a_chain_of_overlaps_is_settled_from_the_best_end() -> None:
    """Each box overlaps only its neighbours: 0 goes with 1, 2 stays because 1 is gone, and so on."""
    left = np.arange(40, dtype=np.float32) * 3
    boxes = np.stack([left, 0 * left, left + 10, 0 * left + 10], axis=1)
    scores = np.linspace(1, 0.5, 40, dtype=np.float32)
    kept = suppress(boxes, scores, np.zeros(40, np.int64), nms_iou=0.5, max_detections=100)
    assert kept.tolist() == list(range(0, 40, 2))


def test_one_box_may_be_of_several_classes() -> None:
    found = detect(
        np.array([[50, 50, 20, 20, 0.8, 0.9, 0.0, 0.5]], np.float32),
        Suppression(0.01, 0.5, 10),
    )
    assert found.classes.tolist() == [0, 2]
    np.testing.assert_allclose(found.scores, [0.72, 0.4], rtol=1e-6)
    assert found.boxes_xyxy.tolist() == [[40, 40, 60, 60]] * 2


def test_equal_scores_keep_the_order_of_boxes() -> None:
    rows = np.zeros((5, 6), np.float32)
    rows[:, 0] = [300, 100, 500, 100, 200]
    rows[:, 1] = 50
    rows[:, 2:4] = 20
    rows[:, 4:] = 0.5
    found = detect(rows, Suppression(0.0, 0.5, 10))
    assert found.boxes_xyxy[:, 0].tolist() == [290, 90, 490, 190]


def test_equal_scores_keep_their_order_over_many_chunks() -> None:
    """More candidates than are sorted at once, all of one score, none overlapping."""
    count = 4 * PART
    left = np.arange(count, dtype=np.float32) * 20
    boxes = np.stack([left, 0 * left, left + 10, 0 * left + 10], axis=1)
    kept = suppress(boxes, np.ones(count, np.float32), np.zeros(count, np.int64), nms_iou=0.5, max_detections=700)
    assert kept.tolist() == list(range(700))


def test_nothing_in_nothing_out() -> None:
    found = detect(np.zeros((0, 25), np.float32), Suppression(0.0, 0.5, 10))
    assert found.boxes_xyxy.shape == (0, 4)
    assert found.scores.shape == found.classes.shape == (0,)
    everything_below = np.full((30, 25), 0.1, np.float32)
    assert len(detect(everything_below, Suppression(0.02, 0.5, 9)).scores) == 0


ANCHORS = np.array([[1.25, 1.625], [2.0, 3.75], [4.125, 2.875]])


def random_outputs(rng: np.random.Generator, images: int, classes: int, spread: float) -> list[RawScale]:
    """As a network gives them, in the shape that it gives."""
    return [
        RawScale.of(rng.normal(-1, spread, (images, g, g, 3 * (5 + classes))).astype(np.float32), ANCHORS, 64 // g)
        for g in (8, 4, 2)
    ]


def decoded_rows(scales: list[RawScale], image: int) -> np.ndarray:
    """(N, 5 + C) of one image, all of it decoded as in training and export."""
    flat = [raw[image : image + 1].reshape(1, *raw.shape[1:3], -1) for raw, _, _ in scales]
    parts = [np.asarray(decode(raw, scale.anchors, scale.stride)) for raw, scale in zip(flat, scales, strict=True)]
    return np.concatenate([part.reshape(-1, part.shape[-1]) for part in parts])


@pytest.mark.slow
@pytest.mark.parametrize("classes", [1, 3, 80])
@pytest.mark.parametrize("spread", [0.5, 3.0])
@pytest.mark.parametrize("sigma", [0.0, 0.5])
def test_raw_outputs_of_a_batch_give_what_their_decoded_ones_give(classes: int, spread: float, sigma: float) -> None:
    scales = random_outputs(np.random.default_rng(5), 3, classes, spread)
    suppression = Suppression(0.05, 0.4, 300, sigma)
    batch = detect_batch(scales, suppression)
    assert sum(len(found.scores) for found in batch) > 100
    for image, found in enumerate(batch):
        alone = detect(decoded_rows(scales, image), suppression)
        np.testing.assert_array_equal(found.classes, alone.classes)
        np.testing.assert_allclose(found.scores, alone.scores, rtol=2e-6)
        np.testing.assert_allclose(found.boxes_xyxy, alone.boxes_xyxy, rtol=1e-5, atol=1e-4)


@pytest.mark.slow
@settings(max_examples=200)
@given(
    seed=st.integers(0, 2**32 - 1),
    spread=st.sampled_from([0.1, 1.0, 6.0, 60.0]),
    at=st.floats(0, 1),
    of_one=st.booleans(),
)
def test_no_class_is_ruled_out_that_scores_above(seed: int, spread: float, at: float, of_one: bool) -> None:
    """The limit on raw outputs against all scores; the lowest score is one of them, or the objectness of a box."""
    [image] = raw_images(random_outputs(np.random.default_rng(seed), 1, 4, spread))
    scores = image.scores(np.arange(len(image.objectness)))
    every = np.sort(scores.reshape(-1) if of_one else image.objectness)
    for lowest in (every[int(at * (len(every) - 1))], np.float32(at), np.float32(0)):
        boxes, classes = np.nonzero(scores > lowest)
        found = image.above(lowest)
        np.testing.assert_array_equal(found.boxes, boxes)
        np.testing.assert_array_equal(found.classes, classes)
        np.testing.assert_array_equal(found.scores, scores[boxes, classes])


def test_wild_raw_outputs_stay_finite() -> None:
    scales = [scale._replace(raw=scale.raw * 1e30) for scale in random_outputs(np.random.default_rng(6), 1, 3, 9.0)]
    [found] = detect_batch(scales, Suppression(0.1))
    assert len(found.scores) > 10
    assert np.isfinite(found.boxes_xyxy).all()
    assert set(found.scores) == {1.0}


def test_wild_sizes_stay_finite() -> None:
    rows = np.array([[50, 50, np.inf, np.inf, 1, 1], [60, 50, np.inf, 10, 1, 1]], np.float32)
    found = detect(rows, Suppression(0.0, 0.5, 10))
    assert np.isfinite(found.boxes_xyxy).all()
    assert len(found.scores) == 2


def test_nan_is_an_error_of_the_weights() -> None:
    rows = np.full((3, 7), np.nan, np.float32)
    with pytest.raises(DataError):
        detect(rows, Suppression(0.0, 0.5, 10))


def test_the_settings_are_those_of_params_yaml() -> None:
    params = {"score_threshold": 0.2, "nms_iou": 0.3, "max_detections": 4, "soft_nms_sigma": 0.5}
    assert asdict(Suppression.of(Evaluate(**params))) == params
    assert Suppression() == Suppression.of(Evaluate())


@pytest.mark.parametrize(
    "wrong",
    [
        *({"score_threshold": value} for value in (-0.1, 1.1, float("nan"))),
        *({"nms_iou": -0.1}, {"max_detections": 0}, {"soft_nms_sigma": -1.0}, {"soft_nms_sigma": float("nan")}),
    ],
)
def test_settings_out_of_range(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError) as refused:
        Suppression(**wrong)
    assert refused.value.message.startswith(next(iter(wrong)))
