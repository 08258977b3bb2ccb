"""Anchor fit and k-means against loops, exhaustive search and another library."""

from itertools import product

import numpy as np
import pytest
from sklearn.cluster import KMeans

from yolopipe.inspection.checks import check_report as report
from yolopipe.labels import anchors as module
from yolopipe.labels.anchors import AnchorFit, anchor_fit, propose_anchors, size_iou
from yolopipe.labels.boxes import pairwise_iou

COCO = np.array([10, 13, 16, 30, 33, 23, 30, 61, 62, 45, 59, 119, 116, 90, 156, 198, 373, 326.0]).reshape(9, 2)


def natural_sizes(count, seed=0):
    """Areas and aspects spread as in photographs: log-normal."""
    random = np.random.default_rng(seed)
    side, aspect = np.exp(random.normal(3.8, 1.0, count)), np.exp(random.normal(0, 0.5, count))
    return np.clip(np.stack([side * aspect**0.5, side / aspect**0.5], axis=1), 1, 416)


def slow_fit(sizes, anchors):
    """Box by box, in Python numbers."""
    best, shares, recall = [], [0] * len(anchors), {}
    for width, height in sizes.tolist():
        ious = []
        for w, h in anchors.tolist():
            shared = min(width, w) * min(height, h)
            ious.append(shared / (width * height + w * h - shared))
        best.append(max(ious))
        shares[ious.index(max(ious))] += 1
    for step in range(14):
        recall[30 + 5 * step] = sum(iou >= (30 + 5 * step) / 100 for iou in best) / len(best)
    return sum(best) / len(best), [share / len(best) for share in shares], recall


@pytest.mark.parametrize("seed", range(3))
def test_size_iou_is_the_iou_of_boxes_at_one_corner(seed):
    sizes, anchors = natural_sizes(50, seed), natural_sizes(7, seed + 10)
    boxes, others = (np.hstack([np.zeros_like(sides), sides]) for sides in (sizes, anchors))
    np.testing.assert_allclose(size_iou(sizes, anchors), pairwise_iou(boxes, others), rtol=1e-12)
    assert size_iou(np.empty((0, 2)), anchors).shape == (0, 7)


@pytest.mark.parametrize("count", [1, 2, 300])
def test_fit_against_loops(count):
    sizes = natural_sizes(count)
    fit = anchor_fit(sizes, COCO)
    mean, shares, recall = slow_fit(sizes, COCO)
    assert fit.mean_best_iou == pytest.approx(mean, rel=1e-12)
    assert fit.share == pytest.approx(shares)
    assert {round(100 * threshold): share for threshold, share in fit.recall} == pytest.approx(recall)
    assert fit.anchors_wh == tuple(map(tuple, COCO.tolist()))


def test_fit_takes_the_shape_of_the_config_and_the_first_of_equal_anchors():
    assert anchor_fit(natural_sizes(9), COCO.reshape(3, 3, 2)) == anchor_fit(natural_sizes(9), COCO)
    assert anchor_fit([[5, 5]], [[5, 5], [5, 5]]).share == (1.0, 0.0)


def test_the_report_has_the_same_type():
    assert report.AnchorFit is AnchorFit


@pytest.mark.parametrize(
    ("sizes", "sentence"),
    [
        (np.empty((0, 2)), "no box size"),
        ([[3, 4], [0, 4], [1, -1]], r"box 1 is 0x4: both sides must be above 0; 2 such"),
        ([[np.nan, 1]], "box 0 is nanx1"),
        ([[np.inf, 1]], "box 0 is infx1"),
    ],
)
def test_sizes_that_are_none(sizes, sentence):
    with pytest.raises(ValueError, match=sentence):
        anchor_fit(sizes, COCO)
    with pytest.raises(ValueError, match=sentence):
        propose_anchors(sizes)


def test_planted_clusters_are_found():
    random = np.random.default_rng(1)
    centres = np.array(
        [[8, 8], [12, 30], [40, 20], [60, 60], [50, 140], [150, 60], [200, 200], [130, 300], [390, 250]]
    )
    sizes = np.concatenate([np.array(centre) * np.exp(random.normal(0, 0.01, (101, 2))) for centre in centres])
    found = propose_anchors(sizes)
    medians = np.array([np.median(sizes[at : at + 101], axis=0) for at in range(0, len(sizes), 101)])
    np.testing.assert_array_equal(found, medians[np.argsort(medians.prod(axis=1))])


