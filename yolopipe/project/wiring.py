"""Is ``dvc.yaml`` wired as the stages need it?  Compared with the pipeline that yolopipe itself would write.

A stage that does not list what it reads is not run again when that changes, and nobody is told.
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


@dataclass(frozen=True)
class _Stage:
    """A stage of a ``dvc.yaml`` beside the one it should be."""

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
    """Check the five stages of ``dvc.yaml``; stages of the user's own are let alone.

    Args:
        file: ``dvc.yaml``.
        params: what ``params.yaml`` holds, for ``${data.train}`` and the like.

    Returns:
        A row a stage that is right, a row each mistake of those that are not.
    """
    return _check_file(file, PIPELINE, STAGES, params)


def check_sample_pipeline(file: Path, params: Any) -> list[CheckRow]:
    """The same for the stage that makes the embedded data."""
    return _check_file(file, SAMPLE_PIPELINE, ("sample",), params)


def _check_file(file: Path, packed: str, stages: tuple[str, ...], params: Any) -> list[CheckRow]:
    try:
        tree = read_yaml(file)
    except FileNotFoundError:
        return [CheckRow(str(file), f"no {file} here", "error", NEW)]
    except ConfigError as error:
        return [CheckRow(str(file), error.message, "error", "correct it, or take a fresh one: " + NEW)]
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
        rows.append(ok(str(file), f"stages of your own, not looked at: {', '.join(others)}"))
    return rows


def _absent(name: str, file: Path) -> CheckRow:
    return CheckRow(f"stage {name}", f"{file} has no stage `{name}`", "error", f"add it; {NEW}")


def _check_stage(stage: _Stage) -> list[CheckRow]:
    if not isinstance(stage.node, dict) or "cmd" not in stage.node:
        return [
            stage.row("not a plain stage with a cmd (foreach and matrix cannot be checked)", f"write it out; {NEW}")
        ]
    rows = [*_command(stage), *_folder(stage), *_listed_params(stage), *_listed_paths(stage), *_switches(stage)]
    return rows or [ok(f"stage {stage.name}", "cmd, params, deps and outs are as the stage needs them")]


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
        yield stage.row(f"wdir is {found}, so the stage would not run beside params.yaml", f"wdir: {wanted}", "wdir")


def _listed_params(stage: _Stage) -> Iterator[CheckRow]:
    listed = _params(stage.node.get("params") or [])
    needed = STAGE_PARAMS[stage.name]
    if "" in listed:
        yield stage.row("lists all of params.yaml: any change runs it again", _advice(needed), "params", warning=True)
        return
    missing = [name for name in needed if not any(_covers(other, name) for other in listed)]
    if missing:
        names = ", ".join(f"`{name}`" for name in missing)
        yield stage.row(f"reads {names} but does not list it: a change would not run it", _advice(missing), "params")
    extra = [name for name in listed if not any(_covers(other, name) for other in needed)]
    if extra:
        names = ", ".join(f"`{name}`" for name in extra)
        advice = "take it from params, or a change runs the stage for nothing"
        yield stage.row(f"lists {names} but does not read it", advice, "params", warning=True)


def _params(node: Any) -> list[str]:
    """The keys of ``params.yaml`` that a stage lists; "" stands for all of it."""
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
    for kinds, what, harm in (
        (("deps",), "dependency", "a change of it would not run the stage"),
        (("outs", "metrics", "plots"), "output", "DVC would neither keep nor restore it"),
    ):
        found = {path for kind in kinds for path in _paths(stage.node.get(kind), stage.params)}
        for kind in kinds:
            for raw in _paths(stage.wanted.get(kind), None):
                wanted = _filled(raw, stage.params)
                if not any(wanted == path or wanted.startswith(f"{path}/") for path in found):
                    advice = f"list {raw} under {kind}"
                    yield stage.row(f"{what} {wanted} is not listed: {harm}", advice, kinds[0])


def _paths(node: Any, params: Any) -> list[str]:
    items = node if isinstance(node, list) else []
    names = [next(iter(item)) if isinstance(item, dict) else item for item in items]
    return [_filled(str(name), params) for name in names]


def _filled(text: str, params: Any) -> str:
    """``${data.train}`` replaced by its value, as DVC does; unknown ones stay."""
    if params is None:
        return text
    return posixpath.normpath(re.sub(r"\$\{\s*([\w.]+)\s*\}", lambda match: _value(match, params), text))


def _value(match: re.Match[str], params: Any) -> str:
    node = params
    for key in match[1].split("."):
        node = node.get(key) if isinstance(node, dict) else None
    return match[0] if node is None else str(node)


def _switches(stage: _Stage) -> Iterator[CheckRow]:
    if stage.node.get("frozen"):
        yield stage.row("is frozen: dvc repro never runs it", "dvc unfreeze " + stage.name, "frozen", warning=True)
    if stage.node.get("always_changed"):
        advice = "take always_changed away"
        yield stage.row("always_changed: it runs again each time", advice, "always_changed", warning=True)
    for item in stage.node.get("outs") or []:
        if isinstance(item, dict) and any(isinstance(way, dict) and way.get("persist") for way in item.values()):
            advice = "take persist away: what is stale would stay"
            yield stage.row(f"output {next(iter(item))} persists", advice, "outs", warning=True)
