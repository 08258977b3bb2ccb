"""Stage ``parse``: annotation text, class names and image headers to one table a split, and a list of problems."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from yolopipe import console, paths
from yolopipe.config import Config
from yolopipe.errors import DataError, ImageError, Problem, ProblemsError
from yolopipe.files import atomic_directory, atomic_file, write_json
from yolopipe.findings import (
    Finding,
    Scope,
    SplitFindings,
    apply_policy,
    blocking,
    count_by_rule,
    find_box_faults,
)
from yolopipe.formats.annotation_text import read_annotations
from yolopipe.formats.class_names import read_class_names
from yolopipe.images import read_header
from yolopipe.parse_report import ParsedSplit, counts_of, summary_of
from yolopipe.parsing import BoxChecker, guess_format
from yolopipe.stages import StageResult
from yolopipe.tables import PARSED_SCHEMA, box_column, list_column, write_table
from yolopipe.workers import Workers, map_unordered

__all__ = ["FAILED_PROBLEMS", "run"]

FAILED_PROBLEMS = paths.SIDE / "parse-problems.csv"
"""The whole list of a run that failed."""

SPLITS = ("train", "val")
CHUNK_IMAGES = 512
FEW_IMAGES = 4096
"""Up to here one process reads the headers (30 µs each) before others have started (a second)."""

Read = TypeVar("Read")


def run(config: Config, *, workers: Workers = 1) -> StageResult:
    """Check every image and every box, and write the tables of those that are good.

    Args:
        config: reads ``data``, ``parse`` and ``precompute.input_size``.
        workers: processes that read image headers; changes nothing but the time.

    Returns:
        What was read, lost and written.

    Raises:
        DataError: a file that ``data`` names is missing or holds no image.
        ProblemsError: bad images or boxes that ``parse.on_bad`` does not allow for; nothing is written then but
            the list of them.
    """
    names = _read_named(config, "classes", read_class_names)
    texts = {name: _read_named(config, name, read_annotations) for name in SPLITS}
    if not Path(config.data.images).is_dir():
        raise _missing(config, "images", f"no folder {config.data.images}")
    for name, text in texts.items():
        if not text.image_paths and not text.faults:
            raise _missing(config, name, f"{text.file} names no image")
    headers = _read_headers([path for text in texts.values() for path in text.image_paths], workers)
    splits = {}
    for name, text in texts.items():
        found = [next(headers) for _ in text.image_paths]
        splits[name] = _new_split(text, found)
    _note_folder(splits, config.data.images)
    _find_leaks(splits)
    checker = BoxChecker(len(names), config.precompute.smallest_size, config.parse.min_box_px)
    for split in splits.values():
        find_box_faults(split, checker, config.parse.on_bad)
    _stop_if_blocked(splits, config)
    parsed = {name: ParsedSplit(split, apply_policy(split, config.parse.on_bad)) for name, split in splits.items()}
    for name, part in parsed.items():
        if part.images == 0:
            raise _missing(config, name, f"no image of {part.split.text.file} is left after dropping the bad ones")
    counts = counts_of(parsed, names, config.parse.on_bad)
    _write(parsed, names, counts)
    FAILED_PROBLEMS.unlink(missing_ok=True)
    return summary_of(counts, names)


def _read_named(config: Config, key: str, read: Callable[[str], Read]) -> Read:
    """Read a file that ``data`` names; where it is missing, say which key names it."""
    file = getattr(config.data, key)
    if not Path(file).is_file():
        raise _missing(config, key, f"no file {file}")
    return read(file)


def _missing(config: Config, key: str, message: str) -> DataError:
    file = getattr(config.data, key)
    return DataError(
        f"{message} (params.yaml: data.{key}: {file}; the project folder is {Path.cwd()})",
        hint=f"correct data.{key} in params.yaml, or make the embedded sample: yolopipe sample",
    )


Header = tuple[int, int, int, str, str]
"""Width, height, orientation; rule and message where the image cannot be read."""


def _check_images(image_paths: Sequence[str], folder: Path) -> list[Header]:
    found: list[Header] = []
    for path in image_paths:
        try:
            header = read_header(path, folder=folder)
            found.append((header.width, header.height, header.orientation, "", ""))
        except ImageError as error:
            found.append((0, 0, 1, error.rule, error.message))
    return found


def _read_headers(image_paths: Sequence[str], workers: Workers) -> Iterator[Header]:
    chunks = [image_paths[at : at + CHUNK_IMAGES] for at in range(0, len(image_paths), CHUNK_IMAGES)]
    found: list[list[Header]] = [[]] * len(chunks)
    workers = 1 if len(image_paths) <= FEW_IMAGES else workers
    with console.progress("parse", len(image_paths)) as advance:
        check = partial(_check_images, folder=Path.cwd())
        for index, result in map_unordered(check, chunks, workers=workers, name=lambda chunk: chunk[0]):
            found[index] = result
            advance(len(result))
    return (header for chunk in found for header in chunk)


def _new_split(text: Any, headers: Sequence[Header]) -> SplitFindings:
    split = SplitFindings(
        text=text,
        size_wh=np.array([header[:2] for header in headers], np.int32).reshape(-1, 2),
        orientation=np.array([header[2] for header in headers], np.int32),
        boxes_xyxy=text.boxes_xyxy,
    )
    for fault in text.faults:
        scope: Scope = "box" if fault.problem.rule == "bad-box-text" else "image"
        split.findings.append(Finding(fault.problem, scope, fault.image))
    for image, (*_, rule, message) in enumerate(headers):
        if rule:
            split.add(image, rule, message)
    return split


def _note_folder(splits: dict[str, SplitFindings], folder: str) -> None:
    """DVC watches ``data.images`` only: an edited image elsewhere would not be noticed."""
    roots = tuple(os.path.join(root, "") for root in {os.path.abspath(folder), os.path.realpath(folder)})
    for split in splits.values():
        for image, path in enumerate(split.text.image_paths):
            if not os.path.abspath(path).startswith(roots):
                message = f"not under data.images ({folder}): DVC would not notice when this image changes"
                split.add(image, "outside-images-folder", message, scope="note")


def _find_leaks(splits: dict[str, SplitFindings]) -> None:
    """An image in train and val makes every score a lie."""
    train, val = splits["train"], splits["val"]
    lines = {os.path.abspath(path): int(n) for path, n in zip(train.text.image_paths, train.text.lines, strict=True)}
    for image, path in enumerate(val.text.image_paths):
        line = lines.get(os.path.abspath(path))
        if line is not None:
            val.add(image, "train-val-leak", f"image {path} is also in train ({train.text.file}:{line})")


def _stop_if_blocked(splits: dict[str, SplitFindings], config: Config) -> None:
    policy = config.parse.on_bad
    problems = [problem for split in splits.values() for problem in blocking(split.findings, policy)]
    if not problems:
        return
    with atomic_file(FAILED_PROBLEMS) as partial:
        _write_problems(partial, problems)
    counts = ", ".join(f"{rule} {n:,}" for rule, _, n in count_by_rule(problems))
    many = f"{len(problems):,} problem{'s' if len(problems) > 1 else ''}"
    message = (
        f"{many} in the annotation text ({counts}); {paths.PARSED} was not written; all of them: {FAILED_PROBLEMS}"
    )
    guess = guess_format(np.concatenate([split.text.boxes_xyxy for split in splits.values()]))
    raise ProblemsError("\n".join(filter(None, [message, guess])), problems, hint=_way_out(splits, policy))


def _way_out(splits: dict[str, SplitFindings], policy: str) -> str:
    images = any(finding.scope == "image" for split in splits.values() for finding in split.findings)
    if policy != "fail":
        return f"mend them, or set parse.on_bad: drop-image in params.yaml ({policy} cannot mend an image)"
    choices = "drop-image" if images else "clip (boxes partly outside), drop-box or drop-image"
    return f"mend them, or set parse.on_bad in params.yaml: {choices}"


def _write(parsed: dict[str, ParsedSplit], names: Sequence[str], counts: dict[str, Any]) -> None:
    with atomic_directory(paths.PARSED) as folder:
        for name, part in parsed.items():
            write_table(folder / f"{name}.parquet", _table(part), names)
        _write_problems(folder / "problems.csv", [p for part in parsed.values() for p in part.kept.problems])
        write_json(folder / "counts.json", counts)


def _table(part: ParsedSplit) -> pa.Table:
    text, split, kept = part.split.text, part.split, part.kept
    size = split.size_wh[kept.images]
    limits = np.tile(split.size_wh[text.box_image[kept.boxes]], 2)
    boxes = np.clip(split.boxes_xyxy[kept.boxes], 0, limits).astype(np.float32)  # takes back the checker's slack
    per_image = np.bincount(text.box_image[kept.boxes], minlength=len(text.image_paths))[kept.images]
    columns = {
        "image": pa.array([text.image_paths[i] for i in np.flatnonzero(kept.images)], pa.string()),
        "line": pa.array(text.lines[kept.images], pa.int32()),
        "width": pa.array(size[:, 0], pa.int32()),
        "height": pa.array(size[:, 1], pa.int32()),
        "orientation": pa.array(split.orientation[kept.images], pa.int32()),
        "boxes_xyxy": box_column(boxes, per_image),
        "classes": list_column(text.classes[kept.boxes], per_image, pa.int32()),
    }
    return pa.table([columns[name] for name in PARSED_SCHEMA.names], schema=PARSED_SCHEMA)


def _write_problems(file: Path, problems: Sequence[Problem]) -> None:
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["file", "line", "column", "rule", "message", "image", "action"])
        writer.writerows([p.file, p.line, p.column, p.rule, p.message, p.image, p.action] for p in problems)
