"""``yolopipe predict``: files, folders, videos and cameras in; drawn pictures and lists of detections out."""

from __future__ import annotations

import csv
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolopipe import console
from yolopipe.detection.detector import Detector, wanted_classes
from yolopipe.errors import DataError, ImageError, UsageError
from yolopipe.files import atomic_file, sha256_file
from yolopipe.model.card import ModelCard
from yolopipe.model.model_file import card_of_model
from yolopipe.prediction.detect_all import Outcome, predict_frames, predict_images
from yolopipe.prediction.records import CocoIds, coco_results, csv_text, document, document_text, read_coco_ids
from yolopipe.prediction.sources import Sources, find_sources, output_names
from yolopipe.prediction.video import CODECS, open_frames
from yolopipe.result import CommandResult

__all__ = ["Options", "PredictResult", "run"]

DRAWN_IMAGES = {suffix: suffix for suffix in (".jpg", ".jpeg", ".png", ".webp")}
DRAWN_VIDEOS = {suffix: suffix for suffix in CODECS}

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
    """How to look, and what to write.

    Args:
        model: a ``.weights.h5`` file.
        out: the folder to write to.
        recursive: look into folders of folders.
        classes: names wanted, commas between them, one that holds a comma in double quotes; empty for all.
        min_score: detections score above this.
        nms_iou: of two boxes of a class that overlap by more, the better stays.
        batch: pictures that the network sees at once.
        draw: draw pictures and videos.
        csv: write ``predictions.csv``.
        coco: write ``coco.json``.
        ids: a COCO file of truth whose ids ``coco.json`` takes.
        max_frames: of each video or camera.
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
    """What was found, and the exit code that says whether all could be looked at."""

    exit_code: int = 0


@dataclass(frozen=True)
class _Plan:
    """What is looked at, and where each result goes."""

    sources: Sources
    images: list[Path]
    videos: list[Path]
    ids: CocoIds


def run(arguments: Sequence[str], options: Options) -> PredictResult:
    """Look at everything that the arguments name.

    Args:
        arguments: see :func:`~yolopipe.prediction.sources.find_sources`.
        options: how, and what to write.

    Returns:
        What was found; exit code 0, 1 when some of it could not be read, 130 when Ctrl-C ended it.  In these cases,
        too, all outputs are there, with what was found.

    Raises:
        UsageError: nothing named, an unknown class, or an output would overwrite an input.
        DataError: no such file, no model, or nothing at all could be read.
    """
    card = card_of_model(options.model)
    names = _names(options.classes) if options.classes else None
    plan = _plan(arguments, options, card, names)
    detector = Detector(
        options.model,
        min_score=options.min_score,
        classes=names,
        nms_iou=options.nms_iou,
        batch_size=options.batch,
    )
    outcome, start = Outcome(), time.monotonic()
    interrupted = False
    try:
        _look(detector, plan, options, outcome)
    except KeyboardInterrupt:
        if not outcome.looked:
            raise
        interrupted = True
    seconds = time.monotonic() - start
    _tell(outcome, interrupted)
    report = _write(plan, options, outcome, card, names, complete=not interrupted)
    code = INTERRUPTED if interrupted else SOME_UNREAD if outcome.problems else 0
    rows = _rows(plan, options, outcome, seconds)
    pictures, boxes = len(outcome.looked), sum(len(one.found) for one in outcome.looked)
    return PredictResult(f"predict: {pictures:,} pictures, {boxes:,} detections", rows, report, exit_code=code)


def _plan(arguments: Sequence[str], options: Options, card: ModelCard, names: Sequence[str] | None) -> _Plan:
    """All that can be wrong is found here, before TensorFlow is loaded and a picture is touched."""
    wanted = wanted_classes(card, names)
    known = [card.class_names[number] for number in wanted] if wanted is not None else card.class_names
    if options.out.exists() and not options.out.is_dir():
        raise UsageError(f"--out {options.out} is a file", hint="name a folder")
    sources = find_sources(arguments, recursive=options.recursive, drawn=options.out / DRAWN)
    ids = read_coco_ids(options.ids, known) if options.ids else CocoIds()
    for number, path in enumerate(sources.images, start=1):
        ids.image(path, number)
    images = _drawn(options, sources.images, DRAWN_IMAGES, ".png")
    videos = _drawn(options, [*sources.videos, *_cameras(sources)], DRAWN_VIDEOS, ".mp4")
    plan = _Plan(sources, images, videos, ids)
    _check_no_input_is_overwritten(plan, options)
    return plan


def _names(text: str) -> list[str]:
    """Names with commas or line breaks between them, as in CSV.

    >>> _names('cat, "car, parked",\\ndog')
    ['cat', 'car, parked', 'dog']
    """
    rows = csv.reader(text.splitlines(), skipinitialspace=True)
    return [name.strip() for row in rows for name in row if name.strip()]


def _cameras(sources: Sources) -> list[str]:
    return [f"camera {number}" for number in sources.cameras]


def _drawn(options: Options, paths: Sequence[str], suffixes: dict[str, str], default: str) -> list[Path]:
    return [options.out / DRAWN / name for name in output_names(paths, suffixes, default)]


def _written(options: Options) -> list[Path]:
    """The lists that this run writes."""
    names = ["predictions.json", *(["predictions.csv"] * options.csv), *(["coco.json"] * options.coco)]
    return [options.out / name for name in names]


def _check_no_input_is_overwritten(plan: _Plan, options: Options) -> None:
    inputs: list[str | Path] = [*plan.sources.images, *plan.sources.videos, options.model]
    inputs += [options.ids] if options.ids else []
    real = {os.path.realpath(path): path for path in inputs}
    outputs = [*_written(options), *((plan.images + plan.videos) if options.draw else [])]
    for path in outputs:
        if os.path.realpath(path) in real:
            raise UsageError(f"{real[os.path.realpath(path)]} would be overwritten by {path}", hint="another --out")


def _look(detector: Detector, plan: _Plan, options: Options, outcome: Outcome) -> None:
    sources = plan.sources
    if sources.images:
        with console.progress("predict", len(sources.images)) as advance:
            drawn = plan.images if options.draw else None
            if drawn:
                names = (path.relative_to(options.out).as_posix() for path in drawn)
                outcome.drawn.update(zip(sources.images, names, strict=True))
            predict_images(detector, sources.images, outcome, advance, drawn=drawn)
    videos: list[str | int] = [*sources.videos, *sources.cameras]
    for source, drawn_video in zip(videos, plan.videos, strict=True):
        name = source if isinstance(source, str) else f"camera {source}"
        try:
            _look_at_video(detector, source, drawn_video, options, outcome)
        except ImageError as error:
            outcome.problems.append((name, error))


def _look_at_video(detector: Detector, source: str | int, drawn: Path, options: Options, outcome: Outcome) -> None:
    with open_frames(source) as frames:
        live = isinstance(source, int)
        if live and not options.max_frames:
            console.note(f"{frames.name}: Ctrl-C ends it, and what was seen until then is kept")
        total = min((count for count in (frames.promised, options.max_frames) if count), default=None)
        if options.draw:
            outcome.drawn[frames.name] = drawn.relative_to(options.out).as_posix()
        with console.progress(f"predict {Path(frames.name).name}", total, unit="frames") as advance:
            predict_frames(
                detector,
                frames,
                outcome,
                advance,
                drawn=drawn if options.draw else None,
                live=live,
                most=options.max_frames,
            )
        if not options.max_frames and (sentence := frames.shortfall()):
            raise ImageError("short-video", sentence)


def _tell(outcome: Outcome, interrupted: bool) -> None:
    """Name what could not be read; raise when that was everything."""
    for _, error in outcome.problems[:MOST_NAMED]:
        console.note(f"{error.rule}: {error.message}")
    if len(outcome.problems) > MOST_NAMED:
        console.note(f"... and {len(outcome.problems) - MOST_NAMED:,} more")
    if interrupted:
        console.note(f"interrupted after {len(outcome.looked):,} pictures; the outputs hold what was found in them")
    if not outcome.looked:
        raise DataError(f"none of {len(outcome.problems):,} images and videos could be read; nothing was written")


def _write(
    plan: _Plan, options: Options, outcome: Outcome, card: ModelCard, names: Sequence[str] | None, *, complete: bool
) -> dict[str, Any]:
    facts = {
        "schema_version": SCHEMA_VERSION,
        "complete": complete and not outcome.problems,
        "interrupted": not complete,
        "model": str(options.model),
        "model_sha256": sha256_file(options.model),
        "classes": list(names if names is not None else card.class_names),
        "min_score": options.min_score,
        "problems": [
            {"path": path, "rule": error.rule, "message": error.message} for path, error in outcome.problems
        ],
    }
    report = document(outcome.looked, outcome.drawn, facts)
    _write_text(options.out / "predictions.json", document_text(report))
    if options.csv:
        _write_text(options.out / "predictions.csv", csv_text(outcome.looked))
    if options.coco:
        _write_text(options.out / "coco.json", coco_results(outcome.looked, plan.ids))
    return report


def _write_text(path: Path, text: str) -> None:
    with atomic_file(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="")


def _rows(plan: _Plan, options: Options, outcome: Outcome, seconds: float) -> dict[str, object]:
    looked = outcome.looked
    images = sum(not one.of_video for one in looked)
    bare = sum(not len(one.found) for one in looked if not one.of_video)
    counts = Counter(name for one in looked for name in one.found.names)
    rows: dict[str, object] = {
        "images": f"{images:,}, {bare:,} of them without any detection",
        "frames": f"{len(looked) - images:,}, of {len(plan.videos):,} video{'s' * (len(plan.videos) != 1)}",
        "found": ", ".join(f"{name} {count:,}" for name, count in counts.most_common(12)) or "nothing",
        "not read": f"{len(outcome.problems):,}, named above and in predictions.json",
        "speed": f"{len(looked) / max(seconds, 1e-9):,.1f} pictures/s, the network's start included",
        "written": ", ".join(map(str, _written(options))) + (f", {options.out / DRAWN}" if options.draw else ""),
    }
    left_out = {"images": not images, "frames": not plan.videos, "not read": not outcome.problems}
    if plan.sources.others:
        rows["passed over"] = f"files that are neither image nor video by their names: {plan.sources.others:,}"
    if options.coco and len(looked) > images:
        rows["not in coco.json"] = "frames of videos: COCO has ids for images"
    return {name: value for name, value in rows.items() if not left_out.get(name)}
