"""Annotation formats in and out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from yolopipe.cli.application import convert_app, import_app
from yolopipe.cli.options import Json, Params, show
from yolopipe.errors import UsageError

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

    show(import_voc(source, out, classes=classes), as_json)


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

    show(import_coco(source, out, classes=classes, images=images, files=_files(split, train, val)), as_json)


@import_app.command("yolo")
def _import_yolo(
    source: Annotated[Path, typer.Argument(help="A data.yaml, a darknet .data file, or a folder with images.")],
    out: ImportOut,
    classes: ImportClasses = None,
    as_json: Json = False,
) -> None:
    """YOLO label files to annotation text, polygons to boxes; images are referenced, not copied."""
    from yolopipe.importing import import_yolo

    show(import_yolo(source, out, classes=classes), as_json)


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
        from yolopipe.converting.convert import convert

        texts = _files(split, train, val)
        show(convert(name, out, params=params, texts=texts, classes=classes), as_json)

    command.__doc__ = help_text
    convert_app.command(name)(command)


_add_conversion("coco", "Annotation text to COCO JSON, boxes exact; images are named, not copied.")
_add_conversion("yolo", "Annotation text to YOLO label files and data.yaml; images are linked, not copied.")
