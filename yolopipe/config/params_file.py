"""Reading and checking ``params.yaml``.

The file is read by a YAML 1.2 reader: ``dvc exp run -S train.lr_init=1e-5`` writes ``1e-05``, which YAML 1.1
readers (PyYAML) return as a string.  Every mistake is reported at once with line and column and, for an unknown
key, the nearest right one.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from yolopipe.config.params import ALGORITHMS, Config
from yolopipe.errors import ConfigError
from yolopipe.formats.yaml_file import place, plain, read_yaml

__all__ = ["ParamsFile", "load_config", "read_params"]


@dataclass(frozen=True)
class ParamsFile:
    """A params file and the mistakes in it.

    Args:
        file: its name.
        tree: its content, as ruamel's round-trip containers.
        config: the frozen configuration; None where there are mistakes.
        mistakes: one sentence each, with ``file:line:column``.
    """

    file: Path
    tree: Any
    config: Config | None
    mistakes: tuple[str, ...]

    def place(self, *keys: int | str) -> str:
        """``file:line:column`` of the value that ``keys`` lead to, or as deep towards it as the file goes."""
        return place(self.file, self.tree, keys)

    def algorithm_mistake(self, stage: str) -> ConfigError | None:
        """An error when the file has another version of a stage's algorithm than this yolopipe, else None."""
        wanted, found = ALGORITHMS[stage], getattr(self.config and self.config.algorithm, stage, None)
        if found in (wanted, None):
            return None
        return ConfigError(
            f"{self.place('algorithm', stage)}: algorithm.{stage} is {found}, "
            f"but this yolopipe computes version {wanted} of that stage",
            hint=f"set algorithm.{stage}: {wanted} to accept the new results, or install the older yolopipe",
        )


def read_params(path: str | Path = "params.yaml") -> ParamsFile:
    """Read ``params.yaml`` and find every mistake in it.

    Raises:
        ConfigError: the file cannot be read, or holds no mapping.
    """
    file = Path(path)
    try:
        tree = read_yaml(file)
    except FileNotFoundError:
        raise ConfigError(
            f"no {file} here ({Path.cwd()})",
            hint="go to the project folder, or name the file with --params; a new project: yolopipe init",
        ) from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{file}: expected sections such as 'data:' and 'train:', found something else")
    try:
        return ParamsFile(file, tree, Config.model_validate(plain(tree)), ())
    except ValidationError as error:
        mistakes = [f"{place(file, tree, e['loc'], of_key=_at_key(e))}: {_sentence(e)}" for e in error.errors()]
        return ParamsFile(file, tree, None, tuple(mistakes))


def load_config(path: str | Path = "params.yaml", *, stage: str | None = None) -> Config:
    """Read and check ``params.yaml``.

    Args:
        path: the file.
        stage: the stage about to run; its number under ``algorithm`` must be that of this yolopipe.

    Returns:
        The frozen configuration.

    Raises:
        ConfigError: naming ``file:line:column`` for each mistake, all at once.
    """
    found = read_params(path)
    if found.config is None:
        count = f"{len(found.mistakes)} mistake" + ("s" if len(found.mistakes) > 1 else "")
        raise ConfigError("\n".join([*found.mistakes, f"{count} in {found.file}; nothing was run"]))
    wrong = found.algorithm_mistake(stage) if stage is not None else None
    if wrong is not None:
        raise wrong
    return found.config


def _is_key(error: Any) -> bool:
    """Whether the key is wrong, not its value."""
    return bool(error["type"] == "extra_forbidden")


def _at_key(error: Any) -> bool:
    """Whether the key's place says more than the value's: of a value that is not there, YAML gives the next line."""
    return _is_key(error) or (error.get("input") is None and error["type"] != "missing")


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    """The keys that are allowed in the section of ``location``."""
    section: Any = Config
    for key in location[:-1]:
        section = section.model_fields[key].annotation
    return [field.alias or name for name, field in section.model_fields.items()]


def _sentence(error: Any) -> str:
    location = error["loc"]
    name = ".".join(str(part) for part in location)
    kind, value = error["type"], error.get("input")
    if _is_key(error):
        known = _known_keys(location)
        near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
        prefix = "".join(f"{part}." for part in location[:-1])
        guess = f"did you mean `{prefix}{near[0]}`?" if near else f"known here: {', '.join(sorted(known))}"
        return f"unknown key `{name}`; {guess}"
    if kind == "missing":
        return f"`{name}` is missing"
    message = error["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    shown = "" if isinstance(value, dict) else f", got {_shortened(repr(value))}"
    return f"`{name}`: {message}{shown}" if name else message


def _shortened(text: str, most: int = 120) -> str:
    return text if len(text) <= most else f"{text[: most - 20]} ... ({len(text):,} characters)"
