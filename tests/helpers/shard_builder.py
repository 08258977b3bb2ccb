"""Shards without images or stages: rows from boxes, written as the package writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from yolopipe.config.params import STRIDES
from yolopipe.files import sha256_file
from yolopipe.imaging.geometry import letterbox_matrix, transform_boxes
from yolopipe.labels.assign import assign
from yolopipe.labels.sparse import encode_sparse
from yolopipe.shards.manifest import Manifest, ShardInfo, SplitInfo, write_manifest
from yolopipe.shards.reader import WRITERS
from yolopipe.shards.schema import Row, RowBoxes

ANCHORS_PX = np.array(
    [[[6, 6], [10, 10], [14, 14]], [[20, 20], [28, 28], [36, 36]], [[48, 48], [64, 64], [90, 90]]], float
)


def build_row(
    path: str,
    boxes: list[list[float]],
    classes: list[int],
    *,
    size: int,
    source_wh: tuple[int, int] | None = None,
    copy: int = 0,
    list_length: int = 150,
    collisions: str = "notes",
    pixels: np.ndarray | None = None,
    ignored: list[list[float]] | None = None,
    ignored_classes: list[int] | None = None,
) -> Row:
    """A row whose boxes are given in source pixels; those to be ignored have class -1 by default."""
    source_wh = source_wh or (size, size)
    matrix = letterbox_matrix(source_wh, size)
    boxes_xyxy = transform_boxes(matrix, np.reshape(boxes, (-1, 4))).astype(np.float32)
    found = assign(
        boxes_xyxy,
        np.zeros(len(boxes_xyxy), np.int64),
        input_size=size,
        anchors=ANCHORS_PX / np.reshape(STRIDES, (3, 1, 1)),
        max_bbox_per_scale=list_length,
        collisions=collisions,
    )
    regions = transform_boxes(matrix, np.reshape(ignored or [], (-1, 4))).astype(np.float32)
    (labels,) = encode_sparse(found, np.zeros(len(boxes_xyxy), np.int64), 1, [len(regions)])
    image = np.full((size, size, 3), 90, np.uint8) if pixels is None else pixels
    found_boxes = _row_boxes(boxes_xyxy, classes)
    ignored_boxes = _row_boxes(regions, ignored_classes or [-1] * len(regions))
    return Row(path, copy, image.tobytes(), source_wh, matrix, found_boxes, tuple(labels), ignored_boxes)


def _row_boxes(boxes_xyxy: np.ndarray, classes: list[int]) -> RowBoxes:
    origins = np.column_stack([np.ones(len(classes)), np.arange(len(classes))])
    return RowBoxes(boxes_xyxy, np.array(classes, np.int32), origins.astype(np.int32))


def build_shards(
    folder: Path,
    splits: dict[str, list[Row]],
    *,
    size: int,
    class_names: tuple[str, ...],
    list_length: int = 150,
    form: str = "parquet",
    collisions: str = "notes",
    **wrong_counts: int,
) -> Manifest:
    """One shard for each copy of each split; ``wrong_counts`` replaces numbers of train's manifest entry."""
    folder.mkdir(parents=True)
    infos = {
        name: _split(folder, name, rows, size, len(class_names), list_length, form, collisions)
        for name, rows in splits.items()
    }
    if wrong_counts:
        infos["train"] = SplitInfo(**{**vars(infos["train"]), **wrong_counts})
    manifest = Manifest(
        format=form,
        encoding="raw",
        jpeg_quality=95,
        input_size=size,
        input_sizes=(size,),
        strides=STRIDES,
        anchors=tuple(tuple((w, h) for w, h in scale) for scale in ANCHORS_PX.tolist()),
        iou_threshold=0.3,
        max_bbox_per_scale=list_length,
        collisions=collisions,
        class_names=class_names,
        splits=infos,
    )
    write_manifest(folder, manifest)
    return manifest


def _split(
    folder: Path,
    name: str,
    rows: list[Row],
    size: int,
    num_classes: int,
    list_length: int,
    form: str,
    collisions: str,
) -> SplitInfo:
    row_of_box = np.repeat(np.arange(len(rows)), [len(row.classes) for row in rows])
    found = assign(
        np.concatenate([row.boxes_xyxy for row in rows]),
        row_of_box,
        input_size=size,
        anchors=ANCHORS_PX / np.reshape(STRIDES, (3, 1, 1)),
        max_bbox_per_scale=list_length,
        collisions=collisions,
    )
    copies = sorted({row.copy for row in rows})
    return SplitInfo(
        rows=len(rows),
        copies=len(copies),
        boxes=len(row_of_box),
        backgrounds=sum(len(row.classes) == 0 for row in rows),
        ignored=sum(len(row.ignored.classes) for row in rows),
        boxes_per_class=tuple(
            np.bincount(np.concatenate([row.classes for row in rows]), minlength=num_classes).tolist()
        ),
        positives={
            str(stride): tuple(np.bincount(scale.cell[scale.wins] % 3, minlength=3).tolist())
            for stride, scale in zip(STRIDES, found.scales, strict=True)
        },
        listed={str(s): int(scale.slot_wins.sum()) for s, scale in zip(STRIDES, found.scales, strict=True)},
        label_bytes=0,
        smaller={},
        shards=tuple(_shard(folder, name, copy, [row for row in rows if row.copy == copy], form) for copy in copies),
        without_positive=found.without_positive(),
        **found.counts(),
    )


def _shard(folder: Path, split: str, copy: int, rows: list[Row], form: str) -> ShardInfo:
    name = f"{split}-{copy}.{form}"
    WRITERS[form](folder / name, rows)
    boxes = sum(len(row.classes) for row in rows)
    return ShardInfo(name, copy, len(rows), boxes, (folder / name).stat().st_size, sha256_file(folder / name))
