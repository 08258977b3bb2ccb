"""``yolopipe check``: a sound project has only ok rows; each of many faults has a row with its place and advice."""

import json
import sys
from pathlib import Path

import pytest

from yolopipe.cli import app, guarded
from yolopipe.errors import DataError
from yolopipe.project import check, environment
from yolopipe.project.scaffold import run as init


def call(*arguments):
    return guarded(lambda: app(["check", *arguments], standalone_mode=False))


def edit(name, old, new):
    text = Path(name).read_text()
    assert old in text
    Path(name).write_text(text.replace(old, new, 1))


@pytest.fixture
def project(tmp_path, voc, git, monkeypatch):
    """A scaffolded project in git, its data and all; ``.dvc`` is an empty folder."""
    folder = tmp_path / "a project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    voc(train=6, val=3).rename("voc data")
    init(source=("voc", Path("voc data")))
    Path(".dvc").mkdir()
    git("init", "-q")
    git("add", "-A")
    git("commit", "-q", "-m", "scaffold")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    monkeypatch.setattr(environment.shutil, "which", lambda name: str(tmp_path / "bin" / name))
    return folder


def bad_rows():
    return [row for row in check.run() if row.severity != "ok"]


@pytest.mark.slow
def test_a_sound_project(project, capsys):
    assert bad_rows() == []
    assert call("--fail-on", "warning") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("check: 16 ok")
    assert "next: dvc repro" in shown


def test_this_repository_has_no_errors(repo, monkeypatch):
    monkeypatch.chdir(repo)
    assert not [row for row in check.run() if row.severity == "error" and row.name not in ("git", "packages")]


FAULTS = {
    "config": [
        ("params.yaml", "epochs: 50", "epochs: 0", "params.yaml", "`train.epochs`"),
        ("params.yaml", "lr_init:", "lr_int:", "params.yaml", "`train.lr_init`"),
        ("params.yaml", "  augment: 2", "  augment: 9", "params.yaml", "algorithm.augment"),
    ],
    "inputs": [
        (
            "params.yaml",
            "annotations/train.txt",
            "annotations/tarin.txt",
            "data.train",
            "data/annotations/tarin.txt",
        ),
        ("params.yaml", "annotations/val.txt", "annotations/train.txt", "data.val", "data.train and data.val"),
        ("params.yaml", "classes.names", "classes", "data.classes", "params.yaml:15:12"),
        ("params.yaml", "images: voc data/JPEGImages", "images: voc data/nothing", "data.images", "voc data/nothing"),
        (
            "params.yaml",
            "images: voc data/JPEGImages",
            "images: voc data/Annotations",
            "data.val",
            "voc data/Annotations",
        ),
        ("data/annotations/train.txt", ",0", ",0 1,2,3", "data.train", "train.txt:1: "),
        ("data/annotations/train.txt", ",0", ",7", "data.train", "train.txt:1: class 7 "),
        ("data/annotations/val.txt", "photo 6.jpg", "photo 66.jpg", "data.val", "photo 66.jpg"),
        ("data/annotations/classes.names", "dog", "cat", "data.classes", "classes.names:2: "),
    ],
    "wiring": [
        ("dvc.yaml", "  parse:\n", "  prase:\n", "stage parse", "`parse`"),
        ("dvc.yaml", "python -m yolopipe train", "python -m yolopipe parse", "stage train", "dvc.yaml:45:5: "),
        ("dvc.yaml", "python -m yolopipe train", "yolopipe train", "stage train", "`yolopipe train`"),
        ("dvc.yaml", "      - algorithm.train\n", "", "stage train", "`algorithm.train`"),
        ("dvc.yaml", "      - precompute.input_size\n", "", "stage parse", "`precompute.input_size`"),
        ("dvc.yaml", "      - model\n", "      - model\n      - evaluate\n", "stage train", "`evaluate`"),
        ("dvc.yaml", "      - model\n", "      - model.width\n", "stage train", "`model`"),
        ("dvc.yaml", "      - ${data.train}\n", "", "stage parse", "data/annotations/train.txt"),
        ("dvc.yaml", "      - data/shards\n      # - $", "      # - $", "stage train", "data/shards"),
        (
            "dvc.yaml",
            "      - data/shards\n  train",
            "      - data/shard\n  train",
            "stage precompute",
            "data/shards",
        ),
        ("dvc.yaml", "metrics/eval.json", "metrics/val.json", "stage evaluate", "metrics/eval.json"),
        (
            "dvc.yaml",
            "    cmd: python -m yolopipe augment",
            "    frozen: true\n    cmd: python -m yolopipe augment",
            "stage augment",
            "frozen",
        ),
        (
            "dvc.yaml",
            "    cmd: python -m yolopipe augment",
            "    wdir: data\n    cmd: python -m yolopipe augment",
            "stage augment",
            "wdir",
        ),
        (
            "dvc.yaml",
            "      - data/parsed\n    params",
            "      - data/parsed\n    always_changed: true\n    params",
            "stage augment",
            "always",
        ),
        (
            "dvc.yaml",
            "      - data/augmented\n  pre",
            "      - data/augmented:\n          persist: true\n  pre",
            "stage augment",
            "data/augmented",
        ),
        ("dvc.yaml", "stages:", "steps:", "dvc.yaml", "dvc.yaml"),
        ("dvc.yaml", "stages:", "stages: [", "dvc.yaml", "dvc.yaml:"),
    ],
    "repository": [
        (".gitignore", "/models\n", "", "outputs", "models/best.weights.h5"),
        (".gitignore", "/models\n", "/models\n/metrics\n", "metrics", "metrics/train.json"),
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "old", "new", "name", "words"), [fault for kind in FAULTS.values() for fault in kind]
)
def test_faults(project, file, old, new, name, words):
    edit(file, old, new)
    found = [row for row in bad_rows() if row.name == name and words in row.result]
    assert found, bad_rows()
    assert all(row.advice for row in bad_rows())


