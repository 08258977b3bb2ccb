"""Checks of what the pipeline needs: git, DVC, where each stores outputs, disk space and packages."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from yolopipe import paths
from yolopipe.config.params import Config, Data
from yolopipe.git import git_lines
from yolopipe.project.check_rows import CheckRow, ok

__all__ = ["check_disk", "check_environment", "check_repository"]

STORED_BY_DVC = (
    *(paths.PARSED, paths.AUGMENTED, paths.SHARDS, paths.BEST_WEIGHTS, paths.LAST_WEIGHTS),
    *(paths.MODEL_CARD, paths.TRAIN_PLOTS, paths.EVAL_PLOTS, paths.PREDICTIONS),
)
STORED_BY_GIT = (paths.TRAIN_METRICS, paths.EVAL_METRICS)

BYTES_PER_PIXEL = {"jpeg": 0.4, "png": 1.5, "raw": 3.0}
"""Of a stored image at 416 px, from above: JPEG of quality 95 took up to 0.37 (COCO photographs), PNG up to 1.43."""

PACKAGES = ("tensorflow", "keras", "dvc")


def check_repository(data: Data | None) -> list[CheckRow]:
    """Check git and DVC, and that each output is stored by the right one of them.

    Args:
        data: the inputs, which ``dvc exp run --temp`` sees only if git or DVC tracks them; None if unknown.
    """
    if shutil.which("git") is None:
        return [CheckRow("git", "git is not on the PATH", "error", "install git: DVC needs it")]
    top = git_lines("rev-parse", "--show-toplevel")
    if not top:
        return [CheckRow("git", f"{Path.cwd()} is not in a git repository", "error", "git init && dvc init")]
    root = Path(top[0])
    rows = [_commits(root), _dvc_folder(root)]
    rows += [*_tracked_outputs(), *_ignored()] or [ok("outputs", "stored by DVC and ignored by git; metrics in git")]
    rows += _untracked_inputs(data) if data is not None else []
    lock = _merge_marks(Path("dvc.lock"))
    return [*rows, lock] if lock else rows


def _commits(root: Path) -> CheckRow:
    if git_lines("rev-parse", "--verify", "--quiet", "HEAD"):
        return ok("git", f"repository {root}")
    return CheckRow(
        "git", "no commit yet", "note", "git add . && git commit: dvc exp run needs one, dvc repro does not"
    )


def _dvc_folder(root: Path) -> CheckRow:
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / ".dvc").is_dir():
            return ok("dvc", f"repository {folder}")
        if folder == root:
            break
    command = "dvc init" if here == root else "dvc init --subdir"
    return CheckRow("dvc", "no .dvc folder here", "error", command)


def _tracked_outputs() -> Iterator[CheckRow]:
    tracked = git_lines("ls-files", "-z", "--", *map(str, STORED_BY_DVC))
    for output in map(str, STORED_BY_DVC):
        own = [name for name in tracked if name == output or name.startswith(f"{output}/")]
        if own:
            advice = f"git rm -r --cached {output} && git commit"
            yield CheckRow("outputs", f"git tracks {own[0]}, which DVC must store", "error", advice)


def _ignored() -> Iterator[CheckRow]:
    ignored = set(git_lines("check-ignore", "--no-index", *map(str, (*STORED_BY_DVC, *STORED_BY_GIT))))
    shown = [str(path) for path in STORED_BY_DVC if str(path) not in ignored]
    if shown:
        advice = f"add to .gitignore: {', '.join(f'/{path}' for path in shown)}"
        yield CheckRow("outputs", f"git does not ignore {', '.join(shown)}", "warning", advice)
    hidden = [str(path) for path in STORED_BY_GIT if str(path) in ignored]
    if hidden:
        advice = "remove the line from .gitignore: dvc exp show would not find them"
        yield CheckRow("metrics", f"git ignores {', '.join(hidden)}", "warning", advice)


def _untracked_inputs(data: Data) -> list[CheckRow]:
    named = (data.train, data.val, data.classes, data.images, data.corrections)
    inputs = [path for path in named if path and Path(path).exists()]
    inside = [path for path in inputs if Path(os.path.abspath(path)).is_relative_to(Path.cwd())]
    sample = os.path.join(str(paths.SAMPLE), "")
    untracked = [
        p for p in inside if not p.startswith(sample) and not git_lines("ls-files", "--", p) and not _has_dvc_file(p)
    ]
    if not untracked:
        return []
    advice = "git add or dvc add them: dvc exp run --temp and --queue see tracked files only"
    return [CheckRow("inputs", f"tracked by neither git nor DVC: {', '.join(untracked)}", "note", advice)]


def _has_dvc_file(path: str) -> bool:
    return any(
        part.with_name(f"{part.name}.dvc").is_file() for part in (Path(path), *Path(path).parents) if part.name
    )


def _merge_marks(lock: Path) -> CheckRow | None:
    try:
        lines = lock.read_bytes().splitlines()
    except OSError:
        return None
    for number, line in enumerate(lines, start=1):
        if line.startswith((b"<<<<<<<", b">>>>>>>", b"|||||||")):
            advice = "git checkout --ours dvc.lock (or --theirs), then dvc repro"
            return CheckRow("dvc.lock", f"{lock}:{number}: a merge conflict", "error", advice)
    return None


def check_disk(config: Config) -> list[CheckRow]:
    """Check the room for the shards and DVC's copy of them, by a rule of thumb; ``precompute`` measures it."""
    lines = {split: _line_count(getattr(config.data, split)) for split in ("train", "val")}
    if None in lines.values():
        return []
    samples = (lines["train"] or 0) * config.augment.copies + (lines["val"] or 0)
    pixels = samples * config.precompute.input_size**2
    needed = 2 * pixels * BYTES_PER_PIXEL[config.precompute.encoding]
    free = shutil.disk_usage(".").free
    result = f"{free / 1e9:,.1f} GB free; {samples:,} samples need about {needed / 1e6:,.0f} MB with DVC's copy"
    if free >= needed:
        return [ok("disk", result)]
    return [CheckRow("disk", result, "warning", "free some space, or lower augment.copies or precompute.input_size")]


def _line_count(path: str) -> int | None:
    try:
        return sum(1 for line in Path(path).read_bytes().splitlines() if line.strip())
    except OSError:
        return None


def check_environment() -> list[CheckRow]:
    """Check the packages, by their metadata (TensorFlow is not imported), and the ``python`` that DVC will find."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    rows = [CheckRow("packages", f"{name} is not installed", "error", f"pip install {name}") for name in missing]
    shown = ", ".join(f"{name} {_version(name)}" for name in PACKAGES if name not in missing)
    return [*rows, ok("packages", f"Python {platform.python_version()}, {shown}"), _python_on_path()]


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:  # tensorflow-cpu and the like
        return "(version unknown)"


def _python_on_path() -> CheckRow:
    found = shutil.which("python")
    own = Path(sys.executable)
    if found is not None and Path(found).parent.resolve() == own.parent.resolve():
        return ok("python", f"the stages will run with {found}")
    advice = f"activate the environment first: export PATH={own.parent}:$PATH"
    return CheckRow(
        "python",
        f"DVC's stages would run {found or 'no python'}, not {own}",
        "warning",
        advice,
    )
