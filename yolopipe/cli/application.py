"""The Typer application that the commands are added to, its help in panels, and the options before any command."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from yolopipe import __version__
from yolopipe.errors import UsageError

__all__ = ["DATA", "LOOK", "MODEL", "PIPELINE", "PROJECT", "add_group", "app", "export_app"]

PROJECT, DATA, PIPELINE, LOOK, MODEL = PANELS = ("Project", "Data", "Pipeline", "Look", "Model")
"""Panels of ``yolopipe --help``, in its order; a command names its own as ``rich_help_panel``."""


class _PanelGroup(TyperGroup):
    """A group whose help lists its commands by panel; Typer itself does so with rich markup only."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        panels = defaultdict(list)
        for name in self.list_commands(ctx):
            panels[getattr(self.commands[name], "rich_help_panel", None)].append(name)
        width = max(map(len, self.commands))
        for panel in PANELS:
            with formatter.section(panel):
                commands = {name.ljust(width): self.commands[name] for name in panels[panel]}
                limit = formatter.width - width - 6
                formatter.write_dl([(name, command.get_short_help_str(limit)) for name, command in commands.items()])


app = typer.Typer(
    cls=_PanelGroup,
    name="yolopipe",
    help="Data pipeline and label toolkit for YOLOv3: annotation text and images to a trained, measured detector.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def add_group(name: str, help_text: str, panel: str) -> typer.Typer:
    """A command that has commands of its own, such as ``import``."""
    group = typer.Typer(help=help_text, no_args_is_help=True)
    app.add_typer(group, name=name, rich_help_panel=panel)
    return group


export_app = add_group("export", "Write a trained network for other programs.", MODEL)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"yolopipe {__version__}")
        raise typer.Exit


@app.callback()
def _project(
    directory: Annotated[
        Path | None, typer.Option("-C", help="Work in this project folder.", metavar="DIR", show_default=False)
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if directory is not None:
        try:
            os.chdir(directory)
        except OSError as error:
            raise UsageError(f"-C {directory}: {error.strerror}") from None
