"""The Typer applications that the commands are added to, and what every command may be given first."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from yolopipe import __version__
from yolopipe.errors import UsageError

__all__ = ["app", "convert_app", "export_app", "import_app"]

app = typer.Typer(
    name="yolopipe",
    help="Annotation text and images to a trained, measured YOLOv3, one cached step at a time.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
import_app = typer.Typer(help="Turn other annotation formats into annotation text.", no_args_is_help=True)
app.add_typer(import_app, name="import")
convert_app = typer.Typer(help="Turn annotation text into other formats.", no_args_is_help=True)
app.add_typer(convert_app, name="convert")
export_app = typer.Typer(help="Write a trained network for other programs.", no_args_is_help=True)
app.add_typer(export_app, name="export")


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
