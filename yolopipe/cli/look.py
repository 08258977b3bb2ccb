"""Panel Look: labels, shards, scores and the cache of a project that has been run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from yolopipe import paths
from yolopipe.cli.application import LOOK, app
from yolopipe.cli.options import FailOn, Json, Params, Workers, show
from yolopipe.config.params_file import load_config
from yolopipe.workers.choose import worker_count


@app.command("inspect-labels", rich_help_panel=LOOK)
def _inspect_labels(
    image: Annotated[
        str | None,
        typer.Option(
            help="Show one image: its path as in the annotation text, or a unique end of it.", show_default=False
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="train or val.")] = "train",
    copy: Annotated[
        int | None, typer.Option(help="The augmented copy; default 0 for one image, else all.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Draw the labels of the image or first images: a PNG.", metavar="FILE", show_default=False),
    ] = None,
    scale: Annotated[
        int | None,
        typer.Option(
            help="With --image: show the grid of stride 8, 16 or 32 and the decoded boxes.", show_default=False
        ),
    ] = None,
    fail_on: FailOn = "error",
    only: Annotated[
        str | None,
        typer.Option(help="List all places of one rule of the checks.", metavar="RULE", show_default=False),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(help="Write everything as one self-contained page.", metavar="FILE", show_default=False),
    ] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    shards: Annotated[Path, typer.Option(help="The folder of shards.", metavar="DIR")] = Path("data/shards"),
    params: Annotated[
        Path | None,
        typer.Option("--params", help="The params file; default the project's.", metavar="FILE", show_default=False),
    ] = None,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Show the labels that the network learns; check the data.

    Checks boxes, duplicates, leaks between train and val, classes and anchors.
    With --image it shows one image instead.
    """
    from yolopipe.inspection.inspect_labels import CheckOptions, run
    from yolopipe.inspection.label_request import label_request

    request = label_request(
        image=image, only=only, split=split, copy=copy, scale=scale, out=out, html=html, open_page=open_page
    )
    result = run(shards, request, CheckOptions(fail_on=fail_on, params=params, workers=worker_count(workers)))
    if not as_json:
        print(result.text)
    show(replace(result, title=""), as_json)
    raise typer.Exit(result.exit_code)


@app.command("report", rich_help_panel=LOOK)
def _report(
    out: Annotated[Path, typer.Option(help="The page to write.", metavar="FILE")] = paths.REPORT,
    against: Annotated[
        str | None,
        typer.Option(
            help="Compare with the metrics of this commit; default the last.", metavar="REV", show_default=False
        ),
    ] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    params: Params = Path("params.yaml"),
    as_json: Json = False,
) -> None:
    """Regenerate the page of scores from what evaluate wrote.

    Curves, confusion matrix and the worst images, as one self-contained page.
    """
    from yolopipe.scoring.render_report import run

    show(run(load_config(params), out=out, against=against, open_page=open_page), as_json)


@app.command("verify", rich_help_panel=LOOK)
def _verify(
    shards: Annotated[Path, typer.Option(help="The folder of shards.", metavar="DIR")] = Path("data/shards"),
    as_json: Json = False,
) -> None:
    """Compare every shard with the checksums of the manifest."""
    from yolopipe.shards.verify import run

    show(run(shards), as_json)


@app.command("cache", rich_help_panel=LOOK)
def _cache(
    prune: Annotated[bool, typer.Option("--prune", help="Remove the entries used longest ago.")] = False,
    max_gb: Annotated[
        float | None,
        typer.Option(
            help="With --prune: gigabytes to keep; default the size limit.", metavar="GB", show_default=False
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show or prune the cache of encoded pixels.

    It makes the next precompute fast, and is safe to delete.
    """
    from yolopipe.cache.show_cache import run

    show(run(prune_now=prune, max_gb=max_gb), as_json)
