from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolopipe.model.decode import decode
from yolopipe.model.limits import EXP_LIMIT

ANCHORS = np.array([[1.25, 1.625], [2.0, 3.75], [4.125, 2.875]])


def by_hand(raw: np.ndarray, anchors: np.ndarray, stride: int) -> np.ndarray:
    """One cell at a time, in float64."""
    batch, rows, columns, channels = raw.shape
    depth = channels // 3
    out = np.zeros((batch, rows, columns, 3, depth))
    for b, y, x, a in np.ndindex(batch, rows, columns, 3):
        cell = raw[b, y, x, a * depth : (a + 1) * depth].astype(np.float64)
        out[b, y, x, a, 0] = (1 / (1 + np.exp(-cell[0])) + x) * stride
        out[b, y, x, a, 1] = (1 / (1 + np.exp(-cell[1])) + y) * stride
        out[b, y, x, a, 2:4] = np.exp(cell[2:4]) * anchors[a] * stride
        out[b, y, x, a, 4:] = 1 / (1 + np.exp(-cell[4:]))
    return out


@settings(max_examples=15)
@given(
    st.integers(0, 2**32 - 1), st.sampled_from([8, 16, 32]), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4)
)
def test_equals_the_cell_by_cell_formula(seed: int, stride: int, batch: int, rows: int, columns: int) -> None:
    raw = np.random.default_rng(seed).normal(0, 2, (batch, rows, columns, 3 * 7)).astype(np.float32)
    ours = keras.ops.convert_to_numpy(decode(raw, ANCHORS, stride))
    np.testing.assert_allclose(ours, by_hand(raw, ANCHORS, stride), rtol=2e-6)


@pytest.mark.parametrize("value", [-100.0, 100.0])
def test_extreme_outputs_stay_finite_and_so_do_areas_squared(value: float) -> None:
    raw = np.full((1, 2, 2, 18), value, np.float32)
    boxes = keras.ops.convert_to_numpy(decode(raw, np.full((3, 2), 4096 / 32), 32))
    area = boxes[..., 2] * boxes[..., 3]
    assert np.isfinite(boxes).all()
    assert np.isfinite(area * area).all()
    assert (area >= 0).all()


def test_the_limit_leaves_every_useful_size_alone() -> None:
    assert np.exp(EXP_LIMIT) > 4096  # from a 1 pixel anchor to the largest input there is


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_cast_up_first(dtype: str) -> None:
    raw = keras.ops.cast(np.random.default_rng(1).normal(size=(1, 52, 52, 18)), dtype)
    ours = decode(raw, ANCHORS, 8)
    assert keras.backend.standardize_dtype(ours.dtype) == "float32"
    exact = by_hand(keras.ops.convert_to_numpy(keras.ops.cast(raw, "float32")), ANCHORS, 8)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(ours), exact, rtol=2e-6)


def test_works_in_a_graph_of_unknown_sizes() -> None:
    import tensorflow as tf

    graph = tf.function(lambda raw: decode(raw, ANCHORS, 16), input_signature=[tf.TensorSpec((None, None, None, 18))])
    raw = np.random.default_rng(2).normal(size=(2, 3, 5, 18)).astype(np.float32)
    np.testing.assert_allclose(graph(raw).numpy(), by_hand(raw, ANCHORS, 16), rtol=2e-6)
