"""Stage ``parse``: annotation text, class names and image headers to one table a split, and a list of problems."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa

from yolopipe import console, paths
from yolopipe.checked_lines import LinesTask, check_lines, finding_of, in_pieces
from yolopipe.config import Config
from yolopipe.errors import DataError, Problem, ProblemsError
from yolopipe.files import atomic_directory, atomic_file, write_json
from yolopipe.findings import Policy, SplitFindings, apply_policy, blocking, count_by_rule
from yolopipe.formats.annotation_line import BLANKS, is_comment
from yolopipe.formats.annotation_text import PathRegister
from yolopipe.formats.class_names import read_class_names
from yolopipe.formats.text_lines import read_lines
from yolopipe.parse_report import Counts, ParsedSplit, add_counts, counts_of, split_counts, summary_of
from yolopipe.parsing import BoxChecker, guess_format
from yolopipe.problem_list import write_problems
from yolopipe.stages import StageResult
from yolopipe.tables import PARSED_SCHEMA, box_column, list_column, table_writer
from yolopipe.workers import Workers, in_order, map_unordered

__all__ = ["FAILED_PROBLEMS", "run"]

FAILED_PROBLEMS = paths.SIDE / "parse-problems.csv"
"""The whole list of a run that failed."""

SPLITS = ("train", "val")
CHUNK_LINES = 2048
"""Of annotation text, read and checked by one worker at a time; the rows of a row group of the table.  With it the
memory of the stage stays the same however long the text is (0.2 kB an image are kept, to find images named twice)."""
FEW_IMAGES = 4096
"""Up to here one process reads the headers (30 µs each) before others have started (a second)."""

Read = TypeVar("Read")


def run(config: Config, *, workers: Workers = 1) -> StageResult:
    """Check every image and every box, and write the tables of those that are good.

    Args:
        config: reads ``data``, ``parse`` and ``precompute.input_size``.
        workers: processes that read lines and image headers; changes nothing but the time.

    Returns:
        What was read, lost and written.

    Raises:
        DataError: a file that ``data`` names is missing or holds no image.
        ProblemsError: bad images or boxes that ``parse.on_bad`` does not allow for; nothing is written then but
            the list of them.
    """
    names = _read_named(config, "classes", read_class_names)
    images = {name: _read_named(config, name, _count_images) for name in SPLITS}
    if not Path(config.data.images).is_dir():
        raise _missing(config, "images", f"no folder {config.data.images}")
    for name, count in images.items():
        if not count:
            raise _missing(config, name, f"{getattr(config.data, name)} names no image")
    policy = config.parse.on_bad
    splits = {name: _Split(policy) for name in SPLITS}
    with atomic_directory(paths.PARSED) as folder, ExitStack() as stack:
        write = {
            name: stack.enter_context(table_writer(folder / f"{name}.parquet", PARSED_SCHEMA, names))
            for name in SPLITS
        }
        for name, part in _with_cross_checks(_checked(config, len(names), sum(images.values()), workers), config):
            splits[name].take(part, names, write[name])
        _stop_if_blocked(splits, policy)
        for name, split in splits.items():
            if split.counts["images"] == 0:
                file = getattr(config.data, name)
                raise _missing(config, name, f"no image of {file} is left after dropping the bad ones")
        counts = counts_of({name: split.counts for name, split in splits.items()}, names, policy)
        write_problems(folder / "problems.csv", [p for split in splits.values() for p in split.problems])
        write_json(folder / "counts.json", counts)
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


def _count_images(file: str) -> int:
    """Lines that should name an image."""
    return sum(line is None or bool(line.strip(BLANKS) and not is_comment(line)) for line in read_lines(file))


def _checked(config: Config, classes: int, images: int, workers: Workers) -> Iterator[tuple[str, SplitFindings]]:
    """The checked pieces of train and then of val, in the order of the text; few of them exist at a time."""
    checker = BoxChecker(classes, config.precompute.smallest_size, config.parse.min_box_px)

    def tasks() -> Iterator[LinesTask]:
        for split in SPLITS:
            file = getattr(config.data, split)
            for first, lines in in_pieces(read_lines(file), CHUNK_LINES):
                yield LinesTask(split, file, first, lines, Path.cwd(), checker, config.parse.on_bad)

    workers = 1 if images <= FEW_IMAGES else workers
    with console.progress("parse", images) as advance:
        found = map_unordered(
            check_lines, tasks(), workers=workers, name=lambda task: f"{task.file}:{task.first_line}"
        )
        for split, part in in_order(found):
            advance(len(part.text.image_paths))
            yield split, part


def _with_cross_checks(
    parts: Iterable[tuple[str, SplitFindings]], config: Config
) -> Iterator[tuple[str, SplitFindings]]:
    """The same with what one part cannot show: images named twice, in train and val, or outside the folder."""
    seen = {name: PathRegister() for name in SPLITS}
    folder = config.data.images
    roots = tuple(os.path.join(root, "") for root in {os.path.abspath(folder), os.path.realpath(folder)})
    for name, part in parts:
        part.findings += [finding_of(fault) for fault in seen[name].faults(part.text)]
        for image, path in enumerate(part.text.image_paths):
            if not os.path.abspath(path).startswith(roots):
                message = f"not under data.images ({folder}): DVC would not notice when this image changes"
                part.add(image, "outside-images-folder", message, scope="note")
            line = seen["train"].line(path) if name == "val" else None
            if line is not None:  # such an image makes every score a lie
                message = f"image {path} is also in train ({config.data.train}:{line})"
                part.add(image, "train-val-leak", message)
        yield name, part


class _Split:
    """What has been read of a split so far.

    Args:
        policy: ``parse.on_bad``.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.counts: Counts = {}
        self.problems: list[Problem] = []
        self.blocked: list[Problem] = []
        self.bad_images = False
        self.first_boxes = np.zeros((0, 4))

    def take(self, part: SplitFindings, names: Sequence[str], write: Callable[[pa.Table], None]) -> None:
        """Add the next part; write what the policy leaves of it, unless something is in the way."""
        if not len(self.first_boxes):
            self.first_boxes = part.text.boxes_xyxy
        self.blocked += blocking(part.findings, self._policy)
        self.bad_images |= any(finding.scope == "image" for finding in part.findings)
        if not self.blocked:
            parsed = ParsedSplit(part, apply_policy(part, self._policy))
            self.counts = add_counts(self.counts, split_counts(parsed, names))
            self.problems += parsed.kept.problems
            write(_table(parsed))


def _stop_if_blocked(splits: Mapping[str, _Split], policy: Policy) -> None:
    problems = [problem for split in splits.values() for problem in split.blocked]
    if not problems:
        return
    with atomic_file(FAILED_PROBLEMS) as partial:
        write_problems(partial, problems)
    counts = ", ".join(f"{rule} {n:,}" for rule, _, n in count_by_rule(problems))
    many = f"{len(problems):,} problem{'s' if len(problems) > 1 else ''}"
    message = (
        f"{many} in the annotation text ({counts}); {paths.PARSED} was not written; all of them: {FAILED_PROBLEMS}"
    )
    guess = guess_format(np.concatenate([split.first_boxes for split in splits.values()]))
    images = any(split.bad_images for split in splits.values())
    raise ProblemsError("\n".join(filter(None, [message, guess])), problems, hint=_way_out(policy, images=images))


def _way_out(policy: Policy, *, images: bool) -> str:
    if policy != "fail":
        return f"mend them, or set parse.on_bad: drop-image in params.yaml ({policy} cannot mend an image)"
    choices = "drop-image" if images else "clip (boxes partly outside), drop-box or drop-image"
    return f"mend them, or set parse.on_bad in params.yaml: {choices}"


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
