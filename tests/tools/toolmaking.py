"""A small model and pictures whose truth is known, for the tests of tools."""

from __future__ import annotations

import io

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from cloister.tools.templates import Counting, counting_tool

ABOUT = {
    "name": "discs",
    "version": "1.0.0",
    "title": "Bright discs",
    "licence": "Apache-2.0",
    "limits": ["Made for tests."],
}


def gaussian(size, sigma):
    line = np.exp(-0.5 * ((np.arange(size) - size // 2) / sigma) ** 2)
    kernel = np.outer(line, line)
    return (kernel / kernel.sum()).astype(np.float32)


def serialise(nodes, inputs, outputs, weights, opset=18):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        initializer=[numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10
    ).SerializeToString()


def blob_model(gain=8.0):
    """[N, 1, H, W] → [N, 2, H, W] logits: smoothed brightness (peaks at centres of discs), and brightness itself."""
    size = 15
    weight = np.zeros((2, 1, size, size), np.float32)
    weight[0, 0] = gain * gaussian(size, 3.0)
    weight[1, 0] = gain * gaussian(size, 0.7)
    bias = np.array([-0.25 * gain, -0.4 * gain], np.float32)
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], kernel_shape=[size, size], pads=[size // 2] * 4)
    return serialise([node], {"x": ["N", 1, "H", "W"]}, {"y": ["N", 2, "H", "W"]}, {"w": weight, "b": bias})


def discs_tool(model=None, about=None, **changes):
    parameters = {"tile": 64, "overlap": 16, "multiple": 1, "min_distance": 5, "counted": "discs"} | changes
    return counting_tool(model or blob_model(), Counting(**parameters), ABOUT | (about or {}))


def discs(width, height, centres, radius=6.0, seed=0):
    """A dark picture with bright discs, lit a little unevenly and with some noise."""
    light = np.tile(60 + 10 * np.arange(width, dtype=np.float32) / width, (height, 1))
    reach = int(radius) + 2
    for x, y in centres:
        top, left = max(0, int(y) - reach), max(0, int(x) - reach)
        part = light[top : int(y) + reach + 1, left : int(x) + reach + 1]
        rows, columns = np.ogrid[top : top + part.shape[0], left : left + part.shape[1]]
        part[(columns - x) ** 2 + (rows - y) ** 2 <= radius**2] = 190
    noise = np.random.default_rng(seed).standard_normal(light.shape, dtype=np.float32) * 1.5
    return np.clip(light + noise, 0, 255).astype(np.uint8)


def spread_centres(width, height, count, gap=22, margin=14, seed=0):
    """Places at least `gap` apart."""
    rng = np.random.default_rng(seed)
    places = []
    while len(places) < count:
        x, y = rng.uniform(margin, width - margin), rng.uniform(margin, height - margin)
        if all((x - a) ** 2 + (y - b) ** 2 >= gap**2 for a, b in places):
            places.append((float(x), float(y)))
    return places


def png(pixels):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    return stream.getvalue()
