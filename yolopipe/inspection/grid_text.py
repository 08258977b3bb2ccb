"""One scale of one image as text: the grid, and each positive encoded and decoded back to a box."""

from __future__ import annotations

import math
import string
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from yolopipe.imaging.geometry import invert_affine, transform_boxes
from yolopipe.inspection.ignored_boxes import ignored_boxes
from yolopipe.inspection.label_text import NO_FILES, Files, background_text, ignored_lines, ignored_report
from yolopipe.inspection.target_codes import decode_box, encode_boxes
from yolopipe.shards.manifest import Manifest
from yolopipe.shards.schema import Row
from yolopipe.shards.targets import BoxTargets, split_cell

__all__ = ["Positive", "class_letters", "positives_of", "scale_report", "scale_text"]

COLUMNS, WIDE_COLUMNS = 94, 74
"""Of the grid itself, beside the row numbers: at most, and up to where each cell gets a blank beside it."""

SEVERAL, CONTESTED, EMPTY = "+", "#", "."

Four = tuple[float, float, float, float]


@dataclass(frozen=True)
class Positive:
    """One cell and anchor that a box is assigned to, and what the network must output there.

    Args:
        box: number within the image.
        class_id: from 0.
        cell_yx: row and column.
        anchor: 0 to 2.
        anchor_wh: pixels of the network input.
        offset_xy: the centre within the cell, 0 to 1: the value of the sigmoid of tx and ty.
        log_wh: tw and th: the natural logarithm of size over anchor.
        objectness: 1, as for every positive.
        decoded_xyxy: the box decoded from these numbers, in pixels of the source image.
        original_xyxy: the box of the annotation text (or of the shard, taken back to the source image).
        contested_by: boxes that match this cell and anchor too and are overwritten.
    """

    box: int
    class_id: int
    cell_yx: tuple[int, int]
    anchor: int
    anchor_wh: tuple[float, float]
    offset_xy: tuple[float, float]
    log_wh: tuple[float, float]
    objectness: int
    decoded_xyxy: Four
    original_xyxy: Four
    contested_by: tuple[int, ...]

    @property
    def off_px(self) -> float:
        """The largest difference of a side between the decoded and the original box, source pixels."""
        return max(abs(a - b) for a, b in zip(self.decoded_xyxy, self.original_xyxy, strict=True))


