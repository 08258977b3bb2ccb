"""Keys of cached pictures: a SHA-256 over everything that decides the bytes of a picture.

Name, size and date of a file are not part of it: an image edited in place gets another key, a renamed one does not.
"""

from __future__ import annotations

import hashlib
import json
import platform
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from yolopipe.config.params import ALGORITHMS

__all__ = ["codec_identity", "picture_key"]

_FLOATS = ("frame_width", "frame_height", "hue", "saturation", "value")


def codec_identity(*, input_size: int, encoding: str, jpeg_quality: int) -> bytes:
    """What the pictures of a run have in common: version of the algorithm, libraries, processor, encoding.

    OpenCV's build information names its JPEG, PNG, TIFF and WebP libraries and their versions; the processor's
    features choose among code paths of OpenCV that can differ in the last bit.

    Args:
        input_size: side of the square network input in pixels.
        encoding: ``jpeg``, ``png`` or ``raw``.
        jpeg_quality: used for ``jpeg`` only.

    >>> codec_identity(input_size=64, encoding="png", jpeg_quality=1) == codec_identity(
    ...     input_size=64, encoding="png", jpeg_quality=2)
    True
    """
    import cv2

    facts = {
        "algorithm": ALGORITHMS["precompute"],
        "size": input_size,
        "encoding": encoding,
        "quality": jpeg_quality if encoding == "jpeg" else None,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "build": cv2.getBuildInformation(),
        "processor": [platform.machine(), cv2.getCPUFeaturesLine(), cv2.useOptimized()],
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).digest()


def picture_key(identity: bytes, sample: Mapping[str, Any], matrix: npt.NDArray[np.float64], source: bytes) -> bytes:
    """The key of one sample's encoded pixels.

    Args:
        identity: from :func:`codec_identity`, 32 bytes.
        sample: ``orientation``, ``width``, ``height``, ``frame_width``, ``frame_height``, ``visible_xyxy``, ``hue``,
            ``saturation`` and ``value`` of the augmented table.
        matrix: (2, 3) source pixels to network-input pixels.
        source: the content of the image file; its size and date are not trusted.

    Returns:
        32 bytes.
    """
    floats = [*np.ravel(matrix).tolist(), *sample["visible_xyxy"], *(sample[name] for name in _FLOATS)]
    numbers = struct.pack("<3q15d", sample["orientation"], sample["width"], sample["height"], *floats)
    digest = hashlib.sha256(identity + numbers)  # both of fixed length, so that their concatenation is unambiguous
    digest.update(source)
    return digest.digest()
