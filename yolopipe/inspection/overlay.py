"""Pictures of the stored labels, over the stored pixels.

Boxes are drawn from the label (cell, anchor, box number), not from the annotation: what the label does not hold is
not in the picture, except for overwritten places, which are marked as such.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil, sqrt

import numpy as np

from yolopipe.imaging import drawing
from yolopipe.imaging.drawing import Colour, Key, Pixels, Sketch
from yolopipe.inspection.ignored_boxes import ignored_boxes
from yolopipe.shards.manifest import Manifest
from yolopipe.shards.schema import Row, decode_pixels
from yolopipe.shards.targets import BoxTargets, TargetPlace, split_cell

__all__ = ["row_picture", "scale_picture", "sheet_picture"]

PANEL_PX = 560
"""Panels are enlarged by whole factors to at least this, so that a 160 pixel input has room for labels."""

SCALE_PX = 1100
"""The picture of one scale is larger: every cell of the finest grid must be seen."""

TILE_PX = 320

CLASS_COLOURS: tuple[Colour, ...] = (
    drawing.SKY,
    drawing.ORANGE,
    drawing.GREEN,
    drawing.YELLOW,
    drawing.PURPLE,
    drawing.BLUE,
    drawing.WHITE,
)
OVERWRITTEN: Colour = drawing.VERMILLION
IGNORED: Colour = drawing.GREY
MOST_NAMED = 12
"""Boxes to be ignored whose class is written beside them; of more only the numbers."""

STRIDE_COLOURS: tuple[Colour, ...] = (drawing.SKY, drawing.ORANGE, drawing.GREEN)


def row_picture(row: Row, targets: Sequence[BoxTargets], manifest: Manifest, *, split: str) -> Pixels:
    """The stored pixels, and one panel per scale: assigned cells, their boxes and anchors.

    Args:
        row: from the shards.
        targets: of the same row.
        manifest: of the same shards.
        split: for the title.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    pixels = decode_pixels(row.image, encoding=manifest.encoding, input_size=manifest.input_size)
    colours = _class_colours(targets)
    factor = max(1, ceil(PANEL_PX / manifest.input_size))
    note = f"{split}, copy {row.copy}, {_counts(row)}, {manifest.input_size} px"
    panels = [drawing.with_title(Sketch(pixels, scale=factor).pixels(), row.path, note)]
    for index in range(len(manifest.strides)):
        panel = _scale_panel(Sketch(pixels, scale=factor), row, targets, manifest, index, colours)
        panels.append(drawing.with_title(panel, _scale_title(row, manifest, index)))
    sheet = drawing.arrange(panels, columns=2)
    return np.concatenate([_row_legend(row, targets, manifest, colours, sheet.shape[1]), sheet])


