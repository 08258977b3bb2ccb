"""``yolopipe init``: all files or none, nothing overwritten, and the next commands."""

import json
import shutil
from pathlib import Path

import pytest

from tests.helpers.drawn_sets import DRAWN
from yolopipe.cli import app, guarded
from yolopipe.config.params_file import load_config
from yolopipe.errors import DataError, ProblemsError, UsageError
from yolopipe.project import scaffold
from yolopipe.project.imported import choose_data
from yolopipe.project.scaffold import run

FILES = {".dvcignore", ".gitignore", "dvc.yaml", "params.yaml"}


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch, git):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def names(folder="."):
    return {str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file()}


def call(*arguments):
    return guarded(lambda: app(["init", *arguments], standalone_mode=False))


def test_an_empty_folder():
    result = run("new/project")
    assert names("new/project") == FILES
    assert load_config("new/project/params.yaml").data.train == "data/annotations/train.txt"
    assert result.report["next"] == ["cd new/project", "git init", "dvc init", "yolopipe check", "dvc repro"]
    assert result.next_step == " && ".join(result.report["next"])
    assert "/data/sample" not in Path("new/project/.gitignore").read_text()
    assert not list(Path().rglob(".git"))


def test_the_demo_is_this_repositorys_own_pipeline(repo):
    run(demo=True)
    assert names() == {*FILES, "data/sample/dvc.yaml"}
    for name in names() - {".gitignore"}:
        assert Path(name).read_bytes() == (repo / name).read_bytes()
    assert "/data/sample/images" in Path(".gitignore").read_text().splitlines()


@pytest.mark.parametrize("demo", [True, False])
def test_again_changes_nothing(demo):
    run(demo=demo)
    before = {name: Path(name).read_bytes() for name in names()}
    assert run(demo=demo).report["written"] == []
    assert {name: Path(name).read_bytes() for name in names()} == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "demo"),
    [("params.yaml", False), ("dvc.yaml", False), ("params.yaml", True), ("data/sample/dvc.yaml", True)],
)
def test_a_users_file_is_never_overwritten(name, demo, capsys):
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text("mine: 1\n")
    assert call(*["--demo"] * demo) == 2
    assert f"{name} " in capsys.readouterr().err
    assert Path(name).read_text() == "mine: 1\n"
    assert names() == {name}


def test_all_existing_files_are_named(voc):
    for name in ("params.yaml", "dvc.yaml", "data/annotations/train.txt"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("mine\n")
    with pytest.raises(UsageError, match=r"dvc\.yaml, params\.yaml, data/annotations/ "):
        run(source=("voc", voc(train=2, val=1)))


@pytest.mark.parametrize("before", ["", "*.log\n/models\n", "*.log\n/models", "/data/parsed\r\n/plots\r\n"])
def test_missing_lines_are_appended_to_ignore_files(before):
    Path(".gitignore").write_bytes(before.encode())
    run()
    after = Path(".gitignore").read_bytes().decode()
    assert after.startswith(before)
    lines = after.splitlines()
    for line in (
        "/data/parsed",
        "/data/augmented",
        "/data/shards",
        "/models",
        "/plots",
        "/predictions",
        "/.yolopipe/",
    ):
        assert lines.count(line) == 1, line


def test_imported_voc(voc):
    source = voc(train=4, val=2)
    result = run("project", source=("voc", source))
    folder = Path("project")
    assert names(folder) == {
        *FILES,
        *(f"data/annotations/{name}" for name in ("train.txt", "val.txt", "classes.names")),
    }
    data = load_config(folder / "params.yaml").data
    assert data.model_dump() == {
        "train": "data/annotations/train.txt",
        "val": "data/annotations/val.txt",
        "classes": "data/annotations/classes.names",
        "images": str(source / "JPEGImages"),
        "corrections": "",
    }
    assert result.report["images"] == {"train": 4, "val": 2}
    assert result.report["classes"] == ["cat", "dog"]
    assert len((folder / "data/annotations/train.txt").read_text().splitlines()) == 4


def test_images_in_the_project_have_relative_paths(voc):
    shutil.move(voc(train=2, val=1), "voc")
    run(source=("voc", Path("voc")))
    assert load_config("params.yaml").data.images == "voc/JPEGImages"
    assert Path("data/annotations/val.txt").read_text().startswith("voc/JPEGImages/photo 2.jpg ")


@pytest.mark.parametrize(
    ("lists", "train", "val"),
    [
        (("train", "val"), "train", "val"),
        (("train", "val", "trainval", "test"), "train", "val"),
        (("trainval", "test"), "trainval", "test"),
        (("train", "test"), "train", "test"),
        (("train2017", "val2017"), "train2017", "val2017"),
        (("instances_train", "instances_val"), "instances_train", "instances_val"),
        (("Training", "Validation"), "Training", "Validation"),
        (("test", "train", "valid"), "train", "valid"),
    ],
)
def test_the_lists_that_are_chosen(lists, train, val):
    folder = write_lists({name: [f"images/{name}.jpg 1,2,3,4,0"] for name in lists})
    chosen = choose_data(folder, Path("data/annotations"))
    assert chosen.data["train"] == f"data/annotations/{train}.txt"
    assert chosen.data["val"] == f"data/annotations/{val}.txt"
    assert bool(chosen.notes) == ((train, val) != ("train", "val") or len(lists) > 2)


@pytest.mark.parametrize("lists", [("trainval", "val"), ("one", "two"), ("test", "val"), ("train", "trainval")])
def test_lists_that_cannot_be_chosen_from(lists):
    folder = write_lists({name: ["images/a.jpg"] for name in lists})
    with pytest.raises(DataError, match=", ".join(sorted(lists))):
        choose_data(folder, Path("data/annotations"))


def write_lists(lists):
    folder = Path("partial")
    folder.mkdir()
    for name, lines in lists.items():
        (folder / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))
    (folder / "classes.names").write_text("a\n")
    return folder


