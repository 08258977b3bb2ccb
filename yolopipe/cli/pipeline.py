"""Panel Pipeline: the sample and the five stages, each a command of its name."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from yolopipe.cli.application import PIPELINE, app
from yolopipe.cli.options import Json, Params, Scheduler, Workers, show
from yolopipe.config.params import STAGES
from yolopipe.config.params_file import load_config
from yolopipe.workers.choose import chosen_workers

HELP = {
    "sample": "Make the embedded data: scenes of real handwriting.",
    "parse": "Read annotation text; check every image and box.",
    "augment": "Draw variants of each training image, as a table.",
    "precompute": "Write shards: network-input pixels and sparse labels.",
    "train": "Train YOLOv3 on the shards.",
    "evaluate": "Score the model on the validation shards (COCO mAP).",
}


def _run_stage(
    name: str, params: Path, workers: int | None, scheduler: str | None, as_json: bool, **options: Any
) -> None:
    where = chosen_workers(workers, scheduler)
    config = load_config(params, stage=name)
    stage = import_module(f"yolopipe.stages.{name}")  # late: only two stages need TensorFlow
    show(stage.run(config, workers=where, **options), as_json)


def _add_stage(name: str) -> None:
    def command(
        params: Params = Path("params.yaml"),
        workers: Workers = None,
        scheduler: Scheduler = None,
        as_json: Json = False,
    ) -> None:
        _run_stage(name, params, workers, scheduler, as_json)

    app.command(name, help=HELP[name], rich_help_panel=PIPELINE)(command)


def _precompute(
    params: Params = Path("params.yaml"),
    workers: Workers = None,
    scheduler: Scheduler = None,
    cache_size: Annotated[
        float | None,
        typer.Option(
            help="Gigabytes of encoded pixels kept beside the project for the next run; default "
            "YOLOPIPE_CACHE_GB, else 20; 0 for none. Never changes a result.",
            metavar="GB",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    _run_stage("precompute", params, workers, scheduler, as_json, cache_gb=cache_size)


def _train(
    params: Params = Path("params.yaml"),
    workers: Workers = None,
    scheduler: Scheduler = None,
    pictures_every: Annotated[
        int,
        typer.Option(
            help="Epochs between two sheets of predictions in TensorBoard; 0 for none. Never changes a result.",
            envvar="YOLOPIPE_PICTURES_EVERY",
            min=0,
        ),
    ] = 5,
    as_json: Json = False,
) -> None:
    _run_stage("train", params, workers, scheduler, as_json, pictures_every=pictures_every)


_WITH_OPTIONS = {"precompute": _precompute, "train": _train}
for _stage in ("sample", *STAGES):
    if _stage in _WITH_OPTIONS:
        app.command(_stage, help=HELP[_stage], rich_help_panel=PIPELINE)(_WITH_OPTIONS[_stage])
    else:
        _add_stage(_stage)
