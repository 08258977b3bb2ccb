"""YOLOv3, from the image to three grids of raw predictions (``docs/formulas.md``, "Network")."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np

from yolopipe.config.params import ANCHORS_PER_SCALE, STRIDES
from yolopipe.model.darknet53 import BACKBONE, convolutional, darknet53, scaled_channels

__all__ = ["HEAD", "NECK", "OBJECTNESS_PRIOR", "YOLOv3", "convolutions"]


NECK = "neck"
"""Prefix of the names of the layers between backbone and heads."""

HEAD = "head"
"""Prefix of the names of the three output layers; the stride follows: ``head_8``."""

OBJECTNESS_PRIOR = 0.01
"""The objectness that an untrained network predicts everywhere.

Of the 10,647 predictions at 416 pixels a handful are objects.  At 0.5, the value without a prior, the first loss
is some 1,800 an image of pure background, and the first steps go into unlearning it (Lin et al. 2017, section 3.3).
"""


class ObjectnessBias(keras.initializers.Initializer):  # type: ignore[misc]
    """Zero bias, but the logit of ``prior`` for objectness."""

    def __init__(self, prior: float = OBJECTNESS_PRIOR) -> None:
        self.prior = prior

    def __call__(self, shape: tuple[int, ...], dtype: Any = None, **_: Any) -> Any:
        bias = np.zeros((ANCHORS_PER_SCALE, shape[0] // ANCHORS_PER_SCALE), np.float32)
        bias[:, 4] = math.log(self.prior / (1 - self.prior))
        return keras.ops.convert_to_tensor(bias.reshape(shape), dtype)

    def get_config(self) -> dict[str, float]:
        return {"prior": self.prior}


def _head(x: Any, channels: int, *, num_classes: int, stride: int, number: int) -> Any:
    """The last 3x3 convolution of a scale and its raw output; small weights: it starts at the anchors."""
    x = convolutional(x, channels, 3, name=f"{NECK}_{number:02}")
    return keras.layers.Conv2D(
        ANCHORS_PER_SCALE * (5 + num_classes),
        1,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        bias_initializer=ObjectnessBias(),
        dtype=keras.config.floatx(),  # float32 also under mixed precision: the loss needs it
        name=f"{HEAD}_{stride}",
    )(x)


def _five(x: Any, narrow: int, wide: int, *, number: int) -> Any:
    """1x1, 3x3, 1x1, 3x3, 1x1: narrow, wide, narrow, wide, narrow."""
    for step in range(5):
        channels, kernel = (wide, 3) if step % 2 else (narrow, 1)
        x = convolutional(x, channels, kernel, name=f"{NECK}_{number + step:02}")
    return x


def _upsampled(x: Any, channels: int, route: Any, *, number: int) -> Any:
    """Twice the resolution, joined with the backbone's features there."""
    x = convolutional(x, channels, 1, name=f"{NECK}_{number:02}")
    x = keras.layers.UpSampling2D(2, interpolation="nearest", name=f"{NECK}_{number:02}_up")(x)
    return keras.layers.Concatenate(name=f"{NECK}_{number:02}_join")([x, route])


def YOLOv3(num_classes: int, *, width: float = 1.0, depth: float = 1.0) -> keras.Model:
    """The whole network (``docs/formulas.md``, "Network").

    Args:
        num_classes: C, at least 1.
        width: factor on all channels; 1.0 is YOLOv3 as published.
        depth: factor on the backbone's residual blocks; 1.0 is Darknet-53.

    Returns:
        A model from (B, S, S, 3) RGB in 0..1 (S any multiple of 32) to three raw outputs, small stride first:
        (B, S/8, S/8, 3 * (5 + C)), (B, S/16, S/16, ...), (B, S/32, S/32, ...).

    >>> model = YOLOv3(10, width=0.125, depth=0.1)
    >>> [output.shape[-1] for output in model.outputs]
    [45, 45, 45]
    """
    inputs = keras.Input((None, None, 3), name="image")
    route_1, route_2, x = darknet53(inputs, width=width, depth=depth)
    outputs, number = [], 0
    for stride, channels, route in ((32, 512, route_2), (16, 256, route_1), (8, 128, None)):
        half, narrow, wide = (scaled_channels(channels * n // 2, width) for n in (1, 2, 4))
        x = _five(x, narrow, wide, number=number)
        outputs.append(_head(x, wide, num_classes=num_classes, stride=stride, number=number + 5))
        if route is not None:
            x = _upsampled(x, half, route, number=number + 6)
        number += 7
    return keras.Model(inputs, outputs[::-1], name="yolov3")


def convolutions(model: keras.Model) -> list[tuple[Any, Any | None]]:
    """Every convolution with its batch normalisation (none at the heads), in the order of Darknet's weight file.

    ``model.layers`` is sorted by depth in the graph and does not have that order.

    >>> pairs = convolutions(YOLOv3(10, width=0.125, depth=0.1))
    >>> [conv.name for conv, norm in pairs][-2:], [conv.name for conv, norm in pairs if norm is None]
    (['neck_19_conv', 'head_8'], ['head_32', 'head_16', 'head_8'])
    """
    layers = {layer.name: layer for layer in model.layers}
    backbone = sorted(name for name in layers if name.startswith(BACKBONE) and name.endswith("_conv"))
    neck = sorted(name for name in layers if name.startswith(NECK) and name.endswith("_conv"))
    names = [*backbone]
    for index, stride in enumerate(reversed(STRIDES)):
        names += neck[7 * index - bool(index) : 7 * index + 6]
        names.append(f"{HEAD}_{stride}")
    return [(layers[name], layers.get(f"{name.removesuffix('_conv')}_norm")) for name in names]
