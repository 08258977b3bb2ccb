import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolopipe import bbox_iou
from yolopipe.labels.boxes import pairwise_iou, xywh_to_xyxy, xyxy_to_xywh


def test_iou_of_a_box_inside_its_anchors_by_hand():
    """The box lies inside each anchor: IoU is the ratio of areas."""
    box = np.array([[0.59375, 3.78125, 0.5, 0.625]])
    anchors = np.array([[0.5, 3.5, 3.625, 2.8125], [0.5, 3.5, 4.875, 6.1875], [0.5, 3.5, 11.65625, 10.1875]])
    expected = [0.5 * 0.625 / (w * h) for w, h in anchors[:, 2:]]
    np.testing.assert_allclose(bbox_iou(box, anchors), expected, rtol=1e-12)


def test_counting_pixels_gives_the_same_iou():
    rng = np.random.default_rng(0)
    for _ in range(200):
        a, b = (np.sort(rng.integers(0, 20, (2, 2)), axis=0).reshape(-1) for _ in range(2))
        canvas = [np.zeros((20, 20), bool) for _ in range(2)]
        for picture, (x1, y1, x2, y2) in zip(canvas, (a, b), strict=True):
            picture[y1:y2, x1:x2] = True
        union = (canvas[0] | canvas[1]).sum()
        expected = (canvas[0] & canvas[1]).sum() / union if union else 0.0
        assert pairwise_iou(a[None], b[None])[0, 0] == pytest.approx(expected)


@given(st.lists(st.tuples(*[st.floats(-1e4, 1e4)] * 4), max_size=5))
def test_forms_are_inverses(rows):
    boxes = np.array(rows, float).reshape(-1, 4)
    np.testing.assert_allclose(xywh_to_xyxy(xyxy_to_xywh(boxes)), boxes, atol=1e-8)


def test_no_boxes_and_no_area():
    assert pairwise_iou(np.zeros((0, 4)), np.zeros((3, 4))).shape == (0, 3)
    assert bbox_iou(np.zeros((1, 4)), np.zeros((2, 4))).tolist() == [0.0, 0.0]
