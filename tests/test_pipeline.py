"""The whole pipeline as its user runs it: a copy of this project, tiny data, DVC.

The network is the small one; tests/stages/test_train_start.py trains the real one in the stage.
"""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import small_network

pytestmark = pytest.mark.slow

STAGES = ("sample", "parse", "augment", "precompute", "train", "evaluate")

SMALL = {
    "train_images: 1500": "train_images: 24",
    "val_images: 300": "val_images: 8",
    "copies: 6": "copies: 2",
    "input_size: 160": "input_size: 64",
    "depth: 0.33": "depth: 0.1",
    "epochs: 12": "epochs: 2",
    "warmup_epochs: 1.0": "warmup_epochs: 5.0",  # longer than the run: must not divide by zero
    "picture_images: 9": "picture_images: 4",
}


class Project:
    """A git and DVC project in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("DVC_", "GIT_", "PYTHONPATH"))},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "DVC_NO_ANALYTICS": "1",
            "GIT_CONFIG_GLOBAL": str(folder.parent / "gitconfig"),
            "CUDA_VISIBLE_DEVICES": "-1",
            "PYTHONPATH": small_network.EVERYWHERE,
        }
        (folder.parent / "gitconfig").write_text(
            "[user]\nname = t\nemail = t@example.org\n[init]\ndefaultBranch = main\n"
        )

    def run(self, *command: str, code: int = 0) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=2000, check=False
        )
        assert done.returncode == code, f"{' '.join(command)} -> {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def commit(self, message: str) -> None:
        self.run("git", "add", "-A")
        self.run("git", "commit", "-q", "-m", message)

    def ran(self, output: str) -> list[str]:
        """The stages that DVC ran, not those it skipped."""
        return [
            stage for stage in STAGES if f"Running stage '{stage}'" in output.replace("data/sample/dvc.yaml:", "")
        ]

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def project(repo, tmp_path_factory):
    """This checkout's tracked files with tiny params, and ``dvc repro`` run once."""
    folder = tmp_path_factory.mktemp("pipeline") / "project with blank"
    names = subprocess.run(
        [
            "git",
            "ls-files",
            "-co",
            "--exclude-standard",
            "yolopipe",
            "data",
            "*.yaml",
            ".gitignore",
            ".dvcignore",
            ".dvc",
        ],
        cwd=repo,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for name in names:
        if (repo / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(repo / name, folder / name)
    project = Project(folder)
    for old, new in SMALL.items():
        project.edit("params.yaml", old, new)
    project.run("git", "init", "-q")
    project.commit("scaffold")
    project.first_output = project.run("dvc", "repro")
    project.commit("first run")
    return project


def test_all_stages_run_and_git_is_clean(project):
    assert project.ran(project.first_output) == list(STAGES)
    assert project.run("git", "status", "--porcelain") == ""
    assert (project.folder / "reports/evaluate.html").is_file()
    tracked = project.run("git", "ls-files").splitlines()
    assert {"metrics/train.json", "metrics/eval.json", "dvc.lock", "data/sample/dvc.lock"} <= set(tracked)
    assert not [name for name in tracked if name.endswith((".parquet", ".h5", ".jpg"))]
    assert not list(project.folder.rglob(".partial-*"))


def test_what_the_stages_leave(project):
    metrics = json.loads((project.folder / "metrics/eval.json").read_text())
    assert {"mAP", "mAP50", "mAP75", "per_class"} <= set(metrics)
    assert set(metrics["per_class"]) == set((project.folder / "data/sample/classes.names").read_text().split())
    assert (project.folder / "predictions/val.parquet").exists()
    with (project.folder / "plots/train/curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [1, 2]
    shown = project.run("dvc", "metrics", "show")
    assert "mAP50" in shown
    page = (project.folder / "reports/evaluate.html").read_bytes()
    project.run("python", "-m", "yolopipe", "report", "--out", "reports/again.html")
    again = (project.folder / "reports/again.html").read_bytes()
    compared = [re.search(rb"(no comparison: |compared with )(.*?)</p>", each).group(2) for each in (page, again)]
    assert compared[0] == b"metrics/eval.json is not in the last commit"
    assert compared[1].startswith(b"the last commit (")
    assert page.partition(b'id="data"')[2] == again.partition(b'id="data"')[2], "from memory and from the outputs"
    plots = project.run("dvc", "plots", "show", "--out", "dvc_plots")
    assert "index.html" in plots


def test_a_second_repro_does_nothing(project):
    output = project.run("dvc", "repro")
    assert project.ran(output) == []
    assert "Data and pipelines are up to date." in output


def test_a_learning_rate_reruns_train_and_evaluate_only(project):
    """1e-5 is written as 1e-05, a string to YAML 1.1 readers; a string would be refused."""
    params = ["-S", "train.lr_init=1e-5", "-S", "train.lr_end=1e-6"]
    output = project.run("dvc", "exp", "run", "--name", "low-lr", *params)
    assert project.ran(output) == ["train", "evaluate"]
    assert "lr_init: 1e-05" in (project.folder / "params.yaml").read_text()
    with (project.folder / "plots/train/curves.csv").open() as file:
        assert all(float(row["lr"]) <= 1e-5 for row in csv.DictReader(file))
    shown = json.loads(project.run("dvc", "exp", "show", "--json"))
    assert "low-lr" in json.dumps(shown)
    assert "mAP50" in json.dumps(shown)
    project.run("git", "checkout", "-q", "--", ".")
    project.run("dvc", "checkout", "-q")
    assert project.run("git", "status", "--porcelain") == ""


def test_a_queued_experiment_uses_its_own_code(project):
    """Code queued is code run, whatever happens to the workspace meanwhile; and the workspace stays as it is.

    Only the stage whose params changed runs, in a temporary folder, as with ``--temp``.
    """
    before = (project.folder / "metrics/eval.json").read_bytes()
    name = "yolopipe/scoring/scores.py"
    text = (project.folder / name).read_text()
    (project.folder / name).write_text(text + "\nprint('THE QUEUED CODE')\n")
    project.run("dvc", "exp", "run", "--queue", "--name", "queued", "-S", "evaluate.nms_iou=0.4")
    (project.folder / name).write_text(text + "\nraise SystemExit('the workspace code')\n")
    output = project.run("dvc", "exp", "run", "--run-all")
    status = project.run("dvc", "queue", "status")
    project.run("git", "checkout", "-q", "--", ".")
    output += project.run("dvc", "queue", "logs", "queued")
    assert "THE QUEUED CODE" in output
    assert project.ran(output) == ["evaluate"]
    assert (project.folder / "metrics/eval.json").read_bytes() == before
    assert "Success" in status
    assert "queued" in project.run("dvc", "exp", "list")
    assert project.run("git", "status", "--porcelain") == ""
