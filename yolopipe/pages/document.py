"""From a template, looks and scripts to one file that asks for nothing: no server, no network, no other file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from yolopipe.errors import UsageError
from yolopipe.files import atomic_file

__all__ = ["page_path", "write_document"]

SHARED = "yolopipe.pages"


def write_document(
    file: Path, package: str, *, template: str, style: str, scripts: Sequence[str], context: Mapping[str, Any]
) -> None:
    """Write a page, whole or not at all; the same bytes for the same context.

    Args:
        file: where; an older one is replaced.
        package: holds the next three, by name.
        template: Jinja; every value is escaped unless it is markup, ``macros.html`` can be imported, and ``style``,
            ``script`` and ``policy`` are there beside the context.
        style: CSS, put behind what all pages share.
        scripts: put behind what all pages share, in this order, within one function: nothing of ours is a global.
        context: for the template; iterators are taken from as the file grows.
    """
    css = _asset(SHARED, "base.css") + _asset(package, style)
    script = _script(package, tuple(scripts))
    values = {**context, "style": Markup(css), "script": Markup(script), "policy": _policy(script, css)}
    with atomic_file(file) as partial, partial.open("w", encoding="utf-8", errors="replace", newline="\n") as out:
        for part in _template(package, template).stream(values):
            out.write(part)


def page_path(file: str | Path, option: str = "--html") -> Path:
    """The path, when it is one that browsers open as a page.

    Args:
        file: as given.
        option: that gave it, for the message.

    Raises:
        UsageError: another suffix.
    """
    path = Path(file)
    if path.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{option} writes HTML, got {str(file)!r}", hint=f"{option} {path.with_suffix('.html')}")
    return path


@cache
def _asset(package: str, name: str) -> str:
    return (files(package) / name).read_text(encoding="utf-8")


@cache
def _script(package: str, names: tuple[str, ...]) -> str:
    body = "\n".join([_asset(SHARED, "common.js"), *(_asset(package, name) for name in names)])
    return f"(() => {{\n'use strict';\n{body}}})();\n"


def _policy(script: str, style: str) -> str:
    """The browser itself refuses the network and every script that is not ours."""
    hashes = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (script, style))
    script_hash, style_hash = (f"'sha256-{digest}'" for digest in hashes)
    return f"default-src 'none'; img-src data:; script-src {script_hash}; style-src {style_hash}; base-uri 'none'"


@cache
def _template(package: str, name: str) -> Any:
    environment = Environment(
        loader=DictLoader({name: _asset(package, name), "macros.html": _asset(SHARED, "macros.html")}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
