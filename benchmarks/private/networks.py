"""The models of the benchmark of private steps, written as ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class _Writer:
    """Nodes and weights gathered in order."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.rng = np.random.default_rng(0)

    def weight(self, *shape: int) -> str:
        scale = np.sqrt(2 / max(1, np.prod(shape[1:])))
        name = f"w{len(self.weights)}"
        values = self.rng.normal(0, scale, shape).astype(np.float32)
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def node(self, kind: str, *inputs: str, out: str = "", **attributes: Any) -> str:
        made = out or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [made], **attributes))
        return made

    def dense(self, x: str, ins: int, outs: int, out: str = "") -> str:
        return self.node("Gemm", x, self.weight(outs, ins), self.weight(outs), transB=1, out=out)

    def bytes(self, shape: list[int]) -> bytes:
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *shape])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 10])],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())


def mlp() -> bytes:
    """100-256-256-10, ReLU: 94,218 numbers."""
    w = _Writer()
    x = w.node("Relu", w.dense("x", 100, 256))
    w.dense(w.node("Relu", w.dense(x, 256, 256)), 256, 10, out="y")
    return w.bytes([100])


def cnn() -> bytes:
    """The network of Opacus' MNIST example: two convolutions, two pools, two dense layers; 26,010 numbers."""
    w = _Writer()
    x = "x"
    for ins, outs, kernel, pad in ((1, 16, 8, 3), (16, 32, 4, 0)):
        x = w.node(
            "Conv",
            x,
            w.weight(outs, ins, kernel, kernel),
            w.weight(outs),
            strides=[2, 2],
            pads=[pad] * 4,
            kernel_shape=[kernel] * 2,
        )
        x = w.node("MaxPool", w.node("Relu", x), kernel_shape=[2, 2], strides=[1, 1])
    x = w.node("Relu", w.dense(w.node("Flatten", x), 512, 32))
    w.dense(x, 32, 10, out="y")
    return w.bytes([1, 28, 28])
