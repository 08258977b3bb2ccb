"""Names for the NumPy array types in signatures."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["AnyFloats", "Floats", "Ints", "Mask", "Pixels"]

AnyFloats = npt.NDArray[np.floating[Any]]
"""Of either precision; results have that of their arguments."""

Floats = npt.NDArray[np.float64]

Ints = npt.NDArray[np.int64]

Mask = npt.NDArray[np.bool_]

Pixels = npt.NDArray[np.uint8]
"""RGB, (H, W, 3)."""
