"""Search of pictures by the names that annotation files give them, wherever they lie below a folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from yolopipe.importing.source_files import FileIndex, list_images

__all__ = ["AmbiguousPicture", "PictureFinder", "spellings"]

_SUFFIX = re.compile(r"\.(jpe?g|png|bmp|webp|tiff?|gif|jfif|heic|avif)$", re.IGNORECASE)
_ADDRESS = re.compile(r"^[a-z][a-z0-9+.-]*://[^/]*/", re.IGNORECASE)
_LOCAL_FILE = re.compile(r"[?&]d=([^&]*)")
_UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-(?=.)")


class AmbiguousPicture(Exception):
    """Several pictures fit a name equally well; the message lists them."""


class PictureFinder:
    """Pictures below a folder, found by the names of records.

    A path that exists is taken as it is: from the folder of the record, from the folder of the pictures, and last
    from the working folder.  Otherwise the last part of the name decides, and its folders where several pictures have
    that name; the suffix is ignored where no picture has it.

    Args:
        folder: searched with all that is below it.
        also_here: whether names may start at the working folder, or at the root of the file system.
    """

    def __init__(self, folder: Path, *, also_here: bool = True) -> None:
        self.folder = folder
        self.index = FileIndex(list_images(folder))
        self._starts = [folder, *([Path()] if also_here else [])]

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
                if os.path.isfile(os.path.join(folder, text)):
                    return Path(os.path.join(folder, text))  # join: an absolute name stays absolute
        for text in variants:
            last = text.rpartition("/")[2]
            found = self.index.find(text) or self.index.of_stem(_SUFFIX.sub("", last))
            if len(found) > 1:
                listed = ", ".join(map(str, found[:3])) + (", ..." if len(found) > 3 else "")
                raise AmbiguousPicture(f"{len(found)} images fit {name!r}: {listed}")
            if found:
                return found[0]
        return None


def spellings(name: str) -> Iterator[str]:
    """Paths that a name may mean, as written first: slashes turned, an address undone, without an upload's prefix.

    >>> list(spellings("sub\\\\a 1.jpg"))[-1]
    'sub/a 1.jpg'
    >>> list(spellings("/data/local-files/?d=set%201/a.jpg"))[1]
    'set 1/a.jpg'
    >>> list(spellings("/data/upload/3/0f1e2d3c-a.jpg"))
    ['/data/upload/3/0f1e2d3c-a.jpg', '/data/upload/3/a.jpg']
    """
    turned = name.strip().replace("\\", "/")
    local = [unquote(value) for value in _LOCAL_FILE.findall(name)]
    found = [name, turned, *local, *(text.replace("\\", "/") for text in local)]
    if _ADDRESS.match(turned) or "%" in turned:
        path = _ADDRESS.sub("", turned)
        found += [path, unquote(path), unquote(path.partition("?")[0])]
    for text in list(found):
        head, slash, last = text.rpartition("/")
        found.append(f"{head}{slash}{_UPLOAD_PREFIX.sub('', last)}")
    yield from dict.fromkeys(found)
