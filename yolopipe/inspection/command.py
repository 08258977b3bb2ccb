"""``yolopipe inspect-labels``: what the network is taught by the shards that lie there."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from yolopipe import console, drawing, paths
from yolopipe.errors import DataError, ShardError, UsageError
from yolopipe.inspection import overlay, text
from yolopipe.inspection.targets import Totals, Trouble, box_targets, split_totals
from yolopipe.shards.manifest import Manifest, load_manifest
from yolopipe.shards.reader import read_rows
from yolopipe.shards.schema import Row
from yolopipe.stages import StageResult

__all__ = ["Inspection", "find_row", "run"]

SHEET_IMAGES = 12


@dataclass(frozen=True)
class Inspection(StageResult):
    """A result whose ``text`` is the whole answer for people, at most 100 columns wide."""

    text: str = ""


def run(
    *,
    shards: str | Path = paths.SHARDS,
    image: str | None = None,
    split: str = "train",
    copy: int | None = None,
    out: str | Path | None = None,
) -> Inspection:
    """Inspect a split, or one image of it.

    Args:
        shards: the folder of shards.
        image: path of an image as in the annotation text, or enough of its end to be unique, or its name without
            suffix; None for the totals of the split.
        split: ``train`` or ``val``.
        copy: which augmented copy; None means all for the totals and 0 for an image.
        out: a PNG to draw: the image and its three scales, or the first images of the split.

    Returns:
        ``text`` for people, ``report`` for programs.

    Raises:
        UsageError: a copy that is not there, or an ``out`` that is not a PNG.
        DataError: no such image, or several.
        ShardError: shards missing or damaged, or labels that are not what the rule gives.
    """
    manifest = load_manifest(shards)
    _check_request(manifest, shards, split, copy, out)
    if image is None:
        return _inspect_split(Path(shards), manifest, split, copy, out)
    return _inspect_image(Path(shards), manifest, split, copy or 0, image, out)


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


def _inspect_image(
    shards: Path, manifest: Manifest, split: str, copy: int, image: str, out: str | Path | None
) -> Inspection:
    row = find_row(shards, manifest, split, copy, image)
    targets = box_targets(row, manifest)
    if out is not None:
        drawing.save_png(out, overlay.row_picture(row, targets, manifest, split=split))
    return Inspection(
        title=f"{row.path}, {len(targets)} boxes",
        rows={"picture": out} if out is not None else {},
        report=text.row_report(row, targets, manifest, split=split),
        next_step=None if out is not None else "the same with --out taught.png draws it",
        text=text.row_text(row, targets, manifest, split=split),
    )


def _inspect_split(
    shards: Path, manifest: Manifest, split: str, copy: int | None, out: str | Path | None
) -> Inspection:
    first: list[Row] = []
    with console.progress("inspect", _row_count(manifest, split, copy)) as advance:
        rows = _watched(read_rows(shards, manifest, split, copy=copy), advance, first)
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