def scale_picture(row: Row, targets: Sequence[BoxTargets], manifest: Manifest, stride: int, *, split: str) -> Pixels:
    """The panel of one scale alone, larger: grid lines, assigned cells, anchors, overwritten places in red.

    Args:
        row: from the shards.
        targets: of the same row.
        manifest: of the same shards.
        stride: 8, 16 or 32.
        split: for the title.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    index = manifest.strides.index(stride)
    pixels = decode_pixels(row.image, encoding=manifest.encoding, input_size=manifest.input_size)
    colours = _class_colours(targets)
    sketch = Sketch(pixels, scale=max(1, ceil(SCALE_PX / manifest.input_size)))
    panel = _scale_panel(sketch, row, targets, manifest, index, colours)
    title = drawing.with_title(panel, f"{row.path}, {split}, copy {row.copy}", _scale_title(row, manifest, index))
    return np.concatenate([_row_legend(row, targets, manifest, colours, title.shape[1]), title])


def _counts(row: Row) -> str:
    ignored = len(row.ignored.classes)
    return f"{len(row.classes)} boxes" + (f", {ignored} ignored" if ignored else "")


def _class_colours(targets: Sequence[BoxTargets]) -> dict[int, Colour]:
    """Colours in order of the classes in the picture: different ones for up to seven classes."""
    present = sorted({box.class_id for box in targets})
    return {class_id: CLASS_COLOURS[n % len(CLASS_COLOURS)] for n, class_id in enumerate(present)}


def _row_legend(
    row: Row, targets: Sequence[BoxTargets], manifest: Manifest, colours: dict[int, Colour], width: int
) -> Pixels:
    keys = [Key(manifest.class_names[class_id], colour) for class_id, colour in colours.items()]
    if any(box.overwritten for box in targets):
        keys.append(Key("overwritten by another box", OVERWRITTEN, dashed=True))
    keys += _ignored_keys([row])
    note = "filled: assigned cell, cross: its centre, solid: box, dashed: its anchor; a1=0.61: anchor 1, IoU 0.61"
    return drawing.legend(keys, width=width, note=note)


def _ignored_keys(rows: Iterable[Row]) -> list[Key]:
    return [Key("to be ignored", IGNORED, hatched=True)] if any(len(row.ignored.classes) for row in rows) else []


def _draw_ignored(sketch: Sketch, row: Row) -> None:
    for box_xyxy in row.ignored.boxes_xyxy:
        sketch.hatch(box_xyxy, IGNORED)
        sketch.box(box_xyxy, IGNORED)


def _label_ignored(sketch: Sketch, row: Row, manifest: Manifest, *, numbers: bool) -> None:
    boxes = ignored_boxes(row, manifest.strides)
    for box in boxes:
        number = [str(box.number)] if numbers else []
        name = [f"ignored: {box.class_name(manifest.class_names)}"] if len(boxes) <= MOST_NAMED else []
        if words := " ".join(number + name):
            sketch.label(box.box_xyxy, words, IGNORED)


def _scale_title(row: Row, manifest: Manifest, index: int) -> str:
    stride, label = manifest.strides[index], row.labels[index]
    grid = manifest.input_size // stride
    anchors = " ".join(f"{width:g}x{height:g}" for width, height in manifest.anchors[index])
    return f"stride {stride}: {grid}x{grid} cells, anchors {anchors}: {len(label.cell)} positives"


def _scale_panel(
    sketch: Sketch,
    row: Row,
    targets: Sequence[BoxTargets],
    manifest: Manifest,
    index: int,
    colours: dict[int, Colour],
) -> Pixels:
    stride, label = manifest.strides[index], row.labels[index]
    sketch.dim(0.35)
    sketch.grid(stride)
    _draw_ignored(sketch, row)
    positives = [
        (int(number), *split_cell(cell, manifest.input_size // stride))
        for cell, number in zip(label.cell.tolist(), label.box.tolist(), strict=True)
    ]
    for number, cell in sorted({(number, (y, x)) for number, y, x, _ in positives}):
        sketch.fill(_cell_box(*cell, stride), colours[int(row.classes[number])])
    for number, y, x, anchor in positives:
        anchor_box = _anchor_box(y, x, stride, manifest.anchors[index][anchor])
        sketch.box(anchor_box, colours[int(row.classes[number])], width=1, dashed=True)
    for number, y, x, _ in positives:
        sketch.box(row.boxes_xyxy[number], colours[int(row.classes[number])])
        sketch.cross((x + 0.5) * stride, (y + 0.5) * stride, colours[int(row.classes[number])])
    _draw_overwritten(sketch, targets, stride)
    _label_positives(sketch, row, targets, manifest, stride, positives, colours)
    _label_overwritten(sketch, targets, stride)
    _label_ignored(sketch, row, manifest, numbers=True)
    return sketch.pixels()


def _draw_overwritten(sketch: Sketch, targets: Sequence[BoxTargets], stride: int) -> None:
    for box in targets:
        for place in box.overwritten:
            if place.stride == stride:
                sketch.box(_cell_box(*place.cell_yx, stride), OVERWRITTEN, dashed=True)
        if not box.assigned and any(place.stride == stride for place in box.overwritten):
            sketch.box(box.box_xyxy, OVERWRITTEN, dashed=True)


def _label_overwritten(sketch: Sketch, targets: Sequence[BoxTargets], stride: int) -> None:
    for box in targets:
        overwritten = [place for place in box.overwritten if place.stride == stride]
        for winner in sorted({place.taken_by for place in overwritten if place.taken_by is not None}):
            taken = [place for place in overwritten if place.taken_by == winner]
            anchors = " ".join(f"a{place.anchor}" for place in taken)
            sketch.label(
                _cell_box(*taken[0].cell_yx, stride), f"{box.number} {anchors} overwritten by {winner}", OVERWRITTEN
            )


def _label_positives(
    sketch: Sketch,
    row: Row,
    targets: Sequence[BoxTargets],
    manifest: Manifest,
    stride: int,
    positives: Sequence[tuple[int, int, int, int]],
    colours: dict[int, Colour],
) -> None:
    """One label a box, for all anchors of its cell."""
    for number in sorted({number for number, *_ in positives}):
        places = [place for place in targets[number].assigned if place.stride == stride]
        anchors = " ".join(f"a{place.anchor}={place.iou:.2f}" for place in places)
        forced = " forced" if targets[number].forced else ""
        name = manifest.class_names[int(row.classes[number])]
        sketch.label(row.boxes_xyxy[number], f"{number} {name} {anchors}{forced}", colours[int(row.classes[number])])


def _cell_box(y: int, x: int, stride: int) -> tuple[float, float, float, float]:
    return x * stride, y * stride, (x + 1) * stride, (y + 1) * stride


def _anchor_box(y: int, x: int, stride: int, size_wh: tuple[float, float]) -> tuple[float, float, float, float]:
    centre_x, centre_y = (x + 0.5) * stride, (y + 0.5) * stride
    half_w, half_h = size_wh[0] / 2, size_wh[1] / 2
    return centre_x - half_w, centre_y - half_h, centre_x + half_w, centre_y + half_h


def sheet_picture(rows: Sequence[tuple[Row, Sequence[BoxTargets]]], manifest: Manifest) -> Pixels:
    """Several images, each with its boxes, coloured by the scale of their best anchor.

    Args:
        rows: at least one row with its targets.
        manifest: of the same shards.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    tiles = [_tile(row, targets, manifest) for row, targets in rows]
    sheet = drawing.arrange(tiles, columns=ceil(sqrt(len(tiles))))
    keys = [
        Key(f"best anchor at stride {stride}", colour)
        for stride, colour in zip(manifest.strides, STRIDE_COLOURS, strict=True)
    ]
    keys += [Key("not assigned to any anchor", OVERWRITTEN, dashed=True)]
    keys += _ignored_keys(row for row, _ in rows)
    note = "filled: assigned cells; label: class, and * when forced onto the best anchor"
    return np.concatenate([drawing.legend(keys, width=sheet.shape[1], note=note), sheet])


