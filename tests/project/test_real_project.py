"""A scaffolded project under real git and DVC: ``dvc repro`` runs it unchanged."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import small_network

SMALL = {"width: 1.0": "width: 0.0625", "depth: 1.0": "depth: 0.1", "epochs: 50": "epochs: 1", "size: 8": "size: 4"}
"""To keep the time down: the model and the length of the training.  The data stages are not changed.

The network is the small one; tests/stages/test_train_start.py trains the real one."""


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """Runs a command line in a folder as a user does; returns what it printed."""
    root = tmp_path_factory.mktemp("real")
    (root / "gitconfig").write_text("[user]\nname = t\nemail = t@example.org\n[init]\ndefaultBranch = main\n")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "GIT_", "PYTHONPATH"))},
        "PATH": f"{root / 'bin'}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([small_network.EVERYWHERE, *sys.path]),
        "DVC_NO_ANALYTICS": "1",
        "GIT_CONFIG_GLOBAL": str(root / "gitconfig"),
        "CUDA_VISIBLE_DEVICES": "-1",
    }
    (root / "bin").mkdir()
    (root / "bin/yolopipe").write_text('#!/bin/sh\nexec python -m yolopipe "$@"\n')
    (root / "bin/yolopipe").chmod(0o755)

    def run(command, folder=root):
        done = subprocess.run(
            command,
            shell=True,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=2000,
            check=False,
        )
        assert done.returncode == 0, f"{command} -> {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    run.root = root
    return run


def next_command(shell, *arguments):
    report = json.loads(shell(f"yolopipe init {' '.join(arguments)} --json 2>/dev/null"))
    return " && ".join(report["next"])


@pytest.mark.slow
def test_imported_data(shell, voc, git):
    """The commands that init prints, up to the shards; then a small model on them."""
    source = voc(train=6, val=3)
    command = next_command(shell, "'own data'", "--from", "voc", f"'{source}'")
    assert command.endswith("&& dvc repro")
    shell(f"{command} precompute")
    folder = shell.root / "own data"
    assert (folder / "data/shards/manifest.json").is_file()
    text = (folder / "params.yaml").read_text()
    for old, new in SMALL.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "params.yaml").write_text(text)
    before = (folder / "data/shards/manifest.json").stat().st_mtime_ns
    shell("dvc repro", folder)
    assert (folder / "data/shards/manifest.json").stat().st_mtime_ns == before, "precompute was not run again"
    assert "mAP50" in json.loads((folder / "metrics/eval.json").read_text())
    shell("git add -A && git commit -q -m first", folder)
    assert shell("git status --porcelain", folder) == ""
    tracked = shell("git ls-files", folder).splitlines()
    assert {"params.yaml", "dvc.yaml", "dvc.lock", "data/annotations/train.txt", "metrics/eval.json"} <= set(tracked)
    assert not [name for name in tracked if name.endswith((".parquet", ".h5", ".png"))]
    assert shell("dvc status --json", folder).strip().endswith("{}")
    rows = json.loads(shell("yolopipe check --json", folder))["rows"]
    assert [row["name"] for row in rows if row["severity"] != "ok"] == []


@pytest.mark.slow
def test_the_demo_in_a_folder_of_a_repository(shell):
    """DVC finds all stages also below the root of a repository; tests/test_pipeline.py runs these files."""
    shell("git init -q monorepo")
    command = next_command(shell, "'monorepo/sub project'", "--demo")
    assert "dvc init --subdir" in command
    shown = shell(command.replace("dvc repro", "dvc stage list --all --name-only"))
    assert {"data/sample/dvc.yaml:sample", "parse", "augment", "precompute", "train", "evaluate"} <= set(
        shown.split()
    )
