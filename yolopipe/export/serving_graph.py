"""The function that is exported: uint8 pixels in, raw outputs or detections out; the scaling is inside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from yolopipe.detection.outputs import LARGEST_PX
from yolopipe.detection.suppression import Suppression
from yolopipe.export.artefact_card import INPUT
from yolopipe.export.request import ExportRequest
from yolopipe.model.card import ModelCard
from yolopipe.model.decode import decode

__all__ = ["ServingModel", "frozen", "head_for"]

MOST_CANDIDATES = 8192
"""Best (box, class) pairs that :func:`_detections_of_one` compares; ``evaluate`` compares more in crowds only."""

Outputs = dict[str, Any]
Head = Callable[[list[Any]], Outputs]


class ServingModel(tf.Module):  # type: ignore[misc]
    """A network and its post-processing as a module that TensorFlow can save.

    Args:
        network: what ``YOLOv3`` built for ``card``.
        card: of the network.
        head: from the three raw outputs to named ones.
        batch: images a call; None for any number.
    """

    def __init__(self, network: Any, card: ModelCard, head: Head, *, batch: int | None = None) -> None:
        super().__init__()
        self.network = network
        size = card.input_size

        def serve(images: Any) -> Outputs:
            return head(network(tf.cast(images, tf.float32) / 255.0, training=False))

        spec = tf.TensorSpec((batch, size, size, 3), tf.uint8, name=INPUT)
        self.serve = tf.function(serve, input_signature=[spec], autograph=False)


def head_for(card: ModelCard, request: ExportRequest) -> Head:
    """What follows the network: nothing, or decoding and suppression."""
    if request.suppression is None:
        return _raw_outputs(card)
    return (
        _detections_of_one(card, request.suppression)
        if request.batch == 1
        else _detections_of_batch(card, request.suppression)
    )


def _raw_outputs(card: ModelCard) -> Head:
    return lambda raw: {f"head_{stride}": output for stride, output in zip(card.strides, raw, strict=True)}


def _detections_of_batch(card: ModelCard, suppression: Suppression) -> Head:
    """Suppression for SavedModel and ONNX: all candidates of any number of images."""

    def head(raw: list[Any]) -> Outputs:
        boxes, scores = _decoded(raw, card)
        found = tf.image.combined_non_max_suppression(
            _corners(boxes)[:, :, None],
            scores,
            max_output_size_per_class=suppression.max_detections,
            max_total_size=suppression.max_detections,
            iou_threshold=suppression.nms_iou,
            score_threshold=suppression.score_threshold,
            clip_boxes=False,
        )
        return {
            "boxes_xyxy": found.nmsed_boxes,
            "scores": found.nmsed_scores,
            "classes": tf.cast(found.nmsed_classes, tf.int32),
            "count": found.valid_detections,
        }

    return head


def _detections_of_one(card: ModelCard, suppression: Suppression) -> Head:
    """Suppression for TFLite: one image, operations that every TFLite runtime has.

    There one call takes all boxes for those of one class.  So boxes of different classes are moved apart before they
    compare, held within three inputs' width for that: further out float32 would no longer tell pixels apart.
    """
    size = float(card.input_size)

    def head(raw: list[Any]) -> Outputs:
        boxes, scores = _decoded(raw, card)
        count = len(card.class_names)
        best, place = tf.math.top_k(tf.reshape(scores[0], (-1,)), min(MOST_CANDIDATES, boxes.shape[1] * count))
        box = place // count
        classes = place - box * count
        boxes_xyxy = _corners(tf.gather(boxes[0], box))
        apart = tf.clip_by_value(boxes_xyxy, -size, 2 * size) + (3 * size + 1) * tf.cast(classes, tf.float32)[:, None]
        chosen, number = tf.raw_ops.NonMaxSuppressionV4(
            boxes=apart,
            scores=best,
            max_output_size=suppression.max_detections,
            iou_threshold=suppression.nms_iou,
            score_threshold=suppression.score_threshold,
            pad_to_max_output_size=True,
        )
        real = tf.range(suppression.max_detections) < number
        weight = tf.cast(real, tf.float32)
        return {
            "boxes_xyxy": (tf.gather(boxes_xyxy, chosen) * weight[:, None])[None],
            "scores": (tf.gather(best, chosen) * weight)[None],
            "classes": tf.where(real, tf.gather(classes, chosen), 0)[None],
            "count": number[None],
        }

    return head


def _decoded(raw: list[Any], card: ModelCard) -> tuple[Any, Any]:
    """(B, N, 4) centre and size in input pixels, (B, N, C) scores of all boxes of all scales."""
    width = 5 + len(card.class_names)
    scales = [
        tf.reshape(decode(output, anchors, stride), (-1, 3 * (card.input_size // stride) ** 2, width))
        for output, anchors, stride in zip(raw, card.anchors, card.strides, strict=True)
    ]
    joined = tf.concat(scales, axis=1)
    return joined[..., :4], joined[..., 4:5] * joined[..., 5:]


def _corners(boxes_xywh: Any) -> Any:
    half_wh = tf.minimum(boxes_xywh[..., 2:], LARGEST_PX) * np.float32(0.5)
    return tf.concat([boxes_xywh[..., :2] - half_wh, boxes_xywh[..., :2] + half_wh], axis=-1)


def frozen(serving: ServingModel) -> tuple[Any, Any]:
    """The function with its weights as constants, which converters need, and what keeps it alive."""
    concrete = serving.serve.get_concrete_function()
    names = sorted(concrete.structured_outputs)  # the order in which TensorFlow flattens a dict
    constant = convert_variables_to_constants_v2(concrete, lower_control_flow=False)
    keeper = tf.Module()
    keeper.serve = tf.function(
        lambda images: dict(zip(names, constant(images), strict=True)),
        input_signature=serving.serve.input_signature,
        autograph=False,
    )
    return keeper.serve.get_concrete_function(), keeper
