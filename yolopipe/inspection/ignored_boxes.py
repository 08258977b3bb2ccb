"""The boxes to be ignored of one image: they hold no cell, and are in the box list of each scale that has room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from yolopipe.imaging.geometry import invert_affine, transform_boxes
from yolopipe.labels.scale_label import Labels
from yolopipe.shards.schema import Row

__all__ = ["IgnoredBox", "ignored_boxes"]


@dataclass(frozen=True)
class IgnoredBox:
    """One box to be ignored.

    Args:
        number: within the image, behind the boxes to be found.
        class_id: -1 for any class.
        box_xyxy: pixels.
        origin: line and column of the annotation text, as in the shards.
        unlisted: strides whose box list is full: predictions on the box count as background there.
    """

    number: int
    class_id: int
    box_xyxy: tuple[float, float, float, float]
    origin: tuple[int, int]
    unlisted: tuple[int, ...]

    def class_name(self, class_names: Sequence[str]) -> str:
        """Its class, or ``any class``."""
        return "any class" if self.class_id < 0 else class_names[self.class_id]


def ignored_boxes(row: Row, strides: Sequence[int], *, in_source: bool = False) -> tuple[IgnoredBox, ...]:
    """The boxes to be ignored of one row, in stored order.

    Args:
        row: from the shards.
        strides: of its labels.
        in_source: in pixels of the source image instead of the network input.
    """
    boxes_xyxy, classes, origins = row.ignored
    if not len(classes):
        return ()
    corners = transform_boxes(invert_affine(row.matrix), boxes_xyxy) if in_source else boxes_xyxy
    unlisted = _unlisted(row, row.labels)
    numbers = range(len(row.classes), len(row.classes) + len(classes))
    return tuple(
        IgnoredBox(number, class_id, (x1, y1, x2, y2), (line, column), _holding(number, unlisted, strides))
        for number, class_id, (x1, y1, x2, y2), (line, column) in zip(
            numbers, classes.tolist(), corners.tolist(), origins.tolist(), strict=True
        )
    )


def _unlisted(row: Row, labels: Labels) -> list[set[int]]:
    """Per scale the boxes to be ignored that its list has no room for, by number."""
    found = len(row.classes)
    numbers = set(range(found, found + len(row.ignored.classes)))
    return [numbers.difference(label.slots.tolist()) for label in labels]


def _holding(number: int, unlisted: Sequence[set[int]], strides: Sequence[int]) -> tuple[int, ...]:
    return tuple(stride for stride, numbers in zip(strides, unlisted, strict=True) if number in numbers)
