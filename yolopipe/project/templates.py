"""Packed files of a new project: copies of this repository's own (a test compares them).

A project with other data gets the same ``params.yaml`` with its comments, with the defaults of
:mod:`yolopipe.config.params` as values and without the section of the embedded data.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from yolopipe.config.params import Config
from yolopipe.formats.yaml_file import plain

__all__ = ["PIPELINE", "SAMPLE_PIPELINE", "own_params", "template"]

PIPELINE, SAMPLE_PIPELINE = "pipeline.yaml", "sample-pipeline.yaml"
"""Not called ``dvc.yaml``: DVC would add them to the pipeline of this repository."""


def template(name: str) -> str:
    """The text of a packed file: ``params.yaml``, ``pipeline.yaml``, ``sample-pipeline.yaml``, ``gitignore``, ...

    >>> template("pipeline.yaml").count("cmd: python -m yolopipe")
    5
    """
    return (files("yolopipe.project") / "templates" / name).read_text(encoding="utf-8")


def own_params(data: Mapping[str, str]) -> str:
    """``params.yaml`` of a project with other data than the embedded ones.

    Args:
        data: ``train``, ``val``, ``classes`` and ``images``.

    Returns:
        The text, with the comment and the default of every key.

    >>> text = own_params({"train": "t.txt", "val": "v #1.txt", "classes": "c.names", "images": "i"})
    >>> [line.strip() for line in text.splitlines() if line.startswith(("  val:", "  input_size:", "  lr_end:"))]
    ['val: "v #1.txt"', 'input_size: 416', 'lr_end: 1.0e-06']
    """
    blocks = [block for block in template("params.yaml").split("\n\n") if "\nsample:\n" not in block]
    text = "\n\n".join(blocks).replace("algorithm:\n  sample: 1\n", "algorithm:\n")
    values = Config.model_validate({"data": dict(data)}).model_dump()
    return _with_values(text, values)


def _with_values(text: str, values: Mapping[str, Any]) -> str:
    """The text with the value of each key replaced in place."""
    lines = text.splitlines()
    for line, column, value in _scalars(YAML(typ="rt").load(text), values):
        lines[line] = lines[line][:column] + _scalar_text(value)
    return "\n".join(lines) + "\n"


def _scalars(node: Any, value: Any) -> Iterator[tuple[int, int, Any]]:
    """(line, column, new value) of every scalar below ``node``."""
    for key in node if isinstance(node, dict) else range(len(node)):
        new = value[key]
        if isinstance(node[key], dict | list):
            yield from _scalars(node[key], new)
        else:
            line, column = node.lc.data[key][-2:]
            yield line, column, new[0] if isinstance(new, list | tuple) else new


def _scalar_text(value: Any) -> str:
    """A value as YAML 1.1 and 1.2 read it alike: numbers with a point, text quoted only where it must be."""
    if isinstance(value, float):
        mantissa, e, exponent = repr(value).partition("e")
        return f"{mantissa if '.' in mantissa else mantissa + '.0'}{e}{exponent}"
    if value is None or isinstance(value, bool) or (isinstance(value, str) and not _reads_back(value)):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def _reads_back(text: str) -> bool:
    try:
        return bool(plain(YAML(typ="safe").load(f"key: {text}")) == {"key": text})
    except YAMLError:
        return False
