"""Panel Data: annotation formats in and out, a command for each row of the tables IMPORTERS and CONVERTERS."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from yolopipe.cli.application import DATA, add_group
from yolopipe.cli.options import (
    CROWDS_HELP,
    DIFFICULT_HELP,
    Annotations,
    Images,
    ImportClasses,
    Json,
    OnBad,
    Others,
    Params,
    Treatment,
    show,
)
from yolopipe.converting.convert_formats import CONVERTERS, ConvertFormat
from yolopipe.errors import UsageError
from yolopipe.importing.import_formats import IMPORTERS, ImportFormat

import_app = add_group("import", "Convert other annotation formats to annotation text.", DATA)
convert_app = add_group("convert", "Convert annotation text to other formats.", DATA)

Source = Annotated[Path, typer.Argument(metavar="SOURCE", help="The data set.", show_default=False)]
ImportOut = Annotated[Path, typer.Option("--out", help="Folder for SPLIT.txt and classes.names.", metavar="DIR")]
ImportSplit = Annotated[
    list[str] | None,
    typer.Option(
        "--split",
        help="A split to import, or the list of its images (COCO: or its JSON file); repeatable.",
        metavar="NAME[=LIST]",
    ),
]
Split = Annotated[
    list[str] | None, typer.Option("--split", help="The file of a split; repeatable.", metavar="NAME=FILE")
]
Train = Annotated[str | None, typer.Option("--train", help="Short for --split train=FILE.", metavar="FILE")]
Val = Annotated[str | None, typer.Option("--val", help="Short for --split val=FILE.", metavar="FILE")]


def _add_import(name: str, form: ImportFormat) -> None:
    options = {mark.option for mark in form.marks}  # the others are hidden, and refused
    crowds_option = typer.Option("ignore", "--crowds", help=CROWDS_HELP, hidden="crowds" not in options)
    difficult_option = typer.Option("ignore", "--difficult", help=DIFFICULT_HELP, hidden="difficult" not in options)

    def command(
        source: Source,
        out: ImportOut,
        classes: ImportClasses = None,
        others: Others = "fail",
        images: Images = None,
        annotations: Annotations = None,
        split: ImportSplit = None,
        train: Train = None,
        val: Val = None,
        crowds: Treatment = crowds_option,
        difficult: Treatment = difficult_option,
        on_bad: OnBad = "fail",
        as_json: Json = False,
    ) -> None:
        from yolopipe.importing.import_data import import_data

        chosen = [text for text in split or [] if "=" not in text]
        files = _files([text for text in split or [] if "=" in text], train, val)
        result = import_data(
            name,
            source,
            out,
            splits=chosen or None,
            classes=classes,
            others=others,
            files=files,
            images=images,
            annotations=annotations,
            on_bad=on_bad,
            crowds=crowds,
            difficult=difficult,
        )
        show(result, as_json)

    import_app.command(name, help=f"{form.help}\n\n{form.images}  SOURCE: {form.source}")(command)


def _add_convert(name: str, form: ConvertFormat) -> None:
    def command(
        out: Annotated[Path, typer.Option(help="A new or empty folder.", metavar="DIR")],
        params: Params = Path("params.yaml"),
        classes: Annotated[
            Path | None, typer.Option(help="Names file; default data.classes.", metavar="FILE", show_default=False)
        ] = None,
        split: Split = None,
        train: Annotated[str | None, typer.Option(help="Default data.train.", metavar="FILE")] = None,
        val: Annotated[str | None, typer.Option(help="Default data.val.", metavar="FILE")] = None,
        as_json: Json = False,
    ) -> None:
        from yolopipe.converting.convert import convert

        texts = _files(split, train, val)
        show(convert(name, out, params=params, texts=texts, classes=classes), as_json)

    convert_app.command(name, help=form.help)(command)


def _files(split: list[str] | None, train: str | None, val: str | None) -> dict[str, str]:
    """Split name to file, from ``--split NAME=FILE`` and its short forms."""
    files = {}
    short = [f"{name}={file}" for name, file in (("train", train), ("val", val)) if file is not None]
    for text in [*short, *(split or [])]:
        name, _, file = text.partition("=")
        if not file or not name.replace("-", "").replace("_", "").isalnum():
            raise UsageError(f"--split {text}: expected NAME=FILE, with letters and digits in NAME")
        if name in files:
            raise UsageError(f"--split {name} is given twice")
        files[name] = file
    return files


for _name, _importer in IMPORTERS.items():
    _add_import(_name, _importer)
for _name, _converter in CONVERTERS.items():
    _add_convert(_name, _converter)
