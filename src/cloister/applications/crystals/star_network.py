"""The crystal model: for each point of a picture, is a crystal's centre here, and what does the crystal around it look like.

A fully convolutional network with a path down to 1/16 of the resolution and back to 1/4 (O. Ronneberger, P. Fischer, T. Brox,
"U-Net", MICCAI 2015). Its answer has two parts, laid out as `data.stars` says: fine maps at half the resolution (centres, bodies,
bubbles, litter), and for each cell of a grid of 1/4 the crystal that owns it as a star-convex polygon, with its blur, whether it
has grown together with others, and how much of it others hide. There is no normalisation layer: statistics over a tile would
make the answer depend on where the tile was cut; the picture is normalised as a whole before (`data.normalise`).

The layers are a table (`LAYERS`), from which this module writes ONNX and `scripts/train_crystal_outlines.py` makes what it trains.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cloister.data.stars import CHANNELS, FOLDED

INPUT, OUTPUT = "image", "answers"
CONTEXT: Final = 96
"""Pixels around a point that can change its answer by more than a trace: half the overlap that tiles need."""

OPSET, IR_VERSION = 18, 10


@dataclass(frozen=True)
class Layer:
    """A convolution with what comes before and after it.

    Attributes:
        name: of the layer and its output.
        sources: layers whose outputs are put side by side; `^name` enlarges twice, `%name` folds 2 x 2 pixels into channels.
        ins: channels taken.
        outs: channels given.
        kernel: side of the kernel.
        stride: pixels from one output to the next.
        added: layer whose output is added before the activation; empty for none.
        rectified: whether negative values become 0.
    """

    name: str
    sources: tuple[str, ...]
    ins: int
    outs: int
    kernel: int = 3
    stride: int = 1
    added: str = ""
    rectified: bool = True


LAYERS: Final[tuple[Layer, ...]] = (
    Layer("half.a", (INPUT,), 1, 16, kernel=5, stride=2),
    Layer("quarter.a", ("half.a",), 16, 32, stride=2),
    Layer("quarter.b", ("quarter.a",), 32, 32, added="quarter.a"),
    Layer("eighth.a", ("quarter.b",), 32, 64, stride=2),
    Layer("eighth.b", ("eighth.a",), 64, 64),
    Layer("eighth.c", ("eighth.b",), 64, 64, added="eighth.a"),
    Layer("deep.a", ("eighth.c",), 64, 128, stride=2),
    Layer("deep.b", ("deep.a",), 128, 128),
    Layer("deep.c", ("deep.b",), 128, 128, added="deep.a"),
    Layer("deep.d", ("deep.c",), 128, 128),
    Layer("deep.e", ("deep.d",), 128, 128, added="deep.c"),
    Layer("deep.f", ("deep.e",), 128, 64, kernel=1),
    Layer("up8.a", ("^deep.f", "eighth.c"), 128, 64, kernel=1),
    Layer("up8.b", ("up8.a",), 64, 64, added="up8.a"),
    Layer("up8.c", ("up8.b",), 64, 40, kernel=1),
    Layer("details", ("%half.a",), 64, 20, kernel=1),
    Layer("up4.a", ("^up8.c", "quarter.b", "details"), 92, 40, kernel=1),
    Layer("up4.b", ("up4.a",), 40, 40, added="up4.a"),
    Layer(OUTPUT, ("up4.b",), 40, CHANNELS, kernel=1, rectified=False),
)

Weights = Mapping[str, NDArray[np.float32]]


def initial_weights(seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Random weights to start from: He et al. 2015; `NAME.weight` [outs, ins, k, k] and `NAME.bias` [outs]."""
    rng = np.random.default_rng(seed)
    weights: dict[str, NDArray[np.float32]] = {}
    for layer in LAYERS:
        shape = (layer.outs, layer.ins, layer.kernel, layer.kernel)
        gain = 1.0 if layer.rectified and not layer.added else 0.3
        scale = gain * np.sqrt(2.0 / (layer.ins * layer.kernel**2))
        weights[f"{layer.name}.weight"] = rng.normal(0.0, scale, shape).astype(np.float32)
        weights[f"{layer.name}.bias"] = np.zeros(layer.outs, dtype=np.float32)
    # Centres are rare, bodies cover a fifth: starting there saves the first hundreds of steps.
    weights[f"{OUTPUT}.bias"][:FOLDED] = np.repeat([-3.5, -1.5, -2.5, -4.0], 4)
    return weights


def build_star_model(weights: Weights | None = None, seed: int = 0) -> bytes:
    """The network as an ONNX file.

    Args:
        weights: as `initial_weights` names them; random ones if None.
        seed: of random weights.

    Returns:
        A serialised ModelProto: input `image` float32 [N, 1, H, W] as `normalise_micrograph` gives it, H and W multiples of
        `MULTIPLE`; output `answers` float32 [N, CHANNELS, H / 4, W / 4]. Opset 18, IR 10.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    given = dict(weights) if weights is not None else initial_weights(seed)
    nodes: list[object] = []
    made: set[str] = set()

    def once(kind: str, source: str, name: str, extra: tuple[str, ...] = (), **how: object) -> str:
        if name not in made:
            nodes.append(helper.make_node(kind, [source, *extra], [name], name=name, **how))
            made.add(name)
        return name

    def read(source: str) -> str:
        if source.startswith("^"):
            how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
            return once("Resize", source[1:], f"{source[1:]}.enlarged", ("", "twice"), **how)
        if source.startswith("%"):
            return once("SpaceToDepth", source[1:], f"{source[1:]}.folded", blocksize=2)
        return source

    for layer in LAYERS:
        sources = [read(source) for source in layer.sources]
        taken = sources[0]
        if len(sources) > 1:
            taken = f"{layer.name}.taken"
            nodes.append(helper.make_node("Concat", sources, [taken], name=taken, axis=1))
        steps = ["Conv", *(["Add"] if layer.added else []), *(["Relu"] if layer.rectified else [])]
        for place, kind in enumerate(steps):
            name = layer.name if place == len(steps) - 1 else f"{layer.name}.{kind.lower()}"
            if kind == "Conv":
                how = {
                    "kernel_shape": [layer.kernel] * 2,
                    "strides": [layer.stride] * 2,
                    "pads": [layer.kernel // 2] * 4,
                }
                inputs = [taken, f"{layer.name}.weight", f"{layer.name}.bias"]
            else:
                how, inputs = {}, [taken, *([layer.added] if kind == "Add" else [])]
            nodes.append(helper.make_node(kind, inputs, [name], name=name, **how))
            taken = name

    values = [numpy_helper.from_array(np.asarray(v, np.float32), name) for name, v in given.items()]
    twice = numpy_helper.from_array(np.array([1, 1, 2, 2], dtype=np.float32), "twice")
    graph = helper.make_graph(
        nodes,
        "crystals",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["N", 1, "H", "W"])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["N", CHANNELS, "H/4", "W/4"])],
        initializer=[*values, twice],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    model.producer_name = "cloister"
    onnx.checker.check_model(model)
    serialised: bytes = model.SerializeToString()
    return serialised


def read_weights(model: bytes) -> dict[str, NDArray[np.float32]]:
    """The weights of a file that `build_star_model` wrote."""
    import onnx
    from onnx import numpy_helper

    found = {t.name: numpy_helper.to_array(t) for t in onnx.load_from_string(model).graph.initializer}
    return {name: value for name, value in found.items() if name != "twice"}
