"""Runs that are killed, interrupted or given more epochs: what comes out is what an undisturbed run gives.

The network is small (``tests/helpers/small_network.py``): what is tested here is what is saved, and found again.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.helpers import drawn_project, small_network
from yolopipe import paths
from yolopipe.config.params import Config
from yolopipe.config.params_file import load_config
from yolopipe.errors import YolopipeError
from yolopipe.files import sha256_file
from yolopipe.stages import augment, parse, precompute
from yolopipe.stages import train as train_stage
from yolopipe.training.checkpoint import KEPT_RUNS, Checkpoint, RunFolder, open_run, read_checkpoint, write_checkpoint
from yolopipe.training.epoch_plan import EpochLog
from yolopipe.training.resume import Resumable, run_key

PARAMS = """\
seed: 5
data: {train: train.txt, val: val.txt, classes: classes.names, images: images}
augment: {copies: 2}
precompute: {input_size: 64, shard_rows: 16}
model: {width: 0.125, depth: 0.1}
train: {epochs: 4, batch_size: 4, warmup_epochs: 1, lr_init: 1.0e-3, ema: 0.9, weight_decay: 0.01}
"""
"""Three steps an epoch."""

OUTPUTS = (
    paths.BEST_WEIGHTS,
    paths.LAST_WEIGHTS,
    paths.MODEL_CARD,
    paths.TRAIN_METRICS,
    paths.TRAIN_PLOTS / "curves.csv",
)

STRUCK = """
import os, signal, sys
from tests.helpers.small_network import install
install()
from yolopipe.training import loop
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell ignores it
number, name = int(sys.argv[1]), sys.argv[2]
real, epochs = loop.LossReader.add, []

def add(self, result, rows):
    real(self, result, rows)
    if self.place.split == "train":
        epochs.append(str(self.place.epoch))
        open("trained", "w").write(" ".join(epochs))
        if len(epochs) == number:
            os.kill(os.getpid(), getattr(signal, name))

loop.LossReader.add = add
sys.argv = ["yolopipe", "train"]
from yolopipe.cli import main
main()
"""
"""``yolopipe train``, sending itself a signal once it has made so many steps; writes down the epoch of each step."""

HOLDING = """
import sys, time
from yolopipe.stages import train
from yolopipe.training.checkpoint import open_run

def hold(seed):
    with open_run(name):
        open("there", "w").close()
        time.sleep(3600)

name, train.prepare_tensorflow = sys.argv[1], hold
sys.argv = ["yolopipe", "train"]
from yolopipe.cli import main
main()
"""
"""``yolopipe train`` up to where it would load TensorFlow; there it holds the lock of a run."""


def made(folder: Path) -> Path:
    """Twelve training images as shards, nothing trained."""
    drawn_project.draw(folder, images=12)
    (folder / "params.yaml").write_text(PARAMS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for stage in (parse, augment, precompute):
            stage.run(load_config())
    return folder


def train_here(folder: Path, root: Path | None = None) -> list[int]:
    """Train in this process, which has TensorFlow loaded; the epochs trained.  ``root`` is DVC's."""
    from yolopipe.training import loop

    real, epochs = loop.LossReader.add, []

    def add(self: Any, result: Any, rows: Any) -> None:
        real(self, result, rows)
        if self.place.split == "train" and self.place.epoch not in epochs:
            epochs.append(self.place.epoch)

    with pytest.MonkeyPatch.context() as patch:
        small_network.install(patch)
        patch.setattr(loop.LossReader, "add", add)
        patch.chdir(folder)
        patch.delenv("DVC_ROOT", raising=False)
        if root:
            patch.setenv("DVC_ROOT", str(root))
        train_stage.run(load_config(stage="train"))
    return epochs


def clean_environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DVC_")}
    return {**kept, "PYTHONPATH": os.pathsep.join(sys.path), **more}


