"""TFLite, by TensorFlow's converter; the card lies in the file's metadata."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

from yolopipe.backend import muted_stderr
from yolopipe.export.artefact_card import INPUT
from yolopipe.export.difference import Answer, Images, joined
from yolopipe.export.serving_graph import ServingModel, frozen
from yolopipe.model.card import CARD_KEY

__all__ = ["card_text", "load", "write"]


def write(path: Path, serving: ServingModel, card: str, *, precision: str, examples: Iterable[Images]) -> None:
    """Convert and write.

    Args:
        path: the file.
        serving: a network for any batch, or for one image.
        card: the text of the card.
        precision: ``float32``, ``float16`` (weights are stored as such) or ``int8`` (weights and activations).
        examples: for int8, (1, S, S, 3) images that show the range of every activation.
    """
    function, keeper = frozen(serving)
    with muted_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function], keeper)
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if precision == "int8":
            converter.representative_dataset = lambda: ({INPUT: image} for image in examples)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        content = converter.convert()
    path.write_bytes(_with_card(content, card))


def _with_card(content: bytes, card: str) -> bytes:
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(card.encode(), np.uint8)
    entry = schema.MetadataT()
    entry.name, entry.buffer = CARD_KEY, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def card_text(path: Path) -> str | None:
    """The text of the card inside; None where there is none."""
    model = schema.Model.GetRootAs(path.read_bytes(), 0)
    for index in range(model.MetadataLength()):
        entry = model.Metadata(index)
        if entry.Name() == CARD_KEY.encode():
            return bytes(model.Buffers(entry.Buffer()).DataAsNumpy()).decode()
    return None


def load(path: Path) -> Callable[[Images], Answer]:
    """Load into TFLite's interpreter; images are passed one by one where the file takes one at a time."""
    with muted_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is announced to move to a package of its own
        interpreter = tf.lite.Interpreter(model_path=str(path))
        place = interpreter.get_input_details()[0]
        interpreter.allocate_tensors()
        run = interpreter.get_signature_runner()
    one_by_one = place["shape_signature"][0] == 1

    def answer(images: Images) -> Answer:
        parts = np.split(images, len(images)) if one_by_one else [images]
        return joined([{name: value.copy() for name, value in run(**{INPUT: part}).items()} for part in parts])

    return answer
