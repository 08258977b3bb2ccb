"""The command line: options to configuration to stage to exit code.  The only module that knows Typer.

Exit codes: 0 fine, 1 a check found problems, 2 wrong call, 3 params.yaml, 4 input data, 5 a stage failed,
130 Ctrl-C.  (DVC itself ends with 255 whatever a stage's code was, and prints that code.)
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from yolopipe import __version__, console
from yolopipe.config import STAGES, load_config
from yolopipe.errors import ProblemsError, UsageError, YolopipeError
from yolopipe.stages import StageResult
from yolopipe.workers import chosen_workers, worker_count

__all__ = ["app", "main"]

MOST_PROBLEMS_SHOWN = 100
"""A list of thousands helps nobody on a screen; all of them go into a table, and the message says where."""

INTERRUPTED = 130

app = typer.Typer(
    name="yolopipe",
    help="Annotation text and images to a trained, measured YOLOv3, one cached step at a time.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
import_app = typer.Typer(help="Turn other annotation formats into annotation text.", no_args_is_help=True)
app.add_typer(import_app, name="import")
convert_app = typer.Typer(help="Turn annotation text into other formats.", no_args_is_help=True)
app.add_typer(convert_app, name="convert")
export_app = typer.Typer(help="Write a trained network for other programs.", no_args_is_help=True)
app.add_typer(export_app, name="export")

Params = Annotated[Path, typer.Option("--params", help="The params file.", metavar="FILE")]
Workers = Annotated[
    int | None, typer.Option(help="Processes; default YOLOPIPE_WORKERS, else all cores. Never changes a result.")
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        help="Work on the dask cluster of this scheduler (tcp://host:8786); default YOLOPIPE_SCHEDULER, else here.",
        metavar="ADDRESS",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON and nothing else on standard output.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"yolopipe {__version__}")
        raise typer.Exit


@app.callback()
def _project(
    directory: Annotated[
        Path | None, typer.Option("-C", help="Work in this project folder.", metavar="DIR", show_default=False)
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if directory is not None:
        try:
            os.chdir(directory)
        except OSError as error:
            raise UsageError(f"-C {directory}: {error.strerror}") from None


def _show(result: StageResult, as_json: bool) -> None:
    if as_json:
        print(json.dumps(result.report, indent=2, ensure_ascii=False))
    else:
        console.summary(result.title, result.rows, next_step=result.next_step)


def _run_stage(
    name: str, params: Path, workers: int | None, scheduler: str | None, as_json: bool, **options: Any
) -> None:
    where = chosen_workers(workers, scheduler)
    config = load_config(params, stage=name)
    stage = import_module(f"yolopipe.stages.{name}")  # late: only two stages need TensorFlow (4 s)
    _show(stage.run(config, workers=where, **options), as_json)


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
    """Write shards: pixels of the network input and sparse three-scale labels."""
    _run_stage("precompute", params, workers, scheduler, as_json, cache_gb=cache_size)


def _add_stage(name: str, help_text: str) -> None:
    def command(
        params: Params = Path("params.yaml"),
        workers: Workers = None,
        scheduler: Scheduler = None,
        as_json: Json = False,
    ) -> None:
        _run_stage(name, params, workers, scheduler, as_json)

    command.__doc__ = help_text
    app.command(name)(command)


_HELP = {
    "sample": "Make the embedded data: scenes of real handwriting with annotation text.",
    "parse": "Read annotation text and class names, check every image and box.",
    "augment": "Draw variants of each training image, as a table.",
    "train": "Train YOLOv3 on the shards.",
    "evaluate": "Score the model on the validation shards (COCO mAP).",
}
for _stage in ("sample", *STAGES):
    if _stage == "precompute":
        app.command(_stage)(_precompute)
    else:
        _add_stage(_stage, _HELP[_stage])


@app.command("inspect-labels")
def _inspect_labels(
    image: Annotated[
        str | None, typer.Option(help="One image: its path as in the annotation text, or a unique end of it.")
    ] = None,
    split: Annotated[str, typer.Option(help="train or val.")] = "train",
    copy: Annotated[int | None, typer.Option(help="Which augmented copy; default 0 for an image, all else.")] = None,
    out: Annotated[Path | None, typer.Option(help="Draw the decoded stored labels into this PNG.")] = None,
    scale: Annotated[
        int | None, typer.Option(help="With --image: the grid of stride 8, 16 or 32, and what it decodes to.")
    ] = None,
    fail_on: Annotated[
        Literal["error", "warning", "never"],
        typer.Option(help="From which severity on a check that finds something ends with exit code 1."),
    ] = "error",
    only: Annotated[
        str | None, typer.Option(help="One rule of the checks, all its places.", metavar="RULE", show_default=False)
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(help="Write all of it as one page that needs no network.", metavar="FILE", show_default=False),
    ] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Show the page in the browser.")] = False,
    shards: Annotated[Path, typer.Option(help="The folder of shards.")] = Path("data/shards"),
    params: Annotated[
        Path | None,
        typer.Option(
            "--params", help="The params file; default that of the project.", metavar="FILE", show_default=False
        ),
    ] = None,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Show what the network is taught, and check the data: boxes, doubles, leaks, classes, anchors; or one image."""
    from yolopipe.inspection.command import run

    result = run(
        shards=shards,
        image=image,
        split=split,
        copy=copy,
        out=out,
        scale=scale,
        fail_on=fail_on,
        only=only,
        params=params,
        workers=worker_count(workers),
        html=html,
        open_page=open_page,
    )
    if not as_json:
        print(result.text)
    _show(replace(result, title=""), as_json)
    raise typer.Exit(result.exit_code)


