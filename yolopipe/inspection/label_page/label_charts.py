"""The charts of the page: functions from numbers to inline SVG, each with a table of its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, floor

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from yolopipe.arrays import Ints
from yolopipe.inspection.checks.check_report import SplitFacts
from yolopipe.pages.chart import Chart, percent, series_keys
from yolopipe.pages.svg import (
    Frame,
    Scale,
    bar,
    drawing,
    grid_x,
    grid_y,
    label,
    line,
    linear,
    logarithmic,
    nice_ticks,
    path_number,
    shortened,
)

__all__ = [
    "HEAT_CELLS",
    "SIZE_BINS",
    "boxes_per_image",
    "centre_heat",
    "class_bars",
    "size_scatter",
]


SIZE_BINS = 96
"""Steps a side of the map of widths and heights; a step is a factor of 1.06 at 416 px."""

HEAT_CELLS = 16
"""Cells a side of the map of centres."""

MOST_CLASSES = 24
"""Classes with a bar of their own; all of them are in the table."""

MOST_BARS = 20


def class_bars(class_names: Sequence[str], splits: Mapping[str, SplitFacts]) -> Chart:
    """Each class's share of the boxes of each split, side by side: a shift between splits shows as unequal bars.

    Args:
        class_names: by class number.
        splits: facts by split.

    >>> class_bars(["cat"], {}).rows
    (('0 cat',),)
    """
    totals = {name: max(1, sum(facts.boxes_per_class)) for name, facts in splits.items()}
    counts = [[facts.boxes_per_class[number] for facts in splits.values()] for number in range(len(class_names))]
    order = sorted(range(len(class_names)), key=lambda number: (-sum(counts[number]), number))[:MOST_CLASSES]
    thick = 11 if len(order) > 8 else 13
    step = thick * len(splits) + 8
    frame = Frame(height=len(order) * step + 46, left=112, right=70)
    shares = [count / total for row in counts for count, total in zip(row, totals.values(), strict=True)]
    highest = max([*shares, 0.01])
    x = linear((0, highest), frame.x_range)
    parts = [grid_x(frame, x, nice_ticks(highest), percent, "share of the split's boxes")]
    for place, number in enumerate(order):
        top = frame.top + place * step + 3
        parts.append(label(frame.left - 8, top + step / 2 - 1, shortened(class_names[number], 16), anchor="end"))
        for index, (split, total) in enumerate(totals.items()):
            count = counts[number][index]
            text = f"{class_names[number]}, {split}: {count:,} of {total:,} boxes"
            y = top + index * thick
            parts.append(bar(frame.left, y, x(count / total) - frame.left, thick - 1, f"series{index}", text))
            parts.append(label(x(count / total) + 4, y + thick - 3, f"{count:,}", anchor="start", kind="value"))
    left_out = len(class_names) - len(order)
    note = f"The {len(order)} most frequent; the table has {left_out} more." if left_out else "Numbers are boxes."
    return Chart(
        "classes",
        "Classes by split",
        note,
        drawing(frame.width, frame.height, parts, title="Classes by split", about=note),
        ("class", *(column for split in splits for column in (f"{split} boxes", f"{split} images"))),
        tuple(
            (
                f"{number} {name}",
                *(n for f in splits.values() for n in (f.boxes_per_class[number], f.images_per_class[number])),
            )
            for number, name in enumerate(class_names)
        ),
        series_keys(list(splits)),
    )


def size_scatter(
    counts: Ints, input_size: int, anchors: Sequence[Sequence[tuple[float, float]]], strides: Sequence[int]
) -> Chart:
    """Every box by width and height on logarithmic axes, and the anchors as crosses.

    Args:
        counts: (:data:`SIZE_BINS`, :data:`SIZE_BINS`) boxes by width and height, bins even in the logarithm from 1 px
            to ``input_size``.
        input_size: side of the network input in pixels.
        anchors: pixels, three scales.
        strides: of these scales.
    """
    frame = Frame(height=380)
    largest = float(max([input_size, *(side for scale in anchors for anchor in scale for side in anchor)]))
    smallest = _smallest_shown(counts, input_size, anchors)
    x, y = logarithmic((smallest, largest), frame.x_range), logarithmic((smallest, largest), frame.y_range)
    ticks = [float(2**power) for power in range(13) if smallest <= 2**power <= largest]
    parts = [
        grid_x(frame, x, ticks, lambda tick: f"{tick:g}", "width, px of the network input"),
        grid_y(frame, y, ticks, lambda tick: f"{tick:g}"),
        line(x(smallest), y(smallest), x(largest), y(largest), "diagonal"),
        *_dots(counts, input_size, x, y),
    ]
    for index, scale in enumerate(anchors):
        for number, (width, height) in enumerate(scale):
            text = f"anchor {number} of stride {strides[index]}: {width:g} x {height:g} px"
            parts.append(_anchor_mark(x(width), y(height), index, text))
    note = "A dot stands for all boxes of that size, larger for more boxes; crosses are the anchors."
    total = int(counts.sum())
    return Chart(
        "sizes",
        "Width and height",
        f"{total:,} boxes. {note}",
        drawing(
            frame.width, frame.height, parts, title="Width and height of the boxes, with the anchors", about=note
        ),
        ("longest side, px", "boxes", "share"),
        _size_table(counts, input_size),
        (
            *((f"anchor{index}", f"anchors, stride {strides[index]}") for index in range(len(anchors))),
            ("dot", "boxes"),
        ),
    )


def _dots(counts: Ints, input_size: int, x: Scale, y: Scale) -> list[Markup]:
    """One path for each of five sizes of dot: a few bytes a dot."""
    parts = []
    levels = np.minimum(np.ceil(np.log2(np.maximum(counts, 1)) / 2), 4)
    for level in range(5):
        columns, rows = np.nonzero((counts > 0) & (levels == level))
        middle_w, middle_h = (_bin_middle(bins, input_size) for bins in (columns, rows))
        places = zip(middle_w.tolist(), middle_h.tolist(), strict=True)
        text = "".join(f"M{path_number(x(w))} {path_number(y(h))}h0" for w, h in places)
        if text:
            parts.append(Markup('<path d="{}" class="dot dot{}"/>').format(text, level))
    return parts


def _smallest_shown(counts: Ints, input_size: int, anchors: Sequence[Sequence[tuple[float, float]]]) -> float:
    """A power of two below every box and anchor, at least 1: the axes begin there."""
    first = min([int(place.min()) for place in np.nonzero(counts) if len(place)], default=SIZE_BINS)
    sides = [side for scale in anchors for anchor in scale for side in anchor]
    return float(2 ** max(0, floor(np.log2(min([input_size ** (first / SIZE_BINS), *sides])))))


def _bin_middle(bins: Ints, input_size: int) -> npt.NDArray[np.float64]:
    return np.asarray(input_size ** ((bins + 0.5) / SIZE_BINS), np.float64)


def _anchor_mark(x: float, y: float, index: int, title: str) -> Markup:
    cross = f"M{path_number(x - 6)} {path_number(y)}h12M{path_number(x)} {path_number(y - 6)}v12"
    return Markup('<path d="{}" class="anchor-mark anchor{}"><title>{}</title></path>').format(cross, index, title)


def _size_table(counts: Ints, input_size: int) -> tuple[tuple[str, int, str], ...]:
    """Boxes by the longer side, a row for each doubling; a bin counts where its middle lies."""
    middle = _bin_middle(np.arange(SIZE_BINS), input_size)
    longest = np.maximum(middle[:, None], middle[None, :])
    total = max(1, int(counts.sum()))
    rows = []
    for power in range(ceil(np.log2(input_size))):
        inside = int(counts[(longest >= 2**power) & (longest < 2 ** (power + 1))].sum())
        rows.append((f"{2**power} to {2 ** (power + 1)}", inside, percent(inside / total)))
    return tuple(rows)


def centre_heat(counts: Ints) -> Chart:
    """Where the centres of boxes lie; the page recolours the cells when a class is chosen.

    Args:
        counts: (:data:`HEAT_CELLS`, :data:`HEAT_CELLS`) boxes by row and column of their centre.
    """
    side = 17.0
    highest = max(1, int(counts.max(initial=0)))
    parts = [Markup('<g class="heat" id="heat-cells">')]
    for (row, column), count in np.ndenumerate(counts):
        parts.append(
            Markup('<rect x="{}" y="{}" width="17" height="17" fill-opacity="{}"/>').format(
                path_number(column * side), path_number(row * side), f"{count / highest:.3f}"
            )
        )
    parts.append(Markup("</g>"))
    span = side * HEAT_CELLS
    note = f"The darkest cell holds {highest:,} boxes." if counts.sum() else "No boxes."
    return Chart(
        "centres",
        "Box centres",
        note,
        drawing(span, span, parts, title="Centres of the boxes in the network input", about=note),
        ("row", *(str(column) for column in range(HEAT_CELLS))),
        tuple((row, *values) for row, values in enumerate(counts.tolist())),
    )


def boxes_per_image(splits: Mapping[str, SplitFacts]) -> Chart:
    """How many images hold how many boxes, as a share of each split.

    Args:
        splits: facts by split.
    """
    most = max([number for facts in splits.values() for number in facts.images_with], default=0)
    width = max(1, ceil((most + 1) / MOST_BARS))
    starts = range(0, most + 1, width)
    shares = {
        name: [_images_between(facts, start, start + width) / max(1, facts.images) for start in starts]
        for name, facts in splits.items()
    }
    frame = Frame()
    highest = max([share for values in shares.values() for share in values], default=0) or 1
    y = linear((0, highest), frame.y_range)
    step = (frame.x_range[1] - frame.left) / max(1, len(starts))
    thick = (step - 3) / max(1, len(splits))
    parts = [grid_y(frame, y, nice_ticks(highest), percent)]
    names = [str(start) if width == 1 else f"{start}-{start + width - 1}" for start in starts]
    every = ceil(sum(len(name) + 1 for name in names) / 62)
    for place, (start, name) in enumerate(zip(starts, names, strict=True)):
        left = frame.left + place * step + 1.5
        if place % every == 0:
            parts.append(label(left + step / 2, frame.y_range[0] + 14, name))
        for index, (split, values) in enumerate(shares.items()):
            text = f"{name} boxes, {split}: {_images_between(splits[split], start, start + width):,} images"
            top = y(values[place])
            parts.append(bar(left + index * thick, top, thick - 0.5, frame.y_range[0] - top, f"series{index}", text))
    parts.append(label((frame.left + frame.width) / 2, frame.height - 5, "boxes per image", kind="axis-name"))
    note = "Share of each split's images; 0 boxes means background only."
    return Chart(
        "per-image",
        "Boxes per image",
        note,
        drawing(frame.width, frame.height, parts, title="Boxes per image", about=note),
        ("boxes", *splits),
        tuple(
            (number, *(facts.images_with.get(number, 0) for facts in splits.values()))
            for number in sorted({number for facts in splits.values() for number in facts.images_with})
        ),
        series_keys(list(splits)),
    )


def _images_between(facts: SplitFacts, start: int, end: int) -> int:
    return sum(count for number, count in facts.images_with.items() if start <= number < end)
