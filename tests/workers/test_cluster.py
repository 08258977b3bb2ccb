"""Stages on a real dask cluster: two worker processes on loopback, killed, poisoned, mismatched."""

import hashlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import distributed
import numpy as np
import pytest

from yolopipe.config.params_file import load_config
from yolopipe.errors import ImageError, UsageError, YolopipeError
from yolopipe.stages import parse
from yolopipe.workers import cluster
from yolopipe.workers.choose import chosen_workers
from yolopipe.workers.mapping import map_unordered

PARAMS = """\
data: {train: train.txt, val: val.txt, classes: classes.names, images: images}
augment: {copies: 2, hue: 0.02, saturation: 0.3, value: 0.3}
precompute: {input_size: 96, shard_rows: 16}
"""


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    """A scheduler in this process and two worker processes that stand in a folder of their own."""
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("elsewhere"))
    local = distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        silence_logs=logging.CRITICAL,
    )
    os.chdir(before)
    local.scheduler.allowed_failures = 1  # a poisoned task kills two workers a round, not four
    with local:
        yield local


def double(number):
    return 2 * number


def complain(marker):
    with Path(marker).open("a") as log:
        log.write("asked\n")
    raise ImageError("missing-image", "number 3 is missing")


def hiccup(marker):
    path = Path(marker)
    if not path.exists():
        path.touch()
        raise OSError("stale file handle")
    return "done"