@app.command("init")
def _init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The project folder; made if missing.")] = Path(
        "."
    ),
    source: Annotated[
        tuple[str, Path] | None,
        typer.Option("--from", metavar="FORMAT PATH", help="Import data (voc, coco or yolo).", show_default=False),
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Use the embedded data.")] = False,
    as_json: Json = False,
) -> None:
    """Write params.yaml, dvc.yaml and .gitignore of a new project; runs nothing, overwrites nothing."""
    from yolopipe.project import scaffold

    _show(scaffold.run(directory, source=source, demo=demo), as_json)


@app.command("check")
def _check(
    params: Params = Path("params.yaml"),
    fail_on: Annotated[str, typer.Option(help="Exit with 1 from this on: error, warning or never.")] = "error",
    as_json: Json = False,
) -> None:
    """Check config, paths and the wiring of the pipeline, before any work."""
    from yolopipe.project import check, rows

    bad_enough = rows.fail_on(fail_on)
    found = check.run(params)
    if as_json:
        print(json.dumps(check.report(found), indent=2, ensure_ascii=False))
    else:
        check.show(found)
    if rows.fails(found, bad_enough):
        raise typer.Exit(1)


@app.command("anchors")
def _anchors(
    k: Annotated[int, typer.Option("--k", help="How many anchors to propose; the network has nine.")] = 9,
    size: Annotated[
        int | None, typer.Option(help="Network input in pixels; default the largest size.", show_default=False)
    ] = None,
    params: Params = Path("params.yaml"),
    as_json: Json = False,
) -> None:
    """Show how well the anchors fit the training boxes, and propose better ones; changes nothing."""
    from yolopipe.project import anchors

    advice = anchors.run(load_config(params), k=k, size=size)
    if as_json:
        print(json.dumps(advice.report(), indent=2))
    else:
        anchors.show(advice)


@app.command("verify")
def _verify(
    shards: Annotated[Path, typer.Option(help="The folder of shards.")] = Path("data/shards"), as_json: Json = False
) -> None:
    """Compare every shard with the manifest, bit by bit."""
    from yolopipe.shards.verify import run

    _show(run(shards), as_json)


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

    _show(run(predictions, truth, plus_one=plus_one), as_json)


