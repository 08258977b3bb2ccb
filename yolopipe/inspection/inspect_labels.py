"""``yolopipe inspect-labels``: the labels in the shards, and the checks of the data set."""

from __future__ import annotations

import shlex
import webbrowser
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal

from yolopipe.errors import DataError, UsageError
from yolopipe.imaging.drawing import save_png
from yolopipe.inspection import label_text, overlay
from yolopipe.inspection.checks.check_report import SEVERITIES, CheckReport
from yolopipe.inspection.checks.check_text import report_json, report_text, rule_text
from yolopipe.inspection.checks.dataset import DatasetBuilder
from yolopipe.inspection.checks.origins import annotation_files
from yolopipe.inspection.checks.run_checks import run_checks
from yolopipe.inspection.inspect_image import inspect_image
from yolopipe.inspection.inspection_result import Inspection
from yolopipe.inspection.label_page import ChartCounts, PageFile, write_page
from yolopipe.inspection.label_pass import BatchReader, read_labels
from yolopipe.inspection.label_request import DatasetRequest, ImageRequest, LabelRequest, RuleRequest
from yolopipe.inspection.label_totals import ImageTally, SplitTotals
from yolopipe.shards.manifest import Manifest, load_manifest
from yolopipe.shards.reader import read_rows
from yolopipe.shards.targets import box_targets
from yolopipe.workers.pool import Workers

__all__ = ["CheckOptions", "check_labels", "run"]

SHEET_IMAGES = 12


@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """How the data set is checked.

    Args:
        fail_on: the lowest severity that makes the exit code 1.
        params: the params file, for the names of the annotation files; by default that of the project.
        workers: processes that read source images; they do not change the result.
    """

    fail_on: Literal["error", "warning", "never"] = "error"
    params: str | Path | None = None
    workers: Workers = 1


def run(shards: str | Path, request: LabelRequest, options: CheckOptions = CheckOptions()) -> Inspection:
    """Inspect a data set, one rule of its checks, or one image.

    Args:
        shards: the folder of shards.
        request: what is asked for; from :func:`yolopipe.inspection.label_request.label_request`.
        options: of the checks; for one image only the params file is used.

    Returns:
        ``text`` for people, ``report`` for programs.

    Raises:
        UsageError: a split, copy or scale that does not exist.
        DataError: no such image, or several; or a rule that could not be checked.
        ShardError: shards missing or damaged, or labels that differ from an assignment of their boxes.
    """
    folder, manifest = Path(shards), load_manifest(shards)
    match request:
        case RuleRequest():
            return _inspect_rule(folder, manifest, request.rule, options)
        case ImageRequest():
            _check_copy(folder, manifest, request.split, request.copy)
            params = None if options.params is None else Path(options.params)
            return inspect_image(folder, manifest, request, annotation_files(folder, params, []))
        case DatasetRequest():
            _check_copy(folder, manifest, request.split, request.copy)
            return _inspect_dataset(folder, manifest, request, options)


def check_labels(shards: str | Path, options: CheckOptions = CheckOptions()) -> CheckReport:
    """Every check of a data set.

    Raises:
        ShardError: shards missing or damaged, or labels that differ from an assignment of their boxes.
    """
    return _read_and_check(Path(shards), load_manifest(shards), options)


def _read_and_check(
    shards: Path,
    manifest: Manifest,
    options: CheckOptions,
    others: Sequence[BatchReader] = (),
    more_copies: tuple[str, int | None] | None = None,
) -> CheckReport:
    """One pass over the labels for the checks and for all other readers, then the checks."""
    data = DatasetBuilder(manifest)
    read_labels(shards, manifest, [data, *others], more_copies=more_copies)
    return run_checks(data, shards, params=options.params, workers=options.workers)


def _inspect_rule(shards: Path, manifest: Manifest, rule: str, options: CheckOptions) -> Inspection:
    report = _one_rule(_read_and_check(shards, manifest, options), rule)
    return Inspection(
        title="",
        rows={},
        report={"check_report": report_json(report)},
        text=rule_text(report, rule),
        exit_code=_exit_code(report, options),
    )


def _one_rule(report: CheckReport, rule: str) -> CheckReport:
    checks = tuple(check for check in report.checks if check.rule == rule)
    if not checks:
        why = "; ".join(sentence for sentence in report.left_out if rule in sentence)
        hint = "run it in the project that the shards were made in, or with --shards PROJECT/data/shards"
        raise DataError(f"{rule} could not be checked: {why}", hint=hint)
    return replace(report, checks=checks)


def _inspect_dataset(shards: Path, manifest: Manifest, request: DatasetRequest, options: CheckOptions) -> Inspection:
    totals, counts = SplitTotals(request.split, request.copy), ChartCounts(manifest)
    readers: list[BatchReader] = [totals, counts] if request.page else [totals]
    report = _read_and_check(shards, manifest, options, readers, (request.split, request.copy))
    if request.copy is None:
        totals.compare(manifest)
    if request.out is not None:
        _draw_sheet(request.out, shards, manifest, request)
    texts = [label_text.totals_text(totals, manifest), report_text(report)]
    facts = {**label_text.totals_report(totals, manifest), "check_report": report_json(report)}
    if request.page is not None:
        page = write_page(request.page, shards=shards, manifest=manifest, report=report, counts=counts)
        texts.append(_page_text(page, request.open_page))
        facts["page"] = {**asdict(page), "file": str(page.file), "left_out": list(page.left_out)}
    return Inspection(
        title=f"{request.split}, {totals.images:,} images, {totals.boxes:,} boxes",
        rows={"picture": request.out} if request.out is not None else {},
        report=facts,
        next_step=None if request.page or not totals.worst else _show_image(totals.worst[0], request.split),
        text="\n\n".join(texts),
        exit_code=_exit_code(report, options),
    )


def _exit_code(report: CheckReport, options: CheckOptions) -> int:
    if options.fail_on == "never":
        return 0
    failing = SEVERITIES[: SEVERITIES.index(options.fail_on) + 1]
    return int(any(report.found(severity) for severity in failing))


def _draw_sheet(out: Path, shards: Path, manifest: Manifest, request: DatasetRequest) -> None:
    rows = list(islice(read_rows(shards, manifest, request.split, copy=request.copy), SHEET_IMAGES))
    if not rows:
        raise DataError(f"{request.split} has no images to draw")
    save_png(out, overlay.sheet_picture([(row, box_targets(row, manifest)) for row in rows], manifest))


def _page_text(page: PageFile, open_page: bool) -> str:
    shown = open_page and webbrowser.open(page.file.resolve().as_uri())
    lines = [f"page: {page.file}, {page.bytes / 1e6:.1f} MB, {page.images:,} images; open it in any browser"]
    lines += [f"  not on it: {sentence}" for sentence in page.left_out]
    lines += ["  no browser could be started here"] if open_page and not shown else []
    return "\n".join(lines)


def _show_image(tally: ImageTally, split: str) -> str:
    copy = f" --copy {tally.copy}" if tally.copy else ""
    return f"yolopipe inspect-labels --image {shlex.quote(tally.path)} --split {split}{copy} --out labels.png"


def _check_copy(shards: Path, manifest: Manifest, split: str, copy: int | None) -> None:
    if split not in manifest.splits:
        raise UsageError(f"{shards} has no split {split!r}; it has {', '.join(sorted(manifest.splits))}")
    copies = manifest.splits[split].copies
    if copy is not None and not 0 <= copy < copies:
        raise UsageError(f"{split} has copies 0 to {copies - 1}, got --copy {copy}")
