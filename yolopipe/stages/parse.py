"""Stage ``parse``: annotation text, class names and image headers to one table per split and a list of problems."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from yolopipe import console, paths
from yolopipe.config.params import Config
from yolopipe.errors import DataError, ProblemsError
from yolopipe.files import atomic_directory, atomic_file, sha256_file, write_json
from yolopipe.formats.annotation_line import BLANKS, is_comment
from yolopipe.formats.class_names import read_class_names
from yolopipe.formats.text_lines import read_lines
from yolopipe.imaging.headers import FEW_IMAGES
from yolopipe.parsing.apply_corrections import CorrectionTally
from yolopipe.parsing.box_rules import BoxChecker, guess_format
from yolopipe.parsing.correction_index import CorrectionsFile, load_corrections
from yolopipe.parsing.cross_checks import with_cross_checks
from yolopipe.parsing.lines import LinesTask, check_lines, in_chunks
from yolopipe.parsing.policy import (
    CheckedChunk,
    Finding,
    Policy,
    action_of,
    apply_policy,
    blocking_problems,
    correction_finding,
)
from yolopipe.parsing.summary import (
    SPLITS,
    Counts,
    ParsedChunk,
    add_counts,
    counts_of,
    nested_counts,
    split_counts,
    summary_of,
)
from yolopipe.problems import ProblemList, problem_list
from yolopipe.result import CommandResult
from yolopipe.tables import PARSED_SCHEMA, Boxes, box_columns, table_writer
from yolopipe.workers.mapping import map_in_order
from yolopipe.workers.pool import Workers

__all__ = ["FAILED_PROBLEMS", "run"]

FAILED_PROBLEMS = paths.SIDE / "parse-problems.csv"
"""All problems of a failed run."""

CHUNK_LINES = 512
"""Lines of annotation text that one worker reads and checks at a time, and rows of a row group of the table.  Only
chunks are in memory, however long the text is, and 20 bytes an image, to find images listed twice."""
Read = TypeVar("Read")


def run(config: Config, *, workers: Workers = 1) -> CommandResult:
    """Correct the boxes, check every image and every box, and write the tables of those that are good.

    Args:
        config: reads ``data``, ``parse`` and ``precompute.input_size``.
        workers: processes that read lines and image headers; changes nothing but the time.

    Returns:
        What was read, dropped and written.

    Raises:
        DataError: a file that ``data`` names is missing or lists no image.
        ProblemsError: bad images or boxes that ``parse.on_bad`` does not handle; only the list of them is written.
    """
    names = _read_named(config, "classes", read_class_names)
    images = {name: _read_named(config, name, _count_images) for name in SPLITS}
    if not Path(config.data.images).is_dir():
        raise _missing(config, "images", f"no folder {config.data.images}")
    for name, count in images.items():
        if not count:
            raise _missing(config, name, f"{getattr(config.data, name)} lists no image")
    corrections = _corrections(config, len(names))
    tally = CorrectionTally(load_corrections(corrections)) if corrections else None
    policy = config.parse.on_bad
    with atomic_directory(paths.PARSED) as folder:
        with ExitStack() as stack:
            listed = stack.enter_context(problem_list(folder / "problems.csv"))
            write = {
                name: stack.enter_context(table_writer(folder / f"{name}.parquet", PARSED_SCHEMA, names))
                for name in SPLITS
            }
            output = _Output(policy, names, listed, write)
            chunks = _checked(config, len(names), sum(images.values()), workers, corrections)
            for name, chunk in with_cross_checks(chunks, images=config.data.images, train=config.data.train):
                output.add(name, chunk)
                if tally is not None:
                    tally.add(chunk.applied)
            if tally is not None:
                output.add_corrections(tally, f"{config.data.train} or {config.data.val}")
        if output.blocked:
            raise _blocked(output, folder / "problems.csv", policy)
        for name, split in output.counts.items():
            if split["images"] == 0:
                file = getattr(config.data, name)
                raise _missing(config, name, f"all images of {file} were dropped as bad")
        counts = counts_of(output.counts, names, policy, output.corrections)
        write_json(folder / "counts.json", counts)
    FAILED_PROBLEMS.unlink(missing_ok=True)
    return summary_of(counts, names, output.guesses())


def _read_named(config: Config, key: str, read: Callable[[str], Read]) -> Read:
    """Read a file that ``data`` names; an error for a missing one names its key."""
    file = getattr(config.data, key)
    if not Path(file).is_file():
        raise _missing(config, key, f"no file {file}")
    return read(file)


def _corrections(config: Config, classes: int) -> CorrectionsFile | None:
    """The file ``data.corrections``, if one is named."""
    file = config.data.corrections
    if not file:
        return None
    if not Path(file).is_file():
        message = f"no file {file} (params.yaml: data.corrections; the project folder is {Path.cwd()})"
        raise DataError(message, hint='fix data.corrections in params.yaml, or set it to "" for none')
    return CorrectionsFile(file, Path.cwd(), sha256_file(file), classes)


def _missing(config: Config, key: str, message: str) -> DataError:
    file = getattr(config.data, key)
    return DataError(
        f"{message} (params.yaml: data.{key}: {file}; the project folder is {Path.cwd()})",
        hint=f"fix data.{key} in params.yaml, or make the embedded data: yolopipe sample",
    )


def _count_images(file: str) -> int:
    """Number of lines that should list an image.

    A pass of its own: it finds an empty text before any work, and gives progress a total.
    """
    return sum(line is None or bool(line.strip(BLANKS) and not is_comment(line)) for line in read_lines(file))


def _checked(
    config: Config, classes: int, images: int, workers: Workers, corrections: CorrectionsFile | None
) -> Iterator[tuple[str, CheckedChunk]]:
    """The checked chunks of train and then of val, in the order of the text; few of them exist at a time."""
    checker = BoxChecker(classes, config.precompute.smallest_size, config.parse.min_box_px)

    def tasks() -> Iterator[LinesTask]:
        for split in SPLITS:
            file = getattr(config.data, split)
            for first, lines in in_chunks(read_lines(file), CHUNK_LINES):
                yield LinesTask(split, file, first, lines, Path.cwd(), checker, config.parse.on_bad, corrections)

    workers = 1 if images <= FEW_IMAGES else workers
    with console.progress("parse", images) as advance:
        found = map_in_order(
            check_lines, tasks(), workers=workers, name=lambda task: f"{task.file}:{task.first_line}"
        )
        for split, chunk in found:
            advance(len(chunk.text.image_paths))
            yield split, chunk


class _Output:
    """The output of the run: tables and problems are written chunk by chunk, and counted.

    After the first problem that stops the run, only such problems are listed.

    Args:
        policy: ``parse.on_bad``.
        names: class names.
        listed: the file of problems.
        write: for each split, writes the next rows of its table.
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
        self.corrections: Counts | None = None
        self.blocked = False
        self.bad_images = False
        self.bad_corrections = False
        self.first_boxes: dict[str, npt.NDArray[np.float64]] = {}
        """For each file, the boxes of the first chunk that has any, to guess a wrong format from."""

    def add(self, split: str, chunk: CheckedChunk) -> None:
        """Add the next chunk of a split; write what the policy keeps of it, unless the run is to stop."""
        if len(chunk.text.boxes_xyxy):
            self.first_boxes.setdefault(chunk.text.file, chunk.text.boxes_xyxy)
        self.bad_images |= any(finding.scope == "image" for finding in chunk.findings)
        if self._blocks(chunk.findings):
            return
        parsed = ParsedChunk(chunk, apply_policy(chunk, self._policy))
        self.counts[split] = add_counts(self.counts[split], split_counts(parsed, self._names))
        self.listed.add(parsed.kept.problems)
        self._write[split](_table(parsed))

    def _blocks(self, findings: Sequence[Finding]) -> bool:
        """Whether these or earlier findings stop the run; if so, list those that do."""
        blocking = blocking_problems(findings, self._policy)
        if blocking and not self.blocked:
            self.blocked = True
            self.listed.clear()
        if self.blocked:
            self.listed.add(blocking)
        return self.blocked

    def add_corrections(self, tally: CorrectionTally, texts: str) -> None:
        """Count the corrections, after the last chunk; list those that cannot be applied."""
        found = [correction_finding(problem) for problem in tally.problems(texts)]
        self.bad_corrections = any(finding.scope == "correction" for finding in found)
        if self._blocks(found):
            return
        problems = [replace(f.problem, action=action_of(f.scope, f.problem.rule, self._policy)) for f in found]
        self.listed.add(problems)
        self.corrections = {**tally.counts(), "problems": nested_counts(problems)}

    def guesses(self) -> list[str]:
        """Other formats that the files may be in."""
        guessed = {file: guess_format(boxes) for file, boxes in self.first_boxes.items()}
        return [f"{file}: {guess}" for file, guess in guessed.items() if guess]