def struck(folder: Path, step: int, signal_name: str) -> tuple[int, str, list[int]]:
    """Train in a process of its own, struck at a step; exit code, standard error, the epochs trained."""
    (folder / "trained").write_text("")
    done = subprocess.run(
        [sys.executable, "-c", STRUCK, str(step), signal_name],
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )
    trained = dict.fromkeys(map(int, (folder / "trained").read_text().split()))
    return done.returncode, done.stderr, list(trained)


def hashes(folder: Path) -> dict[str, str]:
    return {str(path): sha256_file(folder / path) for path in OUTPUTS}


def checkpoints(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / ".yolopipe/train").rglob("*.npz"))


def curves(folder: Path) -> list[str]:
    return (folder / paths.TRAIN_PLOTS / "curves.csv").read_text().splitlines()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project after four epochs in one go; tests copy it."""
    folder = made(tmp_path_factory.mktemp("resume") / "a project")
    assert train_here(folder) == [1, 2, 3, 4]
    return folder


@pytest.mark.slow
def test_kill_9_and_ctrl_c_change_no_byte(undisturbed: Path, tmp_path: Path) -> None:
    """Killed in epoch 3, interrupted in epoch 4; before each new start the outputs are deleted, as DVC does."""
    folder = made(tmp_path / "project")

    def outputs_deleted() -> Path:
        for name in ("models", "metrics", "plots"):
            shutil.rmtree(folder / name)
        return folder

    code, told, epochs = struck(folder, 8, "SIGKILL")
    assert (code, epochs) == (-signal.SIGKILL, [1, 2, 3]), told
    assert checkpoints(folder) == ["epoch-000001.npz", "epoch-000002.npz"]

    code, told, epochs = struck(outputs_deleted(), 5, "SIGINT")
    assert (code, epochs) == (130, [3, 4]), told
    assert checkpoints(folder) == ["epoch-000002.npz", "epoch-000003.npz"]
    assert re.findall(r"epoch (\d+)$", told, re.MULTILINE)[-1:] == ["3"], "after which it goes on"
    assert "Traceback" not in told
    assert not list(folder.rglob(".partial-*"))

    assert train_here(outputs_deleted()) == [4]
    assert hashes(folder) == hashes(undisturbed)
    assert checkpoints(folder) == ["finished-000004.npz"]


@pytest.mark.slow
def test_more_epochs_go_on_from_the_finished_run_under_the_longer_schedule(undisturbed: Path, tmp_path: Path) -> None:
    """In a copy that is thrown away, as ``dvc exp run --temp`` does: DVC_ROOT is the project, which keeps the run."""
    project = Path(shutil.copytree(undisturbed, tmp_path / "project"))
    ignore = shutil.ignore_patterns(".yolopipe", "models", "metrics", "plots")
    temporary = Path(shutil.copytree(project, tmp_path / "exps/tmp1", ignore=ignore))
    (temporary / "params.yaml").write_text(PARAMS.replace("epochs: 4", "epochs: 6"))
    assert train_here(temporary, root=project) == [5, 6]
    assert checkpoints(temporary) == []
    assert checkpoints(project) == ["finished-000004.npz", "finished-000006.npz"]
    assert curves(temporary)[:5] == curves(undisturbed)
    rates = [float(line.split(",")[1]) for line in curves(temporary)[1:]]
    assert len(rates) == 6
    assert rates[4] > rates[3], "the longer cosine is higher there"
    assert json.loads((temporary / paths.TRAIN_METRICS).read_text())["continued_from_epoch"] == 4


class State:
    """One variable and its run's folder, in a project of its own."""

    def __init__(self, folder: RunFolder, best: Path, *, key: str = "key", epochs: int = 4) -> None:
        import keras

        self.folder = folder
        self.variable = keras.Variable([0.0, 0.0])
        self.run = Resumable(folder, key, epochs, {"model": [self.variable]}, best)

    def save(self, epoch: int) -> None:
        self.variable.assign([float(epoch), 0.5])
        self.run.best_weights.write_text(f"best of {epoch}")
        self.run.save([EpochLog(number, 9, 0.1, {}, {}) for number in range(1, epoch + 1)])

    def restored(self) -> tuple[int, float, str]:
        """Epochs in the history, the variable, and the best weights, after they were lost."""
        self.variable.assign([0.0, 0.0])
        self.run.best_weights.write_text("none")
        history = self.run.restore()
        return len(history), float(self.variable[0]), self.run.best_weights.read_text()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return tmp_path


