"""The pixels of augmented samples: the picture is cut where the table says, and everything around it is grey.

Each picture is painted after its variant is drawn: red beyond the part that the crop and the move leave visible, blue
within.  Red that reaches a shard, or blue where grey belongs, shows in single pixels.
"""

import math

import cv2
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from yolopipe.config.params import Augment, Config
from yolopipe.imaging.geometry import letterbox_matrix, warp
from yolopipe.shards.build import ShardTask, build_shard
from yolopipe.shards.plan import PlannedShard
from yolopipe.shards.reader import READERS
from yolopipe.stages.augment import augment_table
from yolopipe.tables import PARSED_SCHEMA

GREY, RED, BLUE = [128, 128, 128], [255, 0, 10], [20, 40, 200]
COLOUR = {"hue": 0.3, "saturation": 0.5, "value": 0.5}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("crops")


def drawn_sample(width, height, boxes, augment, seed, ignore=False):
    columns = {
        "image": ["picture.png"],
        "line": [1],
        "width": [width],
        "height": [height],
        "orientation": [1],
        "boxes_xyxy": [boxes],
        "classes": [[0] * len(boxes)],
        "ignore": [[ignore] * len(boxes)],
        "origin": [[[1, 9]] * len(boxes)],
    }
    arrays = [pa.array(columns[field.name], field.type) for field in PARSED_SCHEMA]
    return augment_table(pa.table(arrays, schema=PARSED_SCHEMA), augment, seed)


def visible_in_source(sample):
    """Left, top, right and bottom of the visible part in source pixels, solved from the table's six numbers."""
    a, _, tx, _, d, ty = sample["matrix"]
    x1, y1, x2, y2 = sample["visible_xyxy"]
    xs, ys = sorted([(x1 - tx) / a, (x2 - tx) / a]), sorted([(y1 - ty) / d, (y2 - ty) / d])
    return xs[0], ys[0], xs[1], ys[1]


def visible_in_input(sample, size):
    """The same part in pixels of the network input, and how much a source pixel is enlarged."""
    frame_w, frame_h = sample["frame_width"], sample["frame_height"]
    scale = min(size / frame_w, size / frame_h)
    left, top = (max(0, math.floor((size - scale * side) / 2)) for side in (frame_w, frame_h))
    x1, y1, x2, y2 = sample["visible_xyxy"]
    return (left + scale * x1, top + scale * y1, left + scale * x2, top + scale * y2), scale


def stored_row(folder, table, size):
    config = Config.model_validate(
        {
            "data": dict.fromkeys(("train", "val", "classes", "images"), "x"),
            "precompute": {"input_size": size, "encoding": "raw", "format": "tfrecord"},
        }
    )
    plan = PlannedShard("train-c00-00000-of-00001", 0, np.array([0]))
    built = build_shard(ShardTask(plan, table, folder, config.precompute, config.assignment, 1, folder))
    assert built.problems == ()
    (row,) = READERS["tfrecord"](folder / built.info.name)
    return row, np.frombuffer(row.image, np.uint8).reshape(size, size, 3)


sides = st.integers(4, 220)
shares = st.tuples(*[st.floats(0, 1)] * 4)


