"""One scale of one image as text: the grid, and each positive decoded back to a box.

Encoding and decoding are written apart here: what is stored (cell, anchor, box) becomes the numbers that the network
must predict, and those become a box again by the notes' formula for predictions (1.2), so that a mistake in either
shows as a difference.
"""

from __future__ import annotations

import math
import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from yolopipe.imaging.geometry import invert_affine, transform_boxes
from yolopipe.shards.manifest import Manifest
from yolopipe.shards.schema import Row
from yolopipe.shards.targets import BoxTargets, split_cell

__all__ = ["Positive", "class_letters", "decode_box", "positives_of", "scale_report", "scale_text"]

COLUMNS, WIDE_COLUMNS = 94, 74
"""Of the grid itself, beside the row numbers: at most, and up to where each cell gets a blank beside it."""

SEVERAL, CONTESTED, EMPTY = "+", "#", "."

Four = tuple[float, float, float, float]


@dataclass(frozen=True)
class Positive:
    """One cell and anchor that learn a box, and what the network must predict there.

    Args:
        box: number within the image.
        class_id: from 0.
        cell_yx: row and column.
        anchor: 0 to 2.
        anchor_wh: pixels of the network input.
        offset_xy: the centre within the cell, 0 to 1: what the sigmoid of tx and ty must become.
        log_wh: tw and th: the natural logarithm of size over anchor.
        objectness: 1, as every positive.
        decoded_xyxy: the box that these numbers mean, in pixels of the source image.
        original_xyxy: the box of the annotation text (or of the shard, taken back to the source image).
        contested_by: boxes that wanted this cell and anchor too, and lost it.
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


def decode_box(
    cell_yx: tuple[int, int],
    anchor_wh: tuple[float, float],
    offset_xy: tuple[float, float],
    log_wh: tuple[float, float],
    stride: int,
) -> Four:
    """The box that a prediction means: ``(sigmoid(t_xy) + cell) * stride`` and ``exp(t_wh) * anchor`` (notes 1.2).

    >>> decode_box((1, 2), (10.0, 20.0), (0.5, 0.25), (0.0, 0.0), 8)
    (15.0, 0.0, 25.0, 20.0)
    """
    centre_x, centre_y = (offset_xy[0] + cell_yx[1]) * stride, (offset_xy[1] + cell_yx[0]) * stride
    half_w, half_h = (math.exp(log) * side / 2 for log, side in zip(log_wh, anchor_wh, strict=True))
    return centre_x - half_w, centre_y - half_h, centre_x + half_w, centre_y + half_h


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
    losers: dict[tuple[tuple[int, int], int], list[int]] = {}
    for box in targets:
        for place in box.lost:
            if place.stride == stride:
                losers.setdefault((place.cell_yx, place.anchor), []).append(box.number)
    found = []
    for cell, number in zip(row.labels[index].cell.tolist(), row.labels[index].box.tolist(), strict=True):
        y, x, anchor = split_cell(cell, manifest.input_size // stride)
        width, height = manifest.anchors[index][anchor]
        x1, y1, x2, y2 = row.boxes_xyxy[number].tolist()
        offset = (x1 + x2) / 2 / stride - x, (y1 + y2) / 2 / stride - y
        logs = math.log((x2 - x1) / width), math.log((y2 - y1) / height)
        decoded = transform_boxes(back, [decode_box((y, x), (width, height), offset, logs, stride)])[0]
        found.append(
            Positive(
                box=number,
                class_id=int(row.classes[number]),
                cell_yx=(y, x),
                anchor=anchor,
                anchor_wh=(width, height),
                offset_xy=offset,
                log_wh=logs,
                objectness=1,
                decoded_xyxy=_four(decoded),
                original_xyxy=_four(original[number]),
                contested_by=tuple(losers.get(((y, x), anchor), ())),
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


def scale_text(row: Row, positives: Sequence[Positive], manifest: Manifest, stride: int, *, split: str) -> str:
    """The grid and the table of one scale.

    Args:
        row: from the shards.
        positives: from :func:`positives_of`.
        manifest: of the same shards.
        stride: of the scale.
        split: for the title.

    Returns:
        Lines of at most 100 columns.
    """
    grid = manifest.input_size // stride
    letters = class_letters([positive.class_id for positive in positives], manifest.class_names)
    anchors = ", ".join(
        f"{n} {w:g}x{h:g}" for n, (w, h) in enumerate(manifest.anchors[manifest.strides.index(stride)])
    )
    title = f"{split}, copy {row.copy}, stride {stride}: {grid} x {grid} cells, anchors {anchors}"
    head = [row.path if len(row.path) <= 100 else "..." + row.path[-97:], title]
    if not positives:
        return "\n".join([*head, "", "no positives: this scale learns that all of it is background"])
    return "\n".join(
        [
            *head,
            "",
            *_grid(positives, letters, grid),
            "",
            *_legend(positives, letters, manifest.class_names),
            "",
            *_table(positives, letters),
        ]
    )


def _grid(positives: Sequence[Positive], letters: Mapping[int, str], grid: int) -> Iterator[str]:
    rows, columns = ([p.cell_yx[axis] for p in positives] for axis in (0, 1))
    top, bottom = max(0, min(rows) - 1), min(grid - 1, max(rows) + 1)
    left, right = max(0, min(columns) - 1), min(grid - 1, max(columns) + 1)
    block = math.ceil((right - left + 1) / COLUMNS)
    step = 2 if 2 * (right - left + 1) <= WIDE_COLUMNS else 1
    if (top, left, bottom, right) != (0, 0, grid - 1, grid - 1):
        yield f"rows {top} to {bottom}, columns {left} to {right}; the rest is empty"
    if block > 1:
        yield f"each sign stands for {block} x {block} cells"
    yield _ruler(left, right, block, step)
    signs = _signs(positives, letters, block, top, left)
    for y in range((bottom - top) // block + 1):
        line = "".join(signs.get((y, x), EMPTY).ljust(step) for x in range((right - left) // block + 1))
        yield f"{top + y * block:>4}  {line}".rstrip()


def _ruler(left: int, right: int, block: int, step: int) -> str:
    """Column numbers, as many as fit."""
    line = ""
    for x in range(left, right + 1, block):
        at = (x - left) // block * step
        number = str(x)
        if at >= len(line) + bool(line) and (x == left or x // block % 5 == 0):
            line = line.ljust(at) + number
    return f"{'':6}{line}"


def _signs(
    positives: Sequence[Positive], letters: Mapping[int, str], block: int, top: int, left: int
) -> dict[tuple[int, int], str]:
    here: dict[tuple[int, int], list[Positive]] = {}
    for positive in positives:
        y, x = positive.cell_yx
        here.setdefault(((y - top) // block, (x - left) // block), []).append(positive)
    return {place: _sign(found, letters) for place, found in here.items()}


def _sign(found: Sequence[Positive], letters: Mapping[int, str]) -> str:
    if any(positive.contested_by for positive in found):
        return CONTESTED
    return SEVERAL if len({positive.box for positive in found}) > 1 else letters[found[0].class_id]


def _legend(positives: Sequence[Positive], letters: Mapping[int, str], names: Sequence[str]) -> Iterator[str]:
    for class_id, letter in letters.items():
        yield f"  {letter}  {names[class_id][:60]}"
    if any(positive.contested_by for positive in positives):
        yield f"  {CONTESTED}  two boxes wanted one cell and anchor: one of them lost it"
    yield f"  {SEVERAL}  several boxes, each on an anchor of its own"


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
    lost = f"  lost: box {', '.join(map(str, positive.contested_by))}" if positive.contested_by else ""
    anchor = f"{positive.anchor} {width:g}x{height:g}"
    return (
        f"{letter}  {positive.box:>4} {f'{y},{x}':<9} {anchor:<12} {numbers} {positive.objectness:>4} "
        f"{positive.class_id:>6}{lost}"
    )


def _boxes(positive: Positive) -> str:
    decoded, original = (" ".join(f"{v:.1f}" for v in box) for box in (positive.decoded_xyxy, positive.original_xyxy))
    return f"{'':8}decoded {decoded}   annotated {original}"


def scale_report(
    row: Row, positives: Sequence[Positive], manifest: Manifest, stride: int, *, split: str
) -> dict[str, Any]:
    """The same facts for programs."""
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
    }
