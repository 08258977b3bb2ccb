"""``yolopipe init``: the files of a new project, all of them or none.

No command is run; the summary names those to run next.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from inspect import signature
from pathlib import Path
from typing import Any

from yolopipe.errors import UsageError
from yolopipe.files import atomic_directory, atomic_file
from yolopipe.importing.import_data import import_data
from yolopipe.importing.import_formats import IMPORTERS
from yolopipe.paths import SAMPLE
from yolopipe.project.check_rows import class_list
from yolopipe.project.imported import ChosenData, choose_data
from yolopipe.project.templates import PIPELINE, SAMPLE_PIPELINE, own_params, template
from yolopipe.result import CommandResult

__all__ = ["ANNOTATIONS", "run"]

ANNOTATIONS = Path("data/annotations")
"""Folder of imported annotation text: the user's from then on, and not an output of a stage."""

PICTURES = Path("data/images")
"""Folder of images that were inside the imported files (Parquet)."""

PLACEHOLDERS = {
    **{"train": f"{ANNOTATIONS}/train.txt", "val": f"{ANNOTATIONS}/val.txt"},
    **{"classes": f"{ANNOTATIONS}/classes.names", "images": "data/images"},
}


def run(
    directory: str | Path = ".",
    *,
    source: tuple[str, Path] | None = None,
    demo: bool = False,
    options: Mapping[str, Any] | None = None,
) -> CommandResult:
    """Write ``params.yaml``, ``dvc.yaml``, ``.gitignore`` and ``.dvcignore`` into a folder.

    An existing file is never overwritten; missing lines are appended to the two ignore files.

    Args:
        directory: the project folder; created if missing.
        source: format and path of data to import into ``data/annotations``.
        demo: use the embedded sample.
        options: of the import; see :func:`~yolopipe.importing.import_data.import_data`.

    Returns:
        What was written, and the commands to run next.

    Raises:
        UsageError: a file would be overwritten, or the options contradict each other.
        DataError: the data cannot be imported; nothing is written then.
    """
    folder = Path(directory)
    if demo and source is not None:
        raise UsageError("--demo and --from exclude each other: the embedded data or yours")
    defaults = signature(import_data).parameters
    if source is None and any(value != defaults[key].default for key, value in (options or {}).items()):
        raise UsageError("options of the import need --from FORMAT PATH")
    options = {key: _absolute(value) for key, value in (options or {}).items()}
    if source is not None:
        source = _checked_source(*source, folder)
    with ExitStack() as undo:
        _make_folder(folder, undo)
        with contextlib.chdir(folder):
            result = _scaffold(folder, source, options, demo, undo)
        undo.pop_all()
    return result


def _checked_source(form: str, path: Path, folder: Path) -> tuple[str, Path]:
    if form not in IMPORTERS:
        raise UsageError(f"--from {form}: unknown format", hint=f"one of: {', '.join(sorted(IMPORTERS))}")
    if not path.exists():
        raise UsageError(f"--from {form}: no file or folder {path}")
    here = os.path.abspath(folder) == os.getcwd()
    return form, path if here else Path(os.path.abspath(path))


def _absolute(value: Any) -> Any:
    """A path that holds in another folder, too; other values as they are."""
    return value.absolute() if isinstance(value, Path) else value


def _make_folder(folder: Path, undo: ExitStack) -> None:
    """Make a folder and its parents; undo removes those that were made, if empty."""
    for missing in reversed([path for path in (folder, *folder.parents) if not path.exists()]):
        missing.mkdir()
        undo.callback(_remove_if_empty, missing.absolute())


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def _scaffold(
    folder: Path, source: tuple[str, Path] | None, options: Mapping[str, Any], demo: bool, undo: ExitStack
) -> CommandResult:
    _refuse_to_overwrite(_files(PLACEHOLDERS, demo), has_source=source is not None)
    chosen = None
    rows: dict[str, object] = {}
    if source is not None:
        chosen, rows = _import(*source, options, undo)
    files = _files(chosen.data if chosen else PLACEHOLDERS, demo)
    ignores = {Path(f".{name}"): _lines(name, demo) for name in ("gitignore", "dvcignore")}
    appended = {path: _appended(path, lines) for path, lines in ignores.items()}
    written = {path: content for path, content in {**appended, **files}.items() if _content(path) != content}
    for path, content in written.items():
        _make_folder(path.parent, undo)
        undo.callback(_put_back, path.absolute(), _content(path))
        with atomic_file(path) as partial:
            partial.write_bytes(content)
    return _result(folder, list(written), chosen, rows, demo)


def _files(data: Mapping[str, str], demo: bool) -> dict[Path, bytes]:
    texts = {Path("dvc.yaml"): template(PIPELINE), Path("params.yaml"): own_params(data)}
    if demo:
        texts = {
            SAMPLE / "dvc.yaml": template(SAMPLE_PIPELINE),
            **texts,
            Path("params.yaml"): template("params.yaml"),
        }
    return {path: text.encode() for path, text in texts.items()}


