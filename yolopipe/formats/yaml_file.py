"""YAML 1.2 with the line and column of every value; in YAML 1.1, ``1e-05`` would be a string."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from yolopipe.errors import ConfigError

__all__ = ["place", "plain", "read_yaml"]


def read_yaml(file: Path) -> Any:
    """Read a YAML file into ruamel's round-trip containers.

    Returns:
        The content; None for an empty file.

    Raises:
        FileNotFoundError: no such file.
        ConfigError: not UTF-8 or not YAML, with ``file:line:column``, or unreadable.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: not UTF-8 text (byte {error.start})") from None
    try:
        return YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else str(file)
        raise ConfigError(f"{where}: not valid YAML: {error.problem}") from None
    except YAMLError as error:
        raise ConfigError(f"{file}: not valid YAML: {error}") from None


def plain(node: Any) -> Any:
    """Round-trip containers and scalars as plain Python types."""
    if isinstance(node, dict):
        return {str(key): plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [plain(value) for value in node]
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


def place(file: Path, tree: Any, location: Sequence[int | str], *, of_key: bool = False) -> str:
    """``file:line:column`` of the value (or key) at ``location``, or of its deepest parent in the file."""
    node, found = tree, str(file)
    for key in location:
        marks = getattr(getattr(node, "lc", None), "data", None) or {}
        if key not in marks:
            break
        line, column = marks[key][:2] if of_key or isinstance(node[key], dict) else marks[key][-2:]
        found = f"{file}:{line + 1}:{column + 1}"
        node = node[key]
    return found