@pytest.mark.slow
def test_one_fault_is_one_row(project):
    """A mistake in one stage is not reported for others."""
    for file, old, new, name, _ in FAULTS["wiring"]:
        before = Path(file).read_text()
        edit(file, old, new)
        assert {row.name for row in bad_rows()} == {name}
        Path(file).write_text(before)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("      - ${data.train}\n", "      - data/annotations/train.txt\n"),
        ("      - ${data.train}\n", "      - ./data/annotations/train.txt\n"),
        ("      - ${data.train}\n      - ${data.val}\n      - ${data.classes}\n", "      - data/annotations\n"),
        ("      - data\n      - parse\n", "      - params.yaml:\n          - parse\n          - data\n"),
        ("cmd: python -m yolopipe parse", "cmd: python -m yolopipe parse --workers 2"),
        ("plots:\n", "  mine:\n    cmd: echo\nplots:\n"),
        ("      - data/parsed\n  augment", "      - data/parsed:\n          cache: false\n  augment"),
        ("    outs:\n      - data/parsed\n", "    outs:\n      - data/parsed\n      - data/parse.log\n"),
    ],
)
def test_accepted_variants_of_dvc_yaml(project, old, new):
    edit("dvc.yaml", old, new)
    assert bad_rows() == []


def test_other_stages_are_named(project):
    edit("dvc.yaml", "plots:\n", "  mine:\n    cmd: echo\nplots:\n")
    assert [row.name for row in check.run() if "mine" in row.result] == ["dvc.yaml"]


def test_a_foreach_stage_cannot_be_checked(project):
    edit("dvc.yaml", "  augment:\n    desc", "  augment:\n    foreach: [1]\n    do:\n      cmd: x\n    desc")
    edit("dvc.yaml", "    cmd: python -m yolopipe augment\n", "")
    assert [row.name for row in bad_rows()] == ["stage augment"]


def test_a_stage_that_lists_all_of_params_is_a_warning(project):
    edit("dvc.yaml", "      - data\n      - parse\n", "      - params.yaml:\n")
    (row,) = bad_rows()
    assert (row.name, row.severity) == ("stage parse", "warning")


