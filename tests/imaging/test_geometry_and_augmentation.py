from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.imaging import augmentation_reference as reference
from tests.imaging.augmentation_reference import flip_matrix, flip_vertical_matrix
from yolopipe.config.params import Augment
from yolopipe.imaging.augmentation import (
    NUMBERS,
    OPERATIONS,
    apply_colour,
    augment_variants,
    draw_numbers,
    move_boxes,
    sample_generator,
)
from yolopipe.imaging.geometry import (
    compose,
    invert_affine,
    letterbox_matrix,
    transform_boxes,
    warp,
)

ALL = Augment(flip=1.0, flip_vertical=1.0, crop=1.0, translate=1.0, hue=0.1, saturation=0.5, value=0.4)


def augment_sample(size_wh, boxes, params, generator):
    """The variant of one image."""
    flat = np.asarray(boxes, float).reshape(-1, 4)
    found = augment_variants([size_wh], flat, np.array([0, len(flat)]), params, generator.random((1, NUMBERS)))
    return SimpleNamespace(**{name: rows[0] for name, rows in found._asdict().items()})


def boxes_in(rng, count, width, height):
    corners = np.sort(rng.uniform(0, 1, (count, 2, 2)), axis=1)
    return (corners * (width, height)).reshape(-1, 4)


@given(st.integers(1, 3000), st.integers(1, 3000), st.sampled_from([32, 160, 416, 608]))
def test_letterbox_keeps_aspect_and_fits(width, height, size):
    """Also at 5000 x 5 pixels, where a letterbox of rounded sizes fails."""
    matrix = letterbox_matrix((width, height), size)
    ((x1, y1, x2, y2),) = transform_boxes(matrix, [[0, 0, width, height]])
    assert (x2 - x1) / (y2 - y1) == pytest.approx(width / height)
    assert max(x2 - x1, y2 - y1) == pytest.approx(size)
    assert min(x1, y1) >= 0
    assert max(x2, y2) <= size + 1e-9
    assert abs((x1 + x2) / 2 - size / 2) <= 1
    np.testing.assert_allclose(
        transform_boxes(invert_affine(matrix), [[x1, y1, x2, y2]])[0], [0, 0, width, height], atol=1e-9
    )