def _refuse_to_overwrite(files: Mapping[Path, bytes], *, has_source: bool) -> None:
    """Files with equal content may stay: an interrupted run wrote them."""
    existing = [str(path) for path, content in files.items() if _content(path) not in (None, content)]
    if has_source and ANNOTATIONS.exists():
        existing.append(f"{ANNOTATIONS}/")
    if existing:
        exist = "exists" if len(existing) == 1 else "exist"
        raise UsageError(
            f"{', '.join(existing)} {exist} already, and init overwrites nothing",
            hint="move it away, or make the project in another folder: yolopipe init DIR",
        )


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _put_back(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink(missing_ok=True)
    else:
        path.write_bytes(content)


def _lines(name: str, demo: bool) -> list[str]:
    lines = template(name).splitlines()
    return lines if demo else [line for line in lines if not line.startswith(f"/{SAMPLE}/")]


def _appended(path: Path, lines: Sequence[str]) -> bytes:
    """An ignore file with its missing lines; a new one also has the comments."""
    before = _content(path)
    if before is None:
        return "".join(f"{line}\n" for line in lines).encode()
    known = {line.strip() for line in before.decode(errors="replace").splitlines()}
    missing = [line for line in lines if line and not line.startswith("#") and line not in known]
    if not missing:
        return before
    gap = b"" if before.endswith(b"\n") or not before else b"\n"
    return before + gap + "".join(f"{line}\n" for line in ("# yolopipe", *missing)).encode()


def _import(
    form: str, path: Path, options: Mapping[str, Any], undo: ExitStack
) -> tuple[ChosenData, dict[str, object]]:
    _make_folder(ANNOTATIONS.parent, undo)
    undo.callback(shutil.rmtree, ANNOTATIONS.absolute(), ignore_errors=True)
    if not PICTURES.exists():
        undo.callback(shutil.rmtree, PICTURES.absolute(), ignore_errors=True)
    with atomic_directory(ANNOTATIONS) as partial:
        found = import_data(form, path, partial, pictures=PICTURES, **options)
        chosen = choose_data(partial, ANNOTATIONS)
    rows: dict[str, object] = {f"import {form}": found.title.partition(": ")[2]}
    for name, value in found.rows.items():
        if name in found.report["splits"]:  # not under the names that the summary gives to the files
            rows[f"imported {name}"] = value
        elif not name.startswith(("written", "class")):
            rows[name] = value
    return chosen, rows


def _result(
    folder: Path, written: Sequence[Path], chosen: ChosenData | None, rows: dict[str, object], demo: bool
) -> CommandResult:
    names = [path.as_posix() for path in written]
    rows = {**rows, "written": ", ".join(names) or "nothing: all files exist already"}
    if chosen:
        rows["written"] = f"{ANNOTATIONS}/, {rows['written']}"
        rows["train"] = f"{chosen.data['train']} ({chosen.images['train']:,} images)"
        rows["val"] = f"{chosen.data['val']} ({chosen.images['val']:,} images)"
        rows["images"] = f"{chosen.data['images']} (referenced, not copied)"
        rows["classes"] = class_list(chosen.classes)
        for number, text in enumerate(chosen.notes, start=1):
            rows["note" if len(chosen.notes) == 1 else f"note {number}"] = text
    elif not demo:
        rows["your data"] = "enter annotation text, class names and images under data: in params.yaml"
    if not demo:
        rows["network"] = "full YOLOv3 at 416 px, for a GPU; on a CPU try model.width: 0.25 and model.depth: 0.33"
        rows["anchors"] = "COCO's nine; after yolopipe parse, yolopipe anchors shows how they fit your boxes"
    commands = _next_commands(folder)
    report = {
        "folder": str(folder),
        "written": names,
        "data": chosen.data if chosen else None,
        "images": chosen.images if chosen else None,
        "classes": list(chosen.classes) if chosen else None,
        "notes": chosen.notes if chosen else [],
        "next": commands,
    }
    kind = "with the embedded data" if demo else "with imported data" if chosen else "for your own data"
    return CommandResult(f"init: a project {kind} in {folder}", rows, report, next_step=" && ".join(commands))


def _next_commands(folder: Path) -> list[str]:
    """The commands to run next; the current folder is the project's."""
    here = Path.cwd()
    git = next((path for path in (here, *here.parents) if (path / ".git").exists()), None)
    steps = [] if folder == Path(".") else [f"cd {shlex.quote(str(folder))}"]
    if git is None:
        steps += ["git init", "dvc init"]
    elif not any((path / ".dvc").is_dir() for path in (here, *here.parents) if path.is_relative_to(git)):
        steps.append("dvc init" if git == here else "dvc init --subdir")
    return [*steps, "yolopipe check", "dvc repro"]