def test_every_mistake_at_once(project, capsys):
    for fault in (FAULTS["config"][2], FAULTS["inputs"][2], FAULTS["wiring"][3], FAULTS["repository"][1]):
        edit(*fault[:3])
    assert call() == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.startswith("check: 3 errors, 1 warning")
    for words in ("algorithm.augment", "`algorithm.train`", "data/annotations/classes", "metrics/train.json"):
        assert words in shown


def test_a_broken_config_does_not_prevent_the_other_checks(project):
    edit("params.yaml", "epochs: 50", "epochs: 0")
    edit("dvc.yaml", "      - algorithm.train\n", "")
    edit("data/annotations/train.txt", ",0", ",7")
    edit(".gitignore", "/models\n", "")
    assert {row.name for row in bad_rows()} == {"params.yaml", "stage train", "data.train", "outputs"}
    edit("params.yaml", "data:\n", "date:\n")
    assert {row.name for row in bad_rows()} == {"params.yaml", "stage train", "outputs"}


@pytest.mark.slow
@pytest.mark.parametrize("content", [None, "", "- 1\n", "data: [\n"])
def test_params_that_cannot_be_read_at_all(project, capsys, content):
    Path("params.yaml").unlink()
    if content is not None:
        Path("params.yaml").write_text(content)
    assert call("--fail-on", "never") == 3
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "params.yaml" in shown.err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "name", "words"),
    [
        (lambda p: (p / "data/annotations/train.txt").write_text(""), "data.train", "train.txt"),
        (
            lambda p: (p / "data/annotations/train.txt").write_text("# none\n\n"),
            "data.train",
            "annotations/train.txt",
        ),
        (lambda p: (p / "data/annotations/train.txt").write_bytes(b"\xff\xfea\0"), "data.train", "UTF-16"),
        (
            lambda p: (p / "data/annotations/train.txt").write_bytes(b"a\xff.jpg\n"),
            "data.train",
            "train.txt:1: ",
        ),
        (lambda p: (p / "voc data/JPEGImages/photo 0.jpg").write_bytes(b"x"), "data.train", "photo 0.jpg"),
        (lambda p: (p / "dvc.yaml").unlink(), "dvc.yaml", "dvc.yaml"),
        (lambda p: (p / "dvc.yaml").write_bytes(b"\xff"), "dvc.yaml", "dvc.yaml"),
        (lambda p: (p / ".dvc").rmdir(), "dvc", ".dvc"),
        (
            lambda p: (p / "dvc.lock").write_text("<<<<<<< HEAD\na: 1\n=======\n>>>>>>> b\n"),
            "dvc.lock",
            "dvc.lock:1:",
        ),
    ],
)
def test_broken_files(project, spoil, name, words):
    spoil(project)
    assert any(row.name == name and row.severity == "error" and words in row.result for row in bad_rows()), bad_rows()


def test_further_mistakes_are_counted(project):
    Path("data/annotations/train.txt").write_text(
        "".join(f"voc data/JPEGImages/photo {n}.jpg 1,2\n" for n in range(6))
    )
    rows = [row for row in bad_rows() if row.name == "data.train"]
    assert len(rows) == 4
    assert " 3 " in rows[-1].result


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "severities"),
    [
        ("fail", {"class-range": "error", "outside": "error", "image": "error"}),
        ("clip", {"class-range": "warning", "outside": "warning", "image": "error"}),
        ("drop-box", {"class-range": "warning", "outside": "warning", "image": "error"}),
        ("drop-image", {"class-range": "warning", "outside": "warning", "image": "warning"}),
    ],
)
def test_severities_are_those_of_parse(project, policy, severities):
    """An error is what ``parse`` fails on; what it drops or clips is a warning."""
    from yolopipe.config.params_file import load_config
    from yolopipe.stages import parse

    text = Path("data/annotations/train.txt")
    good = text.read_text().splitlines()
    edit("params.yaml", "on_bad: fail", f"on_bad: {policy}")
    faults = {
        "class-range": f"{good[0]} 1,2,30,40,7",
        "outside": f"{good[0]} 1,2,300,40,0",
        "image": "voc data/JPEGImages/nobody.jpg",
    }
    for name, line in faults.items():
        text.write_text("\n".join([line, *good[1:]]) + "\n")
        assert [(row.name, row.severity) for row in bad_rows()] == [("data.train", severities[name])]
        if severities[name] == "error":
            with pytest.raises(DataError):
                parse.run(load_config())
        else:
            parse.run(load_config())


