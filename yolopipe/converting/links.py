"""Links to images under distinct names, so that a data set holds its images without copying them."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from yolopipe.errors import YolopipeError

__all__ = ["link_image", "unique_stems"]


def unique_stems(image_paths: Sequence[str]) -> list[str]:
    """File names without suffix, made distinct, also where a file system ignores case and Unicode form.

    >>> unique_stems(["x/a.jpg", "y/A.jpg", "b.png"])
    ['a', 'A_2', 'b']
    """
    taken: set[str] = set()
    last: dict[str, int] = {}
    stems = []
    for path in image_paths:
        base = stem = os.path.splitext(os.path.basename(path))[0]
        key = _folded(base)
        while _folded(stem) in taken:
            last[key] = last.get(key, 1) + 1
            stem = f"{base}_{last[key]}"
        taken.add(_folded(stem))
        stems.append(stem)
    return stems


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name.casefold())


def link_image(path: str, link: Path, final_folder: str) -> None:
    """A relative link for a relative path, so that the project and the new folder can be moved together.

    Args:
        path: of the image, as annotation text names it.
        link: to make, in a folder that becomes ``final_folder``.
        final_folder: absolute path of the folder of the link.

    Raises:
        YolopipeError: the file system has no links.
    """
    target = path if os.path.isabs(path) else os.path.relpath(os.path.abspath(path), final_folder)
    try:
        link.symlink_to(target)
    except OSError as error:
        hint = "choose a folder on a file system with symbolic links: --out DIR"
        raise YolopipeError(f"cannot link {link.name}: {error.strerror}", hint=hint) from None
