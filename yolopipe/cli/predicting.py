"""``predict``: a trained network on new pictures."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from yolopipe.cli.application import MODEL, app
from yolopipe.cli.options import Json, show


@app.command("predict", rich_help_panel=MODEL)
def _predict(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="Images, videos, folders, patterns, annotation text (its images), or the number of a camera.",
            show_default=False,
        ),
    ],
    model: Annotated[Path, typer.Option(help="The model: a .weights.h5 that train made.", metavar="FILE")] = Path(
        "models/best.weights.h5"
    ),
    out: Annotated[
        Path, typer.Option(help="Folder for predictions.json, and drawn pictures and videos.", metavar="DIR")
    ] = Path("predicted"),
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Include the files of subfolders.")] = False,
    classes: Annotated[
        str, typer.Option(help="Classes to detect; default all.", metavar="A,B", show_default=False)
    ] = "",
    min_score: Annotated[float, typer.Option(min=0.0, max=1.0, help="Keep detections that score above this.")] = 0.3,
    nms_iou: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="IoU above which the lower-scoring of two boxes is suppressed.")
    ] = 0.5,
    batch: Annotated[int, typer.Option(min=1, help="Pictures that go through the network at once.")] = 8,
    no_draw: Annotated[bool, typer.Option("--no-draw", help="Draw no pictures and videos.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Write predictions.csv too.")] = False,
    coco: Annotated[bool, typer.Option("--coco", help="Write coco.json too: COCO's list of results.")] = False,
    ids: Annotated[
        Path | None,
        typer.Option(
            help="Take the ids of images and classes from this COCO file.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    max_frames: Annotated[
        int | None, typer.Option(min=1, help="Stop each video or camera after so many frames.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Detect objects in images, videos or camera frames."""
    from yolopipe.prediction.predict import Options, run

    options = Options(
        model=model,
        out=out,
        recursive=recursive,
        classes=classes,
        min_score=min_score,
        nms_iou=nms_iou,
        batch=batch,
        draw=not no_draw,
        csv=csv,
        coco=coco or ids is not None,
        ids=ids,
        max_frames=max_frames,
    )
    result = run(paths, options)
    if as_json:
        with result.document.open(encoding="utf-8") as document:  # may be larger than memory
            shutil.copyfileobj(document, sys.stdout)
    else:
        show(result, as_json=False)
    raise typer.Exit(result.exit_code)
