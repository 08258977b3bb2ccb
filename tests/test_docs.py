"""What the documents say is run or looked up, so that it stays true."""

import ast
import re
from pathlib import Path

import numpy as np
import pytest

from yolopipe.cli import app

REPO = Path(__file__).parents[1]
PAGES = [*REPO.glob("*.md"), *REPO.glob("docs/*.md"), *REPO.glob("*/README.md"), *REPO.glob("examples/*/README.md")]
DOCUMENTS = sorted(page.relative_to(REPO).as_posix() for page in PAGES)


def python_blocks(text):
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("document", ["README.md", "docs/formulas.md"])
def test_python_blocks_run_and_print_what_they_say(repo, document, capsys):
    blocks = python_blocks((repo / document).read_text())
    assert blocks
    for block in blocks:
        exec(compile(block, document, "exec"), {})
        expected = "".join(f"{line[2:]}\n" for line in block.splitlines() if line.startswith("# "))
        assert capsys.readouterr().out == expected


def defined_names(path):
    """Names that a module defines or imports anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


@pytest.mark.parametrize("document", [name for name in DOCUMENTS if name != "CHANGELOG.md"])  # it names old modules
def test_modules_and_functions_named_in_the_documents_exist(repo, document):
    """``yolopipe.a.b.name`` in a document is a module, or a name that the module defines."""
    for dotted in re.findall(r"`(yolopipe(?:\.\w+)+)`", (repo / document).read_text()):
        path = repo / dotted.replace(".", "/")
        if not path.is_dir() and not path.with_suffix(".py").exists():
            home = path.parent / "__init__.py" if path.parent.is_dir() else path.parent.with_suffix(".py")
            assert home.exists(), dotted
            assert path.name in defined_names(home), dotted


def sections(text):
    return re.findall(r"^## (.+)$", text, re.MULTILINE)


def test_every_citation_of_the_formulas_names_a_section(repo):
    """Docstrings cite ``docs/formulas.md, "Loss"``; each section says where yolopipe departs from the reference."""
    text = (repo / "docs/formulas.md").read_text()
    assert text.count("**Where yolopipe departs.**") == len(sections(text))
    for path in [*repo.glob("yolopipe/**/*.py"), *repo.glob("tests/**/*.py"), *repo.glob("docs/*.md")]:
        cited = re.findall(r'docs/formulas\.md`*,\s+"([^"<]+)"', path.read_text())
        assert set(cited) <= set(sections(text)), path


def test_the_loss_example_of_the_formulas(repo):
    """The three numbers of the example in docs/formulas.md, "Loss"."""
    from yolopipe.model.loss import ScaleTarget, compute_loss

    text = (repo / "docs/formulas.md").read_text().partition("One image of 32 x 32 pixels")[2]
    written = [float(number) for number in re.findall(r"= (\d\.\d{4})(?=\s)", text)[:3]]
    target = ScaleTarget(*(np.zeros((1, 1), np.int32) for _ in range(3)))
    terms = compute_loss(
        np.zeros((1, 4, 4, 3 * 7), np.float32),
        target,
        np.array([[[2, 1, 8, 8]]], np.float32),
        np.zeros((1, 1), np.int32),
        anchors=[[1, 1], [2, 2], [4, 4]],
        stride=8,
    )
    assert [round(float(term), 4) for term in terms] == written


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
    groups = {name: group.commands for name, group in commands.items() if hasattr(group, "commands")}
    for group, inner in groups.items():
        commands |= {f"{group} {name}": command for name, command in inner.items()}
        del commands[group]
    prefix = "|".join(f"{group} " for group in groups)
    lines = re.findall(rf"yolopipe ((?:{prefix})?[a-z][a-z-]+)([^\n`#]*)", (repo / document).read_text())
    known = [(name, rest) for name, rest in lines if name in commands]
    assert known or document not in ("README.md", "docs/checks.md", "docs/formats.md")
    for name, rest in known:
        options = {option for parameter in commands[name].params for option in parameter.opts} | {"--help"}
        assert set(re.findall(r"--[a-z-]+", rest)) <= options, (name, rest)


def test_the_example_is_valid(repo):
    from yolopipe.config.params_file import load_config

    assert load_config(repo / "examples/bccd/params.yaml").parse.on_bad == "drop-box"


def test_the_readmes_tree_shows_every_room_and_no_other(repo):
    tree = (repo / "README.md").read_text().partition("    yolopipe/\n")[2].partition("\n\n")[0]
    root = repo / "yolopipe"
    rooms = {f"{path.parent.name}/" for path in root.glob("*/__init__.py")}
    rooms |= {path.name for path in root.glob("*.py")} - {"__init__.py", "__main__.py"}
    shown = re.findall(r"^      (\S+) +\S", tree, re.MULTILINE)
    assert sorted(shown) == sorted(rooms)
    assert all((repo / folder).is_dir() for folder in re.findall(r"^    (\S+) ", tree, re.MULTILINE))


def test_the_floors_of_the_design_page_are_those_of_the_architecture_test(repo):
    module = ast.parse((repo / "tests/test_architecture.py").read_text())
    [floors] = [
        ast.literal_eval(node.value)
        for node in module.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FLOORS"
    ]
    rows = re.findall(r"^\| (\d+) \| (`.*?`) \|", (repo / "docs/design.md").read_text(), re.MULTILINE)
    table = {int(number): set(re.findall(r"`(\w+)`", names)) for number, names in rows}
    assert table == dict(enumerate(floors, start=1))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_number_of_checks_is_that_of_the_rules(repo, document):
    from yolopipe.inspection.checks.rules import RULES

    said = re.findall(r"(\d+) (?:checks|rules)\b", (repo / document).read_text())
    assert {int(number) for number in said} <= {len(RULES)}


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_make_targets_exist(repo, document):
    targets = set(re.findall(r"^([a-z-]+):", (repo / "Makefile").read_text(), re.MULTILINE))
    named = re.findall(r"(?:^    |`)make ([a-z-]+)", (repo / document).read_text(), re.MULTILINE)
    assert named
    assert set(named) <= targets
