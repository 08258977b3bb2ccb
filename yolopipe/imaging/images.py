"""One image file: its header, read without decoding a pixel, and its pixels as every stage sees them.

Size and pixels are those a person sees: EXIF orientation applied.  The orientation is read once, here, recorded in
the table, and later applied by exactly that number, so that no decoder's own default can move a box (cv2 turns by
default, Pillow and TensorFlow do not).
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import cv2
import numpy as np
import numpy.typing as npt
from PIL import BmpImagePlugin, ImageFile, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin

from yolopipe.errors import ImageError
from yolopipe.imaging.image_bytes import TAIL_BYTES, exif_orientation, has_end, has_end_inside, kind_of

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "ImageHeader",
    "decode_image",
    "exif_orientation",
    "orient",
    "read_bytes",
    "read_header",
    "read_image",
]

MAX_PIXELS = 2**30
"""OpenCV decodes no more than this; a larger image is reported, not tried."""

# The plug-in classes are called directly, not through Image.open: no decompression-bomb warning or error for a large
# photograph (nothing is decoded here), no probing of forty formats, and Pillow's global settings stay as they are.
_READERS: dict[str, Callable[[IO[bytes]], ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
}

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
"""Suffixes, in lower case, of the formats that are decoded: what is taken for an image in a folder."""

_END_MARKERS = {"JPEG": "end marker (FF D9)", "PNG": "last chunk (IEND)"}


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """Size, orientation and format of an image, known before it is decoded.

    Args:
        width: pixels, EXIF orientation applied.
        height: pixels, EXIF orientation applied.
        orientation: EXIF 1..8 that :func:`decode_image` must apply to get there; 1 where there is none (TIFF
            decoders turn the picture themselves).
        format: ``JPEG``, ``PNG``, ``WebP``, ``BMP`` or ``TIFF``.
    """

    width: int
    height: int
    orientation: int
    format: str


def read_header(path: str | Path, *, folder: str | Path = "") -> ImageHeader:
    """Read size and orientation of an image, and check that the file is complete, without decoding it.

    A JPEG must have its end marker, a PNG its last chunk, the others the number of bytes given in their headers.

    Args:
        path: the image file.
        folder: where a relative path starts, if not the working folder; messages name ``path`` alone.

    Returns:
        The header.

    Raises:
        ImageError: rule ``missing-image``, ``not-an-image`` (another kind of file), ``truncated-image`` (the file is
            cut short), ``broken-header`` (it is not, but its header cannot be read) or ``unsupported-image``.

    >>> import tempfile, cv2
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "a.png"
    ...     _ = cv2.imwrite(str(file), np.zeros((20, 30, 3), np.uint8))
    ...     read_header(file)
    ImageHeader(width=30, height=20, orientation=1, format='PNG')
    """
    with _open(path, folder) as file:
        return _read_header(file, str(path))


def _read_header(file: IO[bytes], name: str) -> ImageHeader:
    kind = _kind(file.read(16), name)
    file.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow on odd EXIF; a wrong header is an error below
        image = _parse_header(file, kind, name)
    _check_complete(file, kind, image, name)
    return _checked(image, kind, name)


def _open(path: str | Path, folder: str | Path) -> IO[bytes]:
    try:
        return open(os.path.join(folder, path), "rb")
    except (FileNotFoundError, NotADirectoryError):
        raise ImageError("missing-image", f"no image file {path}") from None
    except IsADirectoryError:
        raise ImageError("not-an-image", f"{path} is a folder") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ImageError("missing-image", f"cannot open {path}: {reason}") from None


def _kind(head: bytes, name: str) -> str:
    kind = kind_of(head)
    if kind in _READERS:
        return kind
    if kind is not None:
        raise ImageError("unsupported-image", f"{name} is a {kind} file; save it as one of {', '.join(_READERS)}")
    seen = f"it starts with {head[:8]!r}" if head else "the file is empty"
    raise ImageError("not-an-image", f"{name} is not an image in a supported format ({seen})")


def _parse_header(file: IO[bytes], kind: str, name: str) -> ImageFile.ImageFile:
    try:
        return _READERS[kind](file)
    except MemoryError:
        raise
    except Exception as error:  # Pillow raises SyntaxError, struct.error, KeyError, ... on broken headers
        if _ends_in_header(file, kind):
            raise _cut_short(name, f"it ends inside the {kind} header", file) from None
        raise ImageError("broken-header", f"{name}: the {kind} header cannot be read ({error})") from None


def _ends_in_header(file: IO[bytes], kind: str) -> bool:
    """Whether a header could not be read because the file ends too early; ``file`` stands where reading failed."""
    at = file.tell()
    size = file.seek(0, 2)
    file.seek(0)
    if kind == "WebP":  # Pillow reads it whole, wherever the error is
        return size < _webp_bytes(file.read(12))
    return at >= size and not (kind in _END_MARKERS and _has_end(kind, file.read()))


def _checked(image: ImageFile.ImageFile, kind: str, name: str) -> ImageHeader:
    width, height = image.size
    if width < 1 or height < 1:
        raise ImageError("not-an-image", f"{name} has no pixels ({width}x{height})")
    if width * height > MAX_PIXELS:
        size = f"{width}x{height}, {width * height / 1e6:,.0f} million pixels"
        raise ImageError("unsupported-image", f"{name} is {size}; at most {MAX_PIXELS / 1e6:,.0f} are decoded")
    if kind == "TIFF":
        if image.mode in ("RGBA", "RGBX", "PA", "F", "I"):  # cv2 multiplies by alpha, or refuses
            raise ImageError("unsupported-image", f"{name} is a TIFF of kind {image.mode}; save it as PNG or JPEG")
        return ImageHeader(width, height, 1, kind)
    exif = image.info.get("exif", b"")
    orientation = exif_orientation(exif) if isinstance(exif, bytes) else 1
    if orientation >= 5:
        width, height = height, width
    return ImageHeader(width, height, orientation, kind)


def _check_complete(file: IO[bytes], kind: str, image: ImageFile.ImageFile, name: str) -> None:
    """Raise unless the file has the end, or the length, that its format asks for."""
    size = file.seek(0, 2)
    file.seek(max(0, size - TAIL_BYTES))
    tail = file.read()
    if kind in _END_MARKERS:
        file.seek(0)
        complete = has_end(kind, tail) or _has_end(kind, file.read())
        reason = f"the {kind} has no {_END_MARKERS[kind]}"
    else:
        file.seek(0)
        expected = _expected_bytes(kind, file.read(12), image)
        complete, reason = size >= expected, f"expected {expected:,} bytes from the {kind} header"
    if not complete:
        raise _cut_short(name, reason, file)


def _has_end(kind: str, content: bytes) -> bool:
    return has_end(kind, content[-TAIL_BYTES:]) or has_end_inside(kind, content)


def _cut_short(name: str, reason: str, file: IO[bytes]) -> ImageError:
    return ImageError("truncated-image", f"{name} is cut short: {reason}, the file has {file.seek(0, 2):,} bytes")


def _webp_bytes(head: bytes) -> int:
    return 8 + int.from_bytes(head[4:8], "little")


def _expected_bytes(kind: str, head: bytes, image: ImageFile.ImageFile) -> int:
    if kind == "WebP":
        return _webp_bytes(head)
    if kind == "TIFF":
        tags = image.tag_v2  # type: ignore[attr-defined]
        offsets, lengths = (tags.get(273), tags.get(279)) if 273 in tags else (tags.get(324), tags.get(325))
        return max((at + n for at, n in zip(offsets or (), lengths or (), strict=False)), default=0)
    codec, _, offset, args = image.tile[0]
    stride = args[1] if codec == "raw" and isinstance(args, tuple) else 0
    return int(offset) + int(stride) * image.size[1]


def orient(pixels: npt.NDArray[np.uint8], orientation: int) -> npt.NDArray[np.uint8]:
    """Turn and mirror stored pixels into what a person should see.

    Args:
        pixels: (H, W, C) uint8 as stored.
        orientation: EXIF 1..8.

    Returns:
        (H, W, C) uint8, or (W, H, C) for 5..8; contiguous.

    >>> orient(np.array([[[1], [2]]], np.uint8), 6).tolist()
    [[[1]], [[2]]]
    """
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    # Mirrored left-right and top-down, after the transposition: EXIF 2.3, table of tag 0x0112.
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def decode_image(encoded: bytes, orientation: int = 1, *, name: str = "image") -> npt.NDArray[np.uint8]:
    """Decode an image to the pixels that a person sees.

    Grey becomes three equal channels, 16 bits lose their lower eight, alpha is dropped, CMYK is converted without
    colour profile: as Pillow does it, except that Pillow clips 16-bit grey.  A JPEG that is damaged in the middle but
    has its end is decoded as libjpeg does it, with a warning of libjpeg on standard error and no error.

    Args:
        encoded: the whole file.
        orientation: EXIF 1..8, as :func:`read_header` found it; the file's own is ignored.
        name: of the image, for errors.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ImageError: with the rules of :func:`read_header`.

    >>> ok, png = cv2.imencode(".png", np.full((2, 3, 3), (255, 0, 0), np.uint8))
    >>> decode_image(png.tobytes(), 6)[0, 0].tolist(), decode_image(png.tobytes(), 6).shape
    ([0, 0, 255], (3, 2, 3))
    """
    kind = _kind(encoded[:16], name)
    ended = kind not in _END_MARKERS or _has_end(kind, encoded)
    pixels = _imdecode(encoded) if ended else None
    if pixels is None:
        _read_header(io.BytesIO(encoded), name)  # raises where it knows why
        raise ImageError("unsupported-image", f"{name}: OpenCV cannot decode this {kind} (damaged or unusual)")
    return orient(pixels, orientation)


def _imdecode(encoded: bytes) -> npt.NDArray[np.uint8] | None:
    log = cv2.utils.logging
    before = log.setLogLevel(log.LOG_LEVEL_SILENT)  # the error we raise says more
    try:
        flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
        pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags)
    except cv2.error:
        return None
    finally:
        log.setLogLevel(before)
    return None if pixels is None else np.asarray(pixels, np.uint8)


def read_bytes(path: str | Path, *, folder: str | Path = "") -> bytes:
    """The bytes of an image file, unchecked.

    Args:
        path: as in the annotation text.
        folder: where a relative path starts, if not the working folder.

    Raises:
        ImageError: rule ``missing-image``, or ``not-an-image`` for a folder.

    >>> read_bytes("nowhere.jpg")
    Traceback (most recent call last):
    yolopipe.errors.ImageError: no image file nowhere.jpg
    """
    with _open(path, folder) as file:
        return file.read()


def read_image(path: str | Path, orientation: int = 1, *, folder: str | Path = "") -> npt.NDArray[np.uint8]:
    """Read and decode an image file; see :func:`decode_image`.

    Args:
        path: the image file.
        orientation: EXIF 1..8, as :func:`read_header` found it.
        folder: where a relative path starts, if not the working folder; messages name ``path`` alone.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ImageError: with the rules of :func:`read_header`.

    >>> read_image("nowhere.jpg")
    Traceback (most recent call last):
    yolopipe.errors.ImageError: no image file nowhere.jpg
    """
    return decode_image(read_bytes(path, folder=folder), orientation, name=str(path))
