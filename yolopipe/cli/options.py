"""Options that several commands share, and printing of a result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from yolopipe import console
from yolopipe.result import CommandResult

__all__ = ["FailOn", "Json", "Params", "Scheduler", "Workers", "show"]

FailOn = Annotated[
    Literal["error", "warning", "never"],
    typer.Option("--fail-on", help="Exit with 1 when a check of this severity or higher finds something."),
]
Params = Annotated[Path, typer.Option("--params", help="The params file.", metavar="FILE")]
Workers = Annotated[
    int | None,
    typer.Option(
        help="Processes; default YOLOPIPE_WORKERS, else all cores. Never changes a result.", show_default=False
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        help="Run on the dask cluster of this scheduler (tcp://host:8786); default YOLOPIPE_SCHEDULER, else here.",
        metavar="ADDRESS",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON and nothing else on standard output.")]


def show(result: CommandResult, as_json: bool) -> None:
    """Print a result as a summary, or its report as JSON."""
    if as_json:
        print(json.dumps(result.report, indent=2, ensure_ascii=False))
    else:
        console.summary(result.title, result.rows, next_step=result.next_step)
