"""The command line: messages, exit codes, no traceback, no partial outputs."""

import json
import os
import stat
import subprocess
import sys

import cv2
import numpy as np
import pytest

from yolopipe.cli import app, guarded
from yolopipe.shards.schema import SCHEMA_VERSION

PARAMS = """\
data:
  train: train.txt
  val: val.txt
  classes: classes.names
  images: my images
augment:
  copies: 2
precompute:
  input_size: 64
  shard_rows: 8
"""


def call(*arguments):
    return guarded(lambda: app(list(arguments), standalone_mode=False))


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Four drawn images, one of them a background, one with a blank and an umlaut in its path."""
    folder = tmp_path / "a project"
    (folder / "my images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("one.jpg", "zwei ö.jpg", "three.png", "four.jpg"):
        encoded = cv2.imencode(name[-4:], rng.integers(0, 255, (60, 80, 3), dtype=np.uint8))[1]
        (folder / "my images" / name).write_bytes(encoded.tobytes())
    (folder / "train.txt").write_text(
        "# made by hand\n\nmy images/one.jpg 10,10,30,40,0 40.5,20,70.25,50,1\nmy images/zwei ö.jpg 1,2,30,40,1\n"
        "my images/three.png\n",
        encoding="utf-8",
    )
    (folder / "val.txt").write_text("my images/four.jpg 5,5,45,45,0\n")
    (folder / "classes.names").write_text("red cell\nblue cell\n")
    (folder / "params.yaml").write_text(PARAMS)
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.slow
def test_parse_to_precompute(project, capsys):
    for stage in ("parse", "augment", "precompute"):
        assert call(stage, "--workers", "1") == 0
    shown = capsys.readouterr().out
    for counts in ("4 images, 4 boxes, 2 classes", "6 samples", "6 rows"):
        assert counts in shown
    assert call("inspect-labels", "--image", "zwei ö", "--out", "drawn.png") == 0
    assert "blue cell" in capsys.readouterr().out
    assert cv2.imread("drawn.png").shape[0] > 100


@pytest.mark.slow
def test_arrow_uses_the_allocator_of_the_system(tmp_path):
    """Commands import Arrow late, so that it reads the variable; its own pool would grow with the data."""
    code = "import atexit, sys; sys.argv = ['yolopipe', '--version']; from yolopipe.cli import main; "
    code += "atexit.register(lambda: print(__import__('pyarrow').default_memory_pool().backend_name)); main()"
    environment = {name: value for name, value in os.environ.items() if name != "ARROW_DEFAULT_MEMORY_POOL"}
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "system"


def test_ctrl_c_while_the_commands_are_imported(tmp_path):
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "yolopipe", "parse"]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (130, "")
    assert len(run.stderr.splitlines()) == 1


@pytest.mark.slow
def test_json_is_all_there_is_on_standard_output(project, capsys):
    for stage in ("parse", "augment", "precompute"):
        assert call(stage, "--json") == 0
        assert isinstance(json.loads(capsys.readouterr().out), dict)
    assert call("inspect-labels", "--split", "val", "--json") == 0
    assert json.loads(capsys.readouterr().out)["boxes"] == 1


def cut(path):
    path.write_bytes(path.read_bytes()[:-200])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        (lambda p: (p / "my images/one.jpg").unlink(), 4, ["train.txt:3", "missing-image", "one.jpg"]),
        (lambda p: cut(p / "my images/one.jpg"), 4, ["train.txt:3", "truncated-image", "one.jpg"]),
        (lambda p: (p / "my images/one.jpg").write_text("x"), 4, ["train.txt:3", "not-an-image"]),
        (lambda p: (p / "val.txt").write_text("my images/four.jpg 5,5,45,x,0\n"), 4, ["val.txt:1:20: bad-box-text"]),
        (lambda p: (p / "val.txt").write_text("my images/four.jpg 5,5,45,45\n"), 4, ["val.txt:1:20: bad-box-text"]),
        (lambda p: (p / "val.txt").write_text("my images/four.jpg 5,5,45,45,2\n"), 4, ["val.txt:1:20: class-range"]),
        (lambda p: (p / "val.txt").write_text("my images/four.jpg 5,5,45,45,-1\n"), 4, ["class-range"]),
        (lambda p: (p / "val.txt").write_text("my images/four.jpg 45,5,5,45,0\n"), 4, ["no-area"]),
        (lambda p: (p / "val.txt").write_text("my images/four.jpg 5,5,85,45,0\n"), 4, ["outside-image"]),
        (lambda p: (p / "val.txt").write_text("my images/four.jpg 5,5,5.5,45,0\n"), 4, ["tiny"]),
        (lambda p: (p / "val.txt").write_text("my images/four.jpg 5,5,9,9,0 5,5,9,9,0\n"), 4, ["duplicate-box"]),
        (lambda p: (p / "val.txt").write_text("my images/one.jpg\n"), 4, ["train-val-leak"]),
        (lambda p: (p / "val.txt").write_text(""), 4, ["val.txt"]),
        (lambda p: (p / "val.txt").unlink(), 4, ["val.txt", "data.val"]),
        (lambda p: (p / "classes.names").unlink(), 4, ["classes.names", "data.classes"]),
        (lambda p: (p / "classes.names").write_text(""), 4, ["classes.names"]),
        (
            lambda p: (p / "params.yaml").write_text(PARAMS + "train:\n  epoch: 3\n"),
            3,
            ["params.yaml:12:3: ", "`train.epoch`", "`train.epochs`"],
        ),
        (lambda p: (p / "params.yaml").unlink(), 3, ["params.yaml", "--params"]),
    ],
)
def test_broken_input_to_parse(project, capsys, spoil, code, words):
    spoil(project)
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    assert call("parse") == code
    shown = capsys.readouterr()
    assert shown.out == ""
    for word in words:
        assert word in shown.err
    assert "Traceback" not in shown.err
    assert not list(project.glob("data/*"))
    for path, content in before.items():
        assert path.read_bytes() == content, "inputs are never edited"


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["augment", "precompute", "train", "evaluate", "inspect-labels"])
def test_a_stage_without_its_inputs_names_the_command_to_run(project, capsys, stage):
    assert call(stage) == 4
    assert "yolopipe " in capsys.readouterr().err
    assert not (project / "data").exists() or not any((project / "data").iterdir())


@pytest.mark.slow
def test_shards_of_another_schema(project, capsys):
    for stage in ("parse", "augment", "precompute"):
        assert call(stage) == 0
    manifest = project / "data/shards/manifest.json"
    text = manifest.read_text()
    manifest.write_text(text.replace(f'"schema_version": {SCHEMA_VERSION}', '"schema_version": 99'))
    for stage in ("train", "evaluate", "inspect-labels"):
        capsys.readouterr()
        assert call(stage) == 4
        shown = capsys.readouterr().err
        assert "99" in shown
        assert f"version {SCHEMA_VERSION}" in shown


def test_an_image_damaged_after_parse(project, capsys):
    assert call("parse") == call("augment") == 0
    cut(project / "my images/zwei ö.jpg")
    assert call("precompute") == 4
    assert "my images/zwei ö.jpg: truncated-image" in capsys.readouterr().err
    assert not (project / "data/shards").exists()


@pytest.mark.parametrize(
    "arguments",
    [["pares"], ["parse", "--worker", "2"], ["parse", "--workers", "two"], ["inspect-labels", "--copy", "x"]],
)
def test_wrong_calls(project, capsys, arguments):
    assert call(*arguments) == 2
    assert "Usage:" in capsys.readouterr().err


def test_wrong_worker_count(project, capsys, monkeypatch):
    assert call("parse", "--workers", "0") == 2
    monkeypatch.setenv("YOLOPIPE_WORKERS", "many")
    assert call("parse") == 2
    shown = capsys.readouterr().err
    assert "YOLOPIPE_WORKERS" in shown
    assert "'many'" in shown


def test_a_folder_that_cannot_be_written(project, capsys, monkeypatch):
    """Root may write anywhere, so the refusal is made by a file where a folder should be."""
    (project / "data").write_text("in the way")
    assert call("parse") == 5
    assert "data" in capsys.readouterr().err


@pytest.mark.parametrize("other", ["no such folder"])
def test_another_project_folder(project, capsys, monkeypatch, other):
    monkeypatch.chdir(project.parent)
    assert call("-C", project.name, "parse") == 0
    monkeypatch.chdir(project.parent)
    assert call("-C", other, "parse") == 2
    assert other in capsys.readouterr().err


@pytest.mark.slow
def test_inputs_may_be_read_only(project):
    for path in [*project.rglob("*.jpg"), *project.rglob("*.txt")]:
        path.chmod(stat.S_IREAD)
    for stage in ("parse", "augment", "precompute"):
        assert call(stage) == 0


def test_interrupted(project, capsys, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("yolopipe.stages.parse.run", interrupt)
    assert call("parse") == 130
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.slow
def test_real_processes(project):
    """Exit code and message of a real process."""

    def run(*arguments):
        command = [sys.executable, "-m", "yolopipe", *arguments]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    assert run("--version").stdout.startswith("yolopipe 0.")
    assert run("parse").returncode == 0
    for image in (project / "my images").iterdir():
        image.unlink()
    done = run("parse")
    assert done.returncode == 4
    assert "4 problems" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_lists_every_command_in_a_panel(capsys, monkeypatch):
    """One line a command, none cut off, at the width of a usual terminal."""
    monkeypatch.setenv("COLUMNS", "80")
    assert call("--help") == 0
    lines = capsys.readouterr().out.splitlines()
    start = lines.index("Project:")
    shown = [line.split()[0] for line in lines[start:] if line.startswith("  ")]
    panels = [line for line in lines[start:] if line.endswith(":") and not line.startswith(" ")]
    assert panels == ["Project:", "Data:", "Pipeline:", "Look:", "Model:"]
    assert sorted(shown) == sorted(app_commands())
    assert not [line for line in lines[start:] if line.endswith("...") or len(line) > 80]


def app_commands():
    from typer.main import get_command

    return list(get_command(app).commands)
