"""Augmentation (docs/formulas.md) one sample at a time, one matrix for each operation, for comparison."""

from __future__ import annotations

import numpy as np

from yolopipe.imaging.geometry import compose, transform_boxes, translation_matrix

OPERATIONS = ("flip", "flip_vertical", "crop", "translate")


def flip_matrix(width):
    """Left and right change places in an image ``width`` pixels wide."""
    return np.array([[-1.0, 0.0, width], [0.0, 1.0, 0.0]])


def flip_vertical_matrix(height):
    """Top and bottom change places in an image ``height`` pixels high."""
    return np.array([[1.0, 0.0, 0.0], [0.0, -1.0, height]])


def augmented(size_wh, boxes_xyxy, params, generator):
    """Matrix, frame size, visible part, colour, drawn operations and moved boxes of one variant."""
    chances = dict(zip(OPERATIONS, generator.random(4), strict=True))
    drawn = [name for name in OPERATIONS if chances[name] < getattr(params, name)]
    crop_share, move_share, colour_share = (
        generator.random(4),
        generator.uniform(-1, 1, 2),
        generator.uniform(-1, 1, 3),
    )
    matrix, frame_wh = translation_matrix(0, 0), tuple(float(side) for side in size_wh)
    visible = np.array([0.0, 0.0, *frame_wh])
    boxes = np.asarray(boxes_xyxy, np.float64).reshape(-1, 4)
    if len(boxes):
        core = np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])
    else:
        core = np.array([*frame_wh, *frame_wh]) * (0.25, 0.25, 0.75, 0.75)
    for name, mirror in (("flip", flip_matrix(frame_wh[0])), ("flip_vertical", flip_vertical_matrix(frame_wh[1]))):
        if name in drawn:
            matrix, core = compose(matrix, mirror), transform_boxes(mirror, core)[0]
    if "crop" in drawn:
        x1, y1 = np.maximum(np.floor(core[:2] * (1 - crop_share[:2])), 0.0)
        x2, y2 = np.minimum(np.ceil(core[2:] + (np.array(frame_wh) - core[2:]) * crop_share[2:]), frame_wh)
        shift = translation_matrix(-x1, -y1)
        matrix, core = compose(matrix, shift), transform_boxes(shift, core)[0]
        frame_wh = (float(x2 - x1), float(y2 - y1))
        visible = np.array([0.0, 0.0, *frame_wh])
    if "translate" in drawn:
        room = np.where(move_share < 0, core[:2], np.array(frame_wh) - core[2:])
        shift = translation_matrix(*np.trunc(np.maximum(room, 0.0) * move_share))
        matrix = compose(matrix, shift)
        visible = np.clip(transform_boxes(shift, visible)[0], 0.0, [*frame_wh, *frame_wh])
    colour = np.array([0.0, 1.0, 1.0]) + colour_share * (params.hue, params.saturation, params.value)
    moved = np.clip(transform_boxes(matrix, boxes), 0.0, [*frame_wh, *frame_wh])
    return matrix + 0.0, frame_wh, visible, colour, tuple(drawn), moved