@pytest.mark.slow
@given(sides, sides, st.lists(shares, max_size=3), st.sampled_from([32, 64]), st.booleans(), st.integers(0, 2**32))
@example(200, 150, [(0.4, 0.4, 0.2, 0.2)], 64, False, 3)
@example(200, 150, [], 64, False, 3)
@settings(max_examples=80)
def test_grey_beyond_the_visible_part_and_nothing_of_what_was_cropped(
    folder, width, height, shares, size, coloured, seed
):
    boxes = [
        [x * (width - 2), y * (height - 2), x * (width - 2) + 1 + w, y * (height - 2) + 1 + h]
        for x, y, w, h in shares
    ]
    augment = Augment(flip=0.5, flip_vertical=0.5, crop=0.8, translate=0.8, **(COLOUR if coloured else {}))
    table = drawn_sample(width, height, boxes, augment, seed)
    (sample,) = table.to_pylist()

    left, top, right, bottom = (round(side) for side in visible_in_source(sample))
    np.testing.assert_allclose(visible_in_source(sample), [left, top, right, bottom], atol=1e-6)
    picture = np.full((height, width, 3), RED, np.uint8)
    picture[top:bottom, left:right] = BLUE
    cv2.imwrite(str(folder / "picture.png"), picture[..., ::-1])

    _, pixels = stored_row(folder, table, size)
    (x1, y1, x2, y2), scale = visible_in_input(sample, size)
    margin = 1 + scale / 2  # reducing and interpolation mix this far from an edge
    inner = set()
    for row in range(size):
        for column in range(size):
            pixel = tuple(pixels[row, column].tolist())
            if column + 1 <= x1 or column >= x2 or row + 1 <= y1 or row >= y2:
                assert list(pixel) == GREY, (row, column)
            elif (
                x1 + margin <= column and column + 1 <= x2 - margin and y1 + margin <= row and row + 1 <= y2 - margin
            ):
                inner.add(pixel)
    assert len(inner) <= 1, "one colour within: nothing of the red beyond the crop, nothing of the grey"
    if not coloured:
        assert inner <= {tuple(BLUE)}
        mixed = np.sort([GREY, BLUE], axis=0)
        assert ((pixels >= mixed[0]) & (pixels <= mixed[1])).all(), "edges mix blue and grey, never red"


@given(st.integers(60, 220), st.integers(60, 220), shares, st.integers(0, 2**32))
@settings(max_examples=60)
def test_a_box_to_be_ignored_is_cut_where_the_picture_is(folder, width, height, shares, seed):
    """The box of what is red in the stored pixels; crops do not spare it, and none is left where no red is."""
    x, y = round(shares[0] * (width - 20)), round(shares[1] * (height - 20))
    box = [x, y, x + 20 + round(shares[2] * (width - 20 - x)), y + 20 + round(shares[3] * (height - 20 - y))]
    picture = np.full((height, width, 3), BLUE, np.uint8)
    picture[box[1] : box[3], box[0] : box[2]] = RED
    cv2.imwrite(str(folder / "picture.png"), picture[..., ::-1])
    table = drawn_sample(width, height, [box], Augment(flip=0.5, crop=1.0, translate=0.5), seed, ignore=True)
    row, pixels = stored_row(folder, table, 64)
    assert not len(row.classes)
    scale = row.matrix[1, 1]
    ys, xs = np.nonzero((pixels[..., 0].astype(int) - pixels[..., 2]) > 150)
    if len(xs):
        found = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
        np.testing.assert_allclose(row.ignored.boxes_xyxy[0], found, atol=1 + scale)
    else:
        sides = row.ignored.boxes_xyxy[:, 2:] - row.ignored.boxes_xyxy[:, :2]
        assert (sides.min(axis=1) <= 2 + scale).all()


@pytest.mark.parametrize("size_wh", [(3, 3), (7, 2), (5, 40), (64, 48), (90, 64), (500, 331)])
def test_the_letterbox_is_grey_also_where_the_picture_is_enlarged(size_wh):
    """What validation images and ``predict`` show: pixels beyond the picture hold nothing of it."""
    width, height = size_wh
    pixels = warp(np.full((height, width, 3), 255, np.uint8), letterbox_matrix(size_wh, 64), 64)
    sample = {"frame_width": width, "frame_height": height, "visible_xyxy": [0, 0, width, height]}
    (x1, y1, x2, y2), _ = visible_in_input(sample, 64)
    for row in range(64):
        for column in range(64):
            outside = column + 1 <= x1 or column >= x2 or row + 1 <= y1 or row >= y2
            assert (pixels[row, column].tolist() == GREY) == outside, (row, column)
