"""What the bytes of an image file give away without a decoder: its format, its orientation, whether it is whole."""

from __future__ import annotations

import struct

__all__ = ["TAIL_BYTES", "exif_orientation", "has_end", "has_end_inside", "kind_of"]

_MAGIC = (
    (b"\xff\xd8\xff", 0, "JPEG"),
    (b"\x89PNG\r\n\x1a\n", 0, "PNG"),
    (b"WEBP", 8, "WebP"),
    (b"BM", 0, "BMP"),
    (b"II*\0", 0, "TIFF"),
    (b"MM\0*", 0, "TIFF"),
    (b"GIF8", 0, "GIF"),
    (b"ftypavi", 4, "AVIF"),
    (b"ftyphei", 4, "HEIC"),
    (b"ftypmif1", 4, "HEIC"),
    (b"\0\0\0\x0cjP", 0, "JPEG 2000"),
    (b"8BPS", 0, "Photoshop"),
    (b"%PDF", 0, "PDF"),
)

_ORIENTATION_TAG = 0x0112
TAIL_BYTES = 64
"""How much of a file's end :func:`has_end` wants to see."""

_PNG_END = b"IEND\xaeB`\x82"
_JPEG_END = b"\xff\xd9"
_JPEG_SCAN = b"\xff\xda"


def kind_of(head: bytes) -> str | None:
    """The format that the first 16 bytes of a file announce; None where they announce none that is known.

    >>> kind_of(b"\\xff\\xd8\\xff\\xe0"), kind_of(b"GIF89a"), kind_of(b"hello")
    ('JPEG', 'GIF', None)
    """
    return next((kind for magic, at, kind in _MAGIC if head[at : at + len(magic)] == magic), None)


def exif_orientation(exif: bytes) -> int:
    """The orientation that an EXIF block asks for.

    Args:
        exif: the block, with or without its leading ``Exif\\0\\0``; anything at all is accepted.

    Returns:
        1..8; 1 where the tag is absent, out of range, or the block is broken (EXIF 2.3, tag 0x0112).

    >>> from PIL import Image
    >>> block = Image.Exif()
    >>> block[0x0112] = 6
    >>> exif_orientation(block.tobytes()), exif_orientation(b"")
    (6, 1)
    """
    block = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "I", block, 4)
        (count,) = struct.unpack_from(order + "H", block, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(order + "HH", block, entry)
            if tag == _ORIENTATION_TAG:
                (value,) = struct.unpack_from(order + ("I" if kind == 4 else "H"), block, entry + 8)
                return int(value) if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def has_end(kind: str, tail: bytes) -> bool:
    """Whether a JPEG or PNG ends, judged by its last bytes alone; blanks and zeros behind the end are no harm.

    >>> has_end("JPEG", b"...\\xff\\xd9\\0"), has_end("JPEG", b"...\\xff")
    (True, False)
    """
    return tail.rstrip(b"\0\r\n ").endswith(_JPEG_END) if kind == "JPEG" else _PNG_END in tail


def has_end_inside(kind: str, content: bytes) -> bool:
    """Whether a JPEG or PNG ends somewhere in the whole file: phones append things (a film, a depth map).

    A JPEG's end counts behind its first scan only (inside a scan FF is always followed by 00 or a restart), so that
    the end of a thumbnail does not.

    >>> has_end_inside("JPEG", b"\\xff\\xd8\\xff\\xe1\\0\\4\\xff\\xd9\\xff\\xda\\0\\2 scan")
    False
    """
    if kind == "PNG":
        return _PNG_END in content
    at = 2
    while content[at : at + 1] == b"\xff" and content[at : at + 2] != _JPEG_SCAN and at + 4 <= len(content):
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big") if content[at + 1] != 0xFF else 1
    return content.find(_JPEG_END, at) >= 0
