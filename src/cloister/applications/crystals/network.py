"""The crystal model: a small U-Net that marks every crystal's centre and body.

A fully convolutional network (O. Ronneberger, P. Fischer, T. Brox, "U-Net", MICCAI 2015) written down as
ONNX, so that the same file is trained in JAX, federated, and run by users in ONNX Runtime. It works at half
the picture's resolution and enlarges its answer at the end: centres need no finer grid, and it costs a
quarter. There is no normalisation layer: statistics over a tile would make the answer depend on where the
tile was cut; the picture is normalised as a whole before (`data.normalise`).

Channels of the output, as logits: `HEAT` is high at a crystal's centre and falls off like a Gaussian,
`BODY` is positive inside a crystal. Bubbles, dust and threads are background in both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HEAT, BODY = 0, 1
"""Output channels: centre heat map, body of a crystal."""

CHANNELS = ("heat", "body")
INPUT, OUTPUT = "image", "logits"
WIDTHS = (16, 32, 48, 64)
"""Features at 1/2, 1/4, 1/8 and 1/16 of the picture's resolution."""

MULTIPLE = 16
"""Height and width of the input are multiples of this."""

CONTEXT = 64
"""Pixels around a point that can change its answer by more than a trace: the overlap that tiles need."""

OPSET, IR_VERSION = 18, 10


@dataclass
class _Graph:
    """Nodes and initial values gathered while the network is described."""

    rng: np.random.Generator
    nodes: list[object]
    weights: dict[str, NDArray[np.float32]]

    def node(self, kind: str, inputs: list[str], output: str, **attributes: object) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def conv(self, source: str, name: str, ins: int, outs: int, *, kernel: int = 3, stride: int = 1) -> str:
        """Convolution and ReLU; He et al. 2015 initialisation."""
        fan_in = ins * kernel * kernel
        values = self.rng.normal(0.0, np.sqrt(2.0 / fan_in), (outs, ins, kernel, kernel))
        self.weights[f"{name}.weight"] = values.astype(np.float32)
        self.weights[f"{name}.bias"] = np.zeros(outs, dtype=np.float32)
        pad = kernel // 2
        made = self.node(
            "Conv",
            [source, f"{name}.weight", f"{name}.bias"],
            f"{name}.conv",
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[pad, pad, pad, pad],
        )
        return self.node("Relu", [made], f"{name}.out")

    def enlarge(self, source: str, name: str, *, linear: bool = False) -> str:
        """Twice the size; by repetition, or linearly for the final answer."""
        how: dict[str, object] = (
            {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
            if linear
            else {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        )
        return self.node("Resize", [source, "", "enlarge.scales"], name, **how)


def build_model(seed: int = 0) -> bytes:
    """The untrained network as an ONNX file.

    Args:
        seed: of the initial weights.

    Returns:
        A serialised ModelProto: input `image` float32 [N, 1, H, W] as `normalise_micrograph` gives it, H and W
        multiples of `MULTIPLE`; output `logits` float32 [N, 2, H, W], channels as in `CHANNELS`. About 227
        thousand parameters, opset 18, IR 10.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    g = _Graph(np.random.default_rng(seed), [], {})
    a, b, c, d = WIDTHS
    x = g.conv(INPUT, "down1.a", 1, a, kernel=5, stride=2)
    one = g.conv(x, "down1.b", a, a)
    two = _block(g, _pool(g, one, "down1.pool"), "down2", a, b)
    three = _block(g, _pool(g, two, "down2.pool"), "down3", b, c)
    four = _block(g, _pool(g, three, "down3.pool"), "down4", c, d)
    x = _join(g, four, three, "up3", d + c, c)
    x = _join(g, x, two, "up2", c + b, b)
    x = _join(g, x, one, "up1", b + a, a)
    head = g.rng.normal(0.0, 0.05, (len(CHANNELS), a, 1, 1)).astype(np.float32)
    g.weights["head.weight"] = head
    # Centres are rare, bodies cover a few per cent: starting there saves the first hundred steps.
    g.weights["head.bias"] = np.array([-3.5, -2.0], dtype=np.float32)
    x = g.node("Conv", [x, "head.weight", "head.bias"], "head.conv", kernel_shape=[1, 1])
    g.enlarge(x, OUTPUT, linear=True)

    scales = numpy_helper.from_array(np.array([1, 1, 2, 2], dtype=np.float32), "enlarge.scales")
    weights = [numpy_helper.from_array(value, name) for name, value in g.weights.items()]
    graph = helper.make_graph(
        g.nodes,
        "crystals",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["N", 1, "H", "W"])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["N", len(CHANNELS), "H", "W"])],
        initializer=[*weights, scales],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    model.producer_name = "cloister"
    onnx.checker.check_model(model)
    serialised: bytes = model.SerializeToString()
    return serialised


def _pool(g: _Graph, source: str, name: str) -> str:
    return g.node("MaxPool", [source], name, kernel_shape=[2, 2], strides=[2, 2])


def _block(g: _Graph, source: str, name: str, ins: int, outs: int) -> str:
    return g.conv(g.conv(source, f"{name}.a", ins, outs), f"{name}.b", outs, outs)


def _join(g: _Graph, low: str, skip: str, name: str, ins: int, outs: int) -> str:
    """Decoder step: the coarser features enlarged beside the finer ones, two convolutions."""
    joined = g.node("Concat", [g.enlarge(low, f"{name}.enlarge"), skip], f"{name}.concat", axis=1)
    return _block(g, joined, name, ins, outs)
