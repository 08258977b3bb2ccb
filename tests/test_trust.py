"""What a machine can do to a run: kill it at any moment, fill its disk, take its permissions."""

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import pytest

from yolopipe.cache.settings import cache_directory
from yolopipe.cli import guarded
from yolopipe.errors import YolopipeError
from yolopipe.shards import estimate
from yolopipe.shards.manifest import load_manifest
from yolopipe.stages import augment, parse, precompute

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("YOLOPIPE_KILLS", "8"))
"""More of them, as before a release: YOLOPIPE_KILLS=50 pytest tests/test_trust.py -k kill."""


@pytest.fixture
def project(drawn, tmp_path, monkeypatch):
    """Sixty drawn images, parsed and augmented; the current folder."""
    monkeypatch.delenv("DVC_ROOT", raising=False)
    drawn.draw(tmp_path, images=60, size=416, copies=3)
    monkeypatch.chdir(tmp_path)
    for stage in (parse, augment):
        stage.run(config_of(drawn))
    return tmp_path


def config_of(drawn):
    return drawn.make_config(augment={"copies": 3}, precompute={"input_size": 416, "shard_rows": 16})


def no_orphans(drawn, mark):
    return drawn.wait_until(lambda: not drawn.marked(mark), seconds=60)


def test_kill_9_at_any_moment(drawn, project):
    """Killed again and again, then left alone: the bytes of an undisturbed run, and nothing else anywhere."""
    precompute.run(config_of(drawn), cache_gb=0)
    wanted = drawn.contents(project / "data")
    shutil.rmtree(project / "data/shards")
    rng, struck, lasted = random.Random(1), 0, 1.0
    for number in range(KILLS):
        if number % 3 == 0:  # some runs with nothing to take up, or there would soon be nothing left to kill
            shutil.rmtree(cache_directory(), ignore_errors=True)
        run = drawn.start(project, "precompute", "--workers", "2", mark=f"{project} {number}")
        assert drawn.wait_until(lambda r=run: (project / "data/.partial-shards").exists() or r.poll() is not None)
        begin = time.monotonic()
        try:
            run.wait(rng.uniform(0, 1.1 * lasted))
            lasted = time.monotonic() - begin
        except subprocess.TimeoutExpired:
            struck += 1
        drawn.kill_group(run)
        if (project / "data/shards").exists():  # whole or not at all
            assert drawn.contents(project / "data/shards") == {
                name.removeprefix("shards/"): content
                for name, content in wanted.items()
                if name.startswith("shards/")
            }
    assert struck >= KILLS // 2
    assert no_orphans(drawn, f"{project} {KILLS - 1}")
    code, _, err = drawn.finish(drawn.start(project, "precompute", "--workers", "2"))
    assert code == 0, err
    assert drawn.contents(project / "data") == wanted
    assert not list(project.rglob(".partial-*"))


def test_a_killed_run_is_taken_up_where_it_stopped(drawn, project):
    run = drawn.start(project, "precompute", "--workers", "2")
    assert drawn.wait_until(lambda: sum(p.stat().st_size for p in project.glob(".yolopipe/*/*.pack")) > 200_000)
    drawn.kill_group(run)
    pixels = precompute.run(config_of(drawn)).report["pixels"]
    assert pixels["reused"] > 0
    assert pixels["reused"] + pixels["encoded"] == 195


def test_workers_die_with_their_parent(drawn, project):
    """kill -9 of the parent alone, as the out-of-memory killer or DVC's death leaves it."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}  # an orphan would hold a pipe open
    run = drawn.start(project, "precompute", "--workers", "2", mark=str(project), **quiet)
    assert drawn.wait_until(lambda: any(project.glob("data/.partial-shards/*.parquet")))
    assert len(drawn.marked(str(project))) >= 3
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    assert no_orphans(drawn, str(project))
    assert not (project / "data/shards").exists()
    assert drawn.finish(drawn.start(project, "precompute", "--workers", "1"))[0] == 0
    assert not list(project.rglob(".partial-*"))


def assert_refused(drawn, project, process, *words):
    code, out, err = drawn.finish(process)
    assert code == 5, err
    assert out == ""
    for word in words:
        assert word in err
    assert "Traceback" not in err
    assert not (project / "data/shards").exists()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_file_that_may_not_grow(drawn, project, workers):
    """A limit on the size of files stands in for a full disk: the shard's name, the reason, no half output."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    run = drawn.start(project, "precompute", "--workers", workers, preexec_fn=limit)
    assert_refused(drawn, project, run, "train-c0", "File too large", "ulimit")
    assert not list(project.rglob(".partial-*"))
    assert drawn.finish(drawn.start(project, "precompute", "--workers", "1"))[0] == 0


