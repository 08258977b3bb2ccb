"""Stage ``parse``: annotation text, class names and image headers to one table a split, and a list of problems."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from yolopipe import console, paths
from yolopipe.config.params import Config
from yolopipe.errors import DataError, ProblemsError
from yolopipe.files import atomic_directory, atomic_file, write_json
from yolopipe.formats.annotation_line import BLANKS, is_comment
from yolopipe.formats.annotation_text import images_named_twice
from yolopipe.formats.class_names import read_class_names
from yolopipe.formats.path_register import PathRegister
from yolopipe.formats.text_lines import read_lines
from yolopipe.parsing.box_rules import BoxChecker, guess_format
from yolopipe.parsing.lines import LinesTask, check_lines, finding_of, in_pieces
from yolopipe.parsing.policy import Policy, SplitFindings, apply_policy, blocking
from yolopipe.parsing.summary import Counts, ParsedSplit, add_counts, counts_of, split_counts, summary_of
from yolopipe.problems import ProblemList, problem_list
from yolopipe.result import CommandResult
from yolopipe.tables import PARSED_SCHEMA, box_column, list_column, table_writer
from yolopipe.workers.mapping import map_in_order
from yolopipe.workers.pool import Workers

__all__ = ["FAILED_PROBLEMS", "run"]

FAILED_PROBLEMS = paths.SIDE / "parse-problems.csv"
"""The whole list of a run that failed."""

SPLITS = ("train", "val")
CHUNK_LINES = 512
"""Of annotation text, read and checked by one worker at a time; the rows of a row group of the table.  With it the
memory of the stage stays the same however long the text is; what is kept are 20 bytes an image, to find images named
twice."""
FEW_IMAGES = 4096
"""Up to here one process reads the headers (30 µs each) before others have started (a second)."""

Read = TypeVar("Read")


def run(config: Config, *, workers: Workers = 1) -> CommandResult:
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
    with atomic_directory(paths.PARSED) as folder:
        with ExitStack() as stack:
            listed = stack.enter_context(problem_list(folder / "problems.csv"))
            write = {
                name: stack.enter_context(table_writer(folder / f"{name}.parquet", PARSED_SCHEMA, names))
                for name in SPLITS
            }
            found = _Found(policy, names, listed, write)
            for name, part in _with_cross_checks(_checked(config, len(names), sum(images.values()), workers), config):
                found.take(name, part)
        if found.blocked:
            raise _blocked(found, folder / "problems.csv", policy)
        for name, split in found.counts.items():
            if split["images"] == 0:
                file = getattr(config.data, name)
                raise _missing(config, name, f"no image of {file} is left after dropping the bad ones")
        counts = counts_of(found.counts, names, policy)
        write_json(folder / "counts.json", counts)
    FAILED_PROBLEMS.unlink(missing_ok=True)
    return summary_of(counts, names, found.guesses())


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
        found = map_in_order(
            check_lines, tasks(), workers=workers, name=lambda task: f"{task.file}:{task.first_line}"
        )
        for split, part in found:
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
        named = part.text.image_paths
        part.findings += [finding_of(fault) for fault in images_named_twice(part.text, seen[name])]
        in_train = seen["train"].lines(named) if name == "val" else np.zeros(len(named), np.int32)
        for image, path in enumerate(named):
            if not os.path.abspath(path).startswith(roots):
                message = f"not under data.images ({folder}): DVC would not notice when this image changes"
                part.add(image, "outside-images-folder", message, scope="note")
            if in_train[image]:  # such an image makes every score a lie
                message = f"image {path} is also in train ({config.data.train}:{in_train[image]})"
                part.add(image, "train-val-leak", message)
        yield name, part


class _Found:
    """What has been read so far: written as it comes, and counted.

    Once anything is in the way of the run, only what is goes on the list.

    Args:
        policy: ``parse.on_bad``.
        names: of the classes.
        listed: takes the problems.
        write: for each split, takes the next piece of its table.
    """

    def __init__(
        self,
        policy: Policy,
        names: Sequence[str],
        listed: ProblemList,
        write: Mapping[str, Callable[[pa.Table], None]],
    ) -> None:
        self._policy, self._names, self._write = policy, names, write
        self.listed = listed
        self.counts: dict[str, Counts] = {name: {} for name in SPLITS}
        self.blocked = False
        self.bad_images = False
        self.first_boxes: dict[str, npt.NDArray[np.float64]] = {}
        """Of each file, those of the first part that has any: to guess from."""

    def take(self, split: str, part: SplitFindings) -> None:
        """Add the next part of a split; write what the policy leaves of it, unless something is in the way."""
        if len(part.text.boxes_xyxy):
            self.first_boxes.setdefault(part.text.file, part.text.boxes_xyxy)
        in_the_way = blocking(part.findings, self._policy)
        self.bad_images |= any(finding.scope == "image" for finding in part.findings)
        if in_the_way and not self.blocked:
            self.blocked = True
            self.listed.start_again()
        if self.blocked:
            self.listed.add(in_the_way)
            return
        parsed = ParsedSplit(part, apply_policy(part, self._policy))
        self.counts[split] = add_counts(self.counts[split], split_counts(parsed, self._names))
        self.listed.add(parsed.kept.problems)
        self._write[split](_table(parsed))

    def guesses(self) -> list[str]:
        """What other format a file looks like."""
        guessed = {file: guess_format(boxes) for file, boxes in self.first_boxes.items()}
        return [f"{file}: {guess}" for file, guess in guessed.items() if guess]


def _blocked(found: _Found, listed: Path, policy: Policy) -> ProblemsError:
    """Keep the list of what is in the way, and say so."""
    with atomic_file(FAILED_PROBLEMS) as partial:
        shutil.copyfile(listed, partial)
    first, many = found.listed.first, found.listed.by_rule.total()
    counts = ", ".join(f"{rule} {n:,}" for rule, n in sorted(found.listed.by_rule.items()))
    message = (
        f"{many:,} problem{'s' if many > 1 else ''} in the annotation text ({counts}); "
        f"{paths.PARSED} was not written; all of them: {FAILED_PROBLEMS}"
    )
    hint = _way_out(policy, images=found.bad_images)
    return ProblemsError("\n".join([message, *found.guesses()]), first, hint=hint, more=many - len(first))


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
