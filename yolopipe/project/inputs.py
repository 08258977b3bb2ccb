"""Checks of the inputs that ``params.yaml`` names under ``data``.

Only the first lines and images are read, by the rules of ``parse``, which reads all: what ``parse`` would fail on is
an error, what it would drop or clip (``parse.on_bad``) a warning.  Corrections are read as a whole, and compared with
the lines that are read.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from yolopipe import paths
from yolopipe.config.params import Data, Parse, Precompute
from yolopipe.config.params_file import ParamsFile
from yolopipe.errors import DataError
from yolopipe.files import sha256_file
from yolopipe.formats.annotation_line import BLANKS, is_comment
from yolopipe.formats.class_names import read_class_names
from yolopipe.formats.text_lines import read_lines
from yolopipe.parsing.apply_corrections import CorrectionTally
from yolopipe.parsing.box_rules import BoxChecker
from yolopipe.parsing.correction_index import CorrectionsFile, load_corrections
from yolopipe.parsing.cross_checks import with_cross_checks
from yolopipe.parsing.lines import LinesTask, check_lines
from yolopipe.parsing.policy import CheckedChunk, Finding, Policy, action_of, correction_finding
from yolopipe.parsing.summary import SPLITS
from yolopipe.project.check_rows import CheckRow, class_list, ok

__all__ = ["check_inputs", "uses_sample"]

FIRST_LINES = 200
MOST_NAMED = 3
"""Mistakes listed for one file; ``parse`` lists all."""


def uses_sample(data: Data) -> bool:
    """Whether ``data`` names the embedded data.

    >>> uses_sample(Data(train="data/sample/train.txt", val="v.txt", classes="c", images="i"))
    True
    """
    root = os.path.join(os.path.abspath(paths.SAMPLE), "")
    return any(os.path.abspath(path).startswith(root) for path in data.model_dump().values())


def check_inputs(params: ParamsFile, data: Data) -> list[CheckRow]:
    """Check what the section ``data`` names: a row each, or one for each mistake.

    Args:
        params: for the line of each key.
        data: its section ``data``, valid.
    """
    inputs = _Inputs(params, data, uses_sample(data) and (paths.SAMPLE / "dvc.yaml").is_file())
    names, rows = inputs.class_names()
    rows += inputs.images()
    corrections, more = inputs.corrections(len(names))
    rows += [*inputs.annotations(len(names), corrections), *more]
    if os.path.abspath(data.train) == os.path.abspath(data.val):
        advice = "list images that are not trained on: scores on training images are meaningless"
        rows.append(inputs.row("val", "data.train and data.val are the same file", advice))
    return rows


@dataclass(frozen=True)
class _Inputs:
    params: ParamsFile
    data: Data
    made_by_dvc: bool
    """By the stage of the embedded data."""

    def row(self, key: str, result: str, advice: str) -> CheckRow:
        return CheckRow(f"data.{key}", f"{self.params.place('data', key)}: {result}", "error", advice)

    def missing(self, key: str, there: Callable[[Path], bool], what: str) -> list[CheckRow]:
        path = Path(getattr(self.data, key))
        if there(path):
            return []
        if self.made_by_dvc and not path.exists():
            return [ok(f"data.{key}", f"{path} does not exist yet; dvc repro makes it")]
        return [self.row(key, f"no {what} {path} in {Path.cwd()}", f"fix data.{key}, or put the {what} there")]

    def class_names(self) -> tuple[tuple[str, ...], list[CheckRow]]:
        missing = self.missing("classes", Path.is_file, "file")
        if missing:
            return (), missing
        try:
            names = read_class_names(self.data.classes)
        except DataError as error:
            return (), [
                CheckRow("data.classes", error.message, "error", error.hint or "one name a line, each name once")
            ]
        return names, [ok("data.classes", f"{len(names)} class{'es' * (len(names) > 1)}: {class_list(names)}")]

    def images(self) -> list[CheckRow]:
        folder = self.data.images
        return self.missing("images", Path.is_dir, "folder") or [ok("data.images", f"{folder} is a folder")]

    def corrections(self, classes: int) -> tuple[CorrectionsFile | None, list[CheckRow]]:
        """The file ``data.corrections``, if one is named and can be read; else the row that says why not."""
        file = self.data.corrections
        rows = self.missing("corrections", Path.is_file, "file") if file else []
        if not file or rows:
            return None, rows
        try:
            source = CorrectionsFile(file, Path.cwd(), sha256_file(file), classes)
            load_corrections(source)
        except DataError as error:
            advice = error.hint or "one change a line: IMAGE WAS NOW (docs/corrections.md)"
            return None, [CheckRow("data.corrections", error.message, "error", advice)]
        return source, []

    def annotations(self, classes: int, corrections: CorrectionsFile | None) -> list[CheckRow]:
        """Rows of train, val and corrections; without class names, class numbers are not checked."""
        rows: list[CheckRow] = []
        whole = True
        policy, checker = self._rules(classes)
        chunks: list[tuple[str, CheckedChunk]] = []
        for split in SPLITS:
            name, file = f"data.{split}", getattr(self.data, split)
            missing = self.missing(split, Path.is_file, "file")
            try:
                lines = [] if missing else list(itertools.islice(read_lines(file), FIRST_LINES))
            except DataError as error:
                lines = []
                missing = [CheckRow(name, error.message, "error", error.hint or "annotation text is UTF-8 text")]
            if not missing and not any(map(_is_filled, lines)):
                advice = "one image a line: path x1,y1,x2,y2,class ..."
                missing = [self.row(split, f"{file} lists no image", advice)]
            rows += missing
            whole &= 0 < len(lines) < FIRST_LINES
            if not missing:
                task = LinesTask(split, file, 1, lines, Path.cwd(), checker, policy, corrections)
                chunks.append(check_lines(task))
        for split, chunk in with_cross_checks(chunks, images=self.data.images, train=self.data.train):
            found = [finding for finding in chunk.findings if classes or finding.problem.rule != "class-range"]
            looked_at = f"first {len(chunk.text.image_paths)} lines and their images are readable"
            rows += list(_rows_of(f"data.{split}", found, policy)) or [
                ok(f"data.{split}", f"{chunk.text.file}: {looked_at}")
            ]
        return [*rows, *(self._correction_rows(corrections, chunks, policy, whole) if corrections else [])]

    def _correction_rows(
        self, source: CorrectionsFile, chunks: Sequence[tuple[str, CheckedChunk]], policy: Policy, whole: bool
    ) -> list[CheckRow]:
        """Rows of ``data.corrections``; an image may lie past the lines looked at unless the texts are ``whole``."""
        tally = CorrectionTally(load_corrections(source))
        for _, chunk in chunks:
            tally.add(chunk.applied)
        found = [
            correction_finding(problem)
            for problem in tally.problems(f"{self.data.train} or {self.data.val}")
            if whole or problem.rule != "unknown-image"
        ]
        fit = f"{len(tally.index.corrections):,} corrections, {len(tally.used):,} of them compared with the texts"
        return list(_rows_of("data.corrections", found, policy)) or [
            ok("data.corrections", f"{source.name}: {fit}"),
        ]

    def _rules(self, classes: int) -> tuple[Policy, BoxChecker]:
        """Those of the params; the defaults where another section of the params is wrong."""
        config = self.params.config
        parse = config.parse if config else Parse()
        precompute = config.precompute if config else Precompute()
        return parse.on_bad, BoxChecker(classes, precompute.smallest_size, parse.min_box_px)


def _is_filled(line: str | None) -> bool:
    return line is None or bool(line.strip(BLANKS) and not is_comment(line))


def _rows_of(name: str, findings: Sequence[Finding], policy: Policy) -> Iterator[CheckRow]:
    """A row for each of the first findings that ``parse`` fails on, and of those it drops, clips or notes."""
    actions = [action_of(finding.scope, finding.problem.rule, policy) for finding in findings]
    for severity in ("error", "warning"):
        found = [
            (finding.problem, action)
            for finding, action in zip(findings, actions, strict=True)
            if (action == "failed") == (severity == "error")
        ]
        for problem, action in found[:MOST_NAMED]:
            place = f"{problem.file}:{problem.line}"
            yield CheckRow(name, f"{place}: {problem.message}", severity, _advice(problem.rule, action, policy))
        if len(found) > MOST_NAMED:
            more = f"and {len(found) - MOST_NAMED} more in the first {FIRST_LINES} lines"
            yield CheckRow(name, more, severity, "yolopipe parse")


def _advice(rule: str, action: str, policy: Policy) -> str:
    if rule == "outside-images-folder":
        return "under data.images, enter the folder that contains all images"
    if rule == "repeated-correction":
        return "remove one of the lines"
    if action == "failed":
        return "fix it; yolopipe parse lists all mistakes"
    return f"parse.on_bad is {policy}: yolopipe parse lists it as {action}"
