"""One image of ``inspect-labels``: its boxes with their anchors, or the grid of one scale; text or a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from yolopipe.errors import UsageError
from yolopipe.imaging.drawing import save_png
from yolopipe.inspection import grid_text, label_text, overlay
from yolopipe.inspection.checks.origins import source_boxes
from yolopipe.inspection.image_search import find_row
from yolopipe.inspection.inspection_result import Inspection
from yolopipe.inspection.label_request import ImageRequest
from yolopipe.shards.manifest import Manifest
from yolopipe.shards.targets import box_targets

__all__ = ["inspect_image"]


def inspect_image(shards: Path, manifest: Manifest, request: ImageRequest, files: Mapping[str, str]) -> Inspection:
    """The labels of one image.

    Args:
        shards: the folder of shards.
        manifest: of the same shards.
        request: which image, and how.
        files: annotation file by split, and that of the corrections, where known.

    Raises:
        UsageError: a scale that the network does not have.
        DataError: no such image, or several.
        ShardError: shards damaged, or labels that differ from an assignment of their boxes.
    """
    if request.scale is not None and request.scale not in manifest.strides:
        raise UsageError(f"--scale is one of {', '.join(map(str, manifest.strides))}, got {request.scale}")
    if request.scale is not None:
        return _one_scale(shards, manifest, request, request.scale, files)
    return _all_scales(shards, manifest, request, files)


def _all_scales(shards: Path, manifest: Manifest, request: ImageRequest, files: Mapping[str, str]) -> Inspection:
    split, out = request.split, request.out
    row = find_row(shards, manifest, split, request.copy, request.image)
    targets = box_targets(row, manifest)
    if out is not None:
        save_png(out, overlay.row_picture(row, targets, manifest, split=split))
    return Inspection(
        title=f"{row.path}, {len(targets)} boxes",
        rows={"picture": out} if out is not None else {},
        report=label_text.row_report(row, targets, manifest, split=split, files=files),
        next_step=None if out is not None else "add --out labels.png to draw them",
        text=label_text.row_text(row, targets, manifest, split=split, files=files),
    )


def _one_scale(
    shards: Path, manifest: Manifest, request: ImageRequest, scale: int, files: Mapping[str, str]
) -> Inspection:
    split, out = request.split, request.out
    row = find_row(shards, manifest, split, request.copy, request.image)
    targets = box_targets(row, manifest)
    positives = grid_text.positives_of(row, targets, manifest, scale, source_boxes(shards, split, row))
    if out is not None:
        save_png(out, overlay.scale_picture(row, targets, manifest, scale, split=split))
    return Inspection(
        title=f"{row.path}, stride {scale}",
        rows={"picture": out} if out is not None else {},
        report=grid_text.scale_report(row, positives, manifest, scale, split=split, files=files),
        next_step=None if out is not None else f"add --out stride{scale}.png to draw it",
        text=grid_text.scale_text(row, positives, manifest, scale, split=split, files=files),
    )
