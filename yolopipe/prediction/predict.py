"""``yolopipe predict``: files, folders, videos and cameras in; drawn pictures and lists of detections out."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolopipe import console
from yolopipe.detection.detector import Detector, wanted_classes
from yolopipe.errors import DataError, ImageError, UsageError
from yolopipe.files import sha256_file
from yolopipe.model.card import ModelCard
from yolopipe.model.model_file import card_of_model
from yolopipe.prediction.coco_ids import CocoIds, read_coco_ids
from yolopipe.prediction.detect_all import predict_frames, predict_images
from yolopipe.prediction.interrupts import Interrupts
from yolopipe.prediction.prediction_files import PredictionFiles
from yolopipe.prediction.records import PictureResult
from yolopipe.prediction.sources import Sources, find_sources, output_names
from yolopipe.prediction.video import DRAWN_SUFFIX, open_frames
from yolopipe.result import CommandResult

__all__ = ["Options", "PredictResult", "run"]

DRAWN_IMAGE_SUFFIXES = {suffix: suffix for suffix in (".jpg", ".jpeg", ".png", ".webp")}
"""Kept; an image of another suffix becomes a PNG."""

DRAWN = "drawn"
"""The folder of pictures and videos in the output folder."""

SCHEMA_VERSION = 1
"""Of ``predictions.json``."""

SOME_UNREAD = 1
INTERRUPTED = 130

MOST_NAMED = 20
"""Unreadable files that are named on the screen; ``predictions.json`` names all."""


@dataclass(frozen=True)
class Options:
    """What to detect, and what to write.

    Args:
        model: a ``.weights.h5`` file.
        out: the folder to write to.
        recursive: include the files of subfolders.
        classes: names wanted, commas between them, one that holds a comma in double quotes; empty for all.
        min_score: detections score above this.
        nms_iou: see :class:`~yolopipe.detection.suppression.Suppression`.
        batch: pictures the network sees at once.
        draw: draw pictures and videos.
        csv: write ``predictions.csv``.
        coco: write ``coco.json``.
        ids: a COCO annotation file whose ids ``coco.json`` takes.
        max_frames: stop each video or camera after so many.
    """

    model: Path
    out: Path
    recursive: bool = False
    classes: str = ""
    min_score: float = 0.3
    nms_iou: float = 0.5
    batch: int = 8
    draw: bool = True
    csv: bool = False
    coco: bool = False
    ids: Path | None = None
    max_frames: int | None = None


@dataclass(frozen=True)
class PredictResult(CommandResult):
    """The summary of a run.

    Args:
        document: ``predictions.json``, which holds what ``--json`` prints.
        exit_code: 0, 1 when some of the input could not be read, 130 when the run was interrupted.
    """

    document: Path = Path()
    exit_code: int = 0


@dataclass(frozen=True)
class _Plan:
    """What is read, and where each result goes.

    Args:
        sources: images, videos and cameras.
        classes: names of the classes wanted; None for all.
        images: what each image is drawn to, relative to the output folder; None where nothing is drawn.
        videos: the same of each video, then of each camera.
        ids: of images and classes in ``coco.json``.
        image_ids: there, of each image.
    """

    sources: Sources
    classes: Sequence[str] | None
    images: Sequence[str] | None
    videos: Sequence[str] | None
    ids: CocoIds
    image_ids: Sequence[Any]


def run(arguments: Sequence[str], options: Options) -> PredictResult:
    """Detect objects in everything that the arguments name.

    Results are written as they come.  Whatever ends the run, an error included, the files hold what was found until
    then, and ``predictions.json`` says ``"complete": false``.

    Args:
        arguments: see :func:`~yolopipe.prediction.sources.find_sources`.
        options: what to detect, and what to write.

    Returns:
        The summary; exit code 0, 1 when some of the input could not be read, 130 after Ctrl-C or SIGTERM.

    Raises:
        UsageError: nothing named, an unknown class, or an output would overwrite an input.
        DataError: no such file, no model, or nothing at all could be read.
        OSError: the disk is full, for instance.
        KeyboardInterrupt: Ctrl-C or SIGTERM before the first picture was finished; nothing was written.
    """
    card = card_of_model(options.model)
    plan = _plan(arguments, options, card)
    detector = Detector(
        options.model,
        min_score=options.min_score,
        classes=plan.classes,
        nms_iou=options.nms_iou,
        batch_size=options.batch,
    )
    files, start = _files(plan, options, card), time.monotonic()
    failure: BaseException | None = None
    with Interrupts() as interrupts:
        try:
            _detect_all(detector, plan, options, files, interrupts)
        except BaseException as error:
            failure = error
        interrupted = isinstance(failure, KeyboardInterrupt)
        with interrupts.held(dropped=True):
            try:
                files.close(complete=failure is None, interrupted=interrupted)
            except OSError as error:
                failure = failure or error
    seconds = time.monotonic() - start
    _print_problems(files.problems)
    if failure is not None and files.pictures:
        console.note(f"stopped after {files.pictures:,} pictures; their results are in {options.out}")
    if failure is not None and not (interrupted and files.pictures):
        raise failure
    if not files.pictures:
        raise DataError(f"none of {len(files.problems):,} images and videos could be read; nothing was written")
    return PredictResult(
        f"predict: {files.pictures:,} pictures, {files.per_class.total():,} detections",
        _rows(plan, options, files, seconds),
        document=options.out / "predictions.json",
        exit_code=INTERRUPTED if interrupted else SOME_UNREAD if files.problems else 0,
    )


def _plan(arguments: Sequence[str], options: Options, card: ModelCard) -> _Plan:
    """All that can be wrong is found here, before TensorFlow is loaded and a picture is read."""
    classes = _names(options.classes) if options.classes else None
    wanted = wanted_classes(card, classes)
    known = [card.class_names[number] for number in wanted] if wanted is not None else card.class_names
    if options.out.exists() and not options.out.is_dir():
        raise UsageError(f"--out {options.out} is a file", hint="name a folder")
    sources = find_sources(arguments, recursive=options.recursive, drawn=options.out / DRAWN)
    ids = read_coco_ids(options.ids, known) if options.ids else CocoIds()
    image_ids = [ids.image(path, number) for number, path in enumerate(sources.images, start=1)]
    images = _drawn(sources.images, DRAWN_IMAGE_SUFFIXES, ".png") if options.draw else None
    moving = [*sources.videos, *(f"camera {number}" for number in sources.cameras)]
    videos = _drawn(moving, {DRAWN_SUFFIX: DRAWN_SUFFIX}, DRAWN_SUFFIX) if options.draw else None
    plan = _Plan(sources, classes, images, videos, ids, image_ids)
    _check_no_input_is_overwritten(plan, options)
    return plan


def _files(plan: _Plan, options: Options, card: ModelCard) -> PredictionFiles:
    facts = {
        "schema_version": SCHEMA_VERSION,
        "model": str(options.model),
        "model_sha256": sha256_file(options.model),
        "classes": list(plan.classes if plan.classes is not None else card.class_names),
        "min_score": options.min_score,
    }
    return PredictionFiles(
        options.out / "predictions.json",
        facts,
        csv_file=options.out / "predictions.csv" if options.csv else None,
        coco_file=options.out / "coco.json" if options.coco else None,
        ids=plan.ids,
        image_ids=plan.image_ids,
    )


def _names(text: str) -> list[str]:
    """Names with commas or line breaks between them, as in CSV.

    >>> _names('cat, "car, parked",\\ndog')
    ['cat', 'car, parked', 'dog']
    """
    rows = csv.reader(text.splitlines(), skipinitialspace=True)
    return [name.strip() for row in rows for name in row if name.strip()]


def _drawn(paths: Sequence[str], suffixes: dict[str, str], default: str) -> list[str]:
    return [f"{DRAWN}/{name}" for name in output_names(paths, suffixes, default)]


def _written(options: Options) -> list[Path]:
    """The lists that this run writes."""
    names = ["predictions.json", *(["predictions.csv"] * options.csv), *(["coco.json"] * options.coco)]
    return [options.out / name for name in names]


def _check_no_input_is_overwritten(plan: _Plan, options: Options) -> None:
    inputs: list[str | Path] = [*plan.sources.images, *plan.sources.videos, options.model]
    inputs += [options.ids] if options.ids else []
    real = {os.path.realpath(path): path for path in inputs}
    outputs = [*_written(options), *(options.out / name for name in (*(plan.images or ()), *(plan.videos or ())))]
    for path in outputs:
        if os.path.realpath(path) in real:
            raise UsageError(f"{real[os.path.realpath(path)]} would be overwritten by {path}", hint="another --out")


def _detect_all(
    detector: Detector, plan: _Plan, options: Options, files: PredictionFiles, interrupts: Interrupts
) -> None:
    images = plan.sources.images
    if images:
        with console.progress("predict", len(images)) as advance:

            def reject(path: str, error: ImageError) -> None:
                files.add_problem(path, error)
                advance(1)

            record = _recorder(files, interrupts, advance)
            predict_images(detector, images, record, reject, out=options.out, drawn=plan.images)
    moving: list[str | int] = [*plan.sources.videos, *plan.sources.cameras]
    for place, source in enumerate(moving):
        drawn = None if plan.videos is None else plan.videos[place]
        try:
            _detect_in_video(detector, source, drawn, options, files, interrupts)
        except ImageError as error:
            files.add_problem(source if isinstance(source, str) else f"camera {source}", error)


def _detect_in_video(
    detector: Detector,
    source: str | int,
    drawn: str | None,
    options: Options,
    files: PredictionFiles,
    interrupts: Interrupts,
) -> None:
    most = options.max_frames
    with open_frames(source) as frames:
        if frames.live and not most:
            console.note(f"{frames.name}: stop with Ctrl-C; the results until then are kept")
        total = min((count for count in (frames.promised, most) if count), default=None)
        with console.progress(f"predict {Path(frames.name).name}", total, unit="frames") as advance:
            record = _recorder(files, interrupts, advance)
            predict_frames(detector, frames, record, out=options.out, drawn=drawn, live=frames.live, most=most)
        if sentence := frames.shortfall(most):
            raise ImageError("short-video", sentence)


def _recorder(
    files: PredictionFiles, interrupts: Interrupts, advance: console.Advance
) -> Callable[[PictureResult], None]:
    def record(result: PictureResult) -> None:
        with interrupts.held():
            files.add(result)
        advance(1)

    return record


def _print_problems(problems: Sequence[tuple[str, ImageError]]) -> None:
    for _, error in problems[:MOST_NAMED]:
        console.note(f"{error.rule}: {error.message}")
    if len(problems) > MOST_NAMED:
        console.note(f"... and {len(problems) - MOST_NAMED:,} more")


def _rows(plan: _Plan, options: Options, files: PredictionFiles, seconds: float) -> dict[str, object]:
    sources, found = plan.sources, files.per_class.most_common(12)
    written = ", ".join(map(str, _written(options)))
    rows: dict[str, object] = {}
    if files.images:
        rows["images"] = f"{files.images:,}, {files.images_without_detections:,} of them without any detection"
    if videos := len(sources.videos) + len(sources.cameras):
        rows["frames"] = f"{files.frames:,}, of {videos:,} video{'s' * (videos != 1)}"
    rows["found"] = ", ".join(f"{name} {count:,}" for name, count in found) or "nothing"
    if files.problems:
        rows["not read"] = f"{len(files.problems):,}, named above and in predictions.json"
    rows["speed"] = f"{files.pictures / max(seconds, 1e-9):,.1f} pictures/s, the network's start included"
    rows["written"] = f"{written}, {options.out / DRAWN}" if options.draw else written
    if files.frames and options.draw:
        rows["videos"] = f"VP8 in {DRAWN_SUFFIX}, without sound: for browsers, VLC, mpv and ffmpeg"
    if sources.others:
        rows["passed over"] = f"files that are neither image nor video by their names: {sources.others:,}"
    if options.coco and files.frames:
        rows["not in coco.json"] = "frames of videos: COCO has ids for images"
    return rows