@app.command("cache")
def _cache(
    prune: Annotated[bool, typer.Option("--prune", help="Evict what was used longest ago.")] = False,
    max_gb: Annotated[
        float | None,
        typer.Option(help="How many gigabytes --prune leaves; default the bound.", metavar="GB", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the cache of encoded pixels that makes a second precompute cheap, or prune it."""
    from yolopipe.cache.command import run

    _show(run(prune_now=prune, max_gb=max_gb), as_json)


ImportOut = Annotated[Path, typer.Option("--out", help="Folder to write SPLIT.txt and classes.names to.")]
ImportClasses = Annotated[
    Path | None,
    typer.Option("--classes", help="Class names in the order wanted.", metavar="FILE", show_default=False),
]


@import_app.command("voc")
def _import_voc(
    source: Annotated[Path, typer.Argument(help="Folder with Annotations, ImageSets/Main and JPEGImages.")],
    out: ImportOut,
    classes: ImportClasses = None,
    as_json: Json = False,
) -> None:
    """Pascal VOC XML to annotation text; images are referenced, not copied."""
    from yolopipe.importing import import_voc

    _show(import_voc(source, out, classes=classes), as_json)


@import_app.command("coco")
def _import_coco(
    source: Annotated[Path, typer.Argument(help="A JSON file, or a folder with annotations/instances_*.json.")],
    out: ImportOut,
    classes: ImportClasses = None,
    images: Annotated[
        Path | None,
        typer.Option(help="Where file names start; default: searched.", metavar="DIR", show_default=False),
    ] = None,
    split: Annotated[
        list[str] | None, typer.Option(help="The file of a split; repeatable.", metavar="NAME=FILE")
    ] = None,
    train: Annotated[str | None, typer.Option(help="Short for --split train=FILE.", metavar="FILE")] = None,
    val: Annotated[str | None, typer.Option(help="Short for --split val=FILE.", metavar="FILE")] = None,
    as_json: Json = False,
) -> None:
    """COCO JSON to annotation text: boxes, crowds left out and counted; images are referenced, not copied."""
    from yolopipe.importing import import_coco

    _show(import_coco(source, out, classes=classes, images=images, files=_files(split, train, val)), as_json)


@import_app.command("yolo")
def _import_yolo(
    source: Annotated[Path, typer.Argument(help="A data.yaml, a darknet .data file, or a folder with images.")],
    out: ImportOut,
    classes: ImportClasses = None,
    as_json: Json = False,
) -> None:
    """YOLO label files to annotation text, polygons to boxes; images are referenced, not copied."""
    from yolopipe.importing import import_yolo

    _show(import_yolo(source, out, classes=classes), as_json)


def _files(split: list[str] | None, train: str | None, val: str | None) -> dict[str, str]:
    """Split name to file, from --split NAME=FILE and its short forms."""
    files = {}
    short = [f"{name}={file}" for name, file in (("train", train), ("val", val)) if file is not None]
    for text in [*short, *(split or [])]:
        name, _, file = text.partition("=")
        if not file or not name.replace("-", "").replace("_", "").isalnum():
            raise UsageError(f"--split {text}: expected NAME=FILE, the name of letters and digits")
        if name in files:
            raise UsageError(f"--split {name} is given twice")
        files[name] = file
    return files


def _add_conversion(name: str, help_text: str) -> None:
    def command(
        out: Annotated[Path, typer.Option(help="A new or empty folder.", metavar="DIR")],
        params: Params = Path("params.yaml"),
        classes: Annotated[
            Path | None, typer.Option(help="Class names; default data.classes.", metavar="FILE", show_default=False)
        ] = None,
        split: Annotated[
            list[str] | None, typer.Option(help="Annotation text of a split; repeatable.", metavar="NAME=FILE")
        ] = None,
        train: Annotated[str | None, typer.Option(help="Default data.train.", metavar="FILE")] = None,
        val: Annotated[str | None, typer.Option(help="Default data.val.", metavar="FILE")] = None,
        as_json: Json = False,
    ) -> None:
        from yolopipe.exporting import convert

        texts = _files(split, train, val)
        _show(convert(name, out, params=params, texts=texts, classes=classes), as_json)

    command.__doc__ = help_text
    convert_app.command(name)(command)


_add_conversion("coco", "Annotation text to COCO JSON, boxes exact; images are named, not copied.")
_add_conversion("yolo", "Annotation text to YOLO label files and data.yaml; images are linked, not copied.")


@export_app.command("darknet")
def _export_darknet(
    out: Annotated[Path, typer.Option(help="Folder to write NAME.weights, NAME.cfg and NAME.names to.")],
    weights: Annotated[
        str, typer.Option(help="best or last, or a .weights.h5 with its model.json beside it.")
    ] = "last",
    name: Annotated[str, typer.Option(help="How the three files are called.")] = "model",
    as_json: Json = False,
) -> None:
    """Darknet weights and cfg, as OpenCV and others read them."""
    from yolopipe.model.darknet_export import run

    _show(run(out, weights=weights, name=name), as_json)


def main() -> None:
    """Run the command line and leave with the documented exit code; no traceback for what a user can cause."""
    sys.exit(guarded(lambda: app(standalone_mode=False)))


def guarded(work: Callable[[], Any]) -> int:
    """Run ``work`` and turn what it raises into a message and an exit code."""
    try:
        code = work()
    except ProblemsError as error:
        _print_problems(error)
        return error.exit_code
    except YolopipeError as error:
        console.error(str(error))
        return error.exit_code
    except typer.TyperException as error:
        return _usage(error)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except OSError as error:
        console.error(_os_sentence(error))
        return YolopipeError.exit_code
    if code == INTERRUPTED:  # Typer, too, turns Ctrl-C into this
        console.error("interrupted; nothing half-done was left under a final name")
    return code if isinstance(code, int) else 0


def _usage(error: Any) -> int:
    error.show()
    return int(error.exit_code)


def _print_problems(error: ProblemsError) -> None:
    for problem in error.problems[:MOST_PROBLEMS_SHOWN]:
        console.note(str(problem))
    if len(error.problems) > MOST_PROBLEMS_SHOWN:
        console.note(f"... and {len(error.problems) - MOST_PROBLEMS_SHOWN:,} more")
    console.error(str(error))


def _os_sentence(error: OSError) -> str:
    place = f"{error.filename}: " if error.filename else ""
    reason = error.strerror or str(error)
    hints = {
        errno.ENOSPC: "free some space; nothing half-done was left under a final name",
        errno.EFBIG: "raise the limit on file sizes (ulimit -f); nothing half-done was left under a final name",
        errno.EACCES: "make the folder writable, or work in another with -C",
        errno.EROFS: "the file system is read-only; work in another folder with -C",
    }
    hint = hints.get(error.errno or 0)
    return f"{place}{reason}" + (f"\n  try: {hint}" if hint else "")