def test_a_cache_that_may_not_grow_costs_only_itself(drawn, project):
    """Shards below the limit, packs above it: the run ends well and says what it could not keep."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_600_000, 1_600_000))

    code, out, err = drawn.finish(drawn.start(project, "precompute", "--workers", "1", preexec_fn=limit))
    assert code == 0, err
    assert "File too large" in out
    mended = drawn.contents(project / "data/shards")
    assert 0 < precompute.run(config_of(drawn)).report["pixels"]["reused"] < 195
    assert drawn.contents(project / "data/shards") == mended


def mounted(command):
    """``mount`` as root, where that is allowed (in most containers it is not)."""
    return os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture
def small_disk(drawn, project, tmp_path_factory):
    """The project on a file system of 4 MB, or None where none can be mounted."""
    folder = tmp_path_factory.mktemp("disk")
    if not mounted(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]):
        yield None
        return
    try:
        for name in ("params.yaml", "classes.names", "train.txt", "val.txt"):
            shutil.copy(project / name, folder)
        (folder / "images").symlink_to(project / "images")
        shutil.copytree(project / "data", folder / "data")
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_small_disk_is_refused_with_the_numbers(drawn, small_disk, project, monkeypatch, capsys):
    """Where no disk can be mounted, the number alone stands in for it."""
    if small_disk is None:
        usage = namedtuple("usage", "total used free")(0, 0, 3_000_000)
        monkeypatch.setattr(estimate.shutil, "disk_usage", lambda _: usage)
    monkeypatch.chdir(small_disk or project)
    assert guarded(lambda: precompute.run(config_of(drawn))) == 5
    told = capsys.readouterr().err
    assert "the shards need about" in told
    assert "MB free; nothing was written" in told
    assert os.listdir("data").count("shards") == 0
    assert not list(Path.cwd().rglob(".partial-*"))


RUN_WITHOUT_ESTIMATE = """
import sys
from yolopipe.stages import precompute
precompute.check_space = lambda tasks, folder: 0
from yolopipe.cli import main
if __name__ == "__main__":
    sys.argv = ["yolopipe", "precompute", "--workers", sys.argv[1]]
    main()
"""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_disk_that_fills_up(drawn, small_disk, project, tmp_path_factory, workers):
    """Something else may eat the space after the estimate; a file-size limit stands in where nothing mounts."""
    folder, limit = small_disk or project, None
    if small_disk is None:

        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    script = tmp_path_factory.mktemp("script") / "run.py"
    script.write_text(RUN_WITHOUT_ESTIMATE)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, str(script), workers],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limit,
    )
    assert done.returncode == 5, done.stderr
    assert "train-c0" in done.stderr
    assert "No space left on device" in done.stderr or "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(os.listdir(folder / "data")) == ["augmented", "parsed"]


def test_a_folder_that_is_read_only(drawn, small_disk, project):
    """Root may write anywhere but on a read-only file system; others are stopped by permissions."""
    folder = small_disk or project
    (folder / "data").chmod(0o555)
    try:
        if small_disk is not None:
            assert mounted(["mount", "-o", "remount,ro", str(folder)])
        elif os.geteuid() == 0:
            shutil.move(folder / "data/augmented", folder / "augmented")
            shutil.rmtree(folder / "data")
            (folder / "data").write_text("in the way")
        code, out, err = drawn.finish(drawn.start(folder, "precompute", "--workers", "1"))
    finally:
        if (folder / "data").is_dir() and small_disk is None:
            (folder / "data").chmod(0o755)
    assert (code, out) == (5, "")
    assert "data" in err
    assert "Traceback" not in err
    assert not (folder / "data/shards").exists()


def test_the_estimate_is_close(drawn, project, capsys):
    """Within a tenth of what was then written, the same each time, and said before the work starts."""
    said = []
    for form in ("parquet", "tfrecord"):
        precompute.run(
            drawn.make_config(precompute={"input_size": 416, "shard_rows": 64, "format": form}), cache_gb=0
        )
        manifest = load_manifest("data/shards")
        size = sum(shard.bytes for split in manifest.splits.values() for shard in split.shards)
        line = capsys.readouterr().err.splitlines()[0]
        assert "195 samples, about " in line
        said.append(line.split(";")[0])
        assert float(line.split("about ")[1].split()[0]) == pytest.approx(size / 1e6, rel=0.1)
    assert said[0] == said[1]


def test_an_estimate_of_images_that_cannot_be_read(drawn, project):
    """It leaves the complaint to the stage, which lists them all."""
    for image in (project / "images").iterdir():
        image.unlink()
    with pytest.raises(YolopipeError, match="75 images cannot be read"):
        precompute.run(config_of(drawn))
