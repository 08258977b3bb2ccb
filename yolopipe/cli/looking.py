"""Commands that look and check, and change nothing but the cache when asked to prune it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from yolopipe import paths
from yolopipe.cli.application import app
from yolopipe.cli.options import Json, Params, Workers, show
from yolopipe.config.params_file import load_config
from yolopipe.workers.choose import worker_count


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
    from yolopipe.inspection.inspect_labels import run

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
    show(replace(result, title=""), as_json)
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

    show(scaffold.run(directory, source=source, demo=demo), as_json)


@app.command("check")
def _check(
    params: Params = Path("params.yaml"),
    fail_on: Annotated[str, typer.Option(help="Exit with 1 from this on: error, warning or never.")] = "error",
    as_json: Json = False,
) -> None:
    """Check config, paths and the wiring of the pipeline, before any work."""
    from yolopipe.project import check
    from yolopipe.project import check_rows as rows

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
    from yolopipe.project import propose_anchors as anchors

    advice = anchors.run(load_config(params), k=k, size=size)
    if as_json:
        print(json.dumps(advice.report(), indent=2))
    else:
        anchors.show(advice)


@app.command("report")
def _report(
    out: Annotated[Path, typer.Option(help="Where the page goes.", metavar="FILE")] = paths.REPORT,
    against: Annotated[
        str | None,
        typer.Option(
            help="Compare with the metrics of this commit; default the last.", metavar="REV", show_default=False
        ),
    ] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Show the page in the browser.")] = False,
    params: Params = Path("params.yaml"),
    as_json: Json = False,
) -> None:
    """Write the page of scores anew from what evaluate left: curves, confusion, the worst images."""
    from yolopipe.scoring.render_report import run

    show(run(load_config(params), out=out, against=against, open_page=open_page), as_json)


@app.command("verify")
def _verify(
    shards: Annotated[Path, typer.Option(help="The folder of shards.")] = Path("data/shards"), as_json: Json = False
) -> None:
    """Compare every shard with the manifest, bit by bit."""
    from yolopipe.shards.verify import run

    show(run(shards), as_json)


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
    from yolopipe.cache.show_cache import run

    show(run(prune_now=prune, max_gb=max_gb), as_json)
