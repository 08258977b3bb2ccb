from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolopipe.scoring.scores import Detections, Truth, coco_scores

NOTHING = Detections(np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64))


def as_files(truth: Truth, found: Detections, images: int, classes: int) -> tuple[dict, list[dict]]:
    """The same boxes as COCO writes them; an ignored box of any class is a crowd in every class."""

    def entries(part: Truth | Detections, extra: str, values: np.ndarray) -> list[dict]:
        rows = zip(*(column.tolist() for column in (part.image, part.classes, part.boxes_xyxy, values)), strict=True)
        return [
            {"image_id": image, "category_id": each, "bbox": [x1, y1, x2 - x1, y2 - y1], extra: value}
            for image, class_id, (x1, y1, x2, y2), value in rows
            for each in (range(classes) if class_id == -1 else [class_id])
        ]

    frame = {"images": [{"id": n} for n in range(images)], "categories": [{"id": n} for n in range(classes)]}
    annotations = entries(truth, "iscrowd", truth.ignored().astype(int))
    return {**frame, "annotations": annotations}, entries(found, "score", found.scores)


def random_set(
    seed: int, images: int, classes: int, boxes: int, found: int, ignored: int = 0
) -> tuple[Truth, Detections]:
    """Random truth (some images empty, some classes absent) and detections, most of them near a true box.

    Ignored boxes of a class or of any, many of them around others, are mixed into the truth.
    """
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 300, (boxes, 2))
    truth = Truth(
        rng.integers(0, images, boxes),
        np.concatenate([corner, corner + rng.uniform(5, 150, (boxes, 2))], axis=1),
        rng.integers(0, max(1, classes - 1), boxes),
    )
    near = rng.integers(0, boxes, found)
    shifted = truth.boxes_xyxy[near] + rng.normal(0, 6, (found, 4))
    shifted[:, 2:] = np.maximum(shifted[:, 2:], shifted[:, :2])
    wrong_class = rng.random(found) < 0.2
    detections = Detections(
        np.where(rng.random(found) < 0.1, rng.integers(0, images, found), truth.image[near]),
        shifted,
        np.round(rng.random(found), 2),  # equal scores are likely
        np.where(wrong_class, rng.integers(0, classes, found), truth.classes[near]),
    )
    if ignored:
        corner = rng.uniform(-50, 250, (ignored, 2))
        regions = np.concatenate([corner, corner + rng.uniform(20, 250, (ignored, 2))], axis=1)
        order = rng.permutation(boxes + ignored)
        truth = Truth(
            np.concatenate([truth.image, rng.integers(0, images, ignored)])[order],
            np.concatenate([truth.boxes_xyxy, regions])[order],
            np.concatenate([truth.classes, rng.integers(-1, classes, ignored)])[order],
            ignore=np.repeat([False, True], [boxes, ignored])[order],
        )
    return truth, detections


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32 - 1),
    images=st.integers(1, 12),
    classes=st.integers(1, 5),
    boxes=st.integers(1, 40),
    found=st.integers(0, 150),
    ignored=st.integers(0, 15),
)
def test_equals_pycocotools(
    coco_reference, seed: int, images: int, classes: int, boxes: int, found: int, ignored: int
) -> None:
    truth, detections = random_set(seed, images, classes, boxes, found, ignored)
    scores = coco_scores(truth, detections, num_classes=classes)
    evaluated = coco_reference.evaluated(*as_files(truth, detections, images, classes)).eval
    # At every IoU, recall level, class and area: -1 there is NaN here.
    precision, recall = evaluated["precision"][..., -1], evaluated["recall"]
    np.testing.assert_allclose(scores.precision, np.where(precision < 0, np.nan, precision), rtol=0, atol=1e-12)
    np.testing.assert_allclose(scores.recall, np.where(recall < 0, np.nan, recall), rtol=0, atol=1e-12)
    real = truth.classes[~truth.ignored()].tolist()
    assert scores.boxes.tolist() == [real.count(class_id) for class_id in range(classes)]
    assert scores.ignored == ignored


