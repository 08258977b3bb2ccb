"""A sheet of val images: annotated boxes on the left, predictions on the right, colours by verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np
import numpy.typing as npt

from yolopipe.detection.nms import ImageDetections
from yolopipe.imaging import drawing
from yolopipe.imaging.drawing import Colour, Key, Pixels, Sketch
from yolopipe.scoring.matching import IGNORED, TRUE_POSITIVE, Matches, match
from yolopipe.scoring.scores import Detections, Truth
from yolopipe.shards.schema import Row

__all__ = ["Example", "contact_sheet", "evenly_spread", "example_of"]

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]

TILE_PX = 384
"""Side of a tile: smaller images are enlarged by a whole factor to about this, larger ones reduced to it."""

WIDEST_PX = 2600


@dataclass(frozen=True)
class Example:
    """One image of the sheet.

    Args:
        name: the image's path.
        pixels: (S, S, 3) uint8 RGB.
        truth_xyxy: (M, 4) pixels of ``pixels``.
        truth_classes: (M,); -1 is any class, of ignored boxes.
        truth_ignore: (M,) boxes to be ignored.
        boxes_xyxy: (K, 4) detections from the shown score on, best first.
        scores: (K,).
        classes: (K,).
    """

    name: str
    pixels: Pixels
    truth_xyxy: Floats
    truth_classes: Ints
    truth_ignore: Mask
    boxes_xyxy: Floats
    scores: Floats
    classes: Ints


def example_of(row: Row, pixels: Pixels, found: ImageDetections, *, score: float) -> Example:
    """A row of a shard and its detections as an :class:`Example`.

    Args:
        row: of val.
        pixels: (S, S, 3) uint8 RGB, its decoded image.
        found: pixels of the network input, best first.
        score: detections below it are left out.
    """
    shown = found.scores >= score
    return Example(
        name=row.path,
        pixels=pixels,
        truth_xyxy=row.every_box.boxes_xyxy,
        truth_classes=row.every_box.classes,
        truth_ignore=row.ignore,
        boxes_xyxy=found.boxes_xyxy[shown],
        scores=found.scores[shown],
        classes=found.classes[shown],
    )


def evenly_spread(total: int, wanted: int) -> list[int]:
    """``wanted`` different numbers below ``total`` at even distances, first and last included.

    >>> evenly_spread(10, 4), evenly_spread(2, 9), evenly_spread(0, 9), evenly_spread(9, 1)
    ([0, 3, 6, 9], [0, 1], [], [0])
    """
    return [round(place) for place in np.linspace(0, total - 1, min(wanted, total)).tolist()]


def contact_sheet(examples: Sequence[Example], class_names: Sequence[str], *, score: float) -> Pixels:
    """Draw the sheet.

    Args:
        examples: at least one.
        class_names: by class number.
        score: the lowest score shown, for the legend.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    pairs = [_pair(example, class_names) for example in examples]
    fits = max(1, WIDEST_PX // (pairs[0].shape[1] + drawing.GAP_PX))
    sheet = drawing.arrange(pairs, columns=min(fits, ceil(sqrt(len(pairs)))))
    keys = [
        Key("annotated, found", drawing.SKY),
        Key("annotated, missed", drawing.YELLOW, dashed=True),
        Key("true positive", drawing.SKY),
        Key("false positive", drawing.VERMILLION, dashed=True),
    ]
    if any(example.truth_ignore.any() for example in examples):
        keys.append(Key("ignored", drawing.GREY, dashed=True))
    note = f"left: annotated, right: predicted with score >= {score:g}; a true positive has the class and IoU >= 0.5"
    return np.concatenate([drawing.legend(keys, width=sheet.shape[1], note=note), sheet])


def _pair(example: Example, class_names: Sequence[str]) -> Pixels:
    table = _matched(example)
    right = table.verdict == TRUE_POSITIVE
    found = np.isin(np.arange(len(example.truth_classes)), table.truth[right])
    ignored = example.truth_ignore
    names = [class_names[c] if c >= 0 else "any class" for c in example.truth_classes]
    truth = _panel(example.pixels, example.truth_xyxy, names, _colours(found, ignored, drawing.YELLOW))
    labels = [f"{class_names[c]} {s:.2f}" for c, s in zip(example.classes, example.scores, strict=True)]
    colours = _colours(right, table.verdict == IGNORED, drawing.VERMILLION)
    predicted = _panel(example.pixels, example.boxes_xyxy, labels, colours)
    seam = np.full((truth.shape[0], 3, 3), drawing.PAPER, np.uint8)
    tally = f"{found.sum()} of {(~ignored).sum()} found, {table.wrong().sum()} false"
    both = np.concatenate([truth, seam, predicted], axis=1)
    return drawing.with_title(both, example.name, tally)


def _matched(example: Example) -> Matches:
    true_classes, classes = example.truth_classes.astype(np.int64), example.classes.astype(np.int64)
    true_xyxy, ignore = example.truth_xyxy.astype(np.float64), example.truth_ignore
    truth = Truth(np.zeros_like(true_classes), true_xyxy, true_classes, ignore=ignore)
    boxes_xyxy, scores = example.boxes_xyxy.astype(np.float64), example.scores.astype(np.float64)
    return match(truth, Detections(np.zeros_like(classes), boxes_xyxy, scores, classes))


def _colours(good: Mask, ignored: Mask, bad: Colour) -> list[Colour]:
    return [
        drawing.GREY if is_ignored else drawing.SKY if is_good else bad
        for is_good, is_ignored in zip(good, ignored, strict=True)
    ]


def _panel(pixels: Pixels, boxes_xyxy: Floats, labels: Sequence[str], colours: Sequence[Colour]) -> Pixels:
    """Boxes in these colours, dashed unless they are right, on the picture."""
    side = pixels.shape[0]
    sketch = Sketch(pixels, scale=max(1, round(TILE_PX / side)) if side <= TILE_PX * 1.5 else TILE_PX / side)
    for box, colour in zip(boxes_xyxy, colours, strict=True):
        sketch.box(box, colour, dashed=colour != drawing.SKY)
    for box, label, colour in zip(boxes_xyxy, labels, colours, strict=True):
        sketch.label(box, label, colour)
    return sketch.pixels()