def _tile(row: Row, targets: Sequence[BoxTargets], manifest: Manifest) -> Pixels:
    side = manifest.input_size
    pixels = decode_pixels(row.image, encoding=manifest.encoding, input_size=side)
    sketch = Sketch(pixels, scale=max(1, ceil(TILE_PX / side)))
    sketch.dim(0.25)
    _draw_ignored(sketch, row)
    colours = dict(zip(manifest.strides, STRIDE_COLOURS, strict=True))
    for stride, cell in sorted({(place.stride, place.cell_yx) for box in targets for place in box.assigned}):
        sketch.fill(_cell_box(*cell, stride), colours[stride], share=0.3)
    for box in sorted(targets, key=lambda box: not box.assigned):
        colour = colours[_best(box.assigned).stride] if box.assigned else OVERWRITTEN
        sketch.box(box.box_xyxy, colour, dashed=not box.assigned)
    for box in targets:
        colour = colours[_best(box.assigned).stride] if box.assigned else OVERWRITTEN
        sketch.label(box.box_xyxy, manifest.class_names[box.class_id] + "*" * box.forced, colour)
    _label_ignored(sketch, row, manifest, numbers=False)
    positives = sum(len(box.assigned) for box in targets)
    return drawing.with_title(sketch.pixels(), row.path, f"{_counts(row)}, {positives} positives")


def _best(places: Sequence[TargetPlace]) -> TargetPlace:
    return max(places, key=lambda place: place.iou)