@pytest.mark.parametrize("count", [2, 3, 50])
def test_data_without_splits_are_divided(count):
    lines = [f"images/{index}.jpg 1,2,3,4,0" for index in range(count)]
    folder = write_lists({"all": lines})
    chosen = choose_data(folder, Path("data/annotations"))
    train, val = ((folder / f"{split}.txt").read_text().splitlines() for split in ("train", "val"))
    assert sorted([*train, *val]) == sorted(lines)
    assert len(val) == max(1, round(count / 5))
    assert chosen.images == {"train": len(train), "val": len(val)}
    assert not (folder / "all.txt").exists()
    assert len(chosen.notes) == 1


def test_the_division_does_not_depend_on_the_order_or_on_other_images():
    lines = [f"images/{index}.jpg" for index in range(40)]

    def divided(own):
        shutil.rmtree("partial", ignore_errors=True)
        folder = write_lists({"all": own})
        choose_data(folder, Path("x"))
        return set((folder / "val.txt").read_text().splitlines())

    assert divided(lines) == divided(lines[::-1])
    assert len(divided([*lines, "images/new.jpg"]) ^ divided(lines)) <= 2


@pytest.mark.parametrize(
    ("train", "val", "images"),
    [("images/a/1.jpg", "images/b/2.jpg", "images"), ("/far/x/1.jpg", "/far/x/2.jpg", "/far/x")],
)
def test_the_images_folder_contains_all_images(train, val, images):
    folder = write_lists({"train": [train], "val": [val]})
    assert choose_data(folder, Path("x")).data["images"] == images


@pytest.mark.parametrize(
    ("train", "val"), [("a/1.jpg", "b/2.jpg"), ("1.jpg", "2.jpg"), ("data/a/1.jpg", "/far/2.jpg")]
)
def test_an_images_folder_with_outputs_is_refused(train, val):
    folder = write_lists({"train": [train], "val": [val]})
    with pytest.raises(DataError, match="DVC"):
        choose_data(folder, Path("x"))


@pytest.mark.parametrize("lists", [{"train": [], "val": []}, {"all": ["images/a.jpg"]}])
def test_lists_without_enough_images(lists):
    with pytest.raises(DataError, match=r"image"):
        choose_data(write_lists(lists), Path("x"))


def test_a_failed_import_leaves_nothing(voc):
    source = voc(train=2, val=1)
    (source / "Annotations" / "photo 0.xml").write_text("<annotation>")
    with pytest.raises(ProblemsError):
        run("deep/project", source=("voc", source))
    assert list(Path().iterdir()) == []


def test_images_inside_the_source_are_written_to_the_project():
    DRAWN["parquet"](Path("set"))
    run("project", source=("parquet", Path("set")))
    assert load_config("project/params.yaml").data.images == "data/images/all"
    texts = [file.read_text() for file in Path("project/data/annotations").glob("*.txt")]
    assert "data/images/all/b.png\n" in texts
    assert Path("project/data/images/all/b.png").is_file()


def test_images_that_were_written_go_if_the_import_fails():
    DRAWN["parquet"](Path("set"))
    Path("set/data-00000-of-00001.parquet").rename("set/train.parquet")  # no val
    with pytest.raises(DataError):
        run("project", source=("parquet", Path("set")), options={"splits": ["train"], "classes": Path("no.names")})
    assert [path.name for path in Path().iterdir()] == ["set"]


@pytest.mark.parametrize("failing", [".gitignore", ".dvcignore", "dvc.yaml", "params.yaml"])
def test_if_one_file_cannot_be_written_none_is(voc, monkeypatch, failing):
    Path(".gitignore").write_text("*.log\n")
    real = scaffold.atomic_file

    def full(path):
        if Path(path).name == failing:
            raise OSError(28, "No space left on device", str(path))
        return real(path)

    monkeypatch.setattr(scaffold, "atomic_file", full)
    with pytest.raises(OSError, match="No space"):
        run(source=("voc", voc(train=2, val=1)))
    assert names() == {".gitignore"}
    assert Path(".gitignore").read_text() == "*.log\n"
    assert [path.name for path in Path().iterdir()] == [".gitignore"]


def test_after_a_killed_run_init_writes_the_rest():
    """Files with equal content may exist."""
    run()
    Path("params.yaml").unlink()
    assert run().report["written"] == ["params.yaml"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--from", "vok", "."], "--from vok"),
        (["--from", "voc", "nowhere"], "nowhere"),
        (["--demo", "--from", "voc", "."], "--from"),
    ],
)
def test_wrong_calls(arguments, words, capsys):
    assert call(*arguments) == 2
    assert words in capsys.readouterr().err
    assert list(Path().iterdir()) == []


def test_json_is_all_there_is_on_standard_output(voc, capsys):
    assert call("project", "--from", "voc", str(voc(train=2, val=1)), "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["next"][0] == "cd project"
    assert set(report["written"]) == FILES


def test_next_commands_with_git_and_dvc(git):
    git("init", "-q")
    last = ["yolopipe check", "dvc repro"]
    assert run().report["next"] == ["dvc init", *last]
    assert run("sub dir").report["next"] == ["cd 'sub dir'", "dvc init --subdir", *last]
    Path(".dvc").mkdir()
    assert run().report["next"] == last