@pytest.mark.parametrize("seed", range(4))
def test_near_the_best_of_all_partitions(seed):
    sizes = natural_sizes(9, seed)
    best = 0.0
    for labels in product((0, 1), repeat=len(sizes)):
        own = np.array(labels)
        if 0 < own.sum() < len(own):
            medians = [np.sort(sizes[own == side], axis=0)[(np.sum(own == side) - 1) // 2] for side in (0, 1)]
            best = max(best, anchor_fit(sizes, medians).mean_best_iou)
    assert anchor_fit(sizes, propose_anchors(sizes, k=2)).mean_best_iou > best - 0.01


def test_better_than_k_means_by_euclid():
    sizes = natural_sizes(2000)
    euclid = KMeans(9, n_init=10, random_state=0).fit(sizes).cluster_centers_
    ours = anchor_fit(sizes, propose_anchors(sizes)).mean_best_iou
    assert ours > anchor_fit(sizes, euclid).mean_best_iou + 0.01
    assert ours > anchor_fit(sizes, COCO).mean_best_iou


@pytest.mark.slow
@pytest.mark.parametrize("count", [300, 3000])
def test_the_order_of_boxes_does_not_matter(count, monkeypatch):
    monkeypatch.setattr(module, "MOST_SIZES", 1000)  # the larger set is merged
    sizes = natural_sizes(count)
    found = propose_anchors(sizes)
    shuffled = np.random.default_rng(5).permutation(sizes)
    np.testing.assert_array_equal(propose_anchors(shuffled), found)
    np.testing.assert_array_equal(propose_anchors(shuffled[::-1]), found)
    assert (np.diff(found.prod(axis=1)) > 0).all(), "by rising area"


def test_equal_sizes_count_each():
    sizes = np.concatenate([natural_sizes(200), natural_sizes(20, 3)])
    np.testing.assert_array_equal(propose_anchors(np.repeat(sizes, 3, axis=0)), propose_anchors(sizes))


@pytest.mark.parametrize("k", [1, 4, 9])
def test_as_many_sizes_as_anchors(k):
    sizes = natural_sizes(k)
    found = propose_anchors(np.repeat(sizes, 2, axis=0), k)
    assert sorted(map(tuple, found)) == sorted(map(tuple, sizes))
    for wrong in (k + 1, 0):
        with pytest.raises(ValueError) as caught:
            propose_anchors(sizes, wrong)
        assert str(wrong) in str(caught.value).split()


def test_one_anchor_is_the_median():
    sizes = natural_sizes(101)
    np.testing.assert_array_equal(propose_anchors(sizes, 1), [np.median(sizes, axis=0)])


def test_an_anchor_that_is_nobodys_best_gets_work():
    sizes, weights = np.unique(natural_sizes(30), axis=0, return_counts=True)
    starts = np.vstack([np.repeat(sizes[:1], 8, axis=0), [[1e6, 1e6]]])
    _, found = module._k_means(sizes, weights, starts)
    assert len(np.unique(found, axis=0)) == 9
    assert min(anchor_fit(sizes, found).share) > 0


@pytest.mark.slow
def test_merging_near_sizes_costs_no_fit(monkeypatch):
    sizes = natural_sizes(4000)
    exact = anchor_fit(sizes, propose_anchors(sizes)).mean_best_iou
    monkeypatch.setattr(module, "MOST_SIZES", 100)
    assert anchor_fit(sizes, propose_anchors(sizes)).mean_best_iou == pytest.approx(exact, abs=2e-3)


def test_merging_keeps_all_weight_and_enough_sizes():
    near = 100 + np.random.default_rng(0).random((5000, 2)) * 1e-4
    sizes, weights = module._merge(near, np.arange(5000), least=180)
    assert len(sizes) >= 180
    assert weights.sum() == np.arange(5000).sum()
    assert len(module._merge(near[:10], np.ones(10, int), least=180)[0]) == 10
