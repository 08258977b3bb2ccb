"""``score`` and ``export``."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import Signature, signature
from pathlib import Path
from typing import Annotated, Any

import typer

from yolopipe import paths
from yolopipe.cli.application import MODEL, app, export_app
from yolopipe.cli.options import Json, show
from yolopipe.detection.suppression import Suppression
from yolopipe.errors import UsageError
from yolopipe.export.request import MOST_DETECTIONS, ExportRequest


@app.command("score", rich_help_panel=MODEL)
def _score(
    predictions: Annotated[Path, typer.Option(help="COCO's list of results (JSON).", metavar="FILE")],
    truth: Annotated[Path, typer.Option(help="COCO's annotations (JSON).", metavar="FILE")],
    plus_one: Annotated[
        bool, typer.Option("--voc-plus-one", help="VOC's measures count boxes one pixel wider, as its devkit does.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Score the COCO files of any program.

    Prints COCO's AP and AR, and VOC's AP.
    """
    from yolopipe.scoring.score import run

    show(run(predictions, truth, plus_one=plus_one), as_json)


@export_app.command("darknet")
def _export_darknet(
    out: Annotated[Path, typer.Option(help="Folder to write NAME.weights, NAME.cfg and NAME.names to.")],
    weights: Annotated[str, typer.Option(help="best or last, or a .weights.h5 file.")] = "last",
    name: Annotated[str, typer.Option(help="Base name of the three files.")] = "model",
    as_json: Json = False,
) -> None:
    """Darknet weights and cfg, as OpenCV and others read them."""
    from yolopipe.export.darknet import run

    show(run(out, weights=weights, name=name), as_json)


def _export(
    form: str,
    out: Path,
    model: Annotated[Path, typer.Option(help="The .weights.h5 to export.", metavar="FILE")] = paths.LAST_WEIGHTS,
    post_processing: Annotated[
        bool, typer.Option("--post-processing", help="Boxes, scores and classes instead of the three raw outputs.")
    ] = False,
    min_score: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="With --post-processing: detections score above this; default 0.001."),
    ] = None,
    nms_iou: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="With --post-processing: IoU above which the lower-scoring of two boxes is suppressed; default 0.5.",
        ),
    ] = None,
    max_detections: Annotated[
        int | None,
        typer.Option(min=1, max=MOST_DETECTIONS, help="With --post-processing: rows an image; default 300."),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            help="Largest difference of an output from the Keras model's; beyond it nothing is written, exit code 1.",
            show_default="by output and precision, see docs/export.md",
        ),
    ] = None,
    as_json: Json = False,
    **of_format: Any,
) -> None:
    """What the export commands have in common: :func:`_export_command` adds these options to each."""
    from yolopipe.export.export_network import run

    options = {"score_threshold": min_score, "nms_iou": nms_iou, "max_detections": max_detections}
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if given and not post_processing:
        raise UsageError(
            "--min-score, --nms-iou and --max-detections are settings of the suppression inside the exported network",
            hint="add --post-processing",
        )
    suppression = Suppression(**given) if post_processing else None
    show(run(model, out, ExportRequest(form, suppression, tolerance=tolerance, **of_format)), as_json)


def _export_command(form: str) -> Callable[[Callable[..., None]], None]:
    """Register a command for a format: its own parameters and docstring, and the options of :func:`_export`."""

    def register(own: Callable[..., None]) -> None:
        @wraps(own)
        def command(**values: Any) -> None:
            _export(form, **values)

        shared = signature(_export, eval_str=True).parameters.values()
        options = [one for one in shared if one.kind is not one.VAR_KEYWORD and one.name not in ("form", "out")]
        parameters = [*signature(own, eval_str=True).parameters.values(), *options]
        command.__annotations__ = {one.name: one.annotation for one in parameters}
        command.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
        export_app.command(form)(command)

    return register


@_export_command("saved-model")
def _export_saved_model(
    out: Annotated[Path, typer.Option(help="The folder to write; TF Serving wants a number: model/1.")],
) -> None:
    """TensorFlow's SavedModel, for TF Serving and TensorFlow in any language."""


@_export_command("onnx")
def _export_onnx(out: Annotated[Path, typer.Option(help="The .onnx file to write.")]) -> None:
    """ONNX, for onnxruntime and others (needs the extra onnx)."""


@_export_command("tflite")
def _export_tflite(
    out: Annotated[Path, typer.Option(help="The .tflite file to write.")],
    precision: Annotated[str, typer.Option(help="float32, float16 or int8.")] = "float32",
    seed: Annotated[int, typer.Option(help="Draws the training images that int8 is calibrated with.", min=0)] = 0,
) -> None:
    """TFLite, for phones and single-board computers; float16 halves the file, int8 quarters it."""


@export_app.command("card")
def _export_card(
    path: Annotated[Path, typer.Argument(help="A SavedModel's folder, an .onnx or a .tflite file.")],
    as_json: Json = False,
) -> None:
    """The card inside an exported network: classes, anchors, input, outputs, origin, scores."""
    from yolopipe.export.export_network import show_card

    show(show_card(path), as_json)
