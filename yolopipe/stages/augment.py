"""augment: the parsed tables become tables of samples.  No image is read or written."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from yolopipe import console, paths
from yolopipe.augmentation import OPERATIONS, Variant, augment_sample, identity_sample, sample_generator
from yolopipe.config import Augment, Config
from yolopipe.files import atomic_directory
from yolopipe.geometry import transform_boxes
from yolopipe.stages import StageResult
from yolopipe.tables import AUGMENTED_SCHEMA, box_column, read_table, split_boxes, write_table
from yolopipe.workers import Workers

__all__ = ["augment_table", "run"]


def run(config: Config, *, workers: Workers = 1) -> StageResult:
    """Write ``data/augmented/{train,val}.parquet``.

    Args:
        config: reads ``seed`` and ``augment``.
        workers: not used: 30,000 samples a second in one process.

    Returns:
        What was drawn.
    """
    report: dict[str, Any] = {}
    with atomic_directory(paths.AUGMENTED) as folder:
        for split, copies in (("train", config.augment.copies), ("val", 1)):
            parsed, class_names = read_table(paths.PARSED / f"{split}.parquet", made_by="parse")
            with console.progress(f"augment {split}", parsed.num_rows * copies, unit="samples") as advance:
                table = augment_table(parsed, config.augment if split == "train" else None, config.seed, advance)
            write_table(Path(folder) / f"{split}.parquet", table, class_names)
            report[split] = _facts(parsed, table)
    return StageResult(_title(report), _rows(report), report, "yolopipe precompute")


def augment_table(
    parsed: pa.Table, params: Augment | None, seed: int, advance: console.Advance = lambda done: None
) -> pa.Table:
    """Samples of all images: copy 0 of every image, then copy 1 of every image, and so on.

    Args:
        parsed: a table of :data:`yolopipe.tables.PARSED_SCHEMA`.
        params: how to augment; ``None`` passes every image through once.
        seed: of the run.
        advance: called with the number of samples done.

    Returns:
        A table of :data:`yolopipe.tables.AUGMENTED_SCHEMA`.
    """
    boxes_xyxy, classes, offsets = split_boxes(parsed)
    images = parsed["image"].to_pylist()
    sizes_wh = list(zip(parsed["width"].to_pylist(), parsed["height"].to_pylist(), strict=True))
    copies = 1 if params is None else params.copies
    variants: list[Variant] = []
    moved: list[npt.NDArray[np.float64]] = []
    for copy in range(copies):
        for index, image in enumerate(images):
            boxes = boxes_xyxy[offsets[index] : offsets[index + 1]]
            if params is None:
                variant = identity_sample(sizes_wh[index])
            else:
                variant = augment_sample(sizes_wh[index], boxes, params, sample_generator(seed, image, copy))
            variants.append(variant)
            moved.append(_inside(transform_boxes(variant.matrix, boxes), variant))
        advance(len(images))
    return _table(parsed, variants, moved, np.tile(classes, copies), copies)


def _inside(boxes_xyxy: npt.NDArray[np.float64], variant: Variant) -> npt.NDArray[np.float64]:
    """Boxes kept in the frame: the maps never cut one, this takes off what rounding adds."""
    width, height = variant.frame_wh
    return np.clip(boxes_xyxy, 0.0, [width, height, width, height])


def _table(
    parsed: pa.Table,
    variants: list[Variant],
    boxes_xyxy: list[npt.NDArray[np.float64]],
    classes: npt.NDArray[np.int32],
    copies: int,
) -> pa.Table:
    def repeated(name: str) -> pa.Array:
        return pa.concat_arrays([parsed[name].combine_chunks()] * copies)

    def fixed(values: list[npt.NDArray[np.float64]], size: int) -> pa.Array:
        flat = np.concatenate([value.reshape(-1) for value in values]) if values else np.zeros(0)
        return pa.FixedSizeListArray.from_arrays(pa.array(flat), size)

    colour = np.array([variant.colour for variant in variants]).reshape(-1, 3)
    lengths = [len(boxes) for boxes in boxes_xyxy]
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int32)
    columns = {
        "image": repeated("image"),
        "copy": pa.array(np.repeat(np.arange(copies), parsed.num_rows), pa.int32()),
        "width": repeated("width"),
        "height": repeated("height"),
        "orientation": repeated("orientation"),
        "matrix": fixed([variant.matrix for variant in variants], 6),
        "frame_width": pa.array([variant.frame_wh[0] for variant in variants], pa.float64()),
        "frame_height": pa.array([variant.frame_wh[1] for variant in variants], pa.float64()),
        "visible_xyxy": fixed([variant.visible_xyxy for variant in variants], 4),
        "operations": pa.array([" ".join(variant.operations) for variant in variants], pa.string()),
        **{name: pa.array(colour[:, index]) for index, name in enumerate(("hue", "saturation", "value"))},
        "boxes_xyxy": box_column(np.concatenate(boxes_xyxy) if boxes_xyxy else [], lengths),
        "classes": pa.ListArray.from_arrays(pa.array(offsets), pa.array(classes, pa.int32())),
    }
    return pa.table([columns[name] for name in AUGMENTED_SCHEMA.names], schema=AUGMENTED_SCHEMA)


def _facts(parsed: pa.Table, table: pa.Table) -> dict[str, Any]:
    drawn = Counter(name for text in table["operations"].to_pylist() for name in text.split())
    boxes = len(split_boxes(table)[0])
    copies = table.num_rows // max(1, parsed.num_rows)
    return {
        "images": parsed.num_rows,
        "copies": copies,
        "samples": table.num_rows,
        "boxes": boxes,
        "boxes_lost": len(split_boxes(parsed)[0]) * copies - boxes,
        **{name: drawn[name] for name in OPERATIONS},
    }


def _title(report: dict[str, Any]) -> str:
    return "augment: " + ", ".join(f"{facts['samples']:,} {split} samples" for split, facts in report.items())


def _rows(report: dict[str, Any]) -> dict[str, object]:
    rows: dict[str, object] = {}
    for split, facts in report.items():
        copies = f" × {facts['copies']} copies" if facts["copies"] > 1 else ""
        drawn = ", ".join(f"{name} {facts[name]:,}" for name in OPERATIONS if facts[name])
        rows[split] = f"{facts['images']:,} images{copies} = {facts['samples']:,} samples, {facts['boxes']:,} boxes"
        rows[f"{split} drawn"] = drawn or "nothing: every image as it is"
    rows["boxes lost"] = sum(facts["boxes_lost"] for facts in report.values())
    return rows
