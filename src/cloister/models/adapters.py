"""Low-rank adapters, written into the graph: a weight W becomes W + up · down, of which only the two thin factors are trained.

Few trained numbers need less noise: noise grows with their number, what is to be learnt often not. Hu et al. 2021, "LoRA",
section 4.1: `down` starts at random, `up` at zero, so that the adapted model begins as the model it came from.

Adapting is a change of the ONNX file, so nothing else needs to know of it: the adapted file is the computation's model, a
recipe whose `trainable` is `adapter.up.` or `adapter.` trains its factors and nothing else, and its release is a model that
any runtime runs. `merge` gives back the original graph with W + up · down as its weights.

With several owners or noise, train `up` alone: the average of owners' products is not the product of their averaged factors,
and noise in both factors is multiplied (Sun et al. 2024, "Improving LoRA in Privacy-preserving Federated Learning", ICLR,
section 3). Where `down` stays as it was drawn, both are sums again, and about half as many numbers are trained.

Rules:
1. Both functions are pure: the same bytes and arguments give the same bytes.
2. What `merge` finds must be just what `adapt` writes; a graph that only looks alike is refused.
3. A weight gets an adapter only where that is fewer numbers than the weight itself has.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from cloister.foundation.errors import BadInput
from cloister.models.graph import Graph, Limits
from cloister.models.parse import DEFAULT_LIMITS, parse
from cloister.models.rewriting import Rewriting

PREFIX = "adapter."
UP = f"{PREFIX}up."
"""How the names begin of the factors that are worth training where there are several owners, or noise."""
MAX_RANK = 256


@dataclass(frozen=True)
class Weight:
    """A weight that could get an adapter.

    Attributes:
        name: in the graph.
        shape: of the weight.
        rank: of the adapter.
        reason: why it gets none, in words; empty where it gets one.
    """

    name: str
    shape: tuple[int, ...]
    rank: int
    reason: str = ""

    @property
    def numbers(self) -> int:
        """How many numbers its adapter has; 0 where it gets none."""
        return 0 if self.reason else self.up + self.rank * math.prod(self.shape[1:])

    @property
    def up(self) -> int:
        """How many of them are in the factor `up`."""
        return 0 if self.reason else self.rank * self.shape[0]


def weights(
    data: bytes, prefixes: tuple[str, ...] = (), rank: int = 4, *, limits: Limits = DEFAULT_LIMITS
) -> tuple[Weight, ...]:
    """The weights of those names, and which of them `adapt` would give an adapter, in the order of the file.

    Args:
        data: an ONNX model.
        prefixes: how their names begin; empty for all weights.
        rank: of the adapters.
        limits: what the model may ask of this machine.

    Raises:
        ModelUnusable, ModelRefused: the model cannot be used.
        BadInput: it has adapters already, the rank is out of range, or a prefix names nothing.
    """
    return _weights(parse(data, limits), prefixes, rank)


def _weights(graph: Graph, prefixes: tuple[str, ...], rank: int) -> tuple[Weight, ...]:
    if any(name.startswith(PREFIX) for name in graph.constants):
        raise _unfit("It has adapters already.", "Merge them first: cloister model merge")
    if not 1 <= rank <= MAX_RANK:
        raise _unfit(f"The rank is not between 1 and {MAX_RANK}.", "Begin with 4 or 8.")
    for prefix in prefixes:
        if not any(name.startswith(prefix) for name in graph.trainable):
            raise _unfit(
                f"No weight's name begins with {prefix[:60]!a}.", "See the names: cloister model check FILE"
            )
    return tuple(
        _weight(name, graph.constants[name], rank)
        for name in graph.trainable
        if not prefixes or name.startswith(prefixes)
    )


def _weight(name: str, value: np.ndarray, rank: int) -> Weight:
    found = Weight(name, tuple(value.shape), rank)
    if value.ndim < 2:
        return replace(found, reason="no matrix")
    if found.numbers >= value.size:
        return replace(
            found, reason=f"an adapter of rank {rank} would be {found.numbers:,} numbers, no fewer"
        )
    return found


def adapt(
    data: bytes, prefixes: tuple[str, ...], rank: int, *, seed: int = 0, limits: Limits = DEFAULT_LIMITS
) -> bytes:
    """The model with adapters on named weights; it computes the same until they are trained.

    Args:
        data: an ONNX model.
        prefixes: weights whose names begin with one of these get adapters where that is fewer numbers (`weights`); empty
            for all. A weight of a convolution counts as a matrix of outputs by everything else.
        rank: of the adapters, 1 to `MAX_RANK`.
        seed: of the random factors; public.
        limits: what the model may ask of this machine.

    Raises:
        ModelUnusable, ModelRefused: the model cannot be used.
        BadInput: no weight is adapted, or as `weights`.
    """
    graph = parse(data, limits)
    chosen = [item.name for item in _weights(graph, prefixes, rank) if item.numbers]
    if not chosen:
        raise _unfit(
            f"For none of the weights is an adapter of rank {rank} fewer numbers than the weight itself.",
            "Take a smaller rank or other weights, or train them as they are.",
        )
    rewriting = Rewriting(data)
    rng = np.random.default_rng(seed)
    nodes: list[Any] = []
    for name in chosen:
        value = graph.constants[name]
        if name not in rewriting.initial:
            raise _unfit(f"The weight {name[:60]!a} is not among its initial values.")
        rows, columns = len(value), value[0].size
        down = (rng.normal(size=(rank, columns)) / np.sqrt(columns)).astype(np.float32)
        parts = _names(name)
        for part, array in (
            ("up", np.zeros((rows, rank), np.float32)),
            ("down", down),
            ("shape", np.asarray(value.shape, np.int64)),
        ):
            rewriting.constant(parts[part], array)
        nodes += _nodes(name)
        rewriting.use(parts["sum"], instead_of=name)
    return rewriting.finish(nodes, limits)


def merge(data: bytes, *, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """The original graph with the adapters added to its weights.

    Raises:
        ModelUnusable, ModelRefused: the model cannot be used.
        BadInput: it has no adapters, or not such as `adapt` writes.
    """
    graph = parse(data, limits)
    adapted = [name.removeprefix(UP) for name in graph.constants if name.startswith(UP)]
    if not adapted:
        raise _unfit("It has no adapters.", "It is a plain graph already; use it as it is.")
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
    return {part: f"{PREFIX}{part}.{weight}" for part in parts}


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


def _unfit(why: str, remedy: str = "Choose other weights, or another model.") -> BadInput:
    return BadInput("The model's adapters do not fit.", why, remedy)
