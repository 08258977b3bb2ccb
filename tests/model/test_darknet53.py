from __future__ import annotations

import keras
import numpy as np
import pytest

from yolopipe.model.darknet53 import convolutional, darknet53, scaled_blocks, scaled_channels


@pytest.mark.parametrize(
    ("channels", "width", "expected"),
    [(32, 1.0, 32), (1024, 1.0, 1024), (32, 0.125, 8), (1, 0.01, 8), (64, 0.3, 16), (256, 0.3, 80), (8, 4.0, 32)],
)
def test_channels_are_multiples_of_eight(channels: int, width: float, expected: int) -> None:
    assert scaled_channels(channels, width) == expected


def test_depth_one_changes_no_number_of_blocks() -> None:
    assert [scaled_blocks(n, 1.0) for n in (1, 2, 8, 4)] == [1, 2, 8, 4]
    assert [scaled_blocks(n, 0.33) for n in (1, 2, 8, 4)] == [1, 1, 3, 1]
    assert scaled_blocks(8, 0.001) == 1


@pytest.mark.slow
def test_routes_have_the_published_shapes() -> None:
    routes = darknet53(keras.Input((416, 416, 3)))
    assert [route.shape[1:] for route in routes] == [(52, 52, 256), (26, 26, 512), (13, 13, 1024)]


@pytest.mark.slow
def test_backbone_is_darknet53() -> None:
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, darknet53(inputs)[2])
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert len(convolutions) == 52  # 53 with the classifier that detectors leave out
    # darknet53.conv.74, the file of backbone weights that Darknet users start from, holds 162,482,580 - 20 bytes.
    assert model.count_params() * 4 == 162_482_560


def test_stride_two_pads_above_and_left_only() -> None:
    """A 3x3 kernel that copies its centre sees pixels 0, 2, 4, ...; TensorFlow's "same" would see 1, 3, 5, ..."""
    inputs = keras.Input((None, None, 1))
    model = keras.Model(inputs, convolutional(inputs, 1, 3, name="only", stride=2))
    kernel = np.zeros((3, 3, 1, 1), np.float32)
    kernel[1, 1] = 1
    model.get_layer("only_conv").set_weights([kernel])
    image = np.arange(36, dtype=np.float32).reshape(1, 6, 6, 1)
    result = keras.ops.convert_to_numpy(model(image, training=False))
    np.testing.assert_allclose(result, image[:, ::2, ::2], rtol=1e-4)
