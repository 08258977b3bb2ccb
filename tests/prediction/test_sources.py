from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from yolopipe.detection.pixels import upright_pixels
from yolopipe.errors import DataError, ImageError, UsageError
from yolopipe.imaging.images import IMAGE_SUFFIXES
from yolopipe.prediction.sources import Sources, find_sources, output_names


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in (
        "a/2.JPG",
        "a/1.png",
        "a/deep er/ö.webp",
        "a/clip.mp4",
        "a/notes.md",
        "a/.hidden.png",
        "b/1.png",
        "7",
    ):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    Path("list.txt").write_text("b/1.png 1,2,3,4,0\na/1.png\n")
    Path("empty").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["a"], Sources(("a/1.png", "a/2.JPG"), ("a/clip.mp4",), (), 1)),
        (["a/notes.md"], Sources(("a/notes.md",))),
        (["b", "a/1.png", "./b/1.png"], Sources(("b/1.png", "a/1.png"))),
        (["*/1.*"], Sources(("a/1.png", "b/1.png"))),
        (["list.txt"], Sources(("b/1.png", "a/1.png"))),
        (["0", "b", "3", "0"], Sources(("b/1.png",), (), (0, 3))),
        (["7"], Sources(("7",))),
    ],
)
def test_what_arguments_stand_for(arguments: list[str], expected: Sources) -> None:
    assert find_sources(arguments) == expected


def test_folders_of_folders_and_what_an_earlier_run_drew(folder: Path) -> None:
    Path("a/drawn").mkdir()
    Path("a/drawn/1.png").touch()
    found = find_sources(["a"], recursive=True, drawn="a/drawn")
    assert found.images == ("a/1.png", "a/2.JPG", "a/deep er/ö.webp")
    assert find_sources(["a/**/*.png"], drawn="a/drawn").images == ("a/1.png",)
    assert find_sources([str(folder / "a")], recursive=True).images[-1] == str(folder / "a/drawn/1.png")
    assert find_sources(["a/drawn/1.png"], drawn="a/drawn").images == ("a/drawn/1.png",)


def test_a_file_by_two_names_is_looked_at_once() -> None:
    os.symlink("a", "link")
    os.symlink("nowhere", "dangling.jpg")
    assert find_sources(["link", "a"]).images == ("link/1.png", "link/2.JPG")
    assert find_sources(["dangling.jpg"]).images == ("dangling.jpg",)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(["nowhere.jpg"], "nowhere.jpg"), (["x*.jpg"], "x*.jpg"), (["empty"], "empty"), (["a", "nowhere"], "nowhere")],
)
def test_arguments_without_a_file_are_named(arguments: list[str], named: str) -> None:
    with pytest.raises(DataError) as refused:
        find_sources(arguments)
    assert named in refused.value.message.split()


def test_nothing_named() -> None:
    with pytest.raises(UsageError):
        find_sources([])


def test_names_of_outputs_are_relative_and_never_alike(folder: Path) -> None:
    kept = {".jpg": ".jpg", ".png": ".png"}
    paths = ["a/x.jpg", str(folder / "b/x.jpg"), "a/x.JPG", "a/x.bmp", "a/x.bmp.png", "b/../a/y", "b/é f.jpg"]
    names = output_names(paths, kept, ".png")
    assert names == ["a/x.jpg", "b/x.jpg", "a/x-2.jpg", "a/x.bmp.png", "a/x.bmp-2.png", "a/y.png", "b/é f.jpg"]
    assert output_names(["/somewhere/else/z.jpg"], kept, ".png") == ["z.jpg"]
    assert output_names([], kept, ".png") == []


def test_the_suffixes_are_those_of_the_formats_that_are_decoded(tmp_path: Path) -> None:
    """Each is written by OpenCV and read as an image; other formats are refused."""
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for suffix in (*IMAGE_SUFFIXES, ".jp2", ".ppm", ".gif", ".avif"):
        file = tmp_path / f"x{suffix}"
        assert cv2.imwrite(str(file), pixels)
        if suffix in IMAGE_SUFFIXES:
            assert upright_pixels(file).shape == (64, 64, 3)
        else:
            with pytest.raises(ImageError):
                upright_pixels(file)
