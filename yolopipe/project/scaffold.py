"""``yolopipe init``: the files of a new project, all of them or none.

Nothing is run: git and DVC are the user's, and the next command is told.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from yolopipe.errors import UsageError
from yolopipe.files import atomic_directory, atomic_file
from yolopipe.importing.import_data import import_data
from yolopipe.importing.import_formats import IMPORTERS
from yolopipe.paths import SAMPLE
from yolopipe.project.check_rows import class_list
from yolopipe.project.imported import Chosen, choose_data
from yolopipe.project.templates import PIPELINE, SAMPLE_PIPELINE, own_params, template
from yolopipe.result import CommandResult

__all__ = ["ANNOTATIONS", "run"]

ANNOTATIONS = Path("data/annotations")
"""Where imported annotation text goes; the user's own from then on, so no stage's output."""

PLACEHOLDERS = {
    **{"train": f"{ANNOTATIONS}/train.txt", "val": f"{ANNOTATIONS}/val.txt"},
    **{"classes": f"{ANNOTATIONS}/classes.names", "images": "data/images"},
}


def run(directory: str | Path = ".", *, source: tuple[str, Path] | None = None, demo: bool = False) -> CommandResult:
    """Write ``params.yaml``, ``dvc.yaml``, ``.gitignore`` and ``.dvcignore`` into a folder.

    A file that is there is never overwritten; the two ignore files gain the lines that they lack.

    Args:
        directory: the project folder; made if missing.
        source: format and path of data to import into ``data/annotations``.
        demo: use the embedded sample.

    Returns:
        What was written, and the commands to type next.

    Raises:
        UsageError: a file is in the way, or the call makes no sense.
        DataError: the data cannot be imported; nothing is written then.
    """
    folder = Path(directory)
    if demo and source is not None:
        raise UsageError("--demo brings its own data; --from brings yours: choose one")
    if source is not None:
        source = _checked_source(*source, folder)
    with ExitStack() as undo:
        _make_folder(folder, undo)
        with contextlib.chdir(folder):
            result = _scaffold(folder, source, demo, undo)
        undo.pop_all()
    return result


def _checked_source(form: str, path: Path, folder: Path) -> tuple[str, Path]:
    if form not in IMPORTERS:
        raise UsageError(f"--from {form}: no such format", hint=f"one of: {', '.join(sorted(IMPORTERS))}")
    if not path.exists():
        raise UsageError(f"--from {form}: no file or folder {path}")
    here = os.path.abspath(folder) == os.getcwd()
    return form, path if here else Path(os.path.abspath(path))


def _make_folder(folder: Path, undo: ExitStack) -> None:
    """Make a folder and its parents; undone, those made are removed where they are empty."""
    for missing in reversed([path for path in (folder, *folder.parents) if not path.exists()]):
        missing.mkdir()
        undo.callback(_remove_if_empty, missing.absolute())


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def _scaffold(folder: Path, source: tuple[str, Path] | None, demo: bool, undo: ExitStack) -> CommandResult:
    _refuse_to_overwrite(_files(PLACEHOLDERS, demo), has_source=source is not None)
    chosen = None
    rows: dict[str, object] = {}
    if source is not None:
        chosen, rows = _import(*source, undo)
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
    """An interrupted run's own files are no obstacle: equal content is not in the way."""
    in_the_way = [str(path) for path, content in files.items() if _content(path) not in (None, content)]
    if has_source and ANNOTATIONS.exists():
        in_the_way.append(f"{ANNOTATIONS}/")
    if in_the_way:
        are = "is" if len(in_the_way) == 1 else "are"
        raise UsageError(
            f"{', '.join(in_the_way)} {are} there already, and init overwrites nothing",
            hint="move away what is in the way, or make the project in another folder: yolopipe init DIR",
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
    """A user's ignore file and the lines that it lacks, comments only where it is new."""
    before = _content(path)
    if before is None:
        return "".join(f"{line}\n" for line in lines).encode()
    known = {line.strip() for line in before.decode(errors="replace").splitlines()}
    missing = [line for line in lines if line and not line.startswith("#") and line not in known]
    if not missing:
        return before
    gap = b"" if before.endswith(b"\n") or not before else b"\n"
    return before + gap + "".join(f"{line}\n" for line in ("# yolopipe", *missing)).encode()


def _import(form: str, path: Path, undo: ExitStack) -> tuple[Chosen, dict[str, object]]:
    _make_folder(ANNOTATIONS.parent, undo)
    undo.callback(shutil.rmtree, ANNOTATIONS.absolute(), ignore_errors=True)
    with atomic_directory(ANNOTATIONS) as partial:
        found = import_data(form, path, partial)
        chosen = choose_data(partial, ANNOTATIONS)
    rows = {name: value for name, value in found.rows.items() if not name.startswith(("written", "class"))}
    return chosen, {f"import {form}": found.title.partition(": ")[2], **rows}


def _result(
    folder: Path, written: Sequence[Path], chosen: Chosen | None, rows: dict[str, object], demo: bool
) -> CommandResult:
    names = [path.as_posix() for path in written]
    rows = {**rows, "written": ", ".join(names) or "nothing: all of it was there"}
    if chosen:
        rows["written"] = f"{ANNOTATIONS}/, {rows['written']}"
        rows["trains on"] = f"{chosen.data['train']} ({chosen.images['train']:,} images)"
        rows["scored on"] = f"{chosen.data['val']} ({chosen.images['val']:,} images)"
        rows["images"] = f"{chosen.data['images']} (used where they are, not copied)"
        rows["classes"] = class_list(chosen.classes)
        for number, text in enumerate(chosen.notes, start=1):
            rows["note" if len(chosen.notes) == 1 else f"note {number}"] = text
    elif not demo:
        rows["your data"] = "annotation text, class names and images: name them under data: in params.yaml"
    if not demo:
        rows["network"] = "the full YOLOv3 at 416 px, for a GPU; on a CPU try model.width: 0.25 and depth: 0.33"
        rows["anchors"] = "COCO's nine; yolopipe anchors, after yolopipe parse, says how they fit your boxes"
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
    kind = "with the embedded sample" if demo else "with imported data" if chosen else "for data of your own"
    return CommandResult(f"init: a project {kind} in {folder}", rows, report, next_step=" && ".join(commands))


def _next_commands(folder: Path) -> list[str]:
    """What is left to do; the current folder is the project's."""
    here = Path.cwd()
    git = next((path for path in (here, *here.parents) if (path / ".git").exists()), None)
    steps = [] if folder == Path(".") else [f"cd {shlex.quote(str(folder))}"]
    if git is None:
        steps += ["git init", "dvc init"]
    elif not any((path / ".dvc").is_dir() for path in (here, *here.parents) if path.is_relative_to(git)):
        steps.append("dvc init" if git == here else "dvc init --subdir")
    return [*steps, "yolopipe check", "dvc repro"]
