"""What the documents say is run or looked up, so that it stays true."""

import re
from pathlib import Path

import pytest

from yolopipe.cli import app

REPO = Path(__file__).parents[1]
PAGES = [REPO / "README.md", REPO / "CONTRIBUTING.md", *REPO.glob("docs/*.md"), *REPO.glob("examples/*/README.md")]
DOCUMENTS = sorted(page.relative_to(REPO).as_posix() for page in PAGES)


def python_blocks(text):
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def test_the_readmes_python_runs_and_prints_what_it_says(repo, capsys):
    blocks = python_blocks((repo / "README.md").read_text())
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
        expected = "".join(f"{line[2:]}\n" for line in block.splitlines() if line.startswith("# "))
        assert capsys.readouterr().out == expected


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_and_pictures_exist(repo, document):
    text = (repo / document).read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if "://" not in target:
            assert ((repo / document).parent / target).exists(), target
    assert "@@" not in text, "a place-holder was left"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_and_options_exist(repo, document):
    """Every `yolopipe COMMAND` named in the documents is a command, every option of it one of its options."""
    from typer.main import get_command

    commands = dict(get_command(app).commands)
    for group in ("import", "convert", "export"):
        for name, command in commands.pop(group).commands.items():
            commands[f"{group} {name}"] = command
    lines = re.findall(
        r"yolopipe ((?:import |convert |export )?[a-z][a-z-]+)([^\n`#]*)", (repo / document).read_text()
    )
    known = [(name, rest) for name, rest in lines if name in commands]
    assert known or document not in ("README.md", "docs/checks.md", "docs/formats.md")
    for name, rest in known:
        options = {option for parameter in commands[name].params for option in parameter.opts} | {"--help"}
        assert set(re.findall(r"--[a-z-]+", rest)) <= options, (name, rest)


def test_the_example_is_valid(repo):
    from yolopipe.config.params_file import load_config

    assert load_config(repo / "examples/bccd/params.yaml").parse.on_bad == "drop-box"
