"""Runs that are killed, interrupted or given more epochs: what comes out is what an undisturbed run gives."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from yolopipe import paths
from yolopipe.config.params import Config
from yolopipe.config.params_file import load_config
from yolopipe.files import sha256_file
from yolopipe.stages import augment, parse, precompute
from yolopipe.stages import train as train_stage
from yolopipe.training.checkpoint import KEPT_RUNS, Checkpoint, RunFolder, open_run, read_checkpoint, write_checkpoint
from yolopipe.training.resume import run_key

PARAMS = """\
seed: 5
data: {train: train.txt, val: val.txt, classes: classes.names, images: images}
augment: {copies: 2}
precompute: {input_size: 64, shard_rows: 16}
model: {width: 0.125, depth: 0.1}
train: {epochs: 4, batch_size: 4, warmup_epochs: 1, lr_init: 1.0e-3, ema: 0.9, weight_decay: 0.01}
"""

OUTPUTS = (
    paths.BEST_WEIGHTS,
    paths.LAST_WEIGHTS,
    paths.MODEL_CARD,
    paths.TRAIN_METRICS,
    paths.TRAIN_PLOTS / "curves.csv",
)

SLOWED = """
import os, signal, sys, time
from yolopipe.training import reader
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell ignores it
number, action = int(sys.argv[1]), sys.argv[2]
real, steps = reader.LossReader.add, 0

def add(self, result, rows):
    global steps
    real(self, result, rows)
    steps += self.place.split == "train"
    if steps == number:
        if action == "wait":
            open("there", "w").close()
            time.sleep(300)
        os.kill(os.getpid(), getattr(signal, action))

