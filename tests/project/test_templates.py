"""The packed templates are copies of this repository's files; params of other projects differ in values only."""

import tomllib

import pytest
import yaml
from ruamel.yaml import YAML

from yolopipe.config.params import ALGORITHMS, Config
from yolopipe.config.params_file import load_config
from yolopipe.project.templates import own_params, template

COPIES = {
    "params.yaml": "params.yaml",
    "dvc.yaml": "pipeline.yaml",
    "data/sample/dvc.yaml": "sample-pipeline.yaml",
    ".dvcignore": "dvcignore",
}
DATA = {"train": "t.txt", "val": "v.txt", "classes": "c.names", "images": "i"}


@pytest.mark.parametrize("name", COPIES)
def test_templates_are_copies(repo, name):
    packed = f"yolopipe/project/templates/{COPIES[name]}"
    assert (repo / packed).read_bytes() == (repo / name).read_bytes(), f"cp {name} {packed}"
    assert template(COPIES[name]) == (repo / name).read_text()


def test_what_a_project_ignores_this_one_ignores(repo):
    own = (repo / ".gitignore").read_text().splitlines()
    assert set(template("gitignore").splitlines()) <= set(own)


def test_own_params_have_every_default_but_no_sample(tmp_path):
    (tmp_path / "params.yaml").write_text(own_params(DATA))
    assert load_config(tmp_path / "params.yaml") == Config(data=DATA)
    written = YAML(typ="safe").load(own_params(DATA))
    wanted = Config(data=DATA).model_dump()
    assert set(written) == set(wanted) - {"sample"}
    for section in set(written) - {"seed"}:
        assert set(written[section]) == set(wanted[section]) - {"sample"}, (
            "every key is written out, for -S finds no other"
        )
    assert written["algorithm"] == {stage: n for stage, n in ALGORITHMS.items() if stage != "sample"}


def test_own_params_keep_every_comment(repo):
    def comments(text):
        return [line for line in text.splitlines() if line.lstrip().startswith("#")]

    whole = (repo / "params.yaml").read_text()
    sample = next(block for block in whole.split("\n\n") if "\nsample:\n" in block)
    assert comments(own_params(DATA)) == comments(whole.replace(sample, ""))
    assert "sample" not in "".join(comments(own_params(DATA)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["a b/ö.txt", "v #1.txt", "a: b.txt", "123", "yes, no.txt", "~", "- x", "'q'.txt", '"']
)
def test_paths_of_any_kind_are_read_back(tmp_path, name):
    text = own_params({**DATA, "val": name})
    assert YAML(typ="safe").load(text)["data"]["val"] == name
    assert yaml.safe_load(text) == YAML(typ="safe").load(text), "YAML 1.1 and 1.2 readers agree"


def test_the_templates_are_packed(repo):
    """A wheel contains the files of ``package-data`` and Python files only."""
    patterns = tomllib.loads((repo / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["yolopipe"]
    packed = {path for pattern in patterns for path in (repo / "yolopipe").glob(pattern)}
    assert set((repo / "yolopipe/project/templates").iterdir()) <= packed
