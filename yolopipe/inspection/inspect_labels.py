"""``yolopipe inspect-labels``: what the network is taught by the shards that lie there."""

from __future__ import annotations

import difflib
import shlex
import webbrowser
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from yolopipe import console, paths
from yolopipe.errors import DataError, ShardError, UsageError
from yolopipe.imaging import drawing
from yolopipe.inspection import grid_text, overlay
from yolopipe.inspection import label_text as text
from yolopipe.inspection.checks.check_report import SEVERITIES, CheckReport
from yolopipe.inspection.checks.check_text import report_json, report_text, rule_text
from yolopipe.inspection.checks.origins import source_boxes
from yolopipe.inspection.checks.rules import RULES
from yolopipe.inspection.checks.run_checks import run_checks
from yolopipe.inspection.label_page import write_page
from yolopipe.pages.document import page_path
from yolopipe.result import CommandResult
from yolopipe.shards.manifest import Manifest, load_manifest
from yolopipe.shards.reader import read_rows
from yolopipe.shards.schema import Row
from yolopipe.shards.targets import BoxTargets, Totals, Trouble, box_targets, split_totals
from yolopipe.workers.pool import Workers

__all__ = ["Inspection", "find_row", "run"]

SHEET_IMAGES = 12


@dataclass(frozen=True)
class Inspection(CommandResult):
    """A result whose ``text`` is the whole answer for people, at most 100 columns wide.

    Args:
        text: for people.
        exit_code: 1 when a check found something at or above ``--fail-on``.
    """

    text: str = ""
    exit_code: int = 0


def run(
    *,
    shards: str | Path = paths.SHARDS,
    image: str | None = None,
    split: str = "train",
    copy: int | None = None,
    out: str | Path | None = None,
    scale: int | None = None,
    fail_on: str = "error",
    only: str | None = None,
    params: str | Path | None = None,
    workers: Workers = 1,
    html: str | Path | None = None,
    open_page: bool = False,
) -> Inspection:
    """Inspect a data set: what a split teaches, and all checks; or one image.

    Args:
        shards: the folder of shards.
        image: path of an image as in the annotation text, or enough of its end to be unique, or its name without
            suffix; None for the totals of the split.
        split: ``train`` or ``val``.
        copy: which augmented copy; None means all for the totals and 0 for an image.
        out: a PNG to draw: the image and its three scales (or the one of ``scale``), or the first images of the
            split.
        scale: with an image, the stride whose grid is shown.
        fail_on: ``error``, ``warning`` or ``never``: from which severity on a check that finds something makes the
            exit code 1.
        only: without an image, one rule of the checks with all its places.
        params: the params file, for the names of the annotation files.
        workers: processes that read source images.
        html: without an image, the page to write, for all splits.
        open_page: show the page in the browser; without ``html`` it goes to ``.yolopipe/labels.html``.

    Returns:
        ``text`` for people, ``report`` for programs.

    Raises:
        UsageError: a copy, scale or rule that is not there, or an ``out`` that is not a PNG.
        DataError: no such image, or several.
        ShardError: shards missing or damaged, or labels that are not what the rule gives.
    """
    manifest = load_manifest(shards)
    _check_request(manifest, shards, split, copy, out)
    if scale is not None and scale not in manifest.strides:
        raise UsageError(f"--scale is one of {', '.join(map(str, manifest.strides))}, got {scale}")
    folder = Path(shards)
    page = _wanted_page(html, open_page, image or only)
    if image is not None:
        if only is not None:
            raise UsageError("--only shows a rule over the whole data set, --image one image: give one of them")
        return _inspect_image(folder, manifest, split, copy or 0, image, out, scale)
    _check_rule(only, scale, manifest)
    report = run_checks(folder, workers=workers, params=params, manifest=manifest)
    if only is not None:
        return _with_checks(Inspection("", {}), _only(report, only), only, fail_on)
    result = _with_checks(_inspect_split(folder, manifest, split, copy, out), report, None, fail_on)
    return result if page is None else _with_page(result, page, folder, manifest, report, open_page)


def _check_request(
    manifest: Manifest, shards: str | Path, split: str, copy: int | None, out: str | Path | None
) -> None:
    if split not in manifest.splits:
        raise UsageError(f"{shards} has no split {split!r}; it has {', '.join(sorted(manifest.splits))}")
    copies = manifest.splits[split].copies
    if copy is not None and not 0 <= copy < copies:
        raise UsageError(f"{split} has copies 0 to {copies - 1}, got --copy {copy}")
    if out is not None and Path(out).suffix.lower() != ".png":
        raise UsageError(f"--out writes a PNG, got {str(out)!r}", hint=f"--out {Path(out).with_suffix('.png')}")


