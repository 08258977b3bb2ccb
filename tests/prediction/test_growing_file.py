"""A file that is complete after each write, also after one that fails."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from yolopipe.prediction.growing_file import GrowingFile


def partial(folder: Path) -> str:
    return (folder / ".partial-a.json").read_text()


def test_the_temporary_file_is_complete_at_any_time(tmp_path: Path) -> None:
    file = GrowingFile(tmp_path / "a.json")
    file.write("[1", ending=', "the longest ending"]')
    assert partial(tmp_path) == '[1, "the longest ending"]'
    file.write(", 2", ending="]")
    assert partial(tmp_path) == "[1, 2]"
    file.write("", ending=", 3]")
    file.close()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.json": "[1, 2, 3]"}


def test_a_discarded_file_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("older")
    file = GrowingFile(tmp_path / "a.json")
    file.write("newer", ending="")
    file.discard()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.json": "older"}


@pytest.mark.parametrize("room", range(12))
def test_a_full_disk_in_the_middle_of_a_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """The disk takes ``room`` more bytes; what lies on it already can be written over."""
    file = GrowingFile(tmp_path / "a.json")
    file.write("[1", ending="\n]\n")
    size = len("[1\n]\n") + room
    real = os.pwrite

    def limited(handle: int, content: bytes, place: int) -> int:
        if place >= size:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(handle, content[: size - place], place)

    monkeypatch.setattr(os, "pwrite", limited)
    with pytest.raises(OSError, match="No space"):
        file.write(", 2, 3, 4, 5, 6, 7", ending="\n]\n")
    assert partial(tmp_path) == "[1\n]\n"
    file.close()
    assert (tmp_path / "a.json").read_text() == "[1\n]\n"


def test_names_that_are_not_utf_8_are_written_as_json_reads_them(tmp_path: Path) -> None:
    file = GrowingFile(tmp_path / "a.json")
    file.write('"\udcff"', ending="")
    file.close()
    assert (tmp_path / "a.json").read_bytes() == b'"\\udcff"'
