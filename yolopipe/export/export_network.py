"""``yolopipe export saved-model``, ``onnx``, ``tflite``: write, run what was written on real images, then rename."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from yolopipe import paths
from yolopipe.backend import import_tensorflow
from yolopipe.errors import DifferenceError
from yolopipe.export.artefact_card import artefact_card
from yolopipe.export.difference import Answer, Images, furthest, in_places, joined
from yolopipe.export.request import ExportRequest
from yolopipe.export.writers import (
    check_packages,
    check_place,
    export_format,
    form_of,
    read_artefact_card,
)
from yolopipe.files import atomic_directory, atomic_file, canonical_json, sha256_file
from yolopipe.result import CommandResult
from yolopipe.scoring.same_data import check_same_data
from yolopipe.shards.manifest import Manifest, load_manifest
from yolopipe.shards.reader import read_rows
from yolopipe.shards.schema import decode_pixels

if TYPE_CHECKING:
    from yolopipe.model.card import ModelCard

__all__ = ["run", "show_card"]

CHECKED_IMAGES = 8
"""The first of val: shards hold the images in the order of a hash of their names."""

EXAMPLES = 200
"""Training images that show int8 the range of every activation."""


def run(model: str | Path, out: str | Path, request: ExportRequest) -> CommandResult:
    """Export a trained network, and check that its outputs are those of the Keras model.

    Args:
        model: a ``.weights.h5`` file.
        out: the file or folder to write; it is replaced when all went well, and untouched otherwise.
        request: the options.

    Returns:
        What was written, and the largest difference of each output.

    Raises:
        UsageError: ``out`` does not fit this format, or a package is missing.
        ShardError: shards are missing or damaged.
        DataError: the model is missing, damaged, or of other shards.
        DifferenceError: the outputs differ by more than the tolerance.
    """
    model, out = Path(model), Path(out)
    check_place(out, request.form)
    check_packages(request.form)
    import_tensorflow()
    from yolopipe.export.serving_graph import ServingModel, head_for
    from yolopipe.model.model_file import load_model

    network, card = load_model(model)
    manifest = load_manifest(paths.SHARDS)
    check_same_data(model, card, manifest)
    description = artefact_card(card, model, request)
    serving = ServingModel(network, card, head_for(card, request), batch=request.batch)
    images = np.stack(list(islice(_val_images(manifest), CHECKED_IMAGES)))
    with atomic_directory(out) if request.form == "saved-model" else atomic_file(out) as partial:
        text = canonical_json(description)
        form, examples = export_format(request.form), _examples(manifest, request.seed)
        form.write(partial, serving, text, precision=request.precision, examples=examples)
        found = _in_two_batches(form.load(partial), images)
        expected = _expected(network, card, images, request)
        apart = furthest(expected, found, input_size=card.input_size, score_threshold=request.score_threshold)
        _check_differences(apart, request)
    return _result(out, apart, len(images), description, request)


def _val_images(manifest: Manifest) -> Iterator[Images]:
    for row in read_rows(paths.SHARDS, manifest, "val"):
        yield decode_pixels(row.image, encoding=manifest.encoding, input_size=manifest.input_size)


def _examples(manifest: Manifest, seed: int) -> Iterator[Images]:
    """Augmented training images, one at a time, the same for the same seed."""
    from yolopipe.shards.tfdata import batches

    dataset = batches(paths.SHARDS, manifest, "train", batch_size=1, shuffle_seed=seed)
    for batch in dataset.take(EXAMPLES):
        yield batch["image"].numpy()


def _in_two_batches(answer: Any, images: Images) -> Answer:
    """One image, then the others at once: any batch size must work."""
    return joined([answer(part) for part in (images[:1], images[1:]) if len(part)])


def _expected(network: Any, card: ModelCard, images: Images, request: ExportRequest) -> Answer:
    """The outputs of the Keras model; with suppression, the detections that ``evaluate`` makes of them."""
    from yolopipe.detection.network import predictor
    from yolopipe.detection.nms import detect_batch

    if request.suppression is None:
        names = [f"head_{stride}" for stride in card.strides]
        # One at a time: called like this, Keras keeps what every layer gives until the end, 0.5 GB at full size.
        raw = (network(np.divide(image[None], np.float32(255)), training=False) for image in images)
        return joined([dict(zip(names, map(np.asarray, outputs), strict=True)) for outputs in raw])
    found = detect_batch(predictor(network, card)(images), request.suppression)
    return in_places(found, request.suppression.max_detections)


def _check_differences(apart: dict[str, float], request: ExportRequest) -> None:
    if any(value > request.allowed(name) for name, value in apart.items()):
        shown = ", ".join(f"{name} by {_limit(name, value, request)}" for name, value in apart.items())
        raise DifferenceError(
            f"the outputs of the {request.form} differ from the Keras model's: {shown}; nothing was written",
            hint="allow more if that is good enough for you: --tolerance X",
        )


def _limit(name: str, value: float, request: ExportRequest) -> str:
    return f"{value:.3g} (allowed {request.allowed(name):g})"


def _result(
    out: Path, apart: dict[str, float], checked: int, description: dict[str, Any], request: ExportRequest
) -> CommandResult:
    files = sorted(file for file in out.rglob("*") if file.is_file()) if out.is_dir() else [out]
    size = sum(file.stat().st_size for file in files)
    rows = {
        "written": out,
        **_tensors(description),
        "checked": f"on {checked} val images against the Keras model",
        **{f"  {name}": f"differs by at most {_limit(name, value, request)}" for name, value in apart.items()},
        "scores inside": "mAP@.5 {mAP50:.3f}".format_map(description["metrics"])
        if description["metrics"]
        else "none",
    }
    report = {
        "path": str(out),
        "bytes": size,
        "sha256": {
            file.relative_to(out).as_posix() if file != out else out.name: sha256_file(file) for file in files
        },
        "largest_difference": apart,
        "tolerance": {name: request.allowed(name) for name in apart},
        "card": description,
    }
    title = f"export {request.form}: {request.precision}, {size / 1e6:.1f} MB"
    return CommandResult(title, rows, report, next_step=f"yolopipe export card {out}")


def _tensors(card: dict[str, Any]) -> dict[str, str]:
    """A row of the summary for the input and for each output."""
    named = {f"input {card['input']['name']}": card["input"]}
    named |= {f"output {name}": card["outputs"][name] for name in sorted(card["outputs"], key=lambda n: (len(n), n))}
    return {name: f"{one['dtype']} ({', '.join(map(str, one['shape']))})" for name, one in named.items()}


def show_card(path: str | Path) -> CommandResult:
    """Show the card inside an exported network.

    Args:
        path: a SavedModel's folder, an ``.onnx`` or a ``.tflite`` file.

    Raises:
        DataError: another kind of file, a damaged one, or one without a card.
        UsageError: a package is missing.
    """
    path = Path(path)
    card = read_artefact_card(path)
    names, metrics, git = card["class_names"], card["metrics"], card["git"]
    rows = {
        "written by": f"yolopipe {card['yolopipe']}, {card['precision']}",
        "classes": f"{len(names)}: {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}",
        **_tensors(card),
        "anchors": "  ".join(f"{w:g},{h:g}" for w, h in card["anchors_px"]),
        "mAP": "unknown" if metrics is None else f"@.5 {metrics['mAP50']:.3f}, @[.5:.95] {metrics['mAP']:.3f}",
        "commit": "none" if git is None else git["commit"] + (" and changes" if git["dirty"] else ""),
        "data SHA-256": card["data_sha256"],
        "weights SHA-256": card["weights_sha256"],
    }
    return CommandResult(f"{path}: {form_of(path)}", rows, card)
