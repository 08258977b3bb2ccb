"""Files and folders that appear whole or not at all, and what proves that they are the same.

A killed run leaves only names that start with ``.partial-``; the next run of the same output removes
them.  Nothing else in the package opens an output for writing under its final name.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["atomic_directory", "atomic_file", "canonical_json", "early_sync", "sha256_file", "write_json"]

_PARTIAL = ".partial-"


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _partial_beside(path: Path, token: str = "") -> Path:
    """A fresh name beside ``path`` (same file system, so that renaming is atomic)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.parent / f"{_PARTIAL}{token}{path.name}"
    _remove(partial)
    return partial


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_file(path: Path) -> None:
    with path.open("rb") as handle:
        os.fsync(handle.fileno())


@contextmanager
def atomic_file(path: str | Path, *, concurrent_writers: bool = False, sync: bool = True) -> Iterator[Path]:
    """Yield a temporary path that replaces ``path``, complete and synced, when the block ends without an error.

    Args:
        path: the final name; missing parent folders are made.
        concurrent_writers: another process may write the same file at the same time (a scheduler that takes a worker
            for dead starts its task elsewhere): each writes under a name of its own.  Only inside an
            :func:`atomic_directory`, which removes what killed writers leave, and syncs the file in the end.
        sync: wait until the file is on the disk; without it a power cut may lose the content.

    Yields:
        The path to write to.  It ends with the file name, for writers that look at the suffix (``.weights.h5``).

    Raises:
        OSError: of the file system (read-only, no space, a folder of that name).  ``path`` is then untouched.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_file(Path(folder) / "a.txt") as partial:
    ...         _ = partial.write_text("whole")
    ...     print([p.name for p in Path(folder).iterdir()])
    ['a.txt']
    """
    final = Path(path)
    if final.is_dir():  # here, with this name; the renaming below would name the temporary one
        reason = "a folder has the name of the file to be written; move it, or choose another name"
        raise IsADirectoryError(errno.EISDIR, reason, str(final))
    partial = _partial_beside(final, f"{uuid.uuid4().hex}-" if concurrent_writers else "")
    sync = sync and not concurrent_writers
    try:
        yield partial
        if sync:
            _sync_file(partial)
        partial.replace(final)
        if sync:
            _sync_directory(final.parent)
    finally:
        _remove(partial)


@contextmanager
def early_sync() -> Iterator[Callable[[Path], object]]:
    """Yield a function that syncs a file of an :func:`atomic_directory` to disk in the background.

    It does not wait for the file; the end of the folder syncs what is left, and raises where that fails.
    """
    with ThreadPoolExecutor(1) as thread:
        yield lambda path: thread.submit(_sync_file, path)


@contextmanager
def atomic_directory(path: str | Path) -> Iterator[Path]:
    """Yield an empty temporary folder that replaces ``path`` when the block ends without an error.

    Replacing a folder that exists takes two steps: a kill between them leaves no folder, which the next stage
    reports, and never a mixed one.
    """
    final = Path(path)
    partial = _partial_beside(final)
    partial.mkdir()
    try:
        yield partial
        for left_over in list(partial.rglob(f"{_PARTIAL}*")):
            _remove(left_over)
        for file in sorted(p for p in partial.rglob("*") if p.is_file()):
            _sync_file(file)
        _remove(final)
        partial.replace(final)
        _sync_directory(final.parent)
    finally:
        _remove(partial)


def canonical_json(value: Any) -> str:
    """``value`` as JSON with sorted keys and a final newline: equal values give equal bytes.

    >>> canonical_json({"b": 1, "a": [1.5]})
    '{\\n  "a": [\\n    1.5\\n  ],\\n  "b": 1\\n}\\n'
    """
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return text + "\n"


def write_json(path: str | Path, value: Any) -> None:
    """Write ``value`` to ``path`` as canonical JSON, atomically."""
    with atomic_file(path) as partial:
        partial.write_text(canonical_json(value), encoding="utf-8")


def sha256_file(path: str | Path) -> str:
    """The SHA-256 of a file as 64 hex digits."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
