"""A text file that grows and is complete after every write: what closes it is written again after each piece."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

from yolopipe.files import atomic_file

__all__ = ["GrowingFile"]


class GrowingFile:
    """A file under a temporary name that gets its own name at the end.

    Each :meth:`write` overwrites the ending of the one before.  So the temporary file can be read at any time, also
    after the process was killed; and when the disk is full, the ending before fits where it was.

    Args:
        path: the final name.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = GrowingFile(Path(folder) / "a.json")
    ...     file.write("[1", ending="]")
    ...     file.write(", 2", ending="]")
    ...     file.close()
    ...     Path(folder, "a.json").read_text()
    '[1, 2]'
    """

    def __init__(self, path: Path) -> None:
        self._stack = ExitStack()
        partial = self._stack.enter_context(atomic_file(path))
        self._file = self._stack.enter_context(partial.open("wb", buffering=0))
        self._size, self._ending = 0, b""

    def write(self, text: str, *, ending: str) -> None:
        """Append text and, after it, what makes the file complete until more is appended.

        Raises:
            OSError: the disk is full, for instance; the file is then as it was before.
        """
        # Names that are not UTF-8 hold surrogates; JSON reads them back from this form.
        content, end = (part.encode("utf-8", "backslashreplace") for part in (text, ending))
        try:
            self._put(content + end)
        except OSError:
            self._put(self._ending)
            raise
        self._size, self._ending = self._size + len(content), end

    def close(self) -> None:
        """Give the file its final name."""
        self._stack.close()

    def discard(self) -> None:
        """Remove the file."""
        error = RuntimeError("discarded")  # an error is what tells atomic_file to remove the file
        self._stack.__exit__(RuntimeError, error, None)

    def _put(self, content: bytes) -> None:
        """Write from the end of the text on; nothing follows."""
        done = 0
        while done < len(content):
            done += os.pwrite(self._file.fileno(), content[done:], self._size + done)
        self._file.truncate(self._size + len(content))
