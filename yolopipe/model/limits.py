"""The limit on raw box sizes, shared by decoding in Keras, in NumPy and in exported graphs."""

from __future__ import annotations

__all__ = ["EXP_LIMIT"]

EXP_LIMIT = 10.0
"""Raw sizes are limited to this before ``exp``: a box is at most exp(10) = 22,026 times its anchor.

Every size a detector can need lies far below (a 1 pixel anchor grown to a 4,096 pixel image is exp(8.3)).  With
anchors of up to 4,096 pixels a predicted area is below 1e16, so that even its square, which gradients of quotients
may form, stays far from float32's 3.4e38; without a limit exp(89) is infinite and one such cell makes the batch NaN.
There is no limit below: exp(-100) is a box without area, which the loss handles.
"""