def test_a_damaged_checkpoint_falls_back_to_the_one_before(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_run(Resumable.folder_name("key", 4)) as folder:
        state = State(folder, root / "best")
        state.save(1)
        state.save(2)
        assert state.restored() == (2, 2.0, "best of 2")
        (_, youngest), (_, oldest) = folder.unfinished()
        content = youngest.read_bytes()
        youngest.write_bytes(content[: len(content) // 2])
        capsys.readouterr()
        assert state.restored() == (1, 1.0, "best of 1")
        assert str(youngest) in capsys.readouterr().err
        oldest.write_bytes(b"no checkpoint")
        assert state.restored() == (0, 0.0, "none"), "training from scratch"
        told = capsys.readouterr().err
        assert str(youngest) in told
        assert str(oldest) in told


def test_a_checkpoint_of_another_network_changes_no_variable(root: Path) -> None:
    import keras

    with open_run("key-4") as folder:
        State(folder, root / "best").save(3)
        first, second = keras.Variable([7.0, 7.0]), keras.Variable([[7.0]])
        other = Resumable(folder, "key", 4, {"model": [first, second]}, root / "best")
        assert other.restore() == []
        assert np.asarray(first).tolist() == [7.0, 7.0]


def test_a_finished_run_serves_runs_with_more_epochs_only(root: Path) -> None:
    """Its result is never taken for a new one, nor for one with another key: other params or other shards."""
    with open_run("key-4") as folder:
        state = State(folder, root / "best")
        state.save(4)
        folder.finish()
        assert state.restored() == (0, 0.0, "none")
    for name, epochs, found in (("key", 5, (4, 4.0, "best of 4")), ("key", 3, (0, 0.0, "none")), ("yek", 5, None)):
        with open_run(Resumable.folder_name(name, epochs)) as folder:
            state = State(folder, root / "best", key=name, epochs=epochs)
            assert state.restored() == (found or (0, 0.0, "none"))


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
        key(train={"lr_init": 2e-3}),
        key(train={"ema": 0}),
    ]
    assert len({key(), *others}) == 7


def _lives(process: Path) -> bool:
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
def test_a_second_run_is_refused_and_the_first_dies_with_its_dvc(undisturbed: Path, tmp_path: Path) -> None:
    """A parent that is killed stands in for DVC; without DVC_STAGE a closed terminal's child trains on."""
    project = Path(shutil.copytree(undisturbed, tmp_path / "project"))
    (run,) = (project / ".yolopipe/train").iterdir()
    parent = (
        "import subprocess, sys, os; "
        "child = subprocess.Popen([sys.executable, '-c', *sys.argv[1:]]); "
        "open('child', 'w').write(str(child.pid)); child.wait()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", parent, HOLDING, run.name],
        cwd=project,
        env=clean_environment(DVC_STAGE="train"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert drawn_project.wait_until((project / "there").exists)
        number = (project / "child").read_text()
        with pytest.raises(YolopipeError) as refused:
            train_here(project)
    finally:
        process.kill()
        process.wait()
    assert refused.value.exit_code == 5
    assert number in re.findall(r"\d+", refused.value.message)
    if sys.platform != "linux":
        os.kill(int(number), signal.SIGKILL)
        pytest.skip("the end of an orphan takes the kernel's help")
    assert drawn_project.wait_until(lambda: not _lives(Path("/proc") / number))