def _blocked(output: _Output, listed: Path, policy: Policy) -> ProblemsError:
    """Keep the list of problems; the error that names it."""
    with atomic_file(FAILED_PROBLEMS) as partial:
        shutil.copyfile(listed, partial)
    first, many = output.listed.first, output.listed.by_rule.total()
    counts = ", ".join(f"{rule} {n:,}" for rule, n in sorted(output.listed.by_rule.items()))
    corrected = " and its corrections" if output.bad_corrections else ""
    message = (
        f"{many:,} problem{'s' if many > 1 else ''} in the annotation text{corrected} ({counts}); "
        f"{paths.PARSED} was not written; all of them: {FAILED_PROBLEMS}"
    )
    hint = _hint(policy, images=output.bad_images)
    return ProblemsError("\n".join([message, *output.guesses()]), first, hint=hint, more=many - len(first))


def _hint(policy: Policy, *, images: bool) -> str:
    if policy != "fail":
        return f"fix them, or set parse.on_bad: drop-image in params.yaml ({policy} keeps or drops boxes only)"
    choices = "drop-image" if images else "clip (boxes partly outside), drop-box or drop-image"
    return f"fix them, or set parse.on_bad in params.yaml: {choices}"


def _table(parsed: ParsedChunk) -> pa.Table:
    text, chunk, kept = parsed.chunk.text, parsed.chunk, parsed.kept
    size = chunk.size_wh[kept.images]
    limits = np.tile(chunk.size_wh[text.box_image[kept.boxes]], 2)
    # Corners up to SLACK_PX outside move to the edge.
    boxes = np.clip(chunk.boxes_xyxy[kept.boxes], 0, limits).astype(np.float32)
    row = (np.cumsum(kept.images) - 1)[text.box_image[kept.boxes]]
    every = Boxes(
        boxes,
        text.classes[kept.boxes].astype(np.int32),
        chunk.applied.origins[kept.boxes],
        np.searchsorted(row, np.arange(len(size) + 1)),
    )
    ignore = text.ignore[kept.boxes]
    columns = {
        "image": pa.array([text.image_paths[i] for i in np.flatnonzero(kept.images)], pa.string()),
        "line": pa.array(text.lines[kept.images], pa.int32()),
        "width": pa.array(size[:, 0], pa.int32()),
        "height": pa.array(size[:, 1], pa.int32()),
        "orientation": pa.array(chunk.orientation[kept.images], pa.int32()),
        **box_columns(every.where(~ignore), every.where(ignore)),
    }
    return pa.table([columns[name] for name in PARSED_SCHEMA.names], schema=PARSED_SCHEMA)