def poison(number):
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Images large enough that a shard takes part of a second, in a folder with a blank; ``local`` is made here."""
    folder = tmp_path_factory.mktemp("cluster") / "a project"
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    lines = []
    for index in range(70):
        picture = cv2.resize(rng.integers(0, 255, (30, 40, 3), dtype=np.uint8), (1600, 1200))
        cv2.imwrite(str(folder / f"images/{index}.jpg"), picture)
        lines.append(f"images/{index}.jpg 100,100,900,{500 + index},0\n")
    (folder / "train.txt").write_text("".join(lines[:60]))
    (folder / "val.txt").write_text("".join(lines[60:]))
    (folder / "classes.names").write_text("thing\n")
    (folder / "params.yaml").write_text(PARAMS)
    for stage in ("parse", "augment", "precompute"):
        run = yolopipe(folder, stage, "--workers", "1")
        assert run.communicate(timeout=900) is not None
        assert run.returncode == 0
    (folder / "data/shards").rename(folder / "local")
    return folder


def yolopipe(folder, *arguments):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-m", "yolopipe", *arguments]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def digests(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


def wait_until(true, seconds=600.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.01)


def pids(local):
    return {nanny.pid for nanny in local.workers.values()}


def killed_while_busy(workers, run, partial):
    """Kill a worker that works for ``run``; the number of its process, or None when all was done before."""
    wait_until(lambda: run.poll() is not None or any(partial.glob(".partial-*")))
    busy = next((state.address for state in workers.scheduler.workers.values() if state.processing), None)
    victim = next((nanny.pid for nanny in workers.workers.values() if nanny.worker_address == busy), None)
    if victim is None or run.poll() is not None:
        return None
    os.kill(victim, signal.SIGKILL)
    return victim if run.poll() is None else None


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_changes_no_byte(workers, project):
    partial = project / "data/.partial-shards"
    for _ in range(20):
        run = yolopipe(project, "precompute", "--scheduler", workers.scheduler_address)
        victim = killed_while_busy(workers, run, partial)
        if victim is not None:
            break
        assert run.communicate(timeout=900) is not None
    assert victim is not None, "each time it was killed too late"
    _, output = run.communicate(timeout=900)
    assert run.returncode == 0, output
    assert digests(project / "data/shards") == digests(project / "local")
    assert not partial.exists()
    assert not list((project / ".yolopipe").glob("cluster-*")), "the mark that workers look for is taken away"
    wait_until(lambda: len(pids(workers)) == 2 and victim not in pids(workers))
    assert "Traceback" not in output
    assert "distributed" not in output, "dask's own messages are not the user's business"


@pytest.mark.slow
def test_parse_writes_the_same_on_the_cluster(workers, project, tmp_path, monkeypatch):
    """Also what is wrong with images: a message must not name the folder of the machine that found it."""
    project = Path(shutil.copytree(project, tmp_path / "copy"))
    monkeypatch.chdir(project)
    (project / "images/3.jpg").unlink()
    (project / "images/4.jpg").write_bytes(b"no image")
    (project / "params.yaml").write_text(PARAMS + "parse: {on_bad: drop-image}\n")
    config = load_config(Path("params.yaml"), stage="parse")
    monkeypatch.setattr(parse, "CHUNK_LINES", 20)
    parse.run(config)
    here = digests(project / "data/parsed")
    monkeypatch.setattr(parse, "FEW_IMAGES", 0)
    parse.run(config, workers=workers.scheduler_address)
    assert digests(project / "data/parsed") == here
    assert "no image file images/3.jpg" in (project / "data/parsed/problems.csv").read_text()


@pytest.mark.slow
def test_workers_need_no_tensorflow(workers, project):
    run = yolopipe(project, "precompute", "--scheduler", workers.scheduler_address)
    output = run.communicate(timeout=900)[1]
    assert [line.split()[0] for line in output.splitlines()] == ["130", "precompute"], "nothing but our own two lines"
    assert run.returncode == 0
    with distributed.Client(workers, set_as_default=False) as client:
        assert set(client.run(lambda: "tensorflow" in sys.modules or "keras" in sys.modules).values()) == {False}


def test_errors_of_yolopipe_are_not_tried_again_and_others_are(workers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = tmp_path / "asked"
    with pytest.raises(ImageError) as caught:
        list(map_unordered(complain, [str(asked)], workers=workers.scheduler_address))
    assert caught.value.rule == "missing-image"
    assert asked.read_text() == "asked\n"
    assert list(map_unordered(hiccup, [str(tmp_path / "m")], workers=workers.scheduler_address)) == [(0, "done")]
    assert list(map_unordered(double, [], workers="tcp://127.0.0.1:1")) == [], "without tasks no cluster is needed"


@pytest.mark.slow
def test_a_task_that_always_kills_is_named(workers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(YolopipeError) as caught:
        list(map_unordered(poison, range(4), workers=workers.scheduler_address, name=lambda n: f"task-{n}"))
    assert "task-1" in caught.value.message.split()


@pytest.mark.slow
def test_a_worker_with_other_versions_or_another_folder_is_named(workers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    versions = {**cluster._versions(), "opencv": "0.1"}
    with monkeypatch.context() as patch:
        patch.setattr(cluster, "_versions", lambda: versions)
        with pytest.raises(YolopipeError) as caught:
            list(map_unordered(double, [1], workers=workers.scheduler_address))
        assert {"opencv", "0.1"} <= set(caught.value.message.split())
    monkeypatch.setattr(Path, "touch", lambda path: None)
    with pytest.raises(YolopipeError) as caught:
        list(map_unordered(double, [1], workers=workers.scheduler_address))
    assert str(tmp_path) in caught.value.message.split()


@pytest.mark.slow
def test_no_scheduler_and_no_worker(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.5)
    monkeypatch.setattr(cluster, "NO_WORKER_SECONDS", 0.5)
    with pytest.raises(YolopipeError) as caught:
        list(map_unordered(double, [1], workers="tcp://127.0.0.1:1"))
    assert "tcp://127.0.0.1:1" in caught.value.message.split()
    with (
        distributed.LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0") as empty,
        pytest.raises(YolopipeError) as caught,
    ):
        list(map_unordered(double, [1], workers=empty.scheduler_address))
    assert f"dask worker {empty.scheduler_address}" in str(caught.value.hint)


@pytest.mark.parametrize("address", ["host:8786", "tcp://host", "tcp://:8786", "http://host:80", "tcp://host:port"])
def test_wrong_addresses(address):
    with pytest.raises(UsageError) as caught:
        chosen_workers(scheduler=address)
    assert {"tcp://host:8786,", repr(address)} <= set(caught.value.message.split())


def test_where_the_work_is_done(monkeypatch):
    monkeypatch.delenv("YOLOPIPE_WORKERS", raising=False)
    monkeypatch.setenv("YOLOPIPE_SCHEDULER", "tcp://a:1")
    assert chosen_workers() == "tcp://a:1"
    assert chosen_workers(scheduler="tcp://b:2") == "tcp://b:2"
    assert chosen_workers(count=3) == 3, "an option beats the environment"
    monkeypatch.setenv("YOLOPIPE_SCHEDULER", "")
    monkeypatch.setenv("YOLOPIPE_WORKERS", "4")
    assert chosen_workers() == 4
    with pytest.raises(UsageError):
        chosen_workers(count=3, scheduler="tcp://b:2")


@pytest.mark.slow
def test_without_the_extra(monkeypatch):
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)
    with pytest.raises(UsageError) as caught:
        chosen_workers(scheduler="tcp://127.0.0.1:8786")
    assert "pip install 'yolopipe[distributed]'" in str(caught.value.hint)
