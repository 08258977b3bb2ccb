import os
import signal
from pathlib import Path

import pytest

from yolopipe.errors import ImageError, UsageError, YolopipeError
from yolopipe.files import atomic_directory, atomic_file, canonical_json, write_json
from yolopipe.workers import map_unordered, worker_count


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


def test_json_refuses_nan():
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"mAP": float("nan")})


def double(number):
    return 2 * number


def complain(number):
    if number == 3:
        raise ImageError("missing-image", "number 3 is missing")
    return number


def die_once(task):
    """Kills its own process the first time, as the out-of-memory killer would."""
    marker, number = task
    if number == 2 and not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def always_die(number):
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("count", [0, 1, 9])
def test_every_task_once(workers, count):
    assert dict(map_unordered(double, range(count), workers=workers)) == {i: 2 * i for i in range(count)}


def test_an_error_keeps_its_kind_and_words():
    with pytest.raises(ImageError, match="number 3 is missing") as caught:
        dict(map_unordered(complain, range(6), workers=2))
    assert caught.value.rule == "missing-image"


def test_a_killed_worker_costs_a_retry(tmp_path):
    tasks = [(str(tmp_path / "marker"), number) for number in range(6)]
    assert dict(map_unordered(die_once, tasks, workers=2)) == {i: i for i in range(6)}
    assert (tmp_path / "marker").exists()


def test_a_task_that_always_kills_is_named():
    with pytest.raises(YolopipeError, match="died 3 times while it worked on task two"):
        dict(map_unordered(always_die, range(5), workers=2, name=lambda n: f"task {['zero', 'one', 'two'][n % 3]}"))


def test_worker_count(monkeypatch):
    monkeypatch.setenv("YOLOPIPE_WORKERS", "3")
    assert worker_count() == 3
    assert worker_count(1) == 1
    for wrong in ("0", "-1", "two", "1.5"):
        monkeypatch.setenv("YOLOPIPE_WORKERS", wrong)
        with pytest.raises(UsageError, match=f"YOLOPIPE_WORKERS must be .*'{wrong}'"):
            worker_count()
    monkeypatch.delenv("YOLOPIPE_WORKERS")
    assert worker_count() >= 1


@pytest.mark.parametrize("error", [ImageError("r", "m"), YolopipeError("m", hint="h")])
def test_errors_survive_pickling(error):
    import pickle

    assert str(pickle.loads(pickle.dumps(error))).startswith("m")
