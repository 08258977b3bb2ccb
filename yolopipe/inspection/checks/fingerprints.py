"""Fingerprints of source images, made in worker processes: the file's digest, and hashes of a reduced grey decode.

A JPEG is decoded at an eighth, a quarter or half of its size: libjpeg then skips most of the work.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from yolopipe.errors import ImageError
from yolopipe.imaging.images import read_bytes, read_header
from yolopipe.inspection.checks.near_duplicates import Prints, empty_prints
from yolopipe.inspection.checks.rules import FLAT_GREY
from yolopipe.workers.mapping import map_unordered
from yolopipe.workers.pool import Workers

__all__ = ["Fingerprints", "fingerprint_images", "grey_prints"]

CHUNK_IMAGES = 256
FEW_IMAGES = 2048
"""Up to here one process is done before others have started."""

LEAST_SIDE = 36
"""A reduced decode keeps at least this many pixels of the shorter side: the hashes average over 8 areas."""

REDUCED = (
    (8, cv2.IMREAD_REDUCED_GRAYSCALE_8),
    (4, cv2.IMREAD_REDUCED_GRAYSCALE_4),
    (2, cv2.IMREAD_REDUCED_GRAYSCALE_2),
)

Grey = npt.NDArray[np.uint8]


class Fingerprints(NamedTuple):
    """Fingerprints of N images.

    Args:
        prints: zeros where an image could not be read.
        usable: (N,) bool; read, and not of one uniform colour.
        unreadable: number, rule and message of each image that could not be read, in order.
    """

    prints: Prints
    usable: npt.NDArray[np.bool_]
    unreadable: list[tuple[int, str, str]]


def fingerprint_images(
    image_paths: Sequence[str], folder: Path, *, workers: Workers = 1, advance: Callable[[int], None] = lambda n: None
) -> Fingerprints:
    """Fingerprints of many images.

    Args:
        image_paths: as in the annotation text.
        folder: where relative ones start.
        workers: processes; changes nothing but the time.
        advance: called with the number of images done.

    Returns:
        Some 300 bytes an image.
    """
    count = len(image_paths)
    prints = empty_prints(count)
    usable, unreadable = np.zeros(count, bool), []
    starts = range(0, count, CHUNK_IMAGES)
    chunks = [image_paths[at : at + CHUNK_IMAGES] for at in starts]
    work = partial(_fingerprint_chunk, folder=folder.absolute())
    few = isinstance(workers, int) and count <= FEW_IMAGES
    for index, found in map_unordered(work, chunks, workers=1 if few else workers, name=lambda chunk: chunk[0]):
        part = slice(starts[index], starts[index] + len(chunks[index]))
        for name in Prints._fields:
            getattr(prints, name)[part] = getattr(found.prints, name)
        usable[part] = found.usable
        unreadable += [(number + starts[index], rule, message) for number, rule, message in found.unreadable]
        advance(len(chunks[index]))
    return Fingerprints(prints, usable, sorted(unreadable))


def _fingerprint_chunk(image_paths: Sequence[str], folder: Path) -> Fingerprints:
    count = len(image_paths)
    prints = empty_prints(count)
    usable, unreadable = np.zeros(count, bool), []
    log = cv2.utils.logging
    before = log.setLogLevel(log.LOG_LEVEL_SILENT)  # our own message names the file and the reason
    try:
        for index, path in enumerate(image_paths):
            try:
                prints.digest[index], grey = _read(path, folder)
            except ImageError as error:
                unreadable.append((index, error.rule, error.message))
                continue
            prints.across[index], prints.down[index], prints.thumb[index] = grey_prints(grey)
            usable[index] = prints.thumb[index].std() >= FLAT_GREY
    finally:
        log.setLogLevel(before)
    return Fingerprints(prints, usable, unreadable)


def _read(path: str, folder: Path) -> tuple[int, Grey]:
    header = read_header(path, folder=folder)
    encoded = read_bytes(path, folder=folder)
    flag = next((f for by, f in REDUCED if min(header.width, header.height) >= by * LEAST_SIDE), cv2.IMREAD_GRAYSCALE)
    grey = None
    with suppress(cv2.error):
        grey = cv2.imdecode(np.frombuffer(encoded, np.uint8), flag)
    if grey is None:
        raise ImageError("unsupported-image", f"{path}: OpenCV cannot decode this {header.format}")
    return int.from_bytes(hashlib.blake2b(encoded, digest_size=8).digest(), "little"), np.asarray(grey, np.uint8)


def grey_prints(grey: Grey) -> tuple[int, int, Grey]:
    """Both difference hashes and the thumbnail of a grey picture.

    Args:
        grey: (H, W) uint8.

    Returns:
        Bits from left to right, from top to bottom, and (256,) uint8.

    >>> across, down, thumb = grey_prints(np.tile(np.arange(64, dtype=np.uint8), (64, 1)))
    >>> across == 2**64 - 1, down, thumb.shape
    (True, 0, (256,))
    """
    wide = _resized(grey, 9, 8)
    high = _resized(grey, 8, 9)
    across = np.packbits(wide[:, 1:] > wide[:, :-1]).tobytes()
    down = np.packbits(high[1:] > high[:-1]).tobytes()
    thumb = _resized(grey, 16, 16).reshape(-1)
    return int.from_bytes(across, "little"), int.from_bytes(down, "little"), thumb


def _resized(grey: Grey, width: int, height: int) -> Grey:
    return np.asarray(cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
