"""What holds for every format: the same data set gives the same text."""

from __future__ import annotations

import contextlib
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.drawn_sets import DRAWN, NAME, faults_of, text_of
from yolopipe.errors import DataError, YolopipeError
from yolopipe.importing.import_auto import recognise
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


WITH_PICTURES = [kind for kind in DRAWN if kind != "parquet"]  # whose pictures are inside
WITH_BACKGROUNDS = [kind for kind in WITH_PICTURES if kind != "open-images"]


@pytest.mark.parametrize("kind", WITH_BACKGROUNDS)
@pytest.mark.parametrize(("bad", "rule"), [("cut", "truncated-image"), ("text", "not-an-image")])
def test_a_bad_picture_is_a_problem_or_left_out(kind: str, bad: str, rule: str) -> None:
    DRAWN[kind](Path("set"))
    [picture] = Path("set").rglob("b.png")
    picture.write_bytes(picture.read_bytes()[:-9] if bad == "cut" else b"not a picture")
    [fault] = faults_of(kind, "set", "out")
    assert fault[2:] == (rule, "image")
    report = import_data(kind, "set", "out", on_bad="skip").report
    assert (report["lost"]["images"], report["lost"]["boxes"], report["lost"]["rules"]) == (1, 0, {rule: 1})
    [text] = Path("out").glob("*.txt")
    assert text_of(text) == [f"{NAME} 10,20,60,60,1 0,0,50,40,0"]


@pytest.mark.parametrize("kind", WITH_PICTURES)
def test_more_than_half_lost_is_an_error(kind: str) -> None:
    DRAWN[kind](Path("set"))
    [picture] = Path("set").rglob(NAME)
    picture.write_bytes(b"not a picture")
    for on_bad in ("fail", "skip"):
        assert {fault[2] for fault in faults_of(kind, "set", "out", on_bad=on_bad)} == {"not-an-image"}


@pytest.mark.parametrize("kind", WITH_PICTURES)
@pytest.mark.parametrize("change", ["suffix", "case", "unicode", "link"])
def test_names_differ_in_case_or_form(kind: str, change: str) -> None:
    DRAWN[kind](Path("set"))
    [picture] = Path("set").rglob(NAME)
    other = {
        "suffix": f"{Path(NAME).stem}.PNG",
        "case": NAME.replace("g", "G"),
        "unicode": unicodedata.normalize("NFD", NAME),
        "link": NAME,
    }[change]
    moved = picture.with_name(other)
    picture.rename(moved)
    if change == "link":
        moved.rename("elsewhere.png")
        moved.symlink_to(Path("elsewhere.png").absolute())
    import_data(kind, "set", "out")
    [text] = Path("out").glob("*.txt")
    assert f"{other} 10,20,60,60,1 0,0,50,40,0" in text_of(text)


@pytest.mark.parametrize("kind", [kind for kind in WITH_PICTURES if kind != "yolo"])  # its labels lie by its images
def test_pictures_may_lie_in_another_folder(kind: str) -> None:
    DRAWN[kind](Path("set"))
    Path("pictures/deep").mkdir(parents=True)
    for picture in list(Path("set").rglob("*.png")):
        picture.rename(Path("pictures/deep", picture.name))
    import_data(kind, "set", "out", images="pictures")
    [text] = Path("out").glob("*.txt")
    assert f"pictures/deep/{NAME} 10,20,60,60,1 0,0,50,40,0" in text.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("kind", WITH_BACKGROUNDS)
def test_lists_make_splits(kind: str) -> None:
    DRAWN[kind](Path("set"))
    Path("one.txt").write_text(f"{NAME}\n", encoding="utf-8")
    Path("two.txt").write_text("b.png\n")
    import_data(kind, "set", "out", files={"train": "one.txt", "val": "two.txt"})
    assert text_of("out/train.txt") == [f"{NAME} 10,20,60,60,1 0,0,50,40,0"]
    assert text_of("out/val.txt") == ["b.png"]


@pytest.mark.slow
@settings(
    max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], deadline=None
)
@given(st.data())
@pytest.mark.parametrize("kind", ["labelme", "cvat", "label-studio", "open-images", "tf-csv", "parquet"])
def test_damaged_files_give_errors_for_users(kind: str, tmp_path: Path, data: st.DataObject) -> None:
    """A byte changed, a piece lost, repeated or replaced: an import, or an error that names what is wrong."""
    folder = tmp_path / str(len(list(tmp_path.iterdir())))
    folder.mkdir()
    with contextlib.chdir(folder):
        DRAWN[kind](Path("set"))
        files = [
            file for file in sorted(Path("set").rglob("*")) if file.suffix in (".json", ".xml", ".csv", ".parquet")
        ]
        file = data.draw(st.sampled_from(files))
        content = file.read_bytes()
        at = data.draw(st.integers(0, len(content)))
        end = min(len(content), at + data.draw(st.integers(0, 20)))
        piece = data.draw(
            st.sampled_from([b"", b"\xff", b"\0", b'"', b"[", b"{}", b"null", b"-1e400", b"<", content[at:end] * 2])
        )
        file.write_bytes(content[:at] + piece + content[end:])
        with contextlib.suppress(YolopipeError):
            import_data(kind, "set", "out", on_bad=data.draw(st.sampled_from(["fail", "skip"])))
        with contextlib.suppress(YolopipeError):
            recognise(Path("set"))