def _check_rule(only: str | None, scale: int | None, manifest: Manifest) -> None:
    if scale is not None:
        raise UsageError("--scale shows the grid of one image", hint=f"--image NAME --scale {scale}")
    if only is not None and only not in RULES:
        near = difflib.get_close_matches(only, RULES, n=1, cutoff=0.5)
        hint = f"--only {near[0]}" if near else None
        raise UsageError(f"no rule {only!r}; the rules are {', '.join(RULES)}", hint=hint)


def _only(report: CheckReport, rule: str) -> CheckReport:
    checks = tuple(check for check in report.checks if check.rule == rule)
    if not checks:
        why = "; ".join(sentence for sentence in report.left_out if rule in sentence)
        hint = "run it in the project that the shards were made in, or with --shards PROJECT/data/shards"
        raise DataError(f"{rule} could not be checked: {why}", hint=hint)
    return replace(report, checks=checks)


def _with_checks(result: Inspection, report: CheckReport, only: str | None, fail_on: str) -> Inspection:
    """The result and the checks: their text after its own, their facts under ``check_report``."""
    failing = SEVERITIES[: SEVERITIES.index("warning" if fail_on == "warning" else "error") + 1]
    found = any(report.found(severity) for severity in failing) and fail_on != "never"
    said = report_text(report) if only is None else rule_text(report, only)
    return replace(
        result,
        text="\n\n".join(filter(None, [result.text, said])),
        report={**result.report, "check_report": report_json(report)},
        exit_code=int(found),
    )


def _wanted_page(html: str | Path | None, open_page: bool, part: str | None) -> Path | None:
    if html is None and not open_page:
        return None
    if part is not None:
        raise UsageError("the page shows the whole data set", hint="leave out --image and --only; the page has both")
    return page_path(paths.LABELS_PAGE if html is None else html)


def _with_page(
    result: Inspection, file: str | Path, shards: Path, manifest: Manifest, report: CheckReport, open_page: bool
) -> Inspection:
    """The result, and the page written: where, how large, and what is not on it."""
    images = sum(_row_count(manifest, split, 0) for split in manifest.splits)
    with console.progress("page", images) as advance:
        page = write_page(file, shards=shards, manifest=manifest, report=report, advance=advance)
    shown = open_page and webbrowser.open(page.file.resolve().as_uri())
    said = [f"page: {page.file}, {page.bytes / 1e6:.1f} MB, {page.images:,} images; open it in any browser"]
    said += [f"  not on it: {sentence}" for sentence in page.left_out]
    said += ["  no browser could be started here"] if open_page and not shown else []
    facts = {"file": str(page.file), "bytes": page.bytes, "images": page.images, "left_out": list(page.left_out)}
    return replace(
        result, text="\n".join([result.text, "", *said]), report={**result.report, "page": facts}, next_step=None
    )


def _inspect_image(
    shards: Path, manifest: Manifest, split: str, copy: int, image: str, out: str | Path | None, scale: int | None
) -> Inspection:
    row = find_row(shards, manifest, split, copy, image)
    targets = box_targets(row, manifest)
    if scale is not None:
        return _inspect_scale(row, targets, manifest, split, scale, out, source_boxes(shards, split, row))
    if out is not None:
        drawing.save_png(out, overlay.row_picture(row, targets, manifest, split=split))
    return Inspection(
        title=f"{row.path}, {len(targets)} boxes",
        rows={"picture": out} if out is not None else {},
        report=text.row_report(row, targets, manifest, split=split),
        next_step=None if out is not None else "the same with --out taught.png draws it",
        text=text.row_text(row, targets, manifest, split=split),
    )


def _inspect_scale(
    row: Row,
    targets: Sequence[BoxTargets],
    manifest: Manifest,
    split: str,
    scale: int,
    out: str | Path | None,
    source_xyxy: npt.NDArray[np.float32] | None,
) -> Inspection:
    positives = grid_text.positives_of(row, targets, manifest, scale, source_xyxy)
    if out is not None:
        drawing.save_png(out, overlay.scale_picture(row, targets, manifest, scale, split=split))
    return Inspection(
        title=f"{row.path}, stride {scale}",
        rows={"picture": out} if out is not None else {},
        report=grid_text.scale_report(row, positives, manifest, scale, split=split),
        next_step=None if out is not None else f"the same with --out stride{scale}.png draws it",
        text=grid_text.scale_text(row, positives, manifest, scale, split=split),
    )


