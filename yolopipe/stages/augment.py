"""augment: the parsed tables become tables of samples.  No image is read or written."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from yolopipe import console, paths
from yolopipe.augmentation import (
    OPERATIONS,
    Variants,
    augment_variants,
    draw_numbers,
    identity_variants,
    move_boxes,
)
from yolopipe.config import Augment, Config
from yolopipe.files import atomic_directory
from yolopipe.stages import StageResult
from yolopipe.tables import AUGMENTED_SCHEMA, box_column, list_column, read_table, split_boxes, write_table
from yolopipe.workers import Workers

__all__ = ["augment_table", "run"]


def run(config: Config, *, workers: Workers = 1) -> StageResult:
    """Write ``data/augmented/{train,val}.parquet``.

    Args:
        config: reads ``seed`` and ``augment``.
        workers: not used: 90,000 samples a CPU second in one process, nearly all of it random numbers.

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
    sizes_wh = np.column_stack([parsed["width"].to_numpy(), parsed["height"].to_numpy()])
    copies = 1 if params is None else params.copies
    variants: list[Variants] = []
    moved: list[npt.NDArray[np.float32]] = []
    for copy in range(copies):
        if params is None:
            variants.append(identity_variants(sizes_wh))
        else:
            numbers = draw_numbers(seed, images, copy)
            variants.append(augment_variants(sizes_wh, boxes_xyxy, offsets, params, numbers))
        moved.append(move_boxes(variants[-1], boxes_xyxy, offsets).astype(np.float32))
        advance(len(images))
    lengths = np.tile(np.diff(offsets), copies)
    boxes = box_column(np.concatenate(moved), lengths)
    every = Variants(*map(np.concatenate, zip(*variants, strict=True)))
    return _table(parsed, copies, every, boxes, list_column(np.tile(classes, copies), lengths, pa.int32()))


def _table(parsed: pa.Table, copies: int, variants: Variants, boxes_xyxy: pa.Array, classes: pa.Array) -> pa.Table:
    def repeated(name: str) -> pa.Array:
        return pa.concat_arrays([parsed[name].combine_chunks()] * copies)

    def fixed(values: npt.NDArray[np.float64], size: int) -> pa.Array:
        return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), size)

    columns = {
        **{name: repeated(name) for name in ("image", "width", "height", "orientation")},
        "copy": pa.array(np.repeat(np.arange(copies), parsed.num_rows), pa.int32()),
        "matrix": fixed(variants.matrix, 6),
        "frame_width": pa.array(variants.frame_wh[:, 0]),
        "frame_height": pa.array(variants.frame_wh[:, 1]),
        "visible_xyxy": fixed(variants.visible_xyxy, 4),
        "operations": _words(variants.drawn),
        **{name: pa.array(variants.colour[:, index]) for index, name in enumerate(("hue", "saturation", "value"))},
        "boxes_xyxy": boxes_xyxy,
        "classes": classes,
    }
    return pa.table([columns[name] for name in AUGMENTED_SCHEMA.names], schema=AUGMENTED_SCHEMA)


def _words(drawn: npt.NDArray[np.bool_]) -> pa.Array:
    """What was drawn of :data:`OPERATIONS`, as words: one string of sixteen a sample."""
    sets = [[name for bit, name in enumerate(OPERATIONS) if code >> bit & 1] for code in range(2 ** len(OPERATIONS))]
    codes = drawn @ (1 << np.arange(len(OPERATIONS)))
    return pa.array([" ".join(names) for names in sets]).take(pa.array(codes))


def _facts(parsed: pa.Table, table: pa.Table) -> dict[str, Any]:
    drawn: Counter[str] = Counter()
    for words in pc.value_counts(table["operations"]).to_pylist():
        drawn.update({name: words["counts"] for name in words["values"].split()})
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
