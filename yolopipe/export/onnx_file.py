"""ONNX, by tf2onnx; the card lies in the file's ``metadata_props``."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from yolopipe.export.artefact_card import INPUT
from yolopipe.export.difference import Answer, Images
from yolopipe.model.card import CARD_KEY

if TYPE_CHECKING:
    from yolopipe.export.serving_graph import ServingModel

__all__ = ["card_text", "load", "write"]

OPSET = 17


def write(path: Path, serving: ServingModel, card: str, *, precision: str, examples: Iterable[Images]) -> None:
    """Convert and write."""
    import tf2onnx  # imports TensorFlow, which reading a card does not need

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    with _few_copies_of_weights():
        model, _ = tf2onnx.convert.from_function(
            serving.serve, input_signature=list(serving.serve.input_signature), opset=OPSET
        )
    _name_by_place(model.graph)
    for value in (*model.graph.input, *model.graph.output):
        first = value.type.tensor_type.shape.dim[0]
        if not first.dim_value:
            first.dim_param = "batch"  # instead of a running number
    onnx.helper.set_model_props(model, {CARD_KEY: card})
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


@contextmanager
def _few_copies_of_weights() -> Iterator[None]:
    """Keep tf2onnx from copying the weights in each of its passes over the graph; the file is the same.

    A pass ends by writing every node into its protobuf message, weights too, and protobuf frees no copy before it
    frees all.  Nobody reads the messages of constants: the file takes their values from elsewhere.  Before a pass the
    whole graph is copied as well, to go on with should the pass fail; here a failed pass is an error.  For the
    full-size network this saves two thirds of the time and of the memory (docs/export.md).

    ``Node.update_proto`` is a private method: pyproject.toml bounds the version, and a test counts the copies.
    """
    from tf2onnx.constants import ENV_TF2ONNX_CATCH_ERRORS
    from tf2onnx.graph import Node

    update, catching = Node.update_proto, os.environ.get(ENV_TF2ONNX_CATCH_ERRORS)

    def without_constants(node: Any, *arguments: Any, **keywords: Any) -> None:
        if not node.is_const():
            update(node, *arguments, **keywords)

    Node.update_proto = without_constants
    os.environ[ENV_TF2ONNX_CATCH_ERRORS] = "FALSE"
    try:
        yield
    finally:
        Node.update_proto = update
        if catching is None:
            del os.environ[ENV_TF2ONNX_CATCH_ERRORS]
        else:
            os.environ[ENV_TF2ONNX_CATCH_ERRORS] = catching


def _name_by_place(graph: Any) -> None:
    """Number nodes and values in their order: tf2onnx numbers them differently in each run."""
    outside = [value.name for value in (*graph.input, *graph.output)]
    names = {name: name for name in ("", *outside)}
    _rename(graph, names)


def _rename(graph: Any, names: dict[str, str]) -> None:
    def new(name: str) -> str:
        return names.setdefault(name, f"v{len(names)}")

    for value in graph.input:
        value.name = new(value.name)
    for node in graph.node:
        node.input[:] = [new(name) for name in node.input]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _rename(attribute.g, names)
        node.output[:] = [new(name) for name in node.output]
        node.name = f"{node.op_type}_{node.output[0]}"
    for value in (*graph.output, *graph.initializer):
        value.name = new(value.name)
    graph.initializer.sort(key=lambda tensor: tensor.name)
    graph.name, graph.doc_string = "yolov3", ""
    del graph.value_info[:]


def load(path: Path) -> Callable[[Images], Answer]:
    """Load into onnxruntime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def answer(images: Images) -> Answer:
        return dict(zip(names, session.run(names, {INPUT: images}), strict=True))

    return answer


def card_text(path: Path) -> str | None:
    """The text of the card inside; None where there is none."""
    model = onnx.load(str(path), load_external_data=False)
    return next((entry.value for entry in model.metadata_props if entry.key == CARD_KEY), None)
