"""The group ``yolopipe labels``: sets of annotation text cut and put together; sources are never edited."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from yolopipe.cli.application import DATA, add_group
from yolopipe.cli.options import Json, Params, Workers, show
from yolopipe.errors import UsageError
from yolopipe.workers.choose import worker_count

labels_app = add_group("labels", "Split, select, merge, compare and correct annotation text.", DATA)

Texts = Annotated[list[Path], typer.Argument(metavar="TEXT...", help="Annotation texts.", show_default=False)]
Out = Annotated[Path, typer.Option("--out", help="Folder to write to.", metavar="DIR")]
Classes = Annotated[
    Path | None,
    typer.Option("--classes", help="Names file; default classes.names beside the text.", metavar="FILE"),
]
OnBad = Annotated[
    Literal["fail", "skip"],
    typer.Option("--on-bad", help="Bad lines and boxes: fail, or skip them and count them."),
]


def _pairs(option: str, texts: list[str] | None) -> dict[str, str]:
    """``NAME=VALUE`` options as a dictionary."""
    found: dict[str, str] = {}
    for text in texts or []:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (name and equals and value):
            raise UsageError(f"{option} {text}: expected NAME=VALUE")
        if name in found:
            raise UsageError(f"{option} {name} is given twice")
        found[name] = value
    return found


def _share(name: str, text: str) -> float:
    try:
        return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise UsageError(f"--share {name}={text}: expected a number such as 0.8 or 80%") from None


@labels_app.command("split")
def _split(
    texts: Texts,
    out: Out,
    classes: Classes = None,
    share: Annotated[
        list[str] | None,
        typer.Option(help="Part of a split; repeatable; default train=0.8, val=0.2.", metavar="NAME=PART"),
    ] = None,
    folds: Annotated[int, typer.Option(help="Write this many folds instead; each is val once.", min=0)] = 0,
    group: Annotated[
        str,
        typer.Option(help="Never cut these: folder, or a pattern on the path, '(.*)_frame'.", metavar="RULE"),
    ] = "",
    near_duplicates: Annotated[
        bool, typer.Option(help="Read the pictures and keep near-duplicates together.")
    ] = True,
    seed: Annotated[int, typer.Option(help="Another seed, another split.", min=0)] = 0,
    on_bad: OnBad = "fail",
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Split annotation text into train, val, ... or folds; no group is cut.

    Every class comes near its share in each split. The same seed gives the same
    split, in whatever order the images are listed.
    """
    from yolopipe.labelsets.split_labels import SplitRequest, run

    shares = {name: _share(name, text) for name, text in _pairs("--share", share).items()}
    request = SplitRequest(shares=shares, folds=folds, group=group, near_duplicates=near_duplicates, seed=seed)
    show(run(texts, out, request, classes=classes, on_bad=on_bad, workers=worker_count(workers)), as_json)


@labels_app.command("select")
def _select(
    texts: Texts,
    out: Out,
    classes: Classes = None,
    keep: Annotated[
        str, typer.Option(help="Class names that stay, in the new order; default all.", metavar="A,B")
    ] = "",
    rename: Annotated[
        list[str] | None, typer.Option(help="Another name for a class; repeatable.", metavar="OLD=NEW")
    ] = None,
    class_map: Annotated[
        Path | None, typer.Option("--map", help="File with OLD=NEW a line.", metavar="FILE", show_default=False)
    ] = None,
    others: Annotated[
        Literal["drop", "ignore"], typer.Option(help="Boxes of classes that do not stay: dropped, or to be ignored.")
    ] = "drop",
    ignored: Annotated[
        Literal["keep", "drop"], typer.Option(help="Boxes to be ignored; other tools may take them for objects.")
    ] = "keep",
    images: Annotated[
        list[str] | None, typer.Option(help="Images to take, a shell pattern; repeatable.", metavar="GLOB")
    ] = None,
    backgrounds: Annotated[
        Literal["keep", "drop", "only"], typer.Option(help="Images without boxes of the classes taken.")
    ] = "keep",
    fraction: Annotated[float, typer.Option(help="Part of the images, by a hash of seed and path.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Chooses the fraction.", min=0)] = 0,
    on_bad: OnBad = "fail",
    as_json: Json = False,
) -> None:
    """Take some classes, under new names, and some images."""
    from yolopipe.labelsets.select_labels import SelectRequest, read_class_map, run

    names = _pairs("--rename", rename)
    request = SelectRequest(
        keep=[name.strip() for name in keep.split(",") if name.strip()],
        rename={**(read_class_map(class_map) if class_map else {}), **names},
        others=others,
        ignored=ignored,
        images=images or (),
        backgrounds=backgrounds,
        fraction=fraction,
        seed=seed,
    )
    show(run(texts, out, request, classes=classes, on_bad=on_bad), as_json)


