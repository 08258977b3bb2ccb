"""The headers of many images: sizes and orientations, or why one cannot be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from yolopipe import console
from yolopipe.errors import ImageError
from yolopipe.imaging.images import read_header
from yolopipe.workers.mapping import map_in_order
from yolopipe.workers.pool import Workers

__all__ = ["Header", "check_headers", "read_headers"]

CHUNK_IMAGES = 512
FEW_IMAGES = 4096
"""Up to here one process reads the headers (30 µs each) before others have started (a second)."""


class Header(NamedTuple):
    """What is known of an image.

    Args:
        width: pixels, EXIF orientation applied; 0 where the image cannot be read.
        height: the same.
        orientation: EXIF 1..8.
        rule: why it cannot be read, in one word; empty for a good image.
        message: the same as a sentence.
    """

    width: int
    height: int
    orientation: int
    rule: str
    message: str


def check_headers(image_paths: Sequence[str], folder: Path) -> list[Header]:
    """The header of every image, in their order; relative paths start at ``folder``."""
    found = []
    for path in image_paths:
        try:
            header = read_header(path, folder=folder)
            found.append(Header(header.width, header.height, header.orientation, "", ""))
        except ImageError as error:
            found.append(Header(0, 0, 1, error.rule, error.message))
    return found


def read_headers(image_paths: Sequence[str], *, title: str, workers: Workers = 1) -> Iterator[Header]:
    """Read the header of every image, and show progress.

    Args:
        image_paths: relative ones start at the working folder.
        title: what the progress line is called.
        workers: processes, or a cluster; changes nothing but the time.

    Returns:
        One header a path, in their order.

    >>> [header.rule for header in read_headers(["nowhere.jpg"], title="look")]
    ['missing-image']
    """
    chunks = [image_paths[at : at + CHUNK_IMAGES] for at in range(0, len(image_paths), CHUNK_IMAGES)]
    found: list[Header] = []
    workers = 1 if len(image_paths) <= FEW_IMAGES else workers
    with console.progress(title, len(image_paths)) as advance:
        check = partial(check_headers, folder=Path.cwd())
        for headers in map_in_order(check, chunks, workers=workers, name=lambda chunk: chunk[0]):
            found += headers
            advance(len(headers))
    return iter(found)
