"""Worker processes on this machine: order, errors, deaths and interrupts."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from yolopipe.errors import ImageError, UsageError, YolopipeError
from yolopipe.workers.choose import worker_count
from yolopipe.workers.mapping import AHEAD, map_in_order, map_unordered


def double(number):
    return 2 * number


def complain(number):
    if number == 3:
        raise ImageError("missing-image", "number 3 is missing")
    return number


def die_once(task):
    """Kills its own process the first time, as the out-of-memory killer does."""
    marker, number = task
    if number == 2 and not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def always_die(number):
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("count", [0, 1, 9])
def test_every_task_once(workers, count):
    assert dict(map_unordered(double, range(count), workers=workers)) == {i: 2 * i for i in range(count)}


@pytest.mark.slow
def test_an_error_keeps_its_type_and_message():
    with pytest.raises(ImageError) as caught:
        dict(map_unordered(complain, range(6), workers=2))
    assert (caught.value.rule, caught.value.message) == ("missing-image", "number 3 is missing")


def count_and_double(task):
    """The first task waits for all those that may be started before it is done, and then for one too many."""
    folder, number = task
    (Path(folder) / str(number)).touch()
    if number == 0:
        wait_until(lambda: len(os.listdir(folder)) >= 2 * AHEAD)
        time.sleep(0.3)
        return len(os.listdir(folder))
    return 2 * number


@pytest.mark.slow
def test_one_slow_task_holds_the_others_up_where_order_matters(tmp_path):
    started, *others = map_in_order(count_and_double, [(str(tmp_path), n) for n in range(6 * AHEAD)], workers=2)
    assert started == 2 * AHEAD
    assert others == [2 * n for n in range(1, 6 * AHEAD)]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("count", [0, 1, 9, 50])
def test_results_in_order_also_when_a_worker_dies(tmp_path, workers, count):
    tasks = [(str(tmp_path / "marker"), number) for number in range(count)]
    (tmp_path / "marker").touch() if workers == 1 else None
    assert list(map_in_order(die_once, tasks, workers=workers)) == list(range(count))


@pytest.mark.slow
def test_a_task_of_a_killed_worker_is_tried_again(tmp_path):
    tasks = [(str(tmp_path / "marker"), number) for number in range(6)]
    assert dict(map_unordered(die_once, tasks, workers=2)) == {i: i for i in range(6)}
    assert (tmp_path / "marker").exists()


@pytest.mark.slow
def test_a_task_that_always_kills_is_named():
    with pytest.raises(YolopipeError) as caught:
        dict(map_unordered(always_die, range(5), workers=2, name=lambda n: f"task {['zero', 'one', 'two'][n % 3]}"))
    assert {"3", "two"} <= set(re.findall(r"\w+", caught.value.message))


def test_worker_count(monkeypatch):
    monkeypatch.setenv("YOLOPIPE_WORKERS", "3")
    assert worker_count() == 3
    assert worker_count(1) == 1
    for wrong in ("0", "-1", "two", "1.5"):
        monkeypatch.setenv("YOLOPIPE_WORKERS", wrong)
        with pytest.raises(UsageError) as caught:
            worker_count()
        assert {"YOLOPIPE_WORKERS:", repr(wrong)} <= set(caught.value.message.split())
    monkeypatch.delenv("YOLOPIPE_WORKERS")
    assert worker_count() >= 1


@pytest.mark.parametrize("error", [ImageError("r", "m"), YolopipeError("m", hint="h")])
def test_errors_survive_pickling(error):
    import pickle

    assert str(pickle.loads(pickle.dumps(error))).startswith("m")


def sleep_long(folder, seconds=900.0):
    """Leaves its process id, then works for longer than the test waits."""
    Path(folder, str(os.getpid())).touch()
    time.sleep(seconds)


def alive(pid):
    """Running; a zombie that no process collects is not."""
    try:
        return psutil.Process(int(pid)).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(true, seconds=300.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("kernel_helps", [True, False])
def test_workers_do_not_outlive_a_killed_parent(tmp_path, repo, kernel_helps):
    """kill -9 of the command leaves no process, with PR_SET_PDEATHSIG or with the watching thread."""
    main = tmp_path / "main.py"
    main.write_text(
        "import sys\n"
        "from yolopipe.workers import mapping as workers, processes\n"
        "from tests.workers.test_processes import sleep_long, watched\n"
        f"if not {kernel_helps}: processes.die_with_parent = watched\n"
        "if __name__ == '__main__':\n"
        f"    list(workers.map_unordered(sleep_long, [{str(tmp_path / 'pids')!r}] * 4, workers=2))\n"
    )
    (tmp_path / "pids").mkdir()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(repo), *filter(None, sys.path)])}
    with subprocess.Popen([sys.executable, main], env=environment) as parent:
        wait_until(lambda: len(list((tmp_path / "pids").iterdir())) == 2)
        pids = [path.name for path in (tmp_path / "pids").iterdir()]
        assert all(map(alive, pids))
        parent.kill()
    wait_until(lambda: not any(map(alive, pids)))


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["import", "work"])
def test_ctrl_c_in_a_terminal_is_reported_once(tmp_path, repo, moment):
    """It reaches all processes, those that are still importing and those at work: only the command reports it."""
    pids = tmp_path / "pids"
    pids.mkdir()
    main = tmp_path / "main.py"
    main.write_text(
        "import sys, yolopipe.workers.mapping as workers\n"
        "from tests.workers.test_processes import sleep_long\n"
        "if __name__ == '__main__':\n"
        "    try:\n"
        f"        list(workers.map_unordered(sleep_long, [{str(pids)!r}] * 4, workers=2))\n"
        "    except KeyboardInterrupt:\n"
        "        sys.exit('interrupted')\n"
        f"elif {moment == 'import'}:\n"
        f"    sleep_long({str(pids)!r}, seconds=1.0)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(repo), *filter(None, sys.path)])}
    options = {"env": environment, "stderr": subprocess.PIPE, "start_new_session": True, "text": True}
    with subprocess.Popen([sys.executable, main], **options) as parent:
        wait_until(lambda: len(list(pids.iterdir())) == 2)
        os.killpg(parent.pid, signal.SIGINT)
        assert parent.communicate(timeout=300)[1] == "interrupted\n"
    wait_until(lambda: not any(alive(pid.name) for pid in pids.iterdir()))


def watched(parent):
    """``die_with_parent`` as it is where the kernel does not help."""
    from yolopipe.workers import processes

    processes._watch_parent()
