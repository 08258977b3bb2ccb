"""Files and folders that replace their predecessors at once, or not at all."""

from pathlib import Path

import pytest

from yolopipe.files import atomic_directory, atomic_file, canonical_json, write_json


class Boom(Exception):
    pass


def write_half(context, write):
    with context as partial:
        write(partial)
        raise Boom


def test_a_failing_writer_leaves_the_old_file(tmp_path):
    target = tmp_path / "deep/er/a.json"
    write_json(target, {"a": 1})
    with pytest.raises(Boom):
        write_half(atomic_file(target), lambda partial: partial.write_text("half"))
    assert target.read_text() == canonical_json({"a": 1})
    assert [path.name for path in target.parent.iterdir()] == ["a.json"]


def test_a_failing_stage_leaves_the_old_folder(tmp_path):
    target = tmp_path / "out"
    for name in ("first", "second"):
        with atomic_directory(target) as partial:
            (partial / name).write_text(name)
    assert [path.name for path in target.iterdir()] == ["second"], "a new folder replaces, it does not mix"
    with pytest.raises(Boom):
        write_half(atomic_directory(target), lambda partial: (partial / "third").write_text("third"))
    assert [path.name for path in target.iterdir()] == ["second"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_a_killed_run_left_is_removed(tmp_path):
    (tmp_path / ".partial-out").mkdir()
    (tmp_path / ".partial-out/stale").write_text("stale")
    with atomic_directory(tmp_path / "out") as partial:
        (partial / "fresh").write_text("fresh")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["fresh"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    """A scheduler may run one task twice at the same time; and one of the two may be killed."""
    with atomic_directory(tmp_path / "out") as folder:
        with atomic_file(folder / "a", concurrent_writers=True) as first:
            first.write_text("half of")
            with atomic_file(folder / "a", concurrent_writers=True) as second:
                second.write_text("the same")
            assert (folder / "a").read_text() == "the same"
            first.write_text("the same")
        (folder / ".partial-0123-a").write_text("of a killed writer")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]
    assert (tmp_path / "out/a").read_text() == "the same"


def test_json_refuses_nan():
    with pytest.raises(ValueError):
        canonical_json({"mAP": float("nan")})


def test_a_folder_in_the_way_is_named_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        write_half(atomic_file(tmp_path / "report.html"), lambda partial: pytest.fail("nothing may be written"))
    assert caught.value.filename == str(tmp_path / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
