"""Ways to store a picture: bytes, time to write, time to read in training, and loss.

    python benchmarks/codecs.py FOLDER_OF_JPEGS [--size 416] [--images 200]

Written by OpenCV and by Pillow, read by TensorFlow as training does (one thread each); loss is the mean difference in
grey levels to the original pixels.  WebP is left out: TensorFlow does not read it.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from timing import best_seconds

from yolopipe.backend import import_tensorflow
from yolopipe.imaging.geometry import letterbox_matrix, warp
from yolopipe.imaging.images import decode_image, read_bytes

Encoder = Callable[[np.ndarray], bytes]


def opencv(suffix: str, *options: int) -> Encoder:
    return lambda pixels: cv2.imencode(suffix, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)[1].tobytes()


def pillow(**options: int) -> Encoder:
    def encode(pixels: np.ndarray) -> bytes:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", **options)
        return file.getvalue()

    return encode


FULL_COLOUR = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
WAYS: dict[str, Encoder] = {
    "JPEG 95, OpenCV": opencv(".jpg", cv2.IMWRITE_JPEG_QUALITY, 95),
    "JPEG 95, Pillow": pillow(quality=95, subsampling=2),
    "JPEG 95 4:4:4, OpenCV": opencv(".jpg", cv2.IMWRITE_JPEG_QUALITY, 95, *FULL_COLOUR),
    "JPEG 90, OpenCV": opencv(".jpg", cv2.IMWRITE_JPEG_QUALITY, 90),
    "JPEG 75, OpenCV": opencv(".jpg", cv2.IMWRITE_JPEG_QUALITY, 75),
    "PNG 6, OpenCV": opencv(".png", cv2.IMWRITE_PNG_COMPRESSION, 6),
    "PNG 1, OpenCV": opencv(".png", cv2.IMWRITE_PNG_COMPRESSION, 1),
    "raw": lambda pixels: pixels.tobytes(),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=416)
    parser.add_argument("--images", type=int, default=200)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    tf = import_tensorflow()
    size = options.size
    pictures = []
    for path in sorted(options.folder.glob("*.jpg"))[: options.images]:
        image = decode_image(read_bytes(str(path)), 1, name=str(path))
        pictures.append(warp(image, letterbox_matrix((image.shape[1], image.shape[0]), size), size))
    print(f"{len(pictures)} pictures of {size} px")
    print(f"{'':<24}{'kB':>7}{'write ms':>10}{'read ms':>9}{'loss':>7}")
    for name, encode in WAYS.items():
        encoded = [encode(picture) for picture in pictures]

        def read(data: bytes, raw: bool = name == "raw", png: bool = name.startswith("PNG")) -> np.ndarray:
            if raw:
                return tf.reshape(tf.io.decode_raw(data, tf.uint8), [size, size, 3]).numpy()
            decode = tf.io.decode_png if png else tf.io.decode_jpeg
            return decode(data, channels=3, **({} if png else {"dct_method": "INTEGER_ACCURATE"})).numpy()

        seconds = best_seconds(
            {
                "write": lambda encode=encode: [encode(picture) for picture in pictures],
                "read": lambda encoded=encoded, read=read: [read(data) for data in encoded],
            },
            rounds=3,
        )
        loss = np.mean([np.abs(read(e).astype(int) - p).mean() for e, p in zip(encoded, pictures, strict=True)])
        cost = [1e3 * seconds[kind] / len(pictures) for kind in ("write", "read")]
        print(f"{name:<24}{np.mean([len(e) for e in encoded]) / 1e3:7.1f}{cost[0]:10.2f}{cost[1]:9.2f}{loss:7.2f}")


if __name__ == "__main__":
    main()