def test_train_and_val_share_an_image(project):
    with open("data/annotations/val.txt", "a") as stream:
        stream.write(Path("data/annotations/train.txt").read_text().splitlines()[0] + "\n")
    assert [(row.name, row.severity) for row in bad_rows()] == [("data.val", "error")]


def test_an_output_that_git_tracks(project, git):
    Path("models").mkdir()
    Path("models/last.weights.h5").write_text("x")
    git("add", "-f", "models")
    (row,) = bad_rows()
    assert (row.name, row.severity) == ("outputs", "error")
    assert "models/last.weights.h5" in row.result
    assert "git rm -r --cached models/last.weights.h5" in row.advice


@pytest.mark.slow
def test_inputs_that_experiments_would_not_see(project, git):
    git("rm", "-q", "-r", "--cached", "data/annotations", "voc data")
    (row,) = bad_rows()
    assert (row.name, row.severity) == ("inputs", "note")
    Path("voc data.dvc").write_text("")
    assert "JPEGImages" in row.result
    assert "JPEGImages" not in bad_rows()[0].result
    assert call("--fail-on", "warning") == 0


def test_outside_git(project, tmp_path, monkeypatch):
    (project / ".git").rename(tmp_path / "elsewhere")
    (row,) = bad_rows()
    assert (row.name, row.severity, row.advice) == ("git", "error", "git init && dvc init")
    monkeypatch.setattr(environment.shutil, "which", lambda name: None)
    assert {row.name for row in bad_rows()} == {"git", "python"}


def test_a_project_below_the_root_of_its_repository(project, git, monkeypatch):
    (project / ".dvc").rmdir()
    init("sub", demo=True)
    monkeypatch.chdir(project / "sub")
    assert [row.advice for row in bad_rows() if row.name == "dvc"] == ["dvc init --subdir"]
    (project / ".dvc").mkdir()
    assert [row for row in bad_rows() if row.name == "dvc"] == []


def test_no_commit_yet(project, git):
    git("update-ref", "-d", "HEAD")
    (row,) = bad_rows()
    assert (row.name, row.severity) == ("git", "note")
    assert "git commit" in row.advice


