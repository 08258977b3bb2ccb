"""What is done with a trained network, or with its predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from yolopipe import paths
from yolopipe.cli.application import MODEL, app, export_app
from yolopipe.cli.options import Json, show
from yolopipe.errors import UsageError
from yolopipe.export.request import Rule, Wish
from yolopipe.result import CommandResult


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
    name: Annotated[str, typer.Option(help="How the three files are called.")] = "model",
    as_json: Json = False,
) -> None:
    """Darknet weights and cfg, as OpenCV and others read them."""
    from yolopipe.export.darknet import run

    show(run(out, weights=weights, name=name), as_json)


Model = Annotated[Path, typer.Option("--model", help="The .weights.h5 to export.", metavar="FILE")]
PostProcessing = Annotated[
    bool, typer.Option("--post-processing", help="Boxes, scores and classes instead of the three raw outputs.")
]
MinScore = Annotated[float | None, typer.Option(help="With --post-processing: scores above this; default 0.001.")]
NmsIou = Annotated[
    float | None, typer.Option(help="With --post-processing: of two boxes that overlap more, one stays; default 0.5.")
]
MaxDetections = Annotated[int | None, typer.Option(help="With --post-processing: places in an answer; default 300.")]
Tolerance = Annotated[
    float | None,
    typer.Option(
        help="Largest difference of an output from the Keras model's; past it nothing is written, exit code 1.",
        show_default="by output and precision, see docs/export.md",
    ),
]


@export_app.command("saved-model")
def _export_saved_model(
    out: Annotated[Path, typer.Option(help="The folder to write; TF Serving wants a number: model/1.")],
    model: Model = paths.LAST_WEIGHTS,
    post_processing: PostProcessing = False,
    min_score: MinScore = None,
    nms_iou: NmsIou = None,
    max_detections: MaxDetections = None,
    tolerance: Tolerance = None,
    as_json: Json = False,
) -> None:
    """TensorFlow's SavedModel, for TF Serving and TensorFlow in any language."""
    rule = _rule(post_processing, min_score, nms_iou, max_detections)
    show(_exported(model, out, form="saved-model", rule=rule, tolerance=tolerance), as_json)


@export_app.command("onnx")
def _export_onnx(
    out: Annotated[Path, typer.Option(help="The .onnx file to write.")],
    model: Model = paths.LAST_WEIGHTS,
    post_processing: PostProcessing = False,
    min_score: MinScore = None,
    nms_iou: NmsIou = None,
    max_detections: MaxDetections = None,
    tolerance: Tolerance = None,
    as_json: Json = False,
) -> None:
    """ONNX, for onnxruntime and others (needs the extra onnx)."""
    rule = _rule(post_processing, min_score, nms_iou, max_detections)
    show(_exported(model, out, form="onnx", rule=rule, tolerance=tolerance), as_json)


@export_app.command("tflite")
def _export_tflite(
    out: Annotated[Path, typer.Option(help="The .tflite file to write.")],
    model: Model = paths.LAST_WEIGHTS,
    precision: Annotated[str, typer.Option(help="float32, float16 or int8.")] = "float32",
    seed: Annotated[int, typer.Option(help="Draws the training images that int8 is fitted to.", min=0)] = 0,
    post_processing: PostProcessing = False,
    min_score: MinScore = None,
    nms_iou: NmsIou = None,
    max_detections: MaxDetections = None,
    tolerance: Tolerance = None,
    as_json: Json = False,
) -> None:
    """TFLite, for telephones and small computers; float16 halves the file, int8 quarters it."""
    rule = _rule(post_processing, min_score, nms_iou, max_detections)
    result = _exported(model, out, form="tflite", rule=rule, precision=precision, tolerance=tolerance, seed=seed)
    show(result, as_json)


@export_app.command("card")
def _export_card(
    path: Annotated[Path, typer.Argument(help="A SavedModel's folder, an .onnx or a .tflite file.")],
    as_json: Json = False,
) -> None:
    """What travels in an exported network: classes, anchors, input, outputs, origin, scores."""
    from yolopipe.export.export_network import show_card

    show(show_card(path), as_json)


def _rule(wanted: bool, min_score: float | None, nms_iou: float | None, max_detections: int | None) -> Rule | None:
    options = {"min_score": min_score, "nms_iou": nms_iou, "max_detections": max_detections}
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if given and not wanted:
        named = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise UsageError(f"{named} is about detections, which need --post-processing")
    return Rule(**given) if wanted else None


def _exported(model: Path, out: Path, **wanted: Any) -> CommandResult:
    from yolopipe.export.export_network import run

    return run(model, out, Wish(**wanted))
