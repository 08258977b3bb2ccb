"""The images, videos and cameras that the arguments of ``yolopipe predict`` name, and a file name for each output."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from yolopipe.errors import DataError, UsageError
from yolopipe.formats.annotation_text import read_annotations
from yolopipe.imaging.images import IMAGE_SUFFIXES

__all__ = ["VIDEO_SUFFIXES", "Sources", "find_sources", "output_names"]

VIDEO_SUFFIXES = {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".ts"}


@dataclass(frozen=True)
class Sources:
    """The input of a run, in order; no file twice.

    Args:
        images: files that should be images, paths as they were given or found.
        videos: files that should be videos.
        cameras: numbers of cameras.
        others: files of named folders that are neither.
    """

    images: tuple[str, ...] = ()
    videos: tuple[str, ...] = ()
    cameras: tuple[int, ...] = ()
    others: int = 0


def find_sources(arguments: Sequence[str], *, recursive: bool = False, drawn: str | Path = "") -> Sources:
    """Find the images, videos and cameras that the arguments name.

    Args:
        arguments: image and video files, folders, patterns with ``*``, annotation text (``.txt``: its images, in its
            order), numbers of cameras.
        recursive: include the files of subfolders.
        drawn: the folder for drawn pictures; its files are skipped, since an earlier run made them.

    Returns:
        The files in the order of the arguments, those of a folder or pattern in the order of their names.

    Raises:
        UsageError: there are no arguments.
        DataError: an argument matches no file, or all of them together no image, video or camera.
    """
    if not arguments:
        raise UsageError("no image, folder, video or camera was named", hint="yolopipe predict PATH...")
    cameras = [int(argument) for argument in arguments if _is_camera(argument)]
    kinds: dict[str, list[str]] = {"image": [], "video": [], "other": []}
    seen: set[str] = set()
    files = [argument for argument in arguments if not _is_camera(argument)]
    for path, named in _files(files, recursive, os.path.realpath(drawn) if drawn else ""):
        if (real := os.path.realpath(path)) not in seen:
            seen.add(real)
            kinds[_kind(path, named)].append(path)
    images, videos = tuple(kinds["image"]), tuple(kinds["video"])
    if not (images or videos or cameras):
        raise DataError(
            f"no image and no video in {', '.join(arguments)} ({len(kinds['other']):,} other files)",
            hint="name files, or include subfolders with --recursive",
        )
    return Sources(images, videos, tuple(dict.fromkeys(cameras)), len(kinds["other"]))


def _is_camera(argument: str) -> bool:
    return argument.isascii() and argument.isdigit() and not os.path.exists(argument)


def _kind(path: str, named: bool) -> str:
    suffix = os.path.splitext(path)[1].lower()
    if suffix in VIDEO_SUFFIXES:
        return "video"
    return "image" if named or suffix in IMAGE_SUFFIXES else "other"


def _files(arguments: Iterable[str], recursive: bool, drawn: str) -> Iterator[tuple[str, bool]]:
    """Each file, and whether it was named itself, not found in a folder."""
    for argument in arguments:
        if os.path.isdir(argument):
            yield from ((path, False) for path in _in_folder(argument, recursive, drawn))
        elif argument.lower().endswith(".txt") and os.path.isfile(argument):
            yield from ((path, True) for path in read_annotations(argument).image_paths)
        elif os.path.lexists(argument):
            yield argument, True
        else:
            yield from _matching(argument, drawn)


def _matching(pattern: str, drawn: str) -> Iterator[tuple[str, bool]]:
    found = [path for path in sorted(glob.glob(pattern, recursive=True)) if os.path.isfile(path)]
    if not found:
        what = "matches no file" if glob.has_magic(pattern) else "does not exist"
        raise DataError(f"{pattern} {what} (seen from {os.getcwd()})")
    yield from ((path, False) for path in found if not _inside(path, drawn))


def _in_folder(folder: str, recursive: bool, drawn: str) -> Iterator[str]:
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if recursive else []
        paths = (os.path.join(where, name) for name in sorted(files) if not name.startswith("."))
        yield from (path for path in paths if not _inside(path, drawn))


def _inside(path: str, folder: str) -> bool:
    return bool(folder) and os.path.realpath(path).startswith(os.path.join(folder, ""))


def output_names(paths: Sequence[str], suffixes: dict[str, str], default: str) -> list[str]:
    """A relative name for the output of each file, no two alike.

    Folders below the common folder of the files are kept, so that files of one name in two folders stay apart.

    Args:
        paths: the files.
        suffixes: those that can be kept, in lower case, and what each becomes.
        default: appended to names with any other suffix.

    >>> output_names(["a/x.jpg", "b/x.jpg", "b/x.bmp"], {".jpg": ".jpg"}, ".png")
    ['a/x.jpg', 'b/x.jpg', 'b/x.bmp.png']
    """
    real = [os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path)) for path in paths]
    common = os.path.commonpath([os.path.dirname(path) for path in real]) if real else ""
    taken: set[str] = set()
    names = []
    for path in real:
        stem, suffix = os.path.splitext(os.path.relpath(path, common))
        end = suffixes.get(suffix.lower())
        name = (stem, end) if end else (stem + suffix, default)
        number, wanted = 1, "".join(name)
        while wanted.lower() in taken:  # also where the file system does not tell x.jpg from x.JPG
            number += 1
            wanted = f"{name[0]}-{number}{name[1]}"
        taken.add(wanted.lower())
        names.append(wanted)
    return names
