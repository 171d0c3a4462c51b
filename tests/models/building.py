"""Small ONNX models for the tests: an MLP, a CNN and a U-Net, written with onnx.helper."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Builder:
    """Collects nodes and constants; every method returns the name of what it made."""

    def __init__(self, opset: int = 17, seed: int = 0) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.random = np.random.default_rng(seed)
        self.opset = opset

    def constant(self, value: np.ndarray, name: str | None = None) -> str:
        name = name or f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def weight(self, *shape: int, name: str | None = None) -> str:
        fan = max(1, int(np.prod(shape[1:])))
        value = self.random.normal(size=shape, scale=(2 / fan) ** 0.5).astype(np.float32)
        return self.constant(value, name or f"w{len(self.constants)}")

    def node(self, kind: str, *inputs: str, **attributes) -> str:
        out = f"v{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(kind, list(inputs), [out], name=f"{kind}{len(self.nodes)}", **attributes)
        )
        return out

    def conv(self, x: str, ins: int, outs: int, k: int = 3, **attributes) -> str:
        attributes.setdefault("pads", [k // 2] * 4)
        group = attributes.get("group", 1)
        return self.node(
            "Conv",
            x,
            self.weight(outs, ins // group, k, k),
            self.weight(outs),
            kernel_shape=[k, k],
            **attributes,
        )

    def group_norm(self, x: str, channels: int, groups: int) -> str:
        """As torch exports it: an instance normalisation between two reshapes."""
        shaped = self.node("Reshape", x, self.constant(np.asarray([0, groups, -1], np.int64)))
        ones, zeros = self.constant(np.ones(groups, np.float32)), self.constant(np.zeros(groups, np.float32))
        normed = self.node("InstanceNormalization", shaped, ones, zeros)
        back = self.node("Reshape", normed, self.node("Shape", x))
        scaled = self.node(
            "Mul", back, self.constant(np.ones((channels, 1, 1), np.float32), f"scale{len(self.constants)}")
        )
        return self.node(
            "Add", scaled, self.constant(np.zeros((channels, 1, 1), np.float32), f"bias{len(self.constants)}")
        )

    def bytes(
        self, inputs: dict[str, list], outputs: list[str], *, ir: int = 10, dtype: int = TensorProto.FLOAT
    ) -> bytes:
        graph = helper.make_graph(
            self.nodes,
            "test",
            [helper.make_tensor_value_info(name, dtype, shape) for name, shape in inputs.items()],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=ir)
        return model.SerializeToString()


def mlp(
    features: int = 4,
    hidden: tuple[int, ...] = (8,),
    classes: int = 3,
    activation: str = "Relu",
    opset: int = 17,
    seed: int = 0,
) -> bytes:
    b = Builder(opset, seed)
    x, width = "x", features
    for size in hidden:
        x = b.node(activation, b.node("Gemm", x, b.weight(size, width), b.weight(size), transB=1))
        width = size
    b.node("Gemm", x, b.weight(classes, width), b.weight(classes), transB=1)
    b.nodes[-1].output[0] = "y"
    return b.bytes({"x": ["batch", features]}, ["y"])


def cnn(
    channels: int = 1,
    width: int = 4,
    classes: int = 3,
    pool: str = "MaxPool",
    opset: int = 17,
    seed: int = 0,
    side: int = 8,
) -> bytes:
    b = Builder(opset, seed)
    x = b.node("Relu", b.conv("x", channels, width))
    x = b.node(pool, x, kernel_shape=[2, 2], strides=[2, 2])
    x = b.node("Relu", b.conv(x, width, 2 * width, strides=[2, 2]))
    x = b.node("Flatten", b.node("GlobalAveragePool", x))
    b.node("Gemm", x, b.weight(classes, 2 * width), b.weight(classes), transB=1)
    b.nodes[-1].output[0] = "y"
    return b.bytes({"x": ["batch", channels, side, side]}, ["y"])


def unet(
    width: int = 4,
    levels: int = 2,
    groups: int = 2,
    up: str = "nearest",
    outputs: int = 1,
    opset: int = 17,
    seed: int = 0,
    norm: str = "group",
) -> bytes:
    """Encoder and decoder with skips; sizes are symbolic and must divide by 2**levels."""
    b = Builder(opset, seed)

    def block(x: str, ins: int, outs: int) -> str:
        for n in (ins, outs):
            x = b.conv(x, n, outs)
            if norm == "group":
                x = b.group_norm(x, outs, groups)
            elif norm == "instance":
                x = b.node(
                    "InstanceNormalization",
                    x,
                    b.constant(np.ones(outs, np.float32)),
                    b.constant(np.zeros(outs, np.float32)),
                )
            elif norm == "GroupNormalization":
                x = b.node(
                    "GroupNormalization",
                    x,
                    b.constant(np.ones(outs, np.float32)),
                    b.constant(np.zeros(outs, np.float32)),
                    num_groups=groups,
                )
            x = b.node("Relu", x)
        return x

    skips = []
    x, n = block("x", 1, width), width
    for _ in range(levels):
        skips.append((x, n))
        x = b.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
        x, n = block(x, n, 2 * n), 2 * n
    for skip, m in reversed(skips):
        if up == "transpose":
            x = b.node(
                "ConvTranspose", x, b.weight(n, m, 2, 2), b.weight(m), kernel_shape=[2, 2], strides=[2, 2]
            )
            n = m
        else:
            mode = {
                "nearest": {
                    "mode": "nearest",
                    "coordinate_transformation_mode": "asymmetric",
                    "nearest_mode": "floor",
                }
            }.get(up, {"mode": up, "coordinate_transformation_mode": "half_pixel"})
            x = b.node("Resize", x, "", b.constant(np.asarray([1, 1, 2, 2], np.float32)), **mode)
        x = block(b.node("Concat", x, skip, axis=1), n + m, m)
        n = m
    b.conv(x, n, outputs, 1)
    b.nodes[-1].output[0] = "y"
    return b.bytes({"x": ["batch", 1, "height", "width"]}, ["y"])
