from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from yolopipe.errors import DataError
from yolopipe.evaluation.scores import Detections, Truth, coco_scores

NOTHING = Detections(np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64))


def pycocotools_precision(truth: Truth, found: Detections, images: int, classes: int) -> np.ndarray:
    """(10, 101, classes) by the reference evaluator with its own settings: area all, at most 100 detections."""

    def annotations(part: Truth | Detections) -> list[dict]:
        out = []
        for index in range(len(part.classes)):
            x1, y1, x2, y2 = (float(v) for v in part.boxes_xyxy[index])
            item = {
                "id": index + 1,
                "image_id": int(part.image[index]) + 1,
                "category_id": int(part.classes[index]) + 1,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": (x2 - x1) * (y2 - y1),
                "iscrowd": 0,
            }
            if isinstance(part, Detections):
                item["score"] = float(part.scores[index])
            out.append(item)
        return out

    truth_set, found_set = COCO(), COCO()
    with contextlib.redirect_stdout(io.StringIO()):
        for coco, part in ((truth_set, truth), (found_set, found)):
            coco.dataset = {
                "images": [{"id": i + 1} for i in range(images)],
                "categories": [{"id": c + 1} for c in range(classes)],
                "annotations": annotations(part),
            }
            coco.createIndex()
        evaluator = COCOeval(truth_set, found_set, "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
    return evaluator.eval["precision"][:, :, :, 0, 2]


def random_set(seed: int, images: int, classes: int, boxes: int, found: int) -> tuple[Truth, Detections]:
    """Random truth (some images empty, some classes absent) and detections, most of them near a true box."""
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
    return truth, detections


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    images=st.integers(1, 12),
    classes=st.integers(1, 5),
    boxes=st.integers(1, 40),
    found=st.integers(0, 150),
)
def test_equals_pycocotools(seed: int, images: int, classes: int, boxes: int, found: int) -> None:
    truth, detections = random_set(seed, images, classes, boxes, found)
    scores = coco_scores(truth, detections, num_classes=classes)
    precision = pycocotools_precision(truth, detections, images, classes)
    with_truth = precision > -1
    assert scores.mean_ap == pytest.approx(precision[with_truth].mean(), abs=1e-12)
    assert scores.mean_ap50 == pytest.approx(precision[0][with_truth[0]].mean(), abs=1e-12)
    assert scores.mean_ap75 == pytest.approx(precision[5][with_truth[5]].mean(), abs=1e-12)
    for class_id in range(classes):
        ours, theirs = scores.precision50[class_id], precision[0, :, class_id]
        if ours is None:
            assert (theirs == -1).all()
            assert scores.ap[class_id] is None
            assert scores.ap50[class_id] is None
            assert scores.boxes[class_id] == 0
        else:
            np.testing.assert_allclose(ours, theirs, atol=1e-12)
            assert scores.ap[class_id] == pytest.approx(precision[:, :, class_id].mean(), abs=1e-12)
            assert scores.ap50[class_id] == pytest.approx(theirs.mean(), abs=1e-12)


def test_cocos_limit_of_100_detections_of_a_class_in_an_image_is_kept() -> None:
    truth, detections = random_set(3, images=1, classes=2, boxes=30, found=400)
    ours = coco_scores(truth, detections, num_classes=2)
    precision = pycocotools_precision(truth, detections, 1, 2)
    assert ours.mean_ap == pytest.approx(precision[precision > -1].mean(), abs=1e-12)


def test_the_first_box_counts() -> None:
    """Annotation number 0 is read as "unmatched" by COCO evaluators: one perfect box would score 0."""
    zero, box = np.zeros(1, np.int64), np.array([[0.0, 0.0, 10.0, 10.0]])
    scores = coco_scores(Truth(zero, box, zero), Detections(zero, box, np.array([0.5]), zero), num_classes=1)
    assert (scores.mean_ap, scores.mean_ap50, scores.mean_ap75) == (1.0, 1.0, 1.0)


def test_known_answer_half_found() -> None:
    """Two boxes, one found at IoU .8: precision 1 up to recall .5 (51 of 101 levels) at thresholds .50 to .80."""
    truth = Truth(np.array([0, 1]), np.array([[0.0, 0, 10, 10], [0, 0, 10, 10]]), np.array([0, 0]))
    found = Detections(np.array([0]), np.array([[0.0, 0, 10, 8]]), np.array([0.9]), np.array([0]))
    scores = coco_scores(truth, found, num_classes=1)
    assert scores.mean_ap50 == pytest.approx(51 / 101, abs=1e-12)
    assert scores.mean_ap == pytest.approx(51 / 101 * 7 / 10, abs=1e-12)
    assert scores.recall[[0, 50, 100]].tolist() == [0.0, 0.5, 1.0]


def test_no_detections_is_a_score_of_zero() -> None:
    truth, _ = random_set(0, 3, 2, 10, 0)
    scores = coco_scores(truth, NOTHING, num_classes=2)
    assert (scores.mean_ap, scores.mean_ap50, scores.mean_ap75) == (0.0, 0.0, 0.0)
    assert scores.ap == (0.0, None)


def test_no_truth_is_an_error_that_says_so() -> None:
    empty = Truth(np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0, np.int64))
    with pytest.raises(DataError, match="val split has no boxes"):
        coco_scores(empty, NOTHING, num_classes=3)


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    truth, detections = random_set(1, 4, 2, 10, 30)
    coco_scores(truth, detections, num_classes=2)
    assert capfd.readouterr() == ("", "")