def _inspect_split(
    shards: Path, manifest: Manifest, split: str, copy: int | None, out: str | Path | None
) -> Inspection:
    first: list[Row] = []
    with console.progress("inspect", _row_count(manifest, split, copy)) as advance:
        rows = _watched(read_rows(shards, manifest, split, copy=copy, pixels=out is not None), advance, first)
        totals = split_totals(rows, manifest)
    if copy is None:
        _compare_with_manifest(totals, manifest, split)
    if out is not None:
        if not first:
            raise DataError(f"{split} has no images to draw")
        drawing.save_png(out, overlay.sheet_picture([(row, box_targets(row, manifest)) for row in first], manifest))
    worst = totals.worst(1)
    return Inspection(
        title=f"{split}, {totals.images:,} images, {totals.boxes:,} boxes",
        rows={"picture": out} if out is not None else {},
        report=text.totals_report(totals, manifest, split=split, copy=copy),
        next_step=_look_at(worst[0], split) if worst else None,
        text=text.totals_text(totals, manifest, split=split, copy=copy),
    )


def _look_at(trouble: Trouble, split: str) -> str:
    copy = f" --copy {trouble.copy}" if trouble.copy else ""
    return f"yolopipe inspect-labels --image {shlex.quote(trouble.path)} --split {split}{copy} --out taught.png"


def _row_count(manifest: Manifest, split: str, copy: int | None) -> int:
    return sum(shard.rows for shard in manifest.splits[split].of_copy(copy))


def _watched(rows: Iterable[Row], advance: console.Advance, first: list[Row]) -> Iterator[Row]:
    """The rows, counted for the progress line; the first few are kept for the picture."""
    for row in rows:
        if len(first) < SHEET_IMAGES:
            first.append(row)
        advance(1)
        yield row


def _compare_with_manifest(totals: Totals, manifest: Manifest, split: str) -> None:
    info = manifest.splits[split]
    positives = {str(s): tuple(totals.positives[i].tolist()) for i, s in enumerate(manifest.strides)}
    facts = {
        "boxes": (totals.boxes, info.boxes),
        "backgrounds": (totals.backgrounds, info.backgrounds),
        "overwritten": (totals.overwritten, info.overwritten),
        "partly_overwritten": (totals.partly_overwritten, info.partly_overwritten),
        "forced": (totals.forced, info.forced),
        "past_list_end": (totals.past_list_end, info.past_list_end),
        "without_positive": (totals.without_positive, dict(info.without_positive)),
        "positives": (positives, dict(info.positives)),
        "smaller": ({str(size): labels for size, labels in totals.smaller.items()}, dict(info.smaller)),
    }
    for name, (found, written) in facts.items():
        if found != written:
            raise ShardError(
                f"{split}: {name} is {found} in the shards, the manifest says {written}",
                hint="make the shards again: dvc repro -f precompute",
            )


def find_row(shards: str | Path, manifest: Manifest, split: str, copy: int, image: str) -> Row:
    """The row of an image.

    Args:
        shards: the folder of shards.
        manifest: of the same shards.
        split: ``train`` or ``val``.
        copy: which augmented copy.
        image: the path as in the annotation text, its end, or the file name without suffix.

    Raises:
        DataError: no such image, with the nearest names; or several, with the first of them.
    """
    similar: list[Row] = []
    names: list[str] = []
    for row in read_rows(shards, manifest, split, copy=copy):
        if row.path == image:
            return row
        names.append(row.path)
        if _is_end_of(image, row.path):
            similar.append(row)
    if len(similar) == 1:
        return similar[0]
    if similar:
        shown = ", ".join(row.path for row in similar[:5]) + (", ..." if len(similar) > 5 else "")
        raise DataError(f"{image!r} fits {len(similar)} images of {split}: {shown}", hint="give more of the path")
    raise DataError(f"{split} has no image {image!r}", hint=_nearest(shards, manifest, split, image, names))


def _is_end_of(image: str, path: str) -> bool:
    return path.endswith(f"/{image}") or PurePosixPath(path).name == image or PurePosixPath(path).stem == image


def _nearest(shards: str | Path, manifest: Manifest, split: str, image: str, names: list[str]) -> str | None:
    for other in sorted(set(manifest.splits) - {split}):
        if any(
            row.path == image or _is_end_of(image, row.path) for row in read_rows(shards, manifest, other, copy=0)
        ):
            return f"it is in {other}: --split {other}"
    by_name = {PurePosixPath(name).name: name for name in names}
    near = difflib.get_close_matches(PurePosixPath(image).name, by_name, n=3, cutoff=0.6)
    return "did you mean " + ", ".join(by_name[name] for name in near) + "?" if near else None
