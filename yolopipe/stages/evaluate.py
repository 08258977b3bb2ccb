"""The evaluate stage: COCO and VOC scores of the model on val, curves, predictions table, contact sheet and page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from yolopipe import console, paths
from yolopipe.config.params import Config, Evaluate
from yolopipe.detection.nms import ImageDetections, detect_batch
from yolopipe.detection.suppression import Suppression
from yolopipe.detection.to_source import detections_in_source
from yolopipe.errors import DataError
from yolopipe.files import write_json
from yolopipe.result import CommandResult
from yolopipe.scoring.baseline import committed_metrics
from yolopipe.scoring.pictures import evenly_spread, example_of
from yolopipe.scoring.plots import write_plots
from yolopipe.scoring.report_page import write_report
from yolopipe.scoring.results import (
    Evaluation,
    Found,
    annotated_in_source,
    assess,
    boxes_text,
    class_rows,
    mean_rows,
    metrics,
    predictions_table,
    shortened,
    untested,
)
from yolopipe.scoring.same_data import check_same_data
from yolopipe.shards.manifest import Manifest, load_manifest
from yolopipe.shards.reader import read_rows
from yolopipe.shards.schema import Row, decode_pixels
from yolopipe.tables import write_table
from yolopipe.workers.pool import Workers
from yolopipe.workers.threads import in_threads

if TYPE_CHECKING:
    from yolopipe.detection.network import Predict

__all__ = ["run"]


def run(config: Config, *, workers: Workers = 1) -> CommandResult:
    """Write ``metrics/eval.json``, ``plots/evaluate``, ``predictions/val.parquet`` and ``reports/evaluate.html``.

    Args:
        config: reads ``evaluate``.
        workers: not used; the device does the work, and suppression runs beside it.

    Returns:
        The scores.

    Raises:
        ShardError: shards missing or damaged.
        DataError: the model is missing or does not fit the shards, or val has no annotated box.
    """
    manifest = load_manifest(paths.SHARDS)
    if not sum(manifest.splits["val"].boxes_per_class):
        raise DataError(
            "the val split has no boxes: there is nothing to score against",
            hint="put annotated images into the text that data.val names",
        )
    found = _predict_val(config.evaluate, manifest)
    names, shown_score = manifest.class_names, config.evaluate.picture_score
    evaluation = assess(found, num_classes=len(names), shown_score=shown_score)
    write_json(paths.EVAL_METRICS, metrics(evaluation, found, names))
    write_plots(paths.EVAL_PLOTS, evaluation, found, names, shown_score=shown_score)
    write_table(paths.PREDICTIONS, predictions_table(found, names), names)
    write_report(
        paths.REPORT,
        evaluation=evaluation,
        found=found,
        read=partial(read_rows, paths.SHARDS, manifest, "val"),
        manifest=manifest,
        baseline=committed_metrics(paths.EVAL_METRICS),
        shown_score=shown_score,
    )
    return _result(evaluation, found, names)


def _predict_val(params: Evaluate, manifest: Manifest) -> Found:
    from yolopipe.backend import import_tensorflow

    import_tensorflow()  # before any other import of it: this one is quiet and does not take all GPU memory
    from yolopipe.detection.network import predictor
    from yolopipe.model.model_file import load_model

    weights = {"last": paths.LAST_WEIGHTS, "best": paths.BEST_WEIGHTS}[params.weights]
    model, card = load_model(weights)
    check_same_data(weights, card, manifest)
    total = manifest.splits["val"].rows
    pictured = set(evenly_spread(total, params.picture_images))
    found = Found()
    rows = read_rows(paths.SHARDS, manifest, "val")
    detections = _detections(params, manifest, predictor(model, card))
    with console.progress("evaluate", total) as advance:
        for number, (row, image) in enumerate(zip(rows, detections, strict=True)):
            _add(found, row, image)
            if number in pictured:
                pixels = decode_pixels(row.image, encoding=manifest.encoding, input_size=manifest.input_size)
                found.examples.append(example_of(row, pixels, image, score=params.picture_score))
            advance(1)
    return found


def _detections(params: Evaluate, manifest: Manifest, predict: Predict) -> Iterator[ImageDetections]:
    """Detections of each val row in shard order, network-input pixels."""
    from yolopipe.shards.tfdata import batches

    suppress = partial(detect_batch, suppression=Suppression.of(params))
    dataset = batches(paths.SHARDS, manifest, "val", batch_size=params.batch_size)
    predicted = (predict(batch["image"]) for batch in dataset)
    yield from chain.from_iterable(in_threads(suppress, predicted))  # while the device works on the next batch


def _add(found: Found, row: Row, image: ImageDetections) -> None:
    kept, outside = detections_in_source(row, image)
    found.images.append(row.path)
    found.annotated.append(annotated_in_source(row))
    found.detected.append(kept)
    found.outside += outside


def _result(evaluation: Evaluation, found: Found, class_names: Sequence[str]) -> CommandResult:
    without_truth = untested(evaluation.measures, class_names)
    if without_truth:
        console.note(f"warning: no val box of {shortened(without_truth)}: no AP, not counted in mAP")
    rows: dict[str, object] = {
        **mean_rows(evaluation.measures),
        **_threshold_rows(evaluation),
        **class_rows(evaluation.measures, class_names),
        "written": f"{paths.EVAL_METRICS}, {paths.EVAL_PLOTS}, {paths.PREDICTIONS}, {paths.REPORT}",
    }
    detections = sum(len(image.scores) for image in found.detected)
    if found.outside:
        rows["left out"] = f"{found.outside:,} detections entirely inside the letterbox padding"
    report = {
        **metrics(evaluation, found, class_names),
        "detections": detections,
        "detections_outside_image": found.outside,
        "classes_without_truth": without_truth,
    }
    title = f"{len(found.images):,} images, {boxes_text(evaluation.measures)}, {detections:,} detections"
    return CommandResult(title, rows, report, "yolopipe report --open; dvc metrics diff")


def _threshold_rows(evaluation: Evaluation) -> dict[str, str]:
    best, error = evaluation.best_of_all, evaluation.calibration.error()
    rows = {}
    if best is not None:
        shares = f"precision {best.precision:.3f}, recall {best.recall:.3f}"
        rows["best F1"] = f"{best.f1:.4f} at score threshold {best.threshold:.3f} ({shares})"
    if error is not None:
        rows["calibration error"] = f"{error:.4f}"
    return rows
