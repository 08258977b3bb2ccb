"""Finding the images of a data set, and their paths as annotation text writes them."""

from __future__ import annotations

import os
from pathlib import Path

from yolopipe.imaging.images import IMAGE_SUFFIXES

__all__ = ["SPLIT_NAMES", "find_image", "list_images", "shown_path"]

SPLIT_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""What folders, keys and lists are called, and the split that each means."""


def list_images(folder: Path) -> list[Path]:
    """All images in a folder and below, sorted by path; recognised by their suffix."""
    return sorted(
        Path(place, name)
        for place, _, names in os.walk(folder)
        for name in names
        if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES
    )


def find_image(folder: Path, stem: str) -> Path | None:
    """The image of this name without suffix; None where there is none."""
    suffixes = (*IMAGE_SUFFIXES, *(suffix.upper() for suffix in IMAGE_SUFFIXES))
    return next((file for suffix in suffixes if (file := folder / f"{stem}{suffix}").is_file()), None)


def shown_path(picture: str | Path) -> str:
    """The path in annotation text: relative to the project folder for an image below it, else absolute.

    >>> shown_path(Path.cwd() / "a" / "b.jpg")
    'a/b.jpg'
    """
    absolute = os.path.abspath(picture)
    here = os.path.join(os.getcwd(), "")
    return Path(absolute.removeprefix(here)).as_posix()
