"""Darknet-53, the backbone (``docs/formulas.md``, "Network"; Redmon and Farhadi 2018, table 1).

Layers are named ``<part>_<number>_conv`` and ``<part>_<number>_norm`` in the order of Darknet's own weight file.
"""

from __future__ import annotations

from typing import Any

import keras

__all__ = ["BACKBONE", "convolutional", "darknet53", "scaled_channels"]

BACKBONE = "backbone"
"""Prefix of the names of all backbone layers."""

RESIDUAL_BLOCKS = ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4))
"""Channels after, and residual blocks at, each halving of the resolution."""

NORM_EPSILON = 1e-5
NORM_MOMENTUM = 0.97
"""Share of the running statistics kept per step: they follow the last 33 steps or so.  Darknet's 0.99 needs 700
steps until the first guess (mean 0, variance 1) is below a thousandth, a third of a run of 2,000 steps, and through
70 layers the validation loss of the first epochs would be meaningless."""

LEAK = 0.1


def scaled_channels(channels: int, width: float) -> int:
    """``channels`` times ``width``, to the nearest multiple of 8 (for vector units), at least 8.

    >>> scaled_channels(1024, 1.0), scaled_channels(64, 0.3), scaled_channels(32, 0.1)
    (1024, 16, 8)
    """
    return max(8, 8 * int(channels * width / 8 + 0.5))


def scaled_blocks(blocks: int, depth: float) -> int:
    """``blocks`` times ``depth``, rounded, at least 1.

    >>> scaled_blocks(8, 0.33), scaled_blocks(1, 0.33)
    (3, 1)
    """
    return max(1, int(blocks * depth + 0.5))


def convolutional(x: Any, channels: int, kernel: int, *, name: str, stride: int = 1) -> Any:
    """Convolution without bias, batch normalisation, leaky ReLU.

    Args:
        x: (B, H, W, C) Keras tensor.
        channels: channels of the result, already scaled by the network's width.
        kernel: side of the kernel, 1 or 3.
        name: prefix of the names of the layers.
        stride: 1 keeps the resolution; 2 halves it and pads above and left only, as Darknet does.

    Returns:
        (B, H / stride, W / stride, channels) Keras tensor.

    >>> convolutional(keras.Input((32, 64, 3)), 8, 3, name="neck_00", stride=2).shape
    (None, 16, 32, 8)
    """
    if stride == 2:
        x = keras.layers.ZeroPadding2D(((1, 0), (1, 0)), name=f"{name}_pad")(x)
    x = keras.layers.Conv2D(
        channels,
        kernel,
        strides=stride,
        padding="valid" if stride == 2 else "same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    x = keras.layers.BatchNormalization(momentum=NORM_MOMENTUM, epsilon=NORM_EPSILON, name=f"{name}_norm")(x)
    return keras.layers.LeakyReLU(negative_slope=LEAK, name=f"{name}_leaky")(x)


def _residual(x: Any, channels: int, *, width: float, number: int) -> Any:
    """Halve the channels (1x1), restore them (3x3), add the input."""
    inner = scaled_channels(channels // 2, width)
    y = convolutional(x, inner, 1, name=f"{BACKBONE}_{number:02}")
    y = convolutional(y, scaled_channels(channels, width), 3, name=f"{BACKBONE}_{number + 1:02}")
    return keras.layers.Add(name=f"{BACKBONE}_{number + 1:02}_add")([x, y])


def darknet53(x: Any, *, width: float = 1.0, depth: float = 1.0) -> tuple[Any, Any, Any]:
    """The backbone (``docs/formulas.md``, "Network").

    Args:
        x: (B, H, W, 3) Keras tensor; H and W are multiples of 32.
        width: factor on the channels.
        depth: factor on the numbers of residual blocks.

    Returns:
        ``route_1``, ``route_2``, ``conv``: features at strides 8, 16 and 32, with 256, 512 and 1024 channels
        at width 1.

    >>> [route.shape for route in darknet53(keras.Input((416, 416, 3)), width=0.25, depth=0.25)]
    [(None, 52, 52, 64), (None, 26, 26, 128), (None, 13, 13, 256)]
    """
    x = convolutional(x, scaled_channels(32, width), 3, name=f"{BACKBONE}_00")
    number, routes = 1, []
    for channels, blocks in RESIDUAL_BLOCKS:
        x = convolutional(x, scaled_channels(channels, width), 3, name=f"{BACKBONE}_{number:02}", stride=2)
        number += 1
        for _ in range(scaled_blocks(blocks, depth)):
            x = _residual(x, channels, width=width, number=number)
            number += 2
        routes.append(x)
    return routes[2], routes[3], routes[4]