@pytest.mark.parametrize("size_wh", [(64, 64), (128, 64), (50, 90), (400, 300), (1000, 700)])
@pytest.mark.parametrize("flip", [None, "sideways", "upside down"])
def test_pixels_follow_the_boxes_to_a_tenth_of_a_pixel(size_wh, flip):
    """A white rectangle: its area and its centre of mass after the warp against the transformed box."""
    width, height = size_wh
    box = [width // 5, height // 4, width // 5 + width // 2, height // 4 + height // 3]
    image = np.zeros((height, width, 3), np.uint8)
    image[box[1] : box[3], box[0] : box[2]] = 255
    matrix = letterbox_matrix(size_wh, 160)
    mirrors = {None: np.eye(3)[:2], "sideways": flip_matrix(width), "upside down": flip_vertical_matrix(height)}
    matrix = compose(mirrors[flip], matrix)
    ((x1, y1, x2, y2),) = transform_boxes(matrix, [box])
    ys, xs = np.mgrid[0:160, 0:160] + 0.5
    near = (abs(xs - (x1 + x2) / 2) < (x2 - x1) / 2 + 5) & (abs(ys - (y1 + y2) / 2) < (y2 - y1) / 2 + 5)
    shown = np.where(near, warp(image, matrix, 160)[..., 0], 0) / 255.0  # without the grey of the padding
    assert shown.sum() == pytest.approx((x2 - x1) * (y2 - y1), rel=0.01)
    assert (shown * xs).sum() / shown.sum() == pytest.approx((x1 + x2) / 2, abs=0.1)
    assert (shown * ys).sum() / shown.sum() == pytest.approx((y1 + y2) / 2, abs=0.1)


def test_shrinking_does_not_alias():
    """A checkerboard of single pixels shrunk eight times is grey, not stripes."""
    board = ((np.indices((1024, 1024)).sum(axis=0) % 2) * 255).astype(np.uint8)
    small = warp(np.dstack([board] * 3), letterbox_matrix((1024, 1024), 128), 128)
    assert small[4:-4, 4:-4].std() < 3
    naive = cv2.warpAffine(board, letterbox_matrix((1024, 1024), 128), (128, 128))
    assert abs(naive[4:-4, 4:-4].mean() - 127.5) > 50, "plain warpAffine does alias: the check can fail"


@pytest.mark.parametrize(
    ("size_wh", "seen"), [((1, 1), True), ((1, 60), True), ((600, 20), True), ((5000, 5), False)]
)
def test_extreme_shapes(size_wh, seen):
    """A picture thinner than half a pixel of the input falls between its rows; its boxes are `tiny` for parse."""
    width, height = size_wh
    picture = warp(np.full((height, width, 3), 200, np.uint8), letterbox_matrix(size_wh, 64), 64)
    assert picture.shape == (64, 64, 3)
    assert (picture.max() > 150) == seen


@given(st.integers(0, 2**32), st.integers(0, 6), st.integers(8, 900), st.integers(8, 900))
@settings(max_examples=150)
def test_no_box_is_ever_cut(seed, count, width, height):
    rng = np.random.default_rng(seed)
    boxes = boxes_in(rng, count, width, height)
    variant = augment_sample((width, height), boxes, ALL, rng)
    moved = transform_boxes(variant.matrix, boxes)
    x1, y1, x2, y2 = variant.visible_xyxy
    assert (moved >= np.array([x1, y1, x1, y1]) - 1e-6).all()
    assert (moved <= np.array([x2, y2, x2, y2]) + 1e-6).all()
    assert min(variant.frame_wh) > 0
    np.testing.assert_allclose(moved[:, 2:] - moved[:, :2], boxes[:, 2:] - boxes[:, :2], atol=1e-6)


@pytest.mark.parametrize("boxes", [[], [[40, 30, 60, 50]]])
def test_crop_trims_all_four_sides(boxes):
    """The reference's crop never trims right or bottom, and fails without boxes."""
    params = Augment(flip=0.0, crop=1.0, translate=0.0)
    windows = []
    for seed in range(200):
        variant = augment_sample((100, 80), boxes, params, np.random.default_rng(seed))
        ((x1, y1, x2, y2),) = transform_boxes(invert_affine(variant.matrix), [variant.visible_xyxy])
        windows.append([x1, y1, 100 - x2, 80 - y2])
    trimmed = np.array(windows)
    assert (trimmed >= 0).all()
    assert (trimmed.mean(axis=0) > 8).all()
    assert (trimmed.max(axis=0) > 16).all()


def test_translation_goes_all_ways():
    params = Augment(flip=0.0, crop=0.0, translate=1.0)
    moves = np.array(
        [
            augment_sample((100, 80), [[40, 30, 60, 50]], params, np.random.default_rng(s)).matrix[:, 2]
            for s in range(200)
        ]
    )
    assert (moves.min(axis=0) < [-30, -20]).all()
    assert (moves.max(axis=0) > [30, 20]).all()
    assert (moves == np.round(moves)).all(), "whole pixels: nothing is blurred"


def test_probabilities():
    params = Augment(flip=0.5, flip_vertical=0.0, crop=0.25, translate=0.0)
    names = [f"{index}.jpg" for index in range(2000)]
    sizes, offsets = np.full((2000, 2), 99), np.zeros(2001, np.int64)
    found = augment_variants(sizes, np.zeros((0, 4)), offsets, params, draw_numbers(3, names, 0))
    shares = dict(zip(OPERATIONS, found.drawn.mean(axis=0), strict=True))
    assert shares == pytest.approx({"flip": 0.5, "flip_vertical": 0.0, "crop": 0.25, "translate": 0.0}, abs=0.04)
    assert shares["translate"] == 0


def test_colour():
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    assert apply_colour(image, [0.0, 1.0, 1.0]) is image
    third = apply_colour(np.full((1, 1, 3), (200, 0, 0), np.uint8), [1 / 3, 1.0, 1.0])
    assert third.tolist() == [[[0, 200, 0]]], "a third of the colour circle turns red into green"
    grey = apply_colour(image, [0.0, 0.0, 1.0])
    assert (grey == grey[..., :1]).all()
    np.testing.assert_array_equal(grey[..., 0], image.max(axis=2))
    assert apply_colour(image, [0.0, 1.0, 0.5]).mean() == pytest.approx(image.mean() / 2, abs=1.5)


@given(st.integers(0, 2**32), st.integers(0, 12), st.booleans())
@settings(max_examples=60)
def test_all_at_once_is_one_at_a_time_bit_for_bit(seed, count, whole_pixels):
    rng = np.random.default_rng(seed)
    params = Augment(flip=0.5, flip_vertical=0.4, crop=0.6, translate=0.7, hue=0.1, saturation=0.2, value=0.3)
    sizes_wh = rng.integers(8, 3000, (count, 2))
    boxes = [boxes_in(rng, int(rng.integers(0, 5)), *size).astype(np.float32) for size in sizes_wh.tolist()]
    if whole_pixels:
        boxes = [np.round(of_image) for of_image in boxes]
    offsets = np.concatenate([[0], np.cumsum([len(of_image) for of_image in boxes], dtype=np.int64)])
    flat = np.concatenate([np.zeros((0, 4), np.float32), *boxes])
    names = [f"bild {index} ö.jpg" for index in range(count)]
    found = augment_variants(sizes_wh, flat, offsets, params, draw_numbers(seed, names, 2))
    moved = move_boxes(found, flat, offsets)
    for index, name in enumerate(names):
        matrix, frame_wh, visible, colour, drawn, own = reference.augmented(
            sizes_wh[index], boxes[index], params, sample_generator(seed, name, 2)
        )
        assert found.matrix[index].tobytes() == matrix.tobytes(), "also the sign of zero"
        assert tuple(found.frame_wh[index]) == frame_wh
        assert found.visible_xyxy[index].tobytes() == visible.tobytes()
        assert found.colour[index].tobytes() == colour.tobytes()
        assert tuple(n for n, yes in zip(reference.OPERATIONS, found.drawn[index], strict=True) if yes) == drawn
        assert moved[offsets[index] : offsets[index + 1]].tobytes() == own.tobytes()
