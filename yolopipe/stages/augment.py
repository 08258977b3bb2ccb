"""Stage ``augment``: parsed tables to tables of samples.  No image is read or written."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from yolopipe import console, paths
from yolopipe.config.params import Augment, Config
from yolopipe.files import atomic_directory
from yolopipe.imaging.augmentation import (
    OPERATIONS,
    Variants,
    augment_variants,
    cut_boxes,
    draw_numbers,
    identity_variants,
    move_boxes,
)
from yolopipe.result import CommandResult
from yolopipe.tables import AUGMENTED_SCHEMA, TableReader, box_columns, split_boxes, table_writer
from yolopipe.workers.pool import Workers

__all__ = ["augment_table", "run"]


def run(config: Config, *, workers: Workers = 1) -> CommandResult:
    """Write ``data/augmented/{train,val}.parquet``.

    Args:
        config: reads ``seed`` and ``augment``.
        workers: not used; one process is fast enough.

    Returns:
        The summary: counts of samples, boxes and operations.
    """
    report: dict[str, Any] = {}
    with atomic_directory(paths.AUGMENTED) as folder:
        for split, params in (("train", config.augment), ("val", None)):
            with TableReader(paths.PARSED / f"{split}.parquet", made_by="parse") as parsed:
                report[split] = _augment_split(parsed, folder / f"{split}.parquet", split, params, config.seed)
    return CommandResult(_title(report), _rows(report), report, "yolopipe precompute")


def _augment_split(parsed: TableReader, out: Path, split: str, params: Augment | None, seed: int) -> dict[str, Any]:
    """Write all copies of a split, a row group at a time; returns the counts."""
    copies = params.copies if params else 1
    facts = {"images": parsed.rows, "copies": copies, "samples": 0, "boxes": 0, "boxes_lost": 0}
    facts |= {"ignored": 0, "ignored_lost": 0}
    facts |= dict.fromkeys(OPERATIONS, 0)
    with (
        table_writer(out, AUGMENTED_SCHEMA, parsed.class_names) as write,
        console.progress(f"augment {split}", parsed.rows * copies, unit="samples") as advance,
    ):
        for copy in range(copies):
            for piece in parsed.pieces():
                table = augment_table(piece, params, seed, copy)
                write(table)
                advance(table.num_rows)
                for name, number in _counts(piece, table).items():
                    facts[name] += number
    return facts


def augment_table(parsed: pa.Table, params: Augment | None, seed: int, copy: int = 0) -> pa.Table:
    """One sample of each image.

    Args:
        parsed: a table of :data:`yolopipe.tables.PARSED_SCHEMA`, or a part of one: an image's sample depends on
            nothing but the image, ``seed`` and ``copy``.
        params: how to augment; None leaves every image as it is.
        seed: of the run.
        copy: number of the variant, from 0.

    Returns:
        A table of :data:`yolopipe.tables.AUGMENTED_SCHEMA`.
    """
    boxes, ignored = split_boxes(parsed), split_boxes(parsed, ignored=True)
    sizes_wh = np.column_stack([parsed["width"].to_numpy(), parsed["height"].to_numpy()])
    if params is None:
        variants = identity_variants(sizes_wh)
    else:
        numbers = draw_numbers(seed, parsed["image"].to_pylist(), copy)
        variants = augment_variants(sizes_wh, boxes.boxes_xyxy, boxes.offsets, params, numbers)
    moved = move_boxes(variants, boxes.boxes_xyxy, boxes.offsets).astype(np.float32)
    cut = cut_boxes(variants, ignored.boxes_xyxy, ignored.offsets).astype(np.float32)
    left = np.logical_and(cut[:, 2] > cut[:, 0], cut[:, 3] > cut[:, 1])
    columns = box_columns(boxes._replace(boxes_xyxy=moved), ignored._replace(boxes_xyxy=cut).where(left))
    return _table(parsed, copy, variants, columns)


def _table(parsed: pa.Table, copy: int, variants: Variants, boxes: dict[str, pa.Array]) -> pa.Table:
    def fixed(values: npt.NDArray[np.float64], size: int) -> pa.Array:
        return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), size)

    columns = {
        **{name: parsed[name].combine_chunks() for name in ("image", "width", "height", "orientation")},
        "copy": pa.array(np.full(parsed.num_rows, copy), pa.int32()),
        "matrix": fixed(variants.matrix, 6),
        "frame_width": pa.array(variants.frame_wh[:, 0]),
        "frame_height": pa.array(variants.frame_wh[:, 1]),
        "visible_xyxy": fixed(variants.visible_xyxy, 4),
        "operations": _words(variants.drawn),
        **{name: pa.array(variants.colour[:, index]) for index, name in enumerate(("hue", "saturation", "value"))},
        **boxes,
    }
    return pa.table([columns[name] for name in AUGMENTED_SCHEMA.names], schema=AUGMENTED_SCHEMA)


def _words(drawn: npt.NDArray[np.bool_]) -> pa.Array:
    """The names of the drawn :data:`OPERATIONS`, one string a sample."""
    sets = [[name for bit, name in enumerate(OPERATIONS) if code >> bit & 1] for code in range(2 ** len(OPERATIONS))]
    codes = drawn @ (1 << np.arange(len(OPERATIONS)))
    return pa.array([" ".join(names) for names in sets]).take(pa.array(codes))


def _counts(parsed: pa.Table, table: pa.Table) -> dict[str, int]:
    """The counts of one row group."""
    drawn: Counter[str] = Counter()
    for words in pc.value_counts(table["operations"]).to_pylist():
        drawn.update({name: words["counts"] for name in words["values"].split()})
    counts = {"samples": table.num_rows, **drawn}
    marks = [pc.list_flatten(some["ignore"]) for some in (parsed, table)]
    ignored = [pc.sum(mark).as_py() or 0 for mark in marks]
    boxes = [len(mark) - marked for mark, marked in zip(marks, ignored, strict=True)]
    for name, (before, after) in (("boxes", boxes), ("ignored", ignored)):
        counts |= {name: after, f"{name}_lost": before - after}
    return counts


def _title(report: dict[str, Any]) -> str:
    return "augment: " + ", ".join(f"{facts['samples']:,} {split} samples" for split, facts in report.items())


def _rows(report: dict[str, Any]) -> dict[str, object]:
    rows: dict[str, object] = {}
    for split, facts in report.items():
        copies = f" × {facts['copies']} copies" if facts["copies"] > 1 else ""
        drawn = ", ".join(f"{name} {facts[name]:,}" for name in OPERATIONS if facts[name])
        rows[split] = f"{facts['images']:,} images{copies} = {facts['samples']:,} samples, {facts['boxes']:,} boxes"
        rows[f"{split} drawn"] = drawn or "no operation: images unchanged"
        if facts["ignored"] or facts["ignored_lost"]:
            lost = f"{facts['ignored_lost']:,} cut away with their part of the image"
            rows[f"{split} ignored"] = f"{facts['ignored']:,} boxes to be ignored; {lost}"
    rows["boxes dropped"] = sum(facts["boxes_lost"] for facts in report.values())
    return rows
