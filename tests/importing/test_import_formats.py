"""What holds for every format: the same data set gives the same text."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.drawn_sets import DRAWN, NAME
from yolopipe.errors import DataError
from yolopipe.importing.import_data import import_data
from yolopipe.importing.import_formats import IMPORTERS


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_every_format_is_drawn() -> None:
    assert set(DRAWN) == set(IMPORTERS) - {"auto"}


@pytest.mark.parametrize("kind", DRAWN)
def test_the_same_data_set_gives_the_same_text(kind: str) -> None:
    DRAWN[kind](Path("set"))
    report = import_data(kind, "set", "out").report
    [text] = Path("out").glob("*.txt")
    lines = sorted(text.read_text(encoding="utf-8").splitlines(), reverse=True)
    name = NAME.replace(",", "_") if kind == "parquet" else NAME
    assert lines[0].rpartition("/")[2] == f"{name} 10,20,60,60,1 0,0,50,40,0"
    assert [line.rpartition("/")[2] for line in lines[1:]] == ([] if kind == "open-images" else ["b.png"])
    assert Path("out/classes.names").read_text() == "cat\ndog\n"
    assert report["format"] == kind
    assert report["notes"] == {}
    before = text.read_bytes()
    import_data(kind, "set", "out")
    assert text.read_bytes() == before


@pytest.mark.parametrize("kind", IMPORTERS)
def test_an_empty_folder(kind: str) -> None:
    Path("set").mkdir()
    with pytest.raises(DataError):
        import_data(kind, "set", "out")
    assert not Path("out").exists()
