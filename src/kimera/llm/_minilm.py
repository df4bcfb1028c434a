"""MiniLM-L6 as an ONNX graph, written once from its weights.

The architecture is BERT (Devlin et al. 2019): word, position and segment embeddings, six post-norm layers of 12-head
attention and an erf-GELU feed-forward, then the mean over the tokens, scaled to length 1. The graph uses the fused
operators of onnxruntime's CPU provider, so that loading it needs no graph optimiser (0.03 s).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

__all__ = ["write_graph"]

HEADS = 12
LAYERS = 6
LAYER_NORM_EPSILON = 1e-12
_PAGE = 4096  # onnxruntime maps external data that starts on a page
_INLINE_BYTES = 1024

Array = NDArray[np.float32]


class _Graph:
    """Nodes and initial values in the order they were added, over the weights they are taken from."""

    def __init__(self, weights: Mapping[str, Array]) -> None:
        self.source = weights
        self.nodes: list[onnx.NodeProto] = []
        self.values: dict[str, NDArray[Any]] = {}

    def node(self, operator: str, inputs: list[str], output: str, *, fused: bool = False, **attributes: Any) -> str:
        """Add an operator, of onnxruntime's own domain if ``fused``, and return its output's name."""
        domain = "com.microsoft" if fused else ""
        self.nodes.append(helper.make_node(operator, inputs, [output], domain=domain, **attributes))
        return output

    def value(self, name: str, array: NDArray[Any]) -> str:
        """Add a constant and return its name."""
        self.values[name] = np.ascontiguousarray(array)
        return name

    def weight(self, name: str) -> str:
        """Add a stored weight under its own name; torch keeps a linear layer as [out, in], MatMul wants [in, out]."""
        array = self.source[name]
        return self.value(name, array.T if array.ndim == 2 else array)


def write_graph(weights: Mapping[str, Array], folder: Path, max_tokens: int) -> Path:
    """Write ``model.onnx`` and ``weights.bin`` into ``folder`` and return the model's path.

    The input ``ids`` is int32 ``[batch, length]``, without padding; the output is float32 ``[batch, 384]``, rows of
    length 1. The same weights give the same bytes.
    """
    graph = _Graph(weights)
    state = _embed(graph, max_tokens)
    for layer in range(LAYERS):
        state = _layer(graph, f"encoder.layer.{layer}.", state)
    _pool(graph, state, max_tokens)
    target = folder / "model.onnx"
    target.write_bytes(_model(graph, folder / "weights.bin").SerializeToString(deterministic=True))
    return target


def _embed(graph: _Graph, max_tokens: int) -> str:
    stored = "embeddings.{}_embeddings.weight"
    graph.value("words", graph.source[stored.format("word")])
    # One text is one segment, so the segment embedding is a constant of every position.
    segment = graph.source[stored.format("token_type")][0]
    graph.value("places", graph.source[stored.format("position")][:max_tokens] + segment)
    graph.value("zero", np.array([0], dtype=np.int64))
    graph.value("one", np.array([1], dtype=np.int64))
    graph.node("Gather", ["words", "ids"], "looked_up")
    graph.node("Shape", ["ids"], "length", start=1, end=2)
    graph.node("Slice", ["places", "zero", "length", "zero"], "placed")
    graph.node("Add", ["looked_up", "placed"], "embedded")
    norm = [graph.weight("embeddings.LayerNorm.weight"), graph.weight("embeddings.LayerNorm.bias")]
    return graph.node("LayerNormalization", ["embedded", *norm], "normed", axis=-1, epsilon=LAYER_NORM_EPSILON)


def _layer(graph: _Graph, prefix: str, state: str) -> str:
    parts = [f"{prefix}attention.self.{part}" for part in ("query", "key", "value")]
    joined = np.concatenate([graph.source[f"{part}.weight"].T for part in parts], axis=1)
    biases = np.concatenate([graph.source[f"{part}.bias"] for part in parts])
    projection = [graph.value(prefix + "qkv", joined), graph.value(prefix + "qkv_bias", biases)]
    attended = graph.node("Attention", [state, *projection], prefix + "attended", fused=True, num_heads=HEADS)
    state = _residual(graph, prefix + "attention.output.", attended, state)
    dense = prefix + "intermediate.dense."
    wide = graph.node("MatMul", [state, graph.weight(dense + "weight")], prefix + "wide")
    active = graph.node("BiasGelu", [wide, graph.weight(dense + "bias")], prefix + "active", fused=True)
    return _residual(graph, prefix + "output.", active, state)


def _residual(graph: _Graph, prefix: str, value: str, state: str) -> str:
    dense = graph.node("MatMul", [value, graph.weight(prefix + "dense.weight")], prefix + "projected")
    norm = [graph.weight(prefix + "LayerNorm.weight"), graph.weight(prefix + "LayerNorm.bias")]
    inputs = [dense, state, *norm, graph.weight(prefix + "dense.bias")]
    return graph.node("SkipLayerNormalization", inputs, prefix + "state", fused=True, epsilon=LAYER_NORM_EPSILON)


def _pool(graph: _Graph, state: str, max_tokens: int) -> None:
    # The sum points where the mean points. A product with ones, because the reducing operators add up in an order
    # that depends on the size of the batch, and a vector must not depend on its company.
    graph.value("ones", np.ones((1, 1, max_tokens), dtype=np.float32))
    graph.value("two", np.array([2], dtype=np.int64))
    graph.node("Slice", ["ones", "zero", "length", "two"], "row")
    graph.node("MatMul", ["row", state], "summed")
    graph.node("Squeeze", ["summed", "one"], "sum")
    graph.node("LpNormalization", ["sum"], "vector", axis=-1, p=2)


def _model(graph: _Graph, data: Path) -> onnx.ModelProto:
    with data.open("wb") as stream:
        initial = []
        for name, array in graph.values.items():
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            tensor = TensorProto(name=name, data_type=kind, dims=array.shape)
            if array.nbytes < _INLINE_BYTES:
                tensor.raw_data = array.tobytes()
            else:
                stream.write(bytes(-stream.tell() % _PAGE))
                _point(tensor, data.name, stream.tell(), array.nbytes)
                stream.write(array.data)  # contiguous; a copy of 90 MB would hold up every other thread
            initial.append(tensor)
    inputs = [helper.make_tensor_value_info("ids", TensorProto.INT32, ["batch", "length"])]
    output = helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["batch", 384])
    body = helper.make_graph(graph.nodes, "minilm", inputs, [output], initializer=initial)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(body, opset_imports=opsets, ir_version=8, producer_name="kimera")


def _point(tensor: onnx.TensorProto, location: str, offset: int, length: int) -> None:
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", str(offset)), ("length", str(length))):
        tensor.external_data.add(key=key, value=value)
