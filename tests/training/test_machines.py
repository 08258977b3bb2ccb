"""Training on two machines, which are two processes on loopback here, against training in one."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import small_network
from yolopipe.config.params_file import load_config
from yolopipe.errors import UsageError
from yolopipe.stages import augment, parse, precompute, train
from yolopipe.training.machines import EXAMPLE, MachineGroup, machine_group

PARAMS = """\
seed: 5
data: {train: train.txt, val: val.txt, classes: classes.names, images: images}
augment: {copies: 1}
precompute: {input_size: 64, shard_rows: 16}
model: {width: 0.125, depth: 0.1}
train: {epochs: 2, batch_size: 4, warmup_epochs: 0, lr_init: 1.0e-5, val_every: 2}
"""

DYING = """
import os
from yolopipe.training import machines as group

def die(self, number, log):
    os._exit(9)

group._SilentBoard.epoch = die
import sys
from yolopipe.cli import main
sys.argv = ["yolopipe", "train"]
main()
"""
"""A machine that is lost at the end of its first epoch."""

RUN = "import sys; from yolopipe.cli import main; sys.argv = ['yolopipe', 'train', '--json']; main()"

SMALL = "from tests.helpers.small_network import install; install()"
"""What the machines agree on, and who writes, has nothing to do with the number of layers."""


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def together(folders: list[Path], codes: list[str]) -> list[tuple[int, str, str]]:
    """Each code in its folder, as one machine of a group; exit code, standard output and error of each."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(len(folders))]
    processes = []
    for index, (folder, code) in enumerate(zip(folders, codes, strict=True)):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TF_CONFIG": json.dumps(config)}
        command = [sys.executable, "-c", code]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        processes.append(subprocess.Popen(command, cwd=folder, env=environment, **pipes))
    try:
        said = [process.communicate(timeout=1200) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, *text) for process, text in zip(processes, said, strict=True)]


@pytest.mark.slow
def test_two_machines_lose_one_go_on_and_end_like_one_process(
    drawn: Any, tmp_path: Path, float64: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone, chief, other = (tmp_path / name for name in ("alone", "chief", "other"))
    drawn.draw(alone, images=9, copies=1, size=64)
    (alone / "params.yaml").write_text(PARAMS)
    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.chdir(alone)
    for stage in (parse, augment, precompute):
        stage.run(load_config())
    shutil.copytree(alone, chief)
    shutil.copytree(alone, other)
    before = drawn.contents(other)

    run, dying = (f"{SMALL}\n{float64.SETUP}{code}" for code in (RUN, DYING))
    (code, _, said), (died, _, fell) = together([chief, other], [run, dying])
    assert died == 9, fell
    assert code == 5, said
    assert re.search(r"TF_CONFIG \(127\.0\.0\.1:\d+\)", said)
    assert re.search(r"\bafter epoch 1\b", said), said
    assert "Traceback" not in said

    (code, out, said), (followed, _, heard) = together([chief, other], [run, run])
    assert (code, followed) == (0, 0), said + heard
    assert re.search(r"\bafter epoch 1, from ", said), said
    assert drawn.contents(other) == before, "only the chief writes"
    with float64.computing(), monkeypatch.context() as patch:
        small_network.install(patch)
        patch.setattr("yolopipe.training.trainer.precision", lambda policy: nullcontext())
        one, two = train.run(load_config()).report, json.loads(out)
    assert two["epochs"] == one["epochs"] == 2
    for name in ("train_loss", "val_loss"):
        assert two[name] == pytest.approx(one[name], rel=1e-6)  # of seven digits
    assert two["device"].endswith(", 2 machines")


@pytest.mark.parametrize(
    "text",
    [
        "host1:2345",
        "[]",
        "{}",
        '{"cluster": {"worker": ["a:1"]}}',
        EXAMPLE.replace('"index": 0', '"index": 2'),
        EXAMPLE.replace('"type": "worker"', '"type": "ps"'),
        EXAMPLE.replace('"worker": [', '"ps": ["c:1"], "worker": ['),
    ],
)
def test_a_wrong_tf_config_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="TF_CONFIG"):
        machine_group({"TF_CONFIG": text})


def test_one_machine_is_not_a_group() -> None:
    alone = EXAMPLE.replace(', "host2:2345"', "")
    assert machine_group({"TF_CONFIG": alone}) is machine_group({"TF_CONFIG": ""}) is None
    assert machine_group({"TF_CONFIG": EXAMPLE.replace('"index": 0', '"index": 1')}) == MachineGroup(
        1, ("host1:2345", "host2:2345")
    )
