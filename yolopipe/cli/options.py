"""Options that several commands share, and printing of a result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from yolopipe import console
from yolopipe.result import CommandResult

__all__ = [
    "CROWDS_HELP",
    "DIFFICULT_HELP",
    "Annotations",
    "FailOn",
    "Images",
    "ImportClasses",
    "Json",
    "OnBad",
    "Others",
    "Params",
    "Scheduler",
    "Treatment",
    "Workers",
    "show",
]

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
ImportClasses = Annotated[
    Path | None,
    typer.Option("--classes", help="Names file with the class order to use.", metavar="FILE", show_default=False),
]
Others = Annotated[
    Literal["fail", "drop", "ignore"],
    typer.Option("--others", help="Classes that are not in --classes: a problem, boxes left out, or to be ignored."),
]
Treatment = Literal["ignore", "skip", "keep"]
CROWDS_HELP = "Crowds (COCO, Parquet) and groups (Open Images): boxes to be ignored, left out, or kept as objects."
DIFFICULT_HELP = "Objects marked difficult (VOC, labelme): boxes to be ignored, left out, or kept as objects."
Images = Annotated[
    Path | None, typer.Option("--images", help="Where the images are; default: searched in SOURCE.", metavar="DIR")
]
Annotations = Annotated[
    Path | None,
    typer.Option("--annotations", help="Where the labels are; default: searched in SOURCE.", metavar="PATH"),
]
OnBad = Annotated[
    Literal["fail", "skip"],
    typer.Option("--on-bad", help="fail: write nothing; skip: leave bad boxes and images out, and list them."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON and nothing else on standard output.")]


def show(result: CommandResult, as_json: bool) -> None:
    """Print a result as a summary, or its report as JSON."""
    if as_json:
        print(json.dumps(result.report, indent=2, ensure_ascii=False))
    else:
        console.summary(result.title, result.rows, next_step=result.next_step)
