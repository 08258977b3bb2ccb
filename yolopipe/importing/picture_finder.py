"""Search of pictures by the names that annotation files give them, wherever they lie below a folder."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

from yolopipe.importing.source_files import list_images

__all__ = ["AmbiguousPicture", "PictureFinder", "spellings"]

_SUFFIX = re.compile(r"\.(jpe?g|png|bmp|webp|tiff?|gif|jfif|heic|avif)$", re.IGNORECASE)
_ADDRESS = re.compile(r"^[a-z][a-z0-9+.-]*://[^/]*/", re.IGNORECASE)
_LOCAL_FILE = re.compile(r"[?&]d=([^&]*)")
_UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-(?=.)")


class AmbiguousPicture(Exception):
    """Several pictures fit a name equally well; the message lists them."""


class PictureFinder:
    """Pictures below some folders, found by name.

    A path that exists is taken as it is: from the folder of the record, from the folders, and last from the working
    folder.  Otherwise the last part of the name decides, and its folders where several pictures have that name; case
    and Unicode form are ignored only where no picture has the exact name, the suffix only where none has it at all.

    Args:
        folders: each is searched with all that is below it.
        also_here: whether names may start at the working folder, or at the root of the file system.
    """

    def __init__(self, folders: Sequence[Path], *, also_here: bool = True) -> None:
        self.folders = list(folders)
        self.pictures = list(dict.fromkeys(picture for folder in folders for picture in list_images(folder)))
        self._starts = [*self.folders, *([Path()] if also_here else [])]
        self._indexes: dict[Callable[[str], str], dict[str, Path | list[Path]]] = {}

    def find(self, name: str, near: Path | None = None) -> Path | None:
        """The picture of a name; None where there is none.

        Args:
            name: as written: a path, also of Windows, an address, or only a file name, with or without its suffix.
            near: the folder of the record, where the name may start.

        Raises:
            AmbiguousPicture: several fit.
        """
        variants = list(spellings(name))
        for folder in [*([near] if near else []), *self._starts]:
            for text in variants:
                if os.path.isfile(os.path.join(folder, text)):  # join: an absolute name stays absolute
                    return Path(os.path.join(folder, text))
        for text in variants:
            *parts, last = [part for part in text.split("/") if part not in ("", ".", "..")] or [""]
            for level in (_exact, _folded, _stem) if _SUFFIX.search(last) else (_stem,):
                found = self._index(level).get(level(last), [])
                if found:
                    return _best(found, parts, name) if isinstance(found, list) else found
        return None

    def _index(self, level: Callable[[str], str]) -> dict[str, Path | list[Path]]:
        """Pictures by what their names are compared by; made when first needed, since there may be millions."""
        if level not in self._indexes:
            index = self._indexes[level] = {}
            for picture in self.pictures:
                first = index.setdefault(level(picture.name), picture)
                if first is not picture:
                    index[level(picture.name)] = [*first, picture] if isinstance(first, list) else [first, picture]
        return self._indexes[level]


def _exact(name: str) -> str:
    return name


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _stem(name: str) -> str:
    return _SUFFIX.sub("", _folded(name))


def _best(found: Sequence[Path], folders: Sequence[str], name: str) -> Path:
    """The picture that shares most folders with the name, counted from its end."""
    wanted = [_folded(folder) for folder in reversed(folders)]

    def shared(picture: Path) -> int:
        same = [a == _folded(b) for a, b in zip(wanted, reversed(picture.parts[:-1]), strict=False)]
        return same.index(False) if False in same else len(same)

    most = max(map(shared, found))
    best = [picture for picture in found if shared(picture) == most]
    if len(best) > 1:
        listed = ", ".join(map(str, best[:3])) + (", ..." if len(best) > 3 else "")
        raise AmbiguousPicture(f"{len(best)} pictures fit {name!r}: {listed}")
    return best[0]


def spellings(name: str) -> Iterator[str]:
    """Paths that a name may mean, as written first: slashes turned, an address undone, without an upload's prefix.

    >>> list(spellings("sub\\\\a 1.jpg"))
    ['sub/a 1.jpg']
    >>> list(spellings("/data/local-files/?d=set%201/a.jpg"))[1]
    'set 1/a.jpg'
    >>> list(spellings("/data/upload/3/0f1e2d3c-a.jpg"))
    ['/data/upload/3/0f1e2d3c-a.jpg', '/data/upload/3/a.jpg']
    """
    turned = name.strip().replace("\\", "/")
    found = [turned]
    found += [unquote(value) for value in _LOCAL_FILE.findall(turned)]
    if _ADDRESS.match(turned) or "%" in turned:
        path = _ADDRESS.sub("", turned)
        found += [path, unquote(path), unquote(path.partition("?")[0])]
    for text in list(found):
        head, slash, last = text.rpartition("/")
        found.append(f"{head}{slash}{_UPLOAD_PREFIX.sub('', last)}")
    yield from dict.fromkeys(text for text in found if text)
