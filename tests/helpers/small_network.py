"""A network that trains and saves like YOLOv3 and is compiled in a tenth of the time, for tests of what is around it.

The kinds of layers and variables, the names of the parts and the form of the outputs are those of ``YOLOv3``: six
convolutions, three of them with batch normalisation, stand for at least 39.  Most of what a short training costs is
tracing and optimising the graph, which grows with the number of layers, not with their width.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

__all__ = ["EVERYWHERE", "SmallYOLO", "install"]

EVERYWHERE = os.pathsep.join(
    [str(Path(__file__).with_name("small_network_everywhere")), str(Path(__file__).resolve().parents[2])]
)
"""In front of a process's PYTHONPATH: it and all it starts build the small network."""


def SmallYOLO(num_classes: int, *, width: float = 1.0, depth: float = 1.0) -> Any:
    """The arguments and outputs of ``YOLOv3``; ``width`` and ``depth`` are accepted and change nothing."""
    import keras

    from yolopipe.config.params import ANCHORS_PER_SCALE
    from yolopipe.model.darknet53 import NORM_EPSILON, NORM_MOMENTUM, convolutional
    from yolopipe.model.yolov3 import ObjectnessBias

    image = keras.Input((None, None, 3), name="image")
    x = keras.layers.Conv2D(16, 8, strides=8, use_bias=False, name="backbone_00_conv")(image)
    x = keras.layers.BatchNormalization(momentum=NORM_MOMENTUM, epsilon=NORM_EPSILON, name="backbone_00_norm")(x)
    x = stride_8 = keras.layers.LeakyReLU(negative_slope=0.1, name="backbone_00_leaky")(x)
    x = stride_16 = convolutional(x, 16, 3, name="backbone_01", stride=2)
    x = convolutional(x, 16, 3, name="backbone_02", stride=2)
    stride_32 = convolutional(x, 16, 1, name="neck_00")
    outputs = [
        keras.layers.Conv2D(
            ANCHORS_PER_SCALE * (5 + num_classes),
            1,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            bias_initializer=ObjectnessBias(),
            dtype=keras.config.floatx(),
            name=f"head_{stride}",
        )(features)
        for stride, features in ((8, stride_8), (16, stride_16), (32, stride_32))
    ]
    return keras.Model(image, outputs, name="yolov3")


def install(patch: Any = None) -> None:
    """Let training and loading build it, in this process or until ``patch``, a MonkeyPatch, is undone."""
    from yolopipe.backend import import_tensorflow

    import_tensorflow()
    import yolopipe.model.yolov3
    import yolopipe.training.trainer

    for module in (yolopipe.model.yolov3, yolopipe.training.trainer):
        (patch.setattr if patch else setattr)(module, "YOLOv3", SmallYOLO)