reader.LossReader.add = add
sys.argv = ["yolopipe", "train"]
from yolopipe.cli import main
main()
"""
"""``yolopipe train``, sending itself a signal (or waiting for one) once it has made so many steps."""


@pytest.fixture(scope="module")
def shards_folder(drawn: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve training images in three steps an epoch, as shards, nothing trained."""
    folder = tmp_path_factory.mktemp("resume") / "a project"
    drawn.draw(folder, images=12)
    (folder / "params.yaml").write_text(PARAMS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for stage in (parse, augment, precompute):
            stage.run(load_config())
    return folder


@pytest.fixture
def project(shards_folder: Path, tmp_path: Path) -> Path:
    """A copy of it that nothing else uses."""
    return Path(shutil.copytree(shards_folder, tmp_path / "project"))


def train(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """``yolopipe train`` (or another command) in a process of its own."""
    return subprocess.run(
        [sys.executable, *(command or ("-m", "yolopipe", "train"))],
        cwd=folder,
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )


def clean_environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DVC_")}
    return {**kept, "PYTHONPATH": os.pathsep.join(sys.path), **more}


def struck(folder: Path, step: int, signal_name: str) -> subprocess.CompletedProcess[str]:
    return train(folder, "-c", SLOWED, str(step), signal_name)


@pytest.fixture
def finished(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[Path], str]:
    """Trains in a folder to the end, in this process (which has TensorFlow loaded), and returns what was said."""
    monkeypatch.delenv("DVC_ROOT", raising=False)

    def run(folder: Path) -> str:
        capsys.readouterr()
        monkeypatch.chdir(folder)
        result = train_stage.run(load_config(stage="train"))
        return "\n".join([capsys.readouterr().err, *result.rows])

    return run


def edit(folder: Path, old: str, new: str) -> None:
    text = (folder / "params.yaml").read_text()
    assert old in text
    (folder / "params.yaml").write_text(text.replace(old, new))


def hashes(folder: Path) -> dict[str, str]:
    return {str(path): sha256_file(folder / path) for path in OUTPUTS}


def checkpoints(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / ".yolopipe/train").rglob("*.npz"))


def curves(folder: Path) -> list[str]:
    return (folder / paths.TRAIN_PLOTS / "curves.csv").read_text().splitlines()


@pytest.fixture(scope="module")
def undisturbed(shards_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project after four epochs in one go."""
    folder = Path(shutil.copytree(shards_folder, tmp_path_factory.mktemp("undisturbed") / "project"))
    done = train(folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def killed(shards_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project after kill -9 in the middle of epoch 3; tests copy it."""
    folder = Path(shutil.copytree(shards_folder, tmp_path_factory.mktemp("killed") / "project"))
    done = struck(folder, 8, "SIGKILL")
    assert done.returncode == -signal.SIGKILL, done.stderr
    return folder


@pytest.fixture
def half_way(killed: Path, tmp_path: Path) -> Path:
    """A copy of the killed project, its outputs deleted as DVC does before it runs the stage again."""
    folder = Path(shutil.copytree(killed, tmp_path / "project"))
    for name in ("models", "metrics", "plots"):
        shutil.rmtree(folder / name, ignore_errors=True)
    return folder


def test_kill_9_in_mid_epoch_changes_no_byte(undisturbed: Path, half_way: Path) -> None:
    assert checkpoints(half_way) == ["epoch-000001.npz", "epoch-000002.npz"]
    told = train(half_way).stderr
    assert "going on after epoch 2" in told
    assert "epoch 3/4" in told
    assert "epoch 2/4" not in told
    assert hashes(half_way) == hashes(undisturbed)
    assert checkpoints(half_way) == ["finished-000004.npz"]


def test_without_a_usable_checkpoint_the_same_run_trains_anew(
    finished: Any, undisturbed: Path, tmp_path: Path
) -> None:
    """What a finished run leaves serves runs with more epochs only: a result is never taken for a new one."""
    folder = Path(shutil.copytree(undisturbed, tmp_path / "project"))
    (left,) = folder.glob(".yolopipe/train/*/finished-000004.npz")
    left.with_name("epoch-000002.npz").write_bytes(b"no checkpoint")
    told = finished(folder)
    assert "epoch-000002.npz cannot be used" in told
    assert "training starts anew" in told
    assert "epoch 1/4" in told
    assert hashes(folder) == hashes(undisturbed)


def test_a_damaged_checkpoint_falls_back_to_the_one_before(finished: Any, undisturbed: Path, half_way: Path) -> None:
    (youngest,) = half_way.glob(".yolopipe/train/*/epoch-000002.npz")
    content = youngest.read_bytes()
    youngest.write_bytes(content[: len(content) // 2])
    told = finished(half_way)
    assert f"{youngest} cannot be used" in told
    assert "going on after epoch 1" in told
    assert hashes(half_way) == hashes(undisturbed)


ARRAYS = {"model/0": np.arange(600, dtype=np.float32).reshape(20, 30), "best": np.zeros(0, np.uint8)}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    facts = {"history": [{"epoch": 1, "lr": 0.1 + 0.2, "val": {}}]}
    write_checkpoint(tmp_path / "c.npz", Checkpoint(ARRAYS, facts))
    again = read_checkpoint(tmp_path / "c.npz")
    assert again.facts == facts
    assert set(again.arrays) == set(ARRAYS)
    assert all(np.array_equal(again.arrays[name], ARRAYS[name]) for name in ARRAYS)


def test_no_damage_is_read_as_a_checkpoint(tmp_path: Path) -> None:
    """Cut anywhere, or one bit flipped: refused with a reason, or (padding) without effect."""
    path = tmp_path / "c.npz"
    write_checkpoint(path, Checkpoint(ARRAYS, {"history": []}))
    content, rng, refused = path.read_bytes(), np.random.default_rng(0), 0
    for length in [0, 1, *rng.integers(2, len(content), 20).tolist()]:
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"\S"):
            read_checkpoint(path)
    for place in rng.integers(0, len(content), 200).tolist():
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            arrays = read_checkpoint(path).arrays
        except ValueError:
            refused += 1
        else:
            for name in set(arrays) & set(ARRAYS):
                assert np.array_equal(arrays[name], ARRAYS[name])
    assert refused > 150


def test_the_last_two_are_kept_and_after_success_one(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.finish()
    for epoch in (9, 10, 11):
        folder.save(epoch, Checkpoint(ARRAYS, {}))
    assert [epoch for epoch, _ in folder.unfinished()] == [11, 10]
    folder.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["finished-000011.npz"]
    assert folder.unfinished() == []
    assert [epoch for epoch, _ in folder.any()] == [11]


def test_the_folders_of_a_few_runs_are_kept_and_none_that_trains_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    with open_run("oldest-1"):
        for number in range(KEPT_RUNS + 3):
            with open_run(f"run{number}-1") as folder:
                os.utime(folder.directory, (1e9 + number, 1e9 + number))
    left = {path.name for path in (tmp_path / ".yolopipe/train").iterdir()}
    assert "oldest-1" in left
    assert f"run{KEPT_RUNS + 2}-1" in left
    assert len(left) <= KEPT_RUNS + 1


def test_the_key_is_everything_but_the_number_of_epochs() -> None:
    tree = yaml.safe_load(PARAMS)

    def key(inputs: str = "a", **changes: Any) -> str:
        changed = {name: {**tree[name], **value} if value is not None else 9 for name, value in changes.items()}
        return run_key(Config.model_validate({**tree, **changed}), {"manifest": inputs})

    assert key() == key(train={"epochs": 99}) == key(augment={"copies": 9})
    others = [
        key("b"),
        key(seed=None),
        key(model={"width": 1.0}),
        key(train={"batch_size": 5}),
        key(train={"ema": 0}),
    ]
    assert len({key(), *others}) == 6


def test_more_epochs_go_on_from_the_finished_run_under_the_longer_schedule(
    finished: Any, undisturbed: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(undisturbed, tmp_path / "project"))
    edit(folder, "epochs: 4", "epochs: 6")
    told = finished(folder)
    assert "going on after epoch 4" in told
    assert "continued" in told
    assert curves(folder)[:5] == curves(undisturbed)
    rates = [float(line.split(",")[1]) for line in curves(folder)[1:]]
    assert len(rates) == 6
    assert rates[4] > rates[3], "the longer cosine is higher there"
    assert json.loads((folder / paths.TRAIN_METRICS).read_text())["continued_from_epoch"] == 4


def _lives(process: Path) -> bool:
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_another_learning_rate_starts_anew(finished: Any, half_way: Path) -> None:
    edit(half_way, "1.0e-3", "2.0e-3")
    told = finished(half_way)
    assert "going on" not in told
    assert "epoch 1/4" in told


def test_ctrl_c_leaves_a_checkpoint_and_says_so(finished: Any, undisturbed: Path, half_way: Path) -> None:
    """Of a run that goes on already: killed in epoch 3, interrupted in epoch 4."""
    done = struck(half_way, 5, "SIGINT")
    assert done.returncode == 130, done.stderr
    assert "the same command goes on after epoch 3" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(half_way.rglob(".partial-*"))
    assert "going on after epoch 3" in finished(half_way)
    assert hashes(half_way) == hashes(undisturbed)


def test_a_second_run_is_refused_and_the_first_dies_with_its_dvc(project: Path) -> None:
    """A parent that is killed stands in for DVC; without DVC_STAGE a closed terminal's child trains on."""
    parent = (
        "import subprocess, sys, os; "
        "child = subprocess.Popen([sys.executable, '-c', sys.argv[1], '1', 'wait']); "
        "open('child', 'w').write(str(child.pid)); child.wait()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", parent, SLOWED],
        cwd=project,
        env=clean_environment(DVC_STAGE="train"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + 200
    while not (project / "there").exists() and time.monotonic() < end:
        time.sleep(0.1)
    number = (project / "child").read_text()
    second = train(project)
    process.kill()
    process.wait()
    assert second.returncode == 5, second.stderr
    assert f"process {number} trains the same run already" in second.stderr
    if sys.platform != "linux":
        os.kill(int(number), signal.SIGKILL)
        pytest.skip("the end of an orphan takes the kernel's help")
    child = Path("/proc") / number
    while _lives(child) and time.monotonic() < end:
        time.sleep(0.1)
    assert not _lives(child)


def test_checkpoints_of_a_temporary_folder_lie_in_the_project(project: Path, tmp_path: Path) -> None:
    """As in ``dvc exp run --temp``: DVC_ROOT is the project, the work is done in a copy that is thrown away."""
    temporary = Path(shutil.copytree(project, tmp_path / "exps/tmp1"))
    done = train(temporary, "-c", SLOWED, "4", "SIGKILL", DVC_ROOT=str(project))
    assert done.returncode == -signal.SIGKILL
    assert checkpoints(temporary) == []
    assert checkpoints(project) == ["epoch-000001.npz"]
    shutil.rmtree(temporary)
    again = Path(shutil.copytree(project, tmp_path / "exps/tmp2", ignore=shutil.ignore_patterns(".yolopipe")))
    told = train(again, DVC_ROOT=str(project)).stderr
    assert "going on after epoch 1" in told