def test_means_are_over_the_classes_that_have_truth(coco_reference) -> None:
    truth, detections = random_set(5, images=6, classes=4, boxes=40, found=150)
    assert 3 not in truth.classes
    scores = coco_scores(truth, detections, num_classes=4)
    precision = coco_reference.evaluated(*as_files(truth, detections, 6, 4)).eval["precision"][:, :, :, 0, -1]
    assert scores.ap() == pytest.approx(precision[:, :, :3].mean(), abs=1e-12)
    assert scores.ap(50) == pytest.approx(precision[0, :, :3].mean(), abs=1e-12)
    assert scores.ap(75, class_id=1) == pytest.approx(precision[5, :, 1].mean(), abs=1e-12)
    np.testing.assert_allclose(scores.curve(2), precision[0, :, 2], atol=1e-12)
    np.testing.assert_allclose(scores.curve(), precision[0, :, :3].mean(axis=1), atol=1e-12)
    assert scores.ap(class_id=3) is None
    assert scores.ar(class_id=3) is None
    assert scores.curve(3) is None


def test_cocos_limit_of_100_detections_of_a_class_in_an_image_is_kept(coco_reference) -> None:
    truth, detections = random_set(3, images=1, classes=2, boxes=30, found=400)
    ours = coco_scores(truth, detections, num_classes=2)
    stats = coco_reference.evaluated(*as_files(truth, detections, 1, 2)).stats
    assert ours.ap() == pytest.approx(stats[0], abs=1e-12)
    assert [ours.ar(1), ours.ar(10), ours.ar(100)] == pytest.approx(stats[6:9].tolist(), abs=1e-12)


def test_the_first_box_counts() -> None:
    """Annotation number 0 is read as "unmatched" by COCO evaluators: one perfect box would score 0."""
    zero, box = np.zeros(1, np.int64), np.array([[0.0, 0.0, 10.0, 10.0]])
    scores = coco_scores(Truth(zero, box, zero), Detections(zero, box, np.array([0.5]), zero), num_classes=1)
    assert (scores.ap(), scores.ap(50), scores.ap(75), scores.ar(1)) == (1.0, 1.0, 1.0, 1.0)


def test_known_answer_half_found() -> None:
    """Two boxes, one found at IoU .8: precision 1 up to recall .5 (51 of 101 levels) at thresholds .50 to .80."""
    truth = Truth(np.array([0, 1]), np.array([[0.0, 0, 10, 10], [0, 0, 10, 10]]), np.array([0, 0]))
    found = Detections(np.array([0]), np.array([[0.0, 0, 10, 8]]), np.array([0.9]), np.array([0]))
    scores = coco_scores(truth, found, num_classes=1)
    assert scores.ap(50) == pytest.approx(51 / 101, abs=1e-12)
    assert scores.ap() == pytest.approx(51 / 101 * 7 / 10, abs=1e-12)
    assert scores.ar() == pytest.approx(0.5 * 7 / 10, abs=1e-12)
    assert scores.curve().tolist() == [1.0] * 51 + [0.0] * 50


def test_no_detections_is_a_score_of_zero() -> None:
    truth, _ = random_set(0, 3, 2, 10, 0)
    scores = coco_scores(truth, NOTHING, num_classes=2)
    assert (scores.ap(), scores.ap(50), scores.ar(1)) == (0.0, 0.0, 0.0)
    assert [scores.ap(class_id=0), scores.ap(class_id=1)] == [0.0, None]


def test_no_truth_is_no_score() -> None:
    empty = Truth(np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0, np.int64))
    _, found = random_set(0, 3, 2, 10, 5)
    for detections in (NOTHING, found):
        scores = coco_scores(empty, detections, num_classes=3)
        assert (scores.ap(), scores.ar(), scores.curve()) == (None, None, None)


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    truth, detections = random_set(1, 4, 2, 10, 30)
    coco_scores(truth, detections, num_classes=2)
    assert capfd.readouterr() == ("", "")
