from __future__ import annotations

import keras
import numpy as np
import pytest

from yolopipe.model.yolov3 import YOLOv3, convolutions


@pytest.fixture(scope="module")
def true_size() -> keras.Model:
    return YOLOv3(80)


@pytest.fixture(scope="module")
def small() -> keras.Model:
    keras.utils.set_random_seed(5)
    return YOLOv3(3, width=0.125, depth=0.1)


@pytest.mark.slow
def test_the_true_network_has_its_known_number_of_weights(true_size: keras.Model) -> None:
    assert true_size.count_params() == 62_001_757


def test_convolutions_are_those_of_yolov3_cfg_in_order(true_size: keras.Model) -> None:
    """Kernel, channels in and out, written down from yolov3.cfg's sections, not from our code."""
    backbone = [(3, 3, 32)]
    for channels, blocks in ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)):
        backbone.append((3, channels // 2, channels))
        backbone += [(1, channels, channels // 2), (3, channels // 2, channels)] * blocks
    head_32 = [(1, 1024, 512), (3, 512, 1024)] * 3 + [(1, 1024, 255)]
    head_16 = [(1, 512, 256), (1, 768, 256), (3, 256, 512)] + [(1, 512, 256), (3, 256, 512)] * 2
    head_8 = [(1, 256, 128), (1, 384, 128), (3, 128, 256)] + [(1, 256, 128), (3, 128, 256)] * 2
    expected = [*backbone, *head_32, *head_16, (1, 512, 255), *head_8, (1, 256, 255)]
    pairs = convolutions(true_size)
    shapes = [conv.kernel.shape for conv, _ in pairs]
    assert [(k, i, o) for k, _, i, o in shapes] == expected
    assert [norm is None for _, norm in pairs] == [out == 255 for _, _, out in expected]
    assert all(norm.gamma.shape == (conv.filters,) for conv, norm in pairs if norm is not None)


def test_every_weight_belongs_to_backbone_neck_or_head(true_size: keras.Model) -> None:
    names = {layer.name for layer in true_size.layers if layer.weights}
    assert {name.split("_")[0] for name in names} == {"backbone", "neck", "head"}
    assert len(names) == 75 + 72


@pytest.mark.slow
def test_outputs_come_small_stride_first_at_any_multiple_of_32(small: keras.Model) -> None:
    for size in (64, 96):
        outputs = small(np.zeros((2, size, size, 3), np.float32), training=False)
        assert [out.shape for out in outputs] == [(2, size // s, size // s, 24) for s in (8, 16, 32)]


def test_images_need_not_be_square(small: keras.Model) -> None:
    outputs = small(np.zeros((1, 64, 128, 3), np.float32), training=False)
    assert [out.shape[1:3] for out in outputs] == [(8, 16), (4, 8), (2, 4)]


def test_an_untrained_network_predicts_no_object(small: keras.Model) -> None:
    images = np.random.default_rng(0).random((2, 64, 64, 3), np.float32)
    for output in small(images, training=True):
        raw = keras.ops.convert_to_numpy(output).reshape(-1, 8)
        objectness = 1 / (1 + np.exp(-raw[:, 4]))
        assert objectness.min() > 0.002
        assert objectness.max() < 0.05
        assert np.abs(raw[:, :4]).max() < 1.5  # near the anchors


@pytest.mark.slow
def test_same_seed_same_weights() -> None:
    def weights() -> list[np.ndarray]:
        keras.utils.set_random_seed(11)
        return YOLOv3(2, width=0.125, depth=0.1).get_weights()

    first, second = weights(), weights()
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.slow
def test_width_and_depth_scale_the_network() -> None:
    sizes = [YOLOv3(2, width=w, depth=d).count_params() for w, d in ((0.125, 0.1), (0.25, 0.1), (0.25, 0.33))]
    assert sizes == sorted(sizes)
    assert sizes[0] * 2 < sizes[1]
