"""ONNX, by tf2onnx; the card lies in the file's ``metadata_props``."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import onnx

from yolopipe.export.card_files import CARD_KEY, INPUT
from yolopipe.export.difference import Answer
from yolopipe.export.serving_graph import Served

__all__ = ["opened", "written"]

OPSET = 17


def written(path: Path, served: Served, card: str) -> None:
    """Convert and write."""
    import tf2onnx  # brings TensorFlow along, which reading a card does not need

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    with _few_copies_of_weights():
        model, _ = tf2onnx.convert.from_function(
            served.serve, input_signature=list(served.serve.input_signature), opset=OPSET
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
    """Keep tf2onnx from copying the weights with each of its 36 passes over the graph; the file is the same.

    A pass ends by writing every node into its protobuf message, weights too, and protobuf frees no copy before it
    frees all.  The messages of constants are read by nobody: the file takes their values from elsewhere.  Before a
    pass the whole graph is copied as well, to go on with should the pass fail; here a failure is one.  For the
    full-size network this is 19 s and 5.8 GB instead of a minute and more than 16 GB.
    """
    from tf2onnx.constants import ENV_TF2ONNX_CATCH_ERRORS
    from tf2onnx.graph import Node

    update = Node.update_proto

    def lean(node: Any, *arguments: Any, **keywords: Any) -> None:
        if not node.is_const():
            update(node, *arguments, **keywords)

    with (
        mock.patch.object(Node, "update_proto", lean),
        mock.patch.dict(os.environ, {ENV_TF2ONNX_CATCH_ERRORS: "FALSE"}),
    ):
        yield


def _name_by_place(graph: Any) -> None:
    """Number nodes and values in their order: the numbers of tf2onnx change with each run, and so would the bytes."""
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


def opened(path: Path) -> Callable[[Any], Answer]:
    """Load into onnxruntime, and answer."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def answer(images: Any) -> Answer:
        return dict(zip(names, session.run(names, {INPUT: images}), strict=True))

    return answer


def card_of(path: Path) -> str | None:
    """The text of the card inside; None where there is none."""
    model = onnx.load(str(path), load_external_data=False)
    return next((entry.value for entry in model.metadata_props if entry.key == CARD_KEY), None)
