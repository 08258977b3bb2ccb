"""Ignored boxes in every measure at once: known answers, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from yolopipe.detection.nms import ImageDetections
from yolopipe.scoring.matching import IGNORED, TRUE_POSITIVE, match
from yolopipe.scoring.results import Annotated, Evaluation, Found, assess, metrics
from yolopipe.scoring.voc_ap import HIT, MISS, UNCOUNTED

REAL, REGION = [0, 0, 10, 10], [20, 0, 100, 100]
CAT, DOG, BIRD, ANY = 0, 1, 2, -1


def scored(annotated: list, detected: list) -> tuple[Evaluation, Found, list[int]]:
    """One image; annotated boxes as (box, class, ignore), detections as (score, box, class), best first.

    Returns:
        The evaluation, what it is of, and the verdicts of the matcher.
    """
    boxes, classes, ignore = (np.array(column) for column in zip(*annotated, strict=True))
    scores, found, found_classes = (np.array(column) for column in zip(*detected, strict=True))
    image = ImageDetections(found.astype(np.float32), scores.astype(np.float32), found_classes)
    both = Found(["a.jpg"], [Annotated(boxes.astype(float), classes, ignore.astype(bool))], [image])
    verdicts = match(both.truth(), both.detections()).verdict.tolist()
    return assess(both, num_classes=3, shown_score=0.3), both, verdicts


def test_a_detection_that_is_partly_inside_a_region() -> None:
    """10/16 of it are inside: ignored at IoU .50, .55 and .60, a false positive above; to VOC always one."""
    result, _, verdicts = scored(
        [(REAL, CAT, 0), (REGION, CAT, 1)],
        [(0.9, [14, 0, 30, 10], CAT), (0.8, REAL, CAT)],
    )
    coco, voc = result.measures.coco, result.measures.voc
    assert [coco.ap(iou) for iou in (50, 60, 65)] == [1.0, 1.0, 0.5]
    assert coco.ap() == pytest.approx(0.3 * 1 + 0.7 * 0.5)
    assert voc.verdicts.tolist() == [MISS, HIT]
    assert voc.all_point[CAT] == 0.5
    assert verdicts == [IGNORED, TRUE_POSITIVE]
    assert result.confusion.tolist() == [[1, 0, 0, 0], *[[0] * 4] * 3]


def test_a_real_box_inside_a_region_is_found_first() -> None:
    """The detection that equals it is right; the next one on it is ignored, where it would be a duplicate."""
    result, _, verdicts = scored(
        [([0, 0, 100, 100], CAT, 1), (REAL, CAT, 0)],
        [(0.9, REAL, CAT), (0.8, REAL, CAT)],
    )
    assert result.measures.coco.ap() == 1.0
    assert verdicts == [TRUE_POSITIVE, IGNORED]
    assert result.measures.voc.verdicts.tolist() == [HIT, MISS], "VOC compares with the box that overlaps most"
    assert result.confusion.sum() == 1


def test_two_detections_in_one_region_and_nothing_is_missed() -> None:
    result, both, verdicts = scored(
        [(REAL, CAT, 0), (REGION, CAT, 1)],
        [(0.9, REGION, CAT), (0.8, [60, 50, 100, 100], CAT), (0.7, REAL, CAT)],
    )
    assert result.measures.coco.ap() == 1.0
    assert result.measures.coco.ar(1) == 0.0, "of one detection an image none is left: the best is ignored"
    assert result.measures.voc.verdicts.tolist() == [UNCOUNTED, MISS, HIT]
    assert verdicts == [IGNORED, IGNORED, TRUE_POSITIVE]
    assert match(both.truth(), both.detections().from_score(1.0)).missed.tolist() == [0]


def test_a_region_of_any_class_is_one_in_every_class_and_counts_as_no_box() -> None:
    dog = [0, 200, 10, 210]
    result, both, verdicts = scored(
        [(REAL, CAT, 0), (REGION, ANY, 1), (dog, DOG, 0)],
        [(0.9, REGION, CAT), (0.8, REGION, DOG), (0.7, REAL, CAT), (0.6, dog, DOG), (0.5, REGION, BIRD)],
    )
    measures = result.measures
    assert [measures.coco.ap(class_id=number) for number in range(3)] == [1.0, 1.0, None]
    assert measures.voc.all_point == (1.0, 1.0, None)
    assert measures.voc.verdicts.tolist() == [UNCOUNTED, UNCOUNTED, HIT, HIT, UNCOUNTED]
    assert verdicts == [IGNORED, IGNORED, TRUE_POSITIVE, TRUE_POSITIVE, IGNORED]
    values = metrics(result, both, ("cat", "dog", "bird"))
    assert (values["boxes"], values["ignored"]) == (2, 1)
    assert [values["per_class"][name]["boxes"] for name in ("cat", "dog", "bird")] == [1, 1, 0]
    assert (values["F1"], values["F1_threshold"]) == (1.0, 0.6)
    assert values["calibration_error"] == pytest.approx((0.3 + 0.4) / 2)
    assert result.confusion.diagonal().tolist() == [1, 1, 0, 0]
    assert result.confusion.sum() == 2


def test_a_region_of_another_class_protects_nothing() -> None:
    result, _, verdicts = scored([(REAL, CAT, 0), (REGION, DOG, 1)], [(0.9, REGION, CAT), (0.8, REAL, CAT)])
    assert (result.measures.coco.ap(50), result.measures.voc.all_point[CAT]) == (0.5, 0.5)
    assert verdicts[0] not in (IGNORED, TRUE_POSITIVE)