def test_too_little_disk(project, monkeypatch):
    monkeypatch.setattr(environment.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    (row,) = bad_rows()
    assert (row.name, row.severity) == ("disk", "warning")
    assert "27 samples" in row.result  # 6 × 4 copies + 3


def test_packages_that_are_missing(project, monkeypatch):
    monkeypatch.setattr(environment, "PACKAGES", ("numpy", "no_such_package"))
    (row,) = bad_rows()
    assert (row.advice, row.severity) == ("pip install no_such_package", "error")


@pytest.mark.slow
def test_the_demo_before_its_data_exist(project, tmp_path, git, monkeypatch):
    init(tmp_path / "demo", demo=True)
    monkeypatch.chdir(tmp_path / "demo")
    (tmp_path / "demo/.dvc").mkdir()
    git("init", "-q")
    git("add", "-A")
    git("commit", "-q", "-m", "demo")
    assert bad_rows() == []
    edit("data/sample/dvc.yaml", "wdir: ../..", "wdir: .")
    assert [row.name for row in bad_rows()] == ["stage sample"]
    Path("data/sample/dvc.yaml").unlink()
    assert {row.name for row in bad_rows()} == {"data.train", "data.val", "data.classes", "data.images"}


@pytest.mark.slow
@pytest.mark.parametrize(("fail_on", "codes"), [("error", (0, 1)), ("warning", (1, 1)), ("never", (0, 0))])
def test_exit_codes(project, fail_on, codes):
    edit(".gitignore", "/models\n", "")
    assert call("--fail-on", fail_on) == codes[0]
    edit("params.yaml", "epochs: 50", "epochs: 0")
    assert call("--fail-on", fail_on) == codes[1]


def test_unknown_value_of_fail_on(project, capsys):
    assert call("--fail-on", "notes") == 2
    assert "'notes'" in capsys.readouterr().err


def test_json_is_all_there_is_on_standard_output(project, capsys):
    edit("params.yaml", "epochs: 50", "epochs: 0")
    assert call("--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert report["counts"] == {"error": 1, "warning": 0, "note": 0, "ok": len(report["rows"]) - 1}
    assert report["rows"][0]["severity"] == "error"


def test_nothing_is_written(project):
    def content():
        return {path: path.read_bytes() for path in project.rglob("*") if path.is_file() and ".git" not in path.parts}

    before = content()
    check.run()
    assert content() == before


DEPENDENCY = "# - ${data.corrections}  # uncomment when params.yaml names a file there: DVC has no optional deps"


def correct(lines, *, listed=True):
    """Name corrections in the params, and list them in the pipeline."""
    Path("corrections.txt").write_text("".join(f"{line}\n" for line in lines))
    edit("params.yaml", 'corrections: ""', "corrections: corrections.txt")
    if listed:
        edit("dvc.yaml", DEPENDENCY, "- ${data.corrections}")


def first_box():
    """Path and first box of the first image of train."""
    path, _, boxes = Path("data/annotations/train.txt").read_text().splitlines()[0].partition(".jpg ")
    return f"{path}.jpg", boxes.split()[0]


def test_corrections_that_fit(project, git):
    image, box = first_box()
    correct([f"{image} {box} =  # right", f"{image} - = {box}"])
    git("add", "corrections.txt")
    assert bad_rows() == []
    [row] = [row for row in check.run() if row.name == "data.corrections"]
    assert "2 of them " in row.result


def test_corrections_that_the_pipeline_does_not_list(project):
    correct([], listed=False)
    assert [(row.name, row.severity) for row in bad_rows()] == [("stage parse", "error"), ("inputs", "note")]
    row = bad_rows()[0]
    assert "dvc.yaml:7:5: " in row.result
    assert "corrections.txt" in row.result
    advice = row.advice.partition("\n")[2]
    edit("dvc.yaml", "    deps:\n", f"{advice}\n")
    assert [row.name for row in bad_rows()] == ["inputs"]
    edit("params.yaml", "corrections: corrections.txt", 'corrections: ""')
    assert [(row.name, row.severity) for row in bad_rows()] == [("stage parse", "error")]


def test_bad_corrections_are_named_before_any_work(project):
    """As far as the first lines of the texts tell: an image may be listed further down in long ones."""
    image, box = first_box()
    lines = [f"{image} {box}", f"{image} 1,2,3,4,0 -", f"{image} - 1,2,30,40,7", "nobody.jpg - 1,2,30,40,0"]
    correct(lines)
    places = ["corrections.txt:1", "corrections.txt:2", "corrections.txt:3"]

    def found():
        return [(row.severity, row.result.split(": ")[0]) for row in bad_rows() if row.name == "data.corrections"]

    assert found()[:3] == [("error", place) for place in places]
    assert " 1 " in found()[3][1], "the fourth is counted"
    edit("params.yaml", "on_bad: fail", "on_bad: drop-box")
    assert {severity for severity, _ in found()} == {"warning"}
    with open("data/annotations/train.txt", "a") as stream:
        stream.write("\n" * 200)
    assert found() == [("warning", place) for place in places]


@pytest.mark.parametrize("spoil", [Path.unlink, lambda file: file.write_bytes(b"\xff\xfea\0")])
def test_corrections_that_cannot_be_read(project, spoil):
    correct([])
    spoil(Path("corrections.txt"))
    assert [row.severity for row in bad_rows() if row.name == "data.corrections"] == ["error"]
