"""Differences between the outputs of an exported network and of the Keras model; arrays only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from yolopipe.detection.nms import ImageDetections
from yolopipe.labels.boxes import pairwise_iou

__all__ = ["SAME_BOX_IOU", "SURE", "Answer", "Images", "detections_of", "furthest", "in_places", "joined"]

Answer = dict[str, npt.NDArray[np.generic]]
"""The outputs of a network: an array by the name of each output, images along the first axis."""

Images = npt.NDArray[np.uint8]

SAME_BOX_IOU = 0.5
"""Detections of one class count as the same one from this IoU on."""

SURE = 0.1
"""Boxes are compared from this score on: below, the last digits decide which of two nearly equal ones survives."""


def joined(parts: Sequence[Answer]) -> Answer:
    """The outputs for one batch after another, concatenated."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def detections_of(answer: Answer) -> list[ImageDetections]:
    """The detections of each image, without the unused rows.

    >>> full = {"boxes_xyxy": np.ones((1, 2, 4)), "scores": np.array([[0.9, 0]]), "classes": np.array([[3, 0]])}
    >>> [image.classes.tolist() for image in detections_of({**full, "count": np.array([1])})]
    [[3]]
    """
    return [
        ImageDetections(
            boxes[:count].astype(np.float32), scores[:count].astype(np.float32), classes[:count].astype(np.int64)
        )
        for boxes, scores, classes, count in zip(
            answer["boxes_xyxy"], answer["scores"], answer["classes"], answer["count"], strict=True
        )
    ]


def in_places(found: Sequence[ImageDetections], places: int) -> Answer:
    """Detections as an exported network outputs them: so many rows an image, zeros where there are fewer.

    Args:
        found: at most ``places`` in each image.
        places: K.

    Returns:
        ``boxes_xyxy`` (B, K, 4), ``scores`` (B, K), ``classes`` (B, K), ``count`` (B,).
    """
    answer: Answer = {
        "boxes_xyxy": np.zeros((len(found), places, 4), np.float32),
        "scores": np.zeros((len(found), places), np.float32),
        "classes": np.zeros((len(found), places), np.int32),
        "count": np.array([len(image.scores) for image in found], np.int32),
    }
    for name in ("boxes_xyxy", "scores", "classes"):
        for number, image in enumerate(found):
            answer[name][number, : len(image.scores)] = getattr(image, name)
    return answer


def furthest(expected: Answer, found: Answer, *, input_size: int, score_threshold: float = 0.0) -> dict[str, float]:
    """The largest absolute difference of each output; infinite where one is not a number or has another shape.

    Detections are paired first: two scores that are equal to the sixth digit may change places in the list.  One
    that the other side lacks counts with its score, less the lowest score that let a detection in.  Boxes of a score
    below :data:`SURE` do not count, and of the others no pixel further outside than the picture is wide: a network
    that has hardly learned finds boxes of 700,000 pixels, whose last digits are pixels.

    Args:
        expected: raw outputs, or detections as of :func:`in_places`.
        found: the same of the other network.
        input_size: side of the network input in pixels.
        score_threshold: of suppression.

    >>> furthest({"head_8": np.zeros((1, 2))}, {"head_8": np.array([[0.0, -0.5]])}, input_size=416)
    {'head_8': 0.5}
    """
    apart = {name: _apart(expected[name], found.get(name)) for name in expected}
    if "count" not in expected or np.inf in (apart["scores"], apart["boxes_xyxy"]):
        return apart
    places = expected["scores"].shape[1]
    return _detections_apart(detections_of(expected), detections_of(found), places, input_size, score_threshold)


def _apart(first: npt.NDArray[np.generic], second: npt.NDArray[np.generic] | None) -> float:
    if second is None or first.shape != second.shape:
        return float("inf")
    apart = np.abs(first.astype(np.float64) - second.astype(np.float64)).max(initial=0.0)
    return float(apart) if np.isfinite(apart) else float("inf")


def _detections_apart(
    expected: list[ImageDetections],
    found: list[ImageDetections],
    places: int,
    input_size: int,
    score_threshold: float,
) -> dict[str, float]:
    boxes, scores = [0.0], [0.0]
    for ours, theirs in zip(expected, found, strict=True):
        mine, other = _paired(ours, theirs)
        sure = ours.scores[mine] >= SURE
        corners = (ours.boxes_xyxy[mine][sure], theirs.boxes_xyxy[other][sure])
        boxes.append(_apart(*(np.clip(xyxy, -input_size, 2 * input_size) for xyxy in corners)))
        scores.append(_apart(ours.scores[mine], theirs.scores[other]))
        left = np.concatenate([np.delete(ours.scores, mine), np.delete(theirs.scores, other)])
        full = [float(image.scores.min()) for image in (ours, theirs) if len(image.scores) == places]
        scores.append(float(left.max(initial=0.0)) - max([score_threshold, *full]))
    return {"boxes_xyxy": max(boxes), "scores": max(scores)}


def _paired(ours: ImageDetections, theirs: ImageDetections) -> tuple[list[int], list[int]]:
    """The positions of the same detections on both sides; the best overlap chooses first."""
    iou = pairwise_iou(ours.boxes_xyxy, theirs.boxes_xyxy)
    same = (iou >= SAME_BOX_IOU) & (ours.classes[:, None] == theirs.classes)
    mine: list[int] = []
    other: list[int] = []
    for first, second in np.argwhere(same)[np.argsort(-iou[same], kind="stable")].tolist():
        if first not in mine and second not in other:
            mine.append(first)
            other.append(second)
    return mine, other