def positives_of(
    row: Row,
    targets: Sequence[BoxTargets],
    manifest: Manifest,
    stride: int,
    source_xyxy: npt.NDArray[np.floating[Any]] | None = None,
) -> tuple[Positive, ...]:
    """The stored positives of one scale, in order of cell and anchor.

    Args:
        row: from the shards.
        targets: of the same row.
        manifest: of the same shards.
        stride: 8, 16 or 32.
        source_xyxy: (N, 4) boxes of the annotation text in source pixels; the shard's own by default.
    """
    index = manifest.strides.index(stride)
    back = invert_affine(row.matrix)
    original = transform_boxes(back, row.boxes_xyxy) if source_xyxy is None else source_xyxy
    contested: dict[tuple[tuple[int, int], int], list[int]] = {}
    for box in targets:
        for place in box.overwritten:
            if place.stride == stride:
                contested.setdefault((place.cell_yx, place.anchor), []).append(box.number)
    cells, boxes = row.labels[index].cell.tolist(), row.labels[index].box.tolist()
    places = [split_cell(cell, manifest.input_size // stride) for cell in cells]
    anchors = [manifest.anchors[index][anchor] for _, _, anchor in places]
    codes = encode_boxes(row.boxes_xyxy[boxes], [place[:2] for place in places], [stride] * len(places), anchors)
    found = []
    for number, (y, x, anchor), anchor_wh, (tx, ty, tw, th) in zip(
        boxes, places, anchors, codes.tolist(), strict=True
    ):
        decoded = transform_boxes(back, [decode_box((y, x), anchor_wh, (tx, ty), (tw, th), stride)])[0]
        found.append(
            Positive(
                box=number,
                class_id=int(row.classes[number]),
                cell_yx=(y, x),
                anchor=anchor,
                anchor_wh=anchor_wh,
                offset_xy=(tx, ty),
                log_wh=(tw, th),
                objectness=1,
                decoded_xyxy=_four(decoded),
                original_xyxy=_four(original[number]),
                contested_by=tuple(contested.get(((y, x), anchor), ())),
            )
        )
    return tuple(found)


def _four(values: npt.NDArray[np.floating[Any]]) -> Four:
    x1, y1, x2, y2 = values.tolist()
    return x1, y1, x2, y2


def class_letters(class_ids: Sequence[int], names: Sequence[str]) -> dict[int, str]:
    """A letter for each class: of its name where it is free, else any; ``?`` when all 62 are taken.

    >>> class_letters([0, 1, 2], ["RBC", "rod", "WBC"])
    {0: 'R', 1: 'O', 2: 'W'}
    """
    letters: dict[int, str] = {}
    for class_id in sorted(set(class_ids)):
        own = [c for c in names[class_id].upper() if c in string.ascii_uppercase + string.digits]
        free = (c for c in [*own, *string.ascii_letters, *string.digits] if c not in letters.values())
        letters[class_id] = next(free, "?")
    return letters


def scale_text(
    row: Row, positives: Sequence[Positive], manifest: Manifest, stride: int, *, split: str, files: Files = NO_FILES
) -> str:
    """The grid and the table of one scale.

    Args:
        row: from the shards.
        positives: from :func:`positives_of`.
        manifest: of the same shards.
        stride: of the scale.
        split: for the title.
        files: annotation file by split, and that of the corrections, where known: for the place of each box.

    Returns:
        Lines of at most 100 columns.
    """
    ignored = ignored_boxes(row, manifest.strides, in_source=True)
    ignored_text = list(ignored_lines(ignored, manifest, [stride], split=split, files=files))
    grid = manifest.input_size // stride
    letters = class_letters([positive.class_id for positive in positives], manifest.class_names)
    anchors = ", ".join(
        f"{n} {w:g}x{h:g}" for n, (w, h) in enumerate(manifest.anchors[manifest.strides.index(stride)])
    )
    title = f"{split}, copy {row.copy}, stride {stride}: {grid} x {grid} cells, anchors {anchors}"
    head = [row.path if len(row.path) <= 100 else "..." + row.path[-97:], title]
    if not positives:
        return "\n".join(
            [*head, "", f"no positives: {background_text('all of this scale', len(ignored))}", *ignored_text]
        )
    layout = _layout(positives, grid)
    signs = _signs(positives, letters, layout)
    lines = [*head, "", *_grid(signs, layout, grid), "", *_legend(signs.values(), letters, manifest.class_names)]
    return "\n".join([*lines, "", *_table(positives, letters), *ignored_text])


@dataclass(frozen=True)
class _Layout:
    """The part of the grid that is drawn, in cells, and how many cells a sign stands for."""

    top: int
    left: int
    bottom: int
    right: int
    block: int

    @property
    def step(self) -> int:
        """Characters a sign."""
        return 2 if 2 * (self.right - self.left + 1) <= WIDE_COLUMNS else 1


def _layout(positives: Sequence[Positive], grid: int) -> _Layout:
    rows, columns = ([p.cell_yx[axis] for p in positives] for axis in (0, 1))
    left, right = max(0, min(columns) - 1), min(grid - 1, max(columns) + 1)
    block = math.ceil((right - left + 1) / COLUMNS)
    return _Layout(max(0, min(rows) - 1), left, min(grid - 1, max(rows) + 1), right, block)


def _grid(signs: Mapping[tuple[int, int], str], layout: _Layout, grid: int) -> Iterator[str]:
    top, left, bottom, right, block = layout.top, layout.left, layout.bottom, layout.right, layout.block
    if (top, left, bottom, right) != (0, 0, grid - 1, grid - 1):
        yield f"rows {top} to {bottom}, columns {left} to {right}; the rest is empty"
    if block > 1:
        yield f"each sign stands for {block} x {block} cells"
    yield _ruler(layout)
    for y in range((bottom - top) // block + 1):
        line = "".join(signs.get((y, x), EMPTY).ljust(layout.step) for x in range((right - left) // block + 1))
        yield f"{top + y * block:>4}  {line}".rstrip()


def _ruler(layout: _Layout) -> str:
    """Column numbers, as many as fit."""
    line = ""
    for x in range(layout.left, layout.right + 1, layout.block):
        at = (x - layout.left) // layout.block * layout.step
        number = str(x)
        if at >= len(line) + bool(line) and (x == layout.left or x // layout.block % 5 == 0):
            line = line.ljust(at) + number
    return f"{'':6}{line}"


def _signs(positives: Sequence[Positive], letters: Mapping[int, str], layout: _Layout) -> dict[tuple[int, int], str]:
    here: dict[tuple[int, int], list[Positive]] = {}
    for positive in positives:
        y, x = positive.cell_yx
        here.setdefault(((y - layout.top) // layout.block, (x - layout.left) // layout.block), []).append(positive)
    return {place: _sign(found, letters) for place, found in here.items()}


def _sign(found: Sequence[Positive], letters: Mapping[int, str]) -> str:
    if any(positive.contested_by for positive in found):
        return CONTESTED
    return SEVERAL if len({positive.box for positive in found}) > 1 else letters[found[0].class_id]


def _legend(signs: Container[str], letters: Mapping[int, str], names: Sequence[str]) -> Iterator[str]:
    for class_id, letter in letters.items():
        yield f"  {letter}  {names[class_id][:60]}"
    if CONTESTED in signs:
        yield f"  {CONTESTED}  two boxes match one cell and anchor: one of them is overwritten"
    if SEVERAL in signs:
        yield f"  {SEVERAL}  several boxes, each with its own anchor"


def _table(positives: Sequence[Positive], letters: Mapping[int, str]) -> Iterator[str]:
    yield "positives: s(tx) s(ty) = centre within the cell (after the sigmoid), tw th = ln(size / anchor)"
    numbers = " ".join(f"{name:>6}" for name in ("s(tx)", "s(ty)", "tw", "th"))
    yield f"   {'box':>4} {'cell y,x':<9} {'anchor':<12} {numbers} {'obj':>4} {'class':>6}"
    for _, same_box in groupby(positives, key=lambda positive: positive.box):
        group = list(same_box)
        yield from (_row(positive, letters[positive.class_id]) for positive in group)
        yield _boxes(max(group, key=lambda positive: positive.off_px))
    yield f"boxes in source pixels; largest difference {max(p.off_px for p in positives):.3f} px"


def _row(positive: Positive, letter: str) -> str:
    width, height = positive.anchor_wh
    y, x = positive.cell_yx
    numbers = " ".join(f"{value:>6.2f}" for value in (*positive.offset_xy, *positive.log_wh))
    overwritten = f"  overwrites box {', '.join(map(str, positive.contested_by))}" if positive.contested_by else ""
    anchor = f"{positive.anchor} {width:g}x{height:g}"
    return (
        f"{letter}  {positive.box:>4} {f'{y},{x}':<9} {anchor:<12} {numbers} {positive.objectness:>4} "
        f"{positive.class_id:>6}{overwritten}"
    )


def _boxes(positive: Positive) -> str:
    decoded, original = (" ".join(f"{v:.1f}" for v in box) for box in (positive.decoded_xyxy, positive.original_xyxy))
    return f"{'':8}decoded {decoded}   annotated {original}"


def scale_report(
    row: Row, positives: Sequence[Positive], manifest: Manifest, stride: int, *, split: str, files: Files = NO_FILES
) -> dict[str, Any]:
    """The same facts for programs."""
    ignored = ignored_boxes(row, manifest.strides, in_source=True)
    return {
        "image": row.path,
        "split": split,
        "copy": row.copy,
        "input_size": manifest.input_size,
        "stride": stride,
        "grid": manifest.input_size // stride,
        "positives": [
            {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(positive).items()}
            | {"class": manifest.class_names[positive.class_id], "off_px": positive.off_px}
            for positive in positives
        ],
        "ignored": ignored_report(ignored, manifest, split=split, files=files),
    }
