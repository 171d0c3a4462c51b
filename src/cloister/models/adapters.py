"""Low-rank adapters, written into the graph: a weight W becomes W + up · down, of which only the two thin factors are trained.

Few trained numbers need less noise: noise grows with their number, what is to be learnt often not. Hu et al. 2021, "LoRA",
section 4.1: `down` starts at random, `up` at zero, so that the adapted model begins as the model it came from.

Adapting is a change of the ONNX file, so nothing else needs to know of it: the adapted file is the computation's model, a
recipe with `trainable = ["adapter."]` trains its factors and nothing else, and its release is a model that any runtime runs.
`merge` gives back the original graph with W + up · down as its weights.

Rules:
1. Both functions are pure: the same bytes and arguments give the same bytes.
2. What `merge` finds must be just what `adapt` writes; a graph that only looks alike is refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from cloister.foundation.errors import BadInput
from cloister.models.graph import Limits
from cloister.models.parse import DEFAULT_LIMITS, parse

PREFIX = "adapter."
MAX_RANK = 256


def adapt(
    data: bytes, prefixes: tuple[str, ...], rank: int, *, seed: int = 0, limits: Limits = DEFAULT_LIMITS
) -> bytes:
    """The model with adapters on named weights; it computes the same until they are trained.

    Args:
        data: an ONNX model.
        prefixes: weights whose names begin with one of these, and have two dimensions or more, get adapters. A weight of
            a convolution counts as a matrix of outputs by everything else.
        rank: of the adapters, at least 1; weights with a smaller side are left as they are.
        seed: of the random factors; public.
        limits: what the model may ask of this machine.

    Raises:
        ModelUnusable, ModelRefused: the model cannot be used.
        BadInput: no weight is adapted, or the model has adapters already.
    """
    graph = parse(data, limits)
    if any(name.startswith(PREFIX) for name in graph.constants) or not 1 <= rank <= MAX_RANK:
        raise _unfit("It has adapters already, or the rank is out of range.")
    chosen = [
        name
        for name in graph.trainable
        if name.startswith(prefixes)
        and (value := graph.constants[name]).ndim >= 2
        and min(len(value), value[0].size) > rank
    ]
    if not prefixes or not chosen:
        raise _unfit("No weight of that name is a matrix with more rows and columns than the rank.")
    proto = onnx.ModelProto()
    proto.ParseFromString(data)
    initial = {item.name for item in proto.graph.initializer}
    rng = np.random.default_rng(seed)
    nodes: list[Any] = []
    for name in chosen:
        value = graph.constants[name]
        if name not in initial:
            raise _unfit(f"The weight {name[:60]!a} is not among its initial values.")
        rows, columns = len(value), value[0].size
        down = (rng.normal(size=(rank, columns)) / np.sqrt(columns)).astype(np.float32)
        parts = _names(name)
        for part, array in (
            ("up", np.zeros((rows, rank), np.float32)),
            ("down", down),
            ("shape", np.asarray(value.shape, np.int64)),
        ):
            proto.graph.initializer.append(numpy_helper.from_array(array, parts[part]))
        nodes += _nodes(name)
        for node in proto.graph.node:
            node.input[:] = [parts["sum"] if item == name else item for item in node.input]
    rest = list(proto.graph.node)
    del proto.graph.node[:]
    proto.graph.node.extend([*nodes, *rest])
    return bytes(proto.SerializeToString(deterministic=True))


def merge(data: bytes, *, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """The original graph with the adapters added to its weights.

    Raises:
        ModelUnusable, ModelRefused: the model cannot be used.
        BadInput: it has no adapters, or not such as `adapt` writes.
    """
    graph = parse(data, limits)
    adapted = [
        name.removeprefix(PREFIX).removesuffix(".up")
        for name in graph.constants
        if name.startswith(PREFIX) and name.endswith(".up")
    ]
    if not adapted:
        raise _unfit("It has no adapters.")
    proto = onnx.ModelProto()
    proto.ParseFromString(data)
    for name in adapted:
        parts = _names(name)
        written = {node.output[0]: node for node in proto.graph.node if node.output}
        for node in _nodes(name):
            found = written.get(node.output[0])
            if found is None or found.op_type != node.op_type or list(found.input) != list(node.input):
                raise _unfit(f"Its adapter of {name[:60]!a} is not as adapters are written.")
            proto.graph.node.remove(found)
        values = [graph.constants.get(item) for item in (name, parts["up"], parts["down"])]
        whole, up, down = values
        if whole is None or up is None or down is None or up.ndim != 2 or down.ndim != 2:
            raise _unfit(f"Its adapter of {name[:60]!a} is not complete.")
        if (len(up), up.shape[1], down[0].size) != (len(whole), len(down), whole[0].size):
            raise _unfit(f"Its adapter of {name[:60]!a} does not fit the weight.")
        added = up.astype(np.float64) @ down.astype(np.float64)
        merged = (whole + added.reshape(whole.shape)).astype(np.float32)
        for item in list(proto.graph.initializer):
            if item.name in (parts["up"], parts["down"], parts["shape"]):
                proto.graph.initializer.remove(item)
            elif item.name == name:
                item.CopyFrom(numpy_helper.from_array(merged, name))
        used = {parts[part] for part in ("product", "shaped", "sum", "up", "down", "shape")}
        for node in proto.graph.node:
            node.input[:] = [name if item == parts["sum"] else item for item in node.input]
            if used.intersection(node.input):
                raise _unfit(f"Its adapter of {name[:60]!a} is used for something else as well.")
    made = bytes(proto.SerializeToString(deterministic=True))
    parse(made, limits)
    return made


def _names(weight: str) -> dict[str, str]:
    parts = ("up", "down", "shape", "product", "shaped", "sum")
    return {part: f"{PREFIX}{weight}.{part}" for part in parts}


def _nodes(weight: str) -> list[Any]:
    """Up · down, in the weight's shape, added to the weight."""
    parts = _names(weight)
    return [
        helper.make_node("MatMul", [parts["up"], parts["down"]], [parts["product"]], name=parts["product"]),
        helper.make_node(
            "Reshape", [parts["product"], parts["shape"]], [parts["shaped"]], name=parts["shaped"]
        ),
        helper.make_node("Add", [weight, parts["shaped"]], [parts["sum"]], name=parts["sum"]),
    ]


def _unfit(why: str) -> BadInput:
    return BadInput("The model's adapters do not fit.", why, "Choose other weights, or another model.")
