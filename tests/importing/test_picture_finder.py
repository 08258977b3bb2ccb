from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from yolopipe.importing.picture_finder import AmbiguousPicture, PictureFinder


@pytest.fixture(autouse=True)
def _pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("set/cam1/a.jpg", "set/cam2/a.jpg", "set/größe 1,b.JPG", "set/what?%20.png", "set/0f1e2d3c-c.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("cam1/a.jpg", "set/cam1/a.jpg"),
        (r"..\other\cam2\a.jpg", "set/cam2/a.jpg"),
        ("CAM2/A.JPG", "set/cam2/a.jpg"),
        ("C:\\Users\\me\\größe 1,b.jpg", "set/größe 1,b.JPG"),
        (unicodedata.normalize("NFD", "größe 1,b.JPG"), "set/größe 1,b.JPG"),
        ("größe 1,b.png", "set/größe 1,b.JPG"),  # converted to another suffix
        ("größe 1,b", "set/größe 1,b.JPG"),
        ("what?%20.png", "set/what?%20.png"),
        ("/data/local-files/?d=x/gr%C3%B6%C3%9Fe%201%2Cb.JPG", "set/größe 1,b.JPG"),
        ("/data/upload/3/deadbeef-größe 1,b.JPG", "set/größe 1,b.JPG"),
        ("/data/upload/3/0f1e2d3c-c.png", "set/0f1e2d3c-c.png"),
        ("s3://bucket/cam1/a.jpg", "set/cam1/a.jpg"),
        ("https://host/cam2/a.jpg?token=1/2", "set/cam2/a.jpg"),
        ("b.jpg", None),
        ("", None),
        ("..", None),
        ("x" * 5000 + ".jpg", None),
        ("\0.jpg", None),
    ],
)
def test_names(name: str, found: str | None) -> None:
    picture = PictureFinder(Path("set")).find(name)
    assert (None if picture is None else str(picture)) == found


def test_several_pictures_of_one_name_are_not_chosen_from() -> None:
    finder = PictureFinder(Path("set"))
    with pytest.raises(AmbiguousPicture):
        finder.find("a.jpg")
    assert finder.find("a.jpg", near=Path("set/cam2")) == Path("set/cam2/a.jpg")
    with pytest.raises(AmbiguousPicture):
        finder.find("cam3/a.jpg")


def test_the_working_folder_counts_only_where_it_may() -> None:
    Path("elsewhere.jpg").touch()
    assert PictureFinder(Path("set")).find("elsewhere.jpg") == Path("elsewhere.jpg")
    assert PictureFinder(Path("set")).find(str(Path("elsewhere.jpg").absolute())) == Path("elsewhere.jpg").absolute()
    assert PictureFinder(Path("set"), also_here=False).find("elsewhere.jpg") is None
