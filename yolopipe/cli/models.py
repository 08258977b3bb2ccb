"""What is done with a trained network, or with its predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from yolopipe.cli.application import app, export_app
from yolopipe.cli.options import Json, show


@app.command("score")
def _score(
    predictions: Annotated[Path, typer.Option(help="COCO's list of results (JSON).", metavar="FILE")],
    truth: Annotated[Path, typer.Option(help="COCO's annotations (JSON).", metavar="FILE")],
    plus_one: Annotated[
        bool, typer.Option("--voc-plus-one", help="VOC's measures count boxes one pixel wider, as its devkit does.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Score any program's COCO files: COCO's AP and AR, VOC's AP."""
    from yolopipe.evaluation.command import run

    show(run(predictions, truth, plus_one=plus_one), as_json)


@export_app.command("darknet")
def _export_darknet(
    out: Annotated[Path, typer.Option(help="Folder to write NAME.weights, NAME.cfg and NAME.names to.")],
    weights: Annotated[str, typer.Option(help="best or last, or a .weights.h5 file.")] = "last",
    name: Annotated[str, typer.Option(help="How the three files are called.")] = "model",
    as_json: Json = False,
) -> None:
    """Darknet weights and cfg, as OpenCV and others read them."""
    from yolopipe.model.darknet_export import run

    show(run(out, weights=weights, name=name), as_json)
