"""Panel Project: make a project, check it before any work, choose its anchors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from yolopipe.cli.application import PROJECT, app
from yolopipe.cli.options import (
    CROWDS_HELP,
    DIFFICULT_HELP,
    Annotations,
    FailOn,
    Images,
    ImportClasses,
    Json,
    OnBad,
    Others,
    Params,
    Treatment,
    show,
)
from yolopipe.config.params_file import load_config
from yolopipe.importing.import_formats import IMPORTERS


@app.command("init", rich_help_panel=PROJECT)
def _init(
    directory: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="The project folder; created if missing.", show_default=False),
    ] = Path(),
    source: Annotated[
        tuple[str, Path] | None,
        typer.Option(
            "--from", metavar="FORMAT PATH", help=f"Import data: {', '.join(IMPORTERS)}.", show_default=False
        ),
    ] = None,
    classes: ImportClasses = None,
    others: Others = "fail",
    images: Images = None,
    annotations: Annotations = None,
    crowds: Annotated[Treatment, typer.Option(help=CROWDS_HELP)] = "ignore",
    difficult: Annotated[Treatment, typer.Option(help=DIFFICULT_HELP)] = "ignore",
    on_bad: OnBad = "fail",
    demo: Annotated[bool, typer.Option("--demo", help="Use the embedded data.")] = False,
    as_json: Json = False,
) -> None:
    """Write the files of a new project.

    These are params.yaml, dvc.yaml, .gitignore and .dvcignore.  Runs nothing and overwrites nothing.
    """
    from yolopipe.project import scaffold

    options = {
        "classes": classes,
        "others": others,
        "images": images,
        "annotations": annotations,
        "crowds": crowds,
        "difficult": difficult,
        "on_bad": on_bad,
    }
    show(scaffold.run(directory, source=source, demo=demo, options=options), as_json)


@app.command("check", rich_help_panel=PROJECT)
def _check(params: Params = Path("params.yaml"), fail_on: FailOn = "error", as_json: Json = False) -> None:
    """Check params, inputs and pipeline, before any work."""
    from yolopipe.project import check

    rows = check.run(params)
    if as_json:
        print(json.dumps(check.report(rows), indent=2, ensure_ascii=False))
    else:
        check.show(rows)
    raise typer.Exit(check.exit_code(rows, fail_on))


@app.command("anchors", rich_help_panel=PROJECT)
def _anchors(
    k: Annotated[int, typer.Option("--k", help="How many anchors to propose; the network has nine.")] = 9,
    size: Annotated[
        int | None, typer.Option(help="Network input in pixels; default the largest size.", show_default=False)
    ] = None,
    params: Params = Path("params.yaml"),
    as_json: Json = False,
) -> None:
    """Show how well the anchors fit; propose better ones.

    Compares them with the training boxes in data/parsed.  Changes no file.
    """
    from yolopipe.project import propose_anchors

    advice = propose_anchors.run(load_config(params), k=k, size=size)
    if as_json:
        print(json.dumps(advice.report(), indent=2))
    else:
        propose_anchors.show(advice)
