from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolopipe.errors import DataError
from yolopipe.formats.class_names import read_class_names, write_class_names

NAME = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=8).filter(
    lambda name: name == name.strip() and not name.startswith("\ufeff")
)


def read(tmp_path: Path, content: bytes) -> tuple[str, ...]:
    file = tmp_path / "c.names"
    file.write_bytes(content)
    return read_class_names(file)


def test_names_keep_order_and_inner_blanks(tmp_path: Path) -> None:
    assert read(tmp_path, b"\xef\xbb\xbfzebra\r\n traffic light \r\ncat\r\n\r\n  \n") == (
        "zebra",
        "traffic light",
        "cat",
    )


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"", ": "),
        (b"\n \n", ": "),
        (b"a\n\nb\n", ":2: "),
        (b"a\nb\na\n", ":3: class name 'a'"),
        (b"a\nsch\xf6n\n", ":2: "),
    ],
)
def test_mistakes_name_file_and_line(content: bytes, place: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, content)
    assert str(tmp_path / "c.names") + place in str(caught.value)


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, b"a\n\na\n\nb")
    assert len(str(caught.value).splitlines()) == 3


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none"):
        read_class_names(tmp_path / "none")


@given(st.lists(NAME, min_size=1, max_size=6, unique=True))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    file = tmp_path_factory.mktemp("n") / "c.names"
    write_class_names(file, names)
    assert read_class_names(file) == tuple(names)


@pytest.mark.parametrize("names", [[], ["a", "a"], [""], [" a"], ["a\nb"]])
def test_unreadable_names_are_not_written(names: list[str], tmp_path: Path) -> None:
    with pytest.raises(DataError):
        write_class_names(tmp_path / "c", names)
    assert not (tmp_path / "c").exists()