@labels_app.command("merge")
def _merge(
    texts: Texts,
    out: Annotated[Path, typer.Option("--out", help="The text to write; classes.names beside it.", metavar="FILE")],
    classes: Annotated[
        list[Path] | None,
        typer.Option("--classes", help="Names file of each text, in order; default beside each.", metavar="FILE"),
    ] = None,
    on_bad: OnBad = "fail",
    as_json: Json = False,
) -> None:
    """Put annotation texts together; classes are matched by name."""
    from yolopipe.labelsets.merge_labels import run

    show(run(texts, out, classes=classes or (), on_bad=on_bad), as_json)


@labels_app.command("diff")
def _diff(
    old: Annotated[str, typer.Argument(metavar="OLD", help="A text, or REV:PATH as git has it.", show_default=False)],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The same.", show_default=False)],
    classes: Classes = None,
    old_classes: Annotated[
        Path | None, typer.Option(help="Names file of OLD; default that of NEW.", metavar="FILE", show_default=False)
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(help="Write the changes for a pull request, too.", metavar="FILE", show_default=False),
    ] = None,
    on_bad: OnBad = "fail",
    as_json: Json = False,
) -> None:
    """List boxes added, removed, moved and re-classed between two versions."""
    from yolopipe.files import atomic_file
    from yolopipe.labelsets.diff_labels import run

    result = run(old, new, classes=classes, old_classes=old_classes, on_bad=on_bad)
    if markdown is not None:
        with atomic_file(markdown) as partial:
            partial.write_text(result.markdown, encoding="utf-8")
    show(result, as_json)


@labels_app.command("corrected")
def _corrected(
    out: Out,
    texts: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[TEXT...]", help="Texts; default data.train and data.val.", show_default=False),
    ] = None,
    corrections: Annotated[
        Path | None,
        typer.Option(help="Corrections; default data.corrections of the params.", metavar="FILE", show_default=False),
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option(
            help="Names file; default data.classes, or classes.names beside the text given.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    on_bad: Annotated[
        Literal["fail", "skip"],
        typer.Option("--on-bad", help="Corrections that do not apply: fail, or skip them and count them."),
    ] = "fail",
    params: Params = Path("params.yaml"),
    as_json: Json = False,
) -> None:
    """Write annotation text with its corrections in it.

    Lines without a correction are copied byte for byte, so that the difference to
    the source is what was corrected.
    """
    from yolopipe.labelsets.correct_labels import run

    show(
        run(texts or [], out, corrections=corrections, classes=classes, on_bad=on_bad, params=params),
        as_json,
    )


@labels_app.command("corrections")
def _corrections(
    old: Annotated[str, typer.Argument(metavar="OLD", help="The text to correct, or REV:PATH.", show_default=False)],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The right text, or REV:PATH.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="The corrections file to write.", metavar="FILE")],
    classes: Classes = None,
    old_classes: Annotated[
        Path | None, typer.Option(help="Names file of OLD; default that of NEW.", metavar="FILE", show_default=False)
    ] = None,
    on_bad: OnBad = "fail",
    as_json: Json = False,
) -> None:
    """Write the corrections that turn one text into another.

    Applied to OLD they give the boxes of NEW.
    """
    from yolopipe.labelsets.derive_corrections import run

    show(run(old, new, out, classes=classes, old_classes=old_classes, on_bad=on_bad), as_json)
