"""What holds the parts together: the same five names everywhere, layers that do not leak, outputs declared once."""

import ast
import subprocess
import sys
from itertools import pairwise

import pytest
from ruamel.yaml import YAML

import yolopipe
from yolopipe import paths
from yolopipe.config.params import STAGE_PARAMS, STAGES, STRIDES, Config


@pytest.fixture(scope="module")
def pipeline(repo):
    return YAML(typ="safe").load((repo / "dvc.yaml").read_text())["stages"]


def test_stages_have_one_name(repo, pipeline):
    modules = {path.stem for path in (repo / "yolopipe/stages").glob("*.py")} - {"__init__", "sample"}
    assert tuple(pipeline) == STAGES
    assert modules == set(STAGES)
    assert set(STAGES) <= set(Config.model_fields)
    for name, stage in pipeline.items():
        assert stage["cmd"] == f"python -m yolopipe {name}"
        assert stage["params"] == list(STAGE_PARAMS[name])


def test_the_sample_has_its_own_pipeline(repo):
    stage = YAML(typ="safe").load((repo / "data/sample/dvc.yaml").read_text())["stages"]["sample"]
    assert stage["cmd"] == "python -m yolopipe sample"
    assert stage["params"] == list(STAGE_PARAMS["sample"])


def test_outputs_are_declared_and_ignored_by_git(repo, pipeline):
    outs = {out for stage in pipeline.values() for out in stage["outs"]}
    assert outs == {
        str(path)
        for path in (
            *(paths.PARSED, paths.AUGMENTED, paths.SHARDS),
            *(paths.BEST_WEIGHTS, paths.LAST_WEIGHTS, paths.MODEL_CARD, paths.TRAIN_PLOTS),
            *(paths.EVAL_PLOTS, paths.PREDICTIONS),
        )
    }
    metrics = {
        name: options for stage in pipeline.values() for m in stage.get("metrics", []) for name, options in m.items()
    }
    assert metrics == {str(path): {"cache": False} for path in (paths.TRAIN_METRICS, paths.EVAL_METRICS)}
    ignored = subprocess.run(
        ["git", "check-ignore", *outs, *metrics], cwd=repo, capture_output=True, text=True, check=False
    ).stdout.split()
    assert set(ignored) == outs, "outputs are DVC's, metrics are git's"


def test_public_names():
    assert yolopipe.__all__ == sorted(yolopipe.__all__)
    for name in yolopipe.__all__:
        assert getattr(yolopipe, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'preprocess'"):
        _ = yolopipe.preprocess


HEAVY = ("tensorflow", "keras", "sklearn", "faster_coco_eval")


@pytest.mark.slow
@pytest.mark.parametrize(
    "modules",
    [
        "yolopipe",
        "yolopipe.cli",
        "yolopipe.stages.parse,yolopipe.stages.augment,yolopipe.stages.precompute",
        "yolopipe.inspection.inspect_labels",
        "yolopipe.scoring.score",
        "yolopipe.project.propose_anchors,yolopipe.project.check,yolopipe.project.scaffold",
    ],
)
def test_importing_is_cheap(modules):
    """TensorFlow costs 4 s and half a gigabyte: whoever only parses or inspects must not pay them."""
    code = f"import sys, {modules}; print([m for m in {HEAVY!r} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_layers(repo):
    """Maths knows neither files nor terminal; rich and typer each have one home."""
    for path in (repo / "yolopipe").rglob("*.py"):
        imported = {
            alias.name if isinstance(node, ast.Import) else node.module
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        roots = {name.split(".")[0] for name in imported if name}
        where = path.relative_to(repo / "yolopipe").as_posix()
        assert "rich" not in roots or where == "console.py"
        assert "typer" not in roots or where.startswith("cli/")
        assert "fcntl" not in roots or where == "locks.py"
        if where.startswith("labels/") or where in ("imaging/geometry.py", "imaging/augmentation.py"):
            assert not roots & {"os", "pathlib", "pandas", "pyarrow", "tensorflow", "keras"}, where
        if where.startswith("model/"):
            assert "tensorflow" not in roots, where


def stray_strings(tree):
    """Lines of strings that document nothing: neither first in a body nor directly below an assignment."""
    for node in ast.walk(tree):
        body = getattr(node, "body", [])
        for before, after in pairwise(body if isinstance(body, list) else []):  # a lambda's body is no list
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                documents = isinstance(before, ast.Assign | ast.AnnAssign) and after.lineno == before.end_lineno + 1
                if not documents:
                    yield after.lineno


def test_every_docstring_belongs_to_a_name(repo):
    assert list(stray_strings(ast.parse('A = {}\n"""Of A."""\n\nB = 1\n\n"""Of nothing."""\n'))) == [6]
    found = [
        f"{path.relative_to(repo)}:{line}"
        for path in sorted((repo / "yolopipe").rglob("*.py"))
        for line in stray_strings(ast.parse(path.read_text()))
    ]
    assert found == []


FLOORS = (
    {"errors", "result", "paths", "git", "console", "backend", "locks", "arrays"},
    {"files", "problems"},
    {"tables", "formats", "pages", "workers", "sample"},
    {"config"},
    {"imaging", "labels", "cache"},
    {"model", "parsing", "shards", "converting"},
    {"detection", "importing", "inspection"},
    {"scoring", "prediction", "project", "labelsets"},
    {"training", "export"},
    {"stages"},
    {"cli"},
)
"""From the ground up.  A package or module imports from floors below its own, never from its own or from above."""


def yolopipe_imports(tree, modules):
    """The names directly below ``yolopipe`` that a module imports, also late and for types only."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "yolopipe":
            below = node.module.split(".")[1:2] or [alias.name for alias in node.names]
            yield from (name for name in below if name in modules)
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("yolopipe."))


def test_packages_import_downwards(repo):
    """No package imports one of its own floor or above, so no two can import each other."""
    floor_of = {name: number for number, names in enumerate(FLOORS) for name in names}
    root = repo / "yolopipe"
    present = {path.stem for path in root.glob("*.py")} | {path.parent.name for path in root.glob("*/__init__.py")}
    assert set(floor_of) == present - {"__init__", "__main__"}, "a new room needs its floor"
    climbing = set()
    for path in root.rglob("*.py"):
        own = path.relative_to(root).with_suffix("").parts[0]
        for name in yolopipe_imports(ast.parse(path.read_text()), floor_of):
            if own in floor_of and name != own and floor_of[name] >= floor_of[own]:
                climbing.add((own, name))
    assert climbing == set()


def test_strides_of_columns():
    assert STRIDES == (8, 16, 32)


def test_no_two_modules_share_a_name(repo):
    """In a traceback or an editor's tab a name alone says which file it is."""
    names = [path.name for path in (repo / "yolopipe").rglob("*.py") if path.name != "__init__.py"]
    assert sorted(names) == sorted(set(names))
