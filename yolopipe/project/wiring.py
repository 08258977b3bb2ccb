"""Checks of ``dvc.yaml``: commands, params, dependencies and outputs, compared with the packed pipeline.

DVC does not run a stage again when something changes that the stage does not list.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from yolopipe.config.params import STAGE_PARAMS, STAGES
from yolopipe.errors import ConfigError
from yolopipe.formats.yaml_file import place, read_yaml
from yolopipe.project.check_rows import CheckRow, ok
from yolopipe.project.templates import PIPELINE, SAMPLE_PIPELINE, template

__all__ = ["check_pipeline", "check_sample_pipeline"]

PARAMS = "params.yaml"
NEW = "yolopipe init NEW_FOLDER writes one to copy from"

_REFERENCE = re.compile(r"\$\{\s*([\w.]+)\s*\}")


@dataclass(frozen=True)
class _Stage:
    """A stage of a ``dvc.yaml`` and, as ``wanted``, that of the packed pipeline."""

    name: str
    file: Path
    tree: Any
    wanted: Mapping[str, Any]
    params: Any

    @property
    def node(self) -> Any:
        return self.tree["stages"][self.name]

    def row(self, result: str, advice: str, *keys: str, warning: bool = False) -> CheckRow:
        where = place(self.file, self.tree, ("stages", self.name, *keys), of_key=True)
        return CheckRow(f"stage {self.name}", f"{where}: {result}", "warning" if warning else "error", advice)


def check_pipeline(file: Path, params: Any) -> list[CheckRow]:
    """Check the five stages of ``dvc.yaml``; other stages are not checked.

    Args:
        file: ``dvc.yaml``.
        params: the values of ``params.yaml``, for ``${data.train}`` and the like.

    Returns:
        For each stage one row if it is right, else one row for each mistake.
    """
    return _check_file(file, PIPELINE, STAGES, params)


def check_sample_pipeline(file: Path, params: Any) -> list[CheckRow]:
    """The same for the pipeline of the embedded data."""
    return _check_file(file, SAMPLE_PIPELINE, ("sample",), params)


def _check_file(file: Path, packed: str, stages: tuple[str, ...], params: Any) -> list[CheckRow]:
    try:
        tree = read_yaml(file)
    except FileNotFoundError:
        return [CheckRow(str(file), f"no {file} here", "error", NEW)]
    except ConfigError as error:
        return [CheckRow(str(file), error.message, "error", "fix it, or: " + NEW)]
    found = tree.get("stages") if isinstance(tree, dict) else None
    if not isinstance(found, dict):
        return [CheckRow(str(file), f"{file} has no stages", "error", NEW)]
    wanted = YAML(typ="safe").load(template(packed))["stages"]
    rows = []
    for name in stages:
        rows += (
            _check_stage(_Stage(name, file, tree, wanted[name], params)) if name in found else [_absent(name, file)]
        )
    others = [name for name in found if name not in stages]
    if others:
        rows.append(ok(str(file), f"your own stages, not checked: {', '.join(others)}"))
    return rows


def _absent(name: str, file: Path) -> CheckRow:
    return CheckRow(f"stage {name}", f"{file} has no stage `{name}`", "error", f"add it; {NEW}")


def _check_stage(stage: _Stage) -> list[CheckRow]:
    if not isinstance(stage.node, dict) or "cmd" not in stage.node:
        return [stage.row("no cmd: foreach and matrix stages cannot be checked", f"write the stage out; {NEW}")]
    rows = [*_command(stage), *_folder(stage), *_listed_params(stage), *_listed_paths(stage), *_switches(stage)]
    rows += _listed_corrections(stage) if stage.name == "parse" else []
    return rows or [ok(f"stage {stage.name}", "cmd, params, deps and outs are right")]


def _command(stage: _Stage) -> Iterator[CheckRow]:
    command, wanted = str(stage.node["cmd"]), stage.wanted["cmd"]
    if re.match(rf"{re.escape(wanted)}(\s|$)", command):
        return
    if re.match(rf"yolopipe\s+{stage.name}(\s|$)", command):
        advice = f"cmd: {wanted} (dvc exp run --temp would run the code of another folder)"
        yield stage.row(f"cmd is `{command}`", advice, "cmd", warning=True)
    else:
        yield stage.row(f"cmd is `{command}`", f"cmd: {wanted}", "cmd")


def _folder(stage: _Stage) -> Iterator[CheckRow]:
    found, wanted = (posixpath.normpath(str(node.get("wdir", "."))) for node in (stage.node, stage.wanted))
    if found != wanted:
        yield stage.row(
            f"wdir is {found}, so the stage would not run in the folder of params.yaml", f"wdir: {wanted}", "wdir"
        )


def _listed_params(stage: _Stage) -> Iterator[CheckRow]:
    listed = _params(stage.node.get("params") or [])
    needed = STAGE_PARAMS[stage.name]
    if "" in listed:
        yield stage.row(
            "lists all of params.yaml, so any change runs it again", _advice(needed), "params", warning=True
        )
        return
    missing = [name for name in needed if not any(_covers(other, name) for other in listed)]
    if missing:
        names = ", ".join(f"`{name}`" for name in missing)
        yield stage.row(
            f"reads {names} but does not list it, so a change would not run it", _advice(missing), "params"
        )
    extra = [name for name in listed if not any(_covers(other, name) for other in needed)]
    if extra:
        names = ", ".join(f"`{name}`" for name in extra)
        advice = "remove it from params: a change would run the stage for nothing"
        yield stage.row(f"lists {names} but does not read it", advice, "params", warning=True)


def _params(node: Any) -> list[str]:
    """The keys of ``params.yaml`` that a stage lists; "" means all of it."""
    found = []
    for item in node if isinstance(node, list) else [node]:
        if isinstance(item, dict):
            for file, keys in item.items():
                if posixpath.basename(str(file)) == PARAMS:
                    found += [str(key) for key in keys or [""]]
        else:
            found.append(str(item))
    return found


def _covers(whole: str, name: str) -> bool:
    return name == whole or name.startswith(f"{whole}.")


def _advice(names: Any) -> str:
    return f"list under params: {', '.join(names)}"


def _listed_paths(stage: _Stage) -> Iterator[CheckRow]:
    for kinds, what, consequence in (
        (("deps",), "dependency", "a change of it would not run the stage"),
        (("outs", "metrics", "plots"), "output", "DVC would neither store nor restore it"),
    ):
        found = {path for kind in kinds for path in _paths(stage.node.get(kind), stage.params)}
        for kind in kinds:
            for raw in _paths(stage.wanted.get(kind), None):
                wanted = _filled(raw, stage.params)
                if not any(wanted == path or wanted.startswith(f"{path}/") for path in found):
                    advice = f"list {raw} under {kind}"
                    yield stage.row(f"{what} {wanted} is not listed: {consequence}", advice, kinds[0])


def _listed_corrections(stage: _Stage) -> Iterator[CheckRow]:
    """``data.corrections``, which is a dependency only where it names a file: DVC has no optional ones."""
    named = _value("data.corrections", stage.params)
    if named:
        wanted = posixpath.normpath(str(named))
        found = _paths(stage.node.get("deps"), stage.params)
        if not any(wanted == path or wanted.startswith(f"{path}/") for path in found):
            result = f"dependency {wanted} is not listed: a change of it would not run the stage"
            yield stage.row(
                result,
                "in dvc.yaml, among the dependencies of parse:\n    deps:\n      - ${data.corrections}",
                "deps",
            )
    elif "data.corrections" in _REFERENCE.findall(" ".join(_paths(stage.node.get("deps"), None))):
        result = "lists ${data.corrections}, which names no file: DVC would stop with an unexpected error"
        yield stage.row(result, "comment it out, or name a file under data.corrections in params.yaml", "deps")


def _paths(node: Any, params: Any) -> list[str]:
    items = node if isinstance(node, list) else []
    names = [next(iter(item)) if isinstance(item, dict) else item for item in items]
    return [_filled(str(name), params) for name in names]


def _filled(text: str, params: Any) -> str:
    """The text with ``${data.train}`` and the like replaced by their values, as DVC does; unknown ones stay."""
    if params is None:
        return text
    return posixpath.normpath(_REFERENCE.sub(lambda match: str(_value(match[1], params) or match[0]), text))


def _value(name: str, params: Any) -> Any:
    """The value of ``data.train`` and the like; None where there is none."""
    node = params
    for key in name.split("."):
        node = node.get(key) if isinstance(node, dict) else None
    return node


def _switches(stage: _Stage) -> Iterator[CheckRow]:
    if stage.node.get("frozen"):
        yield stage.row("is frozen, so dvc repro never runs it", "dvc unfreeze " + stage.name, "frozen", warning=True)
    if stage.node.get("always_changed"):
        advice = "remove always_changed"
        yield stage.row("has always_changed, so it runs each time", advice, "always_changed", warning=True)
    for item in stage.node.get("outs") or []:
        if isinstance(item, dict) and any(isinstance(way, dict) and way.get("persist") for way in item.values()):
            advice = "remove persist: stale files would stay"
            yield stage.row(f"output {next(iter(item))} has persist", advice, "outs", warning=True)
