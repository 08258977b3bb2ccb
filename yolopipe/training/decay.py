"""Which weights decay: the kernels of convolutions, and nothing else.

Batch normalisation divides the scale of the kernel before it out again, so a smaller kernel is the same function that
learns faster; that is what decay does there.  Its own gain and shift, and the heads' biases, would be pulled off what
they have to be.
"""

from __future__ import annotations

from typing import Any

import keras

__all__ = ["decays", "exclude_from_decay"]


def decays(variable: Any) -> bool:
    """Is it the kernel of a convolution?

    >>> from yolopipe.model.yolov3 import YOLOv3
    >>> names = [weight.path for weight in YOLOv3(1, width=0.125, depth=0.1).trainable_weights if decays(weight)]
    >>> names[0], "head_8/kernel" in names, "head_8/bias" in names
    ('backbone_00_conv/kernel', True, False)
    """
    return str(variable.path).endswith("/kernel")


def exclude_from_decay(optimizer: keras.optimizers.Optimizer, variables: list[Any]) -> None:
    """Tell an optimizer that has a weight decay, and is not built yet, which variables it leaves alone."""
    optimizer.exclude_from_weight_decay(var_list=[variable for variable in variables if not decays(variable)])
