"""Whether a model keeps the examples of a batch apart, proved from its graph at given shapes; and where its parameters act.

Each value is of one kind: *fixed* (of constants and parameters alone), *rows* (row i of its first axis is made from example
i alone), *size* (made from shapes, so perhaps from the batch's size), or not known to be any of these. A node's rule says
when rows stay rows. An operator without a rule, or a use of one that a rule does not cover, ends the proof: then the
private gradient is computed by its definition.

Rules:
1. Whatever is not proved is taken for mixing. Only nodes that the wanted output depends on count.
2. A value made from shapes may tell others shapes and places, and nothing else: a number computed from the batch's size
   would make an example's gradient depend on how many there are.
3. The proof is for the shapes that are run, and is made again for others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import jax
import numpy as np

from cloister.models.execute import Model, run
from cloister.models.graph import Array, Graph, Node, attribute_text
from cloister.models.operators.catalogue import OPERATORS


class Kind(Enum):
    """What is known of a value."""

    FIXED = "fixed"
    ROWS = "rows"
    SIZE = "size"


@dataclass(frozen=True)
class Site:
    """A node at which rows meet parameters.

    Attributes:
        index: the node's place in the graph.
        node: the node.
        rows: slots of inputs that are rows.
        slots: slot of a fixed input that depends on trained parameters → its name.
    """

    index: int
    node: Node
    rows: tuple[int, ...]
    slots: Mapping[int, str]


@dataclass(frozen=True)
class Apart:
    """The proof's result.

    Attributes:
        sites: every place where trained parameters act, in the graph's order.
        derived: names of fixed values at sites that are computed from parameters rather than parameters themselves.
        makers: the nodes that compute fixed values, those among them.
    """

    sites: tuple[Site, ...]
    derived: tuple[str, ...]
    makers: tuple[Node, ...]


@dataclass(frozen=True)
class Mixes:
    """The proof failed: at which node, and why, in words for a report."""

    node: str
    reason: str


@dataclass(frozen=True)
class Use:
    """A node with what is known of its inputs and outputs, for the rules.

    Attributes:
        node: the node.
        kinds: of each input; None where it is left out.
        inputs: arrays; those known before running are numpy's.
        outputs: arrays.
    """

    node: Node
    kinds: tuple[Kind | None, ...]
    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]

    @property
    def batch(self) -> int:
        """How many rows there are."""
        return int(self.inputs[self.kinds.index(Kind.ROWS)].shape[0])

    def rank(self, slot: int = 0) -> int:
        """The dimensions of an input."""
        return int(self.inputs[slot].ndim)

    def only_first(self) -> bool:
        """Whether the first input is the only one that is rows."""
        return self.kinds[0] is Kind.ROWS and self.kinds.count(Kind.ROWS) == 1

    def axis(self, default: int, slot: int = 0) -> int:
        """The node's axis, counted from the front."""
        return int(self.node.attributes.get("axis", default)) % self.rank(slot)

    def axes(self, slot: int) -> list[int] | None:
        """Axes from an input or the attribute, counted from the front; None if none are given."""
        given = self.inputs[slot] if len(self.inputs) > slot and self.inputs[slot] is not None else None
        found = self.node.attributes.get("axes") if given is None else np.asarray(given).reshape(-1)
        return None if found is None else [int(axis) % self.rank() for axis in found]


Rule = Callable[[Use], bool]
"""Whether the first axis of every output is rows, given that some input is."""


def _always(use: Use) -> bool:
    return use.only_first()


def _aligned(use: Use) -> bool:
    """Element by element, broadcast: rows lie on the first axis of the widest, and what is fixed is the same for every row."""
    rank = use.outputs[0].ndim
    for kind, value in zip(use.kinds, use.inputs, strict=True):
        if kind is Kind.ROWS and value.ndim != rank:
            return False
        if kind is Kind.FIXED and value.ndim == rank and value.shape[0] != 1:
            return False
    return True


def _channels(use: Use) -> bool:
    """(N, C, ...) in the first slot, with fixed numbers per channel. A pooling's second output counts through the batch."""
    return use.only_first() and use.rank() >= 2 and len(use.outputs) == 1


def _gemm(use: Use) -> bool:
    added = (
        len(use.inputs) < 3 or use.inputs[2] is None or use.inputs[2].ndim < 2 or use.inputs[2].shape[0] == 1
    )
    return use.only_first() and not use.node.attributes.get("transA", 0) and added


def _product(use: Use) -> bool:
    left, right = use.kinds[:2]
    ranks = use.rank(0), use.rank(1)
    if left is Kind.ROWS and right is Kind.ROWS:
        return ranks[0] == ranks[1] >= 3
    if left is Kind.ROWS:
        # A stack of fixed matrices as deep as the batch would give each row its own.
        return ranks[0] >= 2 and (ranks[1] <= 2 or _stacked(use, 1, 0))
    return ranks[1] >= 3 and _stacked(use, 0, 1)


def _stacked(use: Use, fixed: int, rows: int) -> bool:
    return use.rank(fixed) < use.rank(rows) or (
        use.rank(fixed) == use.rank(rows) and use.inputs[fixed].shape[0] == 1
    )


def _other_axis(default: int, coerced: int | None = None) -> Rule:
    """Works along one axis, which must not be the first. Before version `coerced` it worked on all axes from there on."""

    def rule(use: Use) -> bool:
        first = 1 if coerced is not None and use.node.version < coerced else default
        return use.only_first() and use.axis(first) > 0

    return rule


def _normal_axis(use: Use) -> bool:
    """Normalises over the axes from the node's on."""
    fixed = all(value is None or value.ndim < use.rank() or value.shape[0] == 1 for value in use.inputs[1:])
    return use.only_first() and use.axis(-1) > 0 and fixed


def _flatten(use: Use) -> bool:
    return (
        use.only_first()
        and use.rank() >= 1
        and int(use.node.attributes.get("axis", 1)) in (1, 1 - use.rank())
    )


def _reshape(use: Use) -> bool:
    """In row-major order a row stays a row exactly if the first size stays and so does the product of the others."""
    before, after = use.inputs[0].shape, use.outputs[0].shape
    return (
        use.only_first()
        and len(after) >= 1
        and after[0] == before[0]
        and math.prod(after[1:]) == math.prod(before[1:])
    )


def _squeeze(use: Use) -> bool:
    axes = use.axes(1)
    return use.only_first() and (0 not in axes if axes is not None else use.batch > 1)


def _unsqueeze(use: Use) -> bool:
    given = use.node.attributes.get("axes", use.inputs[1] if len(use.inputs) > 1 else ())
    rank = use.outputs[0].ndim
    return use.only_first() and all(int(axis) % rank > 0 for axis in np.asarray(given).reshape(-1))


def _transpose(use: Use) -> bool:
    order = use.node.attributes.get("perm") or tuple(range(use.rank()))[::-1]
    return use.only_first() and int(order[0]) == 0


def _concat(use: Use) -> bool:
    return all(kind is Kind.ROWS for kind in use.kinds) and use.axis(0) > 0


def _reduce(use: Use) -> bool:
    axes = use.axes(1)
    if not axes:
        return use.only_first() and bool(use.node.attributes.get("noop_with_empty_axes", 0))
    return use.only_first() and 0 not in axes


def _whole_rows(use: Use) -> bool:
    """Takes parts of other axes only: the first one keeps its length, and its step is 1 from its beginning."""
    if not use.only_first():
        return False
    axes = use.axes(3)
    starts = use.node.attributes.get("starts", use.inputs[1] if len(use.inputs) > 1 else ())
    return 0 not in (range(len(np.asarray(starts).reshape(-1))) if axes is None else axes)


def _pad(use: Use) -> bool:
    pads = np.asarray(use.node.attributes.get("pads", use.inputs[1] if len(use.inputs) > 1 else ())).reshape(
        -1
    )
    axes = use.axes(3) or list(range(use.rank()))
    return (
        use.only_first()
        and 2 * len(axes) == len(pads)
        and all(axis or not (pads[place] or pads[place + len(axes)]) for place, axis in enumerate(axes))
    )


def _gather(use: Use) -> bool:
    if use.kinds[0] is Kind.ROWS:
        return use.only_first() and use.axis(0) > 0
    # Looking rows up in a fixed table: with the table's first axis gone, the places' first axis comes first.
    return use.axis(0) == 0 and use.rank(1) >= 1


def _same_first(use: Use) -> bool:
    """Enlarges or repeats other axes; the first one keeps its length."""
    return use.only_first() and use.outputs[0].shape[0] == use.batch and use.outputs[0].ndim == use.rank()


def _resize(use: Use) -> bool:
    """Resamples other axes; of the first one, also the scale must be exactly 1, or rows would be blended."""
    node = use.node
    mode = attribute_text(node.attributes.get("coordinate_transformation_mode", ""))
    axes = [int(axis) % use.rank() for axis in node.attributes.get("axes", range(use.rank()))]
    if not _same_first(use) or mode == "tf_crop_and_resize":
        return False
    if 0 not in axes:
        return True
    older = node.operator == "Upsample" or node.version < 11
    scales = use.inputs[1 if older else 2] if len(use.inputs) > (1 if older else 2) else None
    if scales is not None and np.size(scales):
        return float(np.reshape(scales, -1)[axes.index(0)]) == 1.0
    return attribute_text(node.attributes.get("keep_aspect_ratio_policy", "stretch")) == "stretch"


def _clip(use: Use) -> bool:
    return use.only_first() and all(value is None or value.ndim == 0 for value in use.inputs[1:])


_SAME = """Abs Acos Acosh Asin Asinh Atan Atanh BitwiseNot Cast Ceil Celu Cos Cosh Dropout Elu Erf Exp Floor Gelu
HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu Log Mish Neg Not Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh
Softplus Softsign Sqrt Swish Tan Tanh ThresholdedRelu"""
_BROADCAST = """Add And Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean Min Mod Mul Or Pow PRelu Sub Sum Where Xor"""
_SPATIAL = """AveragePool BatchNormalization Conv ConvTranspose DepthToSpace GlobalAveragePool GlobalLpPool GlobalMaxPool
GroupNormalization InstanceNormalization LRN LpPool MaxPool SpaceToDepth"""
_REDUCTIONS = "L1 L2 LogSum LogSumExp Max Mean Min Prod Sum SumSquare"

RULES: dict[str, Rule] = {
    **dict.fromkeys(_SAME.split(), _always),
    **dict.fromkeys(_BROADCAST.split(), _aligned),
    **dict.fromkeys(_SPATIAL.split(), _channels),
    **dict.fromkeys((f"Reduce{name}" for name in _REDUCTIONS.split()), _reduce),
    "ArgMax": _other_axis(0),
    "ArgMin": _other_axis(0),
    "Clip": _clip,
    "Concat": _concat,
    "CumSum": lambda use: use.only_first() and int(np.asarray(use.inputs[1]).reshape(-1)[0]) % use.rank() > 0,
    "Expand": _same_first,
    "Flatten": _flatten,
    "Gather": _gather,
    "Gemm": _gemm,
    "Hardmax": _other_axis(-1, 13),
    "LayerNormalization": _normal_axis,
    "LogSoftmax": _other_axis(-1, 13),
    "LpNormalization": _other_axis(-1),
    "MatMul": _product,
    "MeanVarianceNormalization": lambda use: (
        use.only_first()
        and all(int(axis) % use.rank() > 0 for axis in use.node.attributes.get("axes", (0, 2, 3)))
    ),
    "Pad": _pad,
    "RMSNormalization": _normal_axis,
    "Reshape": _reshape,
    "Resize": _resize,
    "Slice": _whole_rows,
    "Softmax": _other_axis(-1, 13),
    "Split": _other_axis(0),
    "Squeeze": _squeeze,
    "Tile": _same_first,
    "TopK": _other_axis(-1),
    "Transpose": _transpose,
    "Trilu": lambda use: use.only_first() and use.rank() >= 3,
    "Unsqueeze": _unsqueeze,
    "Upsample": _resize,
}
"""Operator → when rows stay rows. What is not here is taken for mixing."""


class _Stopped(Exception):
    """Carries a result out of a trace."""

    def __init__(self, found: Mixes) -> None:
        super().__init__(found.reason)
        self.found = found


@dataclass
class _Proof:
    needed: frozenset[int]
    trained: frozenset[str]
    kinds: dict[str, Kind]
    depends: dict[str, bool] = field(default_factory=dict)
    sites: list[Site] = field(default_factory=list)
    makers: list[Node] = field(default_factory=list)

    def see(self, index: int, node: Node, inputs: list[Array], outputs: list[Array]) -> list[Array]:
        """The tap: finds the kinds of a node's outputs."""
        if index not in self.needed:
            return outputs
        kinds = tuple(self.kinds[name] if name else None for name in node.inputs)
        trained = {slot: name for slot, name in enumerate(node.inputs) if name and self._trained(name)}
        if Kind.ROWS not in kinds:
            kind = Kind.SIZE if Kind.SIZE in kinds else Kind.FIXED
            if kind is Kind.SIZE and trained:
                raise _Stopped(Mixes(node.label, "It joins parameters with sizes."))
            if kind is Kind.FIXED:
                self.makers.append(node)
            for name in node.outputs:
                self.kinds[name], self.depends[name] = kind, bool(trained)
            return outputs
        if node.operator in ("Shape", "Size"):
            self.kinds.update(dict.fromkeys(node.outputs, Kind.SIZE))
            return outputs
        self._rows(Use(node, kinds, tuple(inputs), tuple(outputs)))
        if trained:
            rows = tuple(slot for slot, kind in enumerate(kinds) if kind is Kind.ROWS)
            self.sites.append(Site(index, node, rows, trained))
        self.kinds.update(dict.fromkeys(node.outputs, Kind.ROWS))
        return outputs

    def _trained(self, name: str) -> bool:
        return name in self.trained or self.depends.get(name, False)

    def _rows(self, use: Use) -> None:
        node, static = use.node, OPERATORS[use.node.operator].static
        if any(kind is Kind.SIZE and slot not in static for slot, kind in enumerate(use.kinds)):
            raise _Stopped(Mixes(node.label, "It computes with a number made from the batch's shape."))
        rule = RULES.get(node.operator)
        if rule is None or not rule(use):
            raise _Stopped(Mixes(node.label, "It is not proved to keep the examples of a batch apart."))
        if any(output.ndim < 1 or output.shape[0] != use.batch for output in use.outputs):
            raise _Stopped(Mixes(node.label, "It does not keep the batch's size."))


def examine(
    model: Model, trained: tuple[str, ...], output: str, shape: tuple[int, ...], dtype: Any = np.float32
) -> Apart | Mixes:
    """Whether examples stay apart on the way to an output.

    Args:
        model: with exactly one input.
        trained: names of the parameters that are trained.
        output: the wanted output.
        shape: of the input, with its batch.
        dtype: of the input.
    """
    graph, source = model.graph, model.inputs[0].name
    if len(model.inputs) != 1 or not shape or source == output or output not in _made(graph):
        return Mixes("the graph", "It has several inputs, or its output is not computed.")
    proof = _Proof(
        _needed(graph, output),
        frozenset(trained),
        {**dict.fromkeys(graph.constants, Kind.FIXED), source: Kind.ROWS},
    )

    def traced(values: dict[str, Array]) -> dict[str, Array]:
        return run(graph, {**graph.constants, **values}, tap=proof.see)

    abstract = {source: jax.ShapeDtypeStruct(shape, dtype)}
    abstract.update({name: jax.ShapeDtypeStruct(size, np.float32) for name, size in model.parameters.items()})
    try:
        jax.eval_shape(traced, abstract)
    except _Stopped as stopped:
        return stopped.found
    if proof.kinds.get(output) is not Kind.ROWS:
        return Mixes("the graph", "Its output does not depend on the examples.")
    names = dict.fromkeys(name for site in proof.sites for name in site.slots.values())
    derived = tuple(name for name in names if name not in proof.trained)
    return Apart(tuple(proof.sites), derived, tuple(proof.makers))


def _made(graph: Graph) -> set[str]:
    return {name for node in graph.nodes for name in node.outputs}


def _needed(graph: Graph, output: str) -> frozenset[int]:
    """Places of the nodes that an output depends on."""
    wanted, found = {output}, set()
    for index in range(len(graph.nodes) - 1, -1, -1):
        node = graph.nodes[index]
        if wanted.intersection(node.outputs):
            found.add(index)
            wanted.update(name for name in node.inputs if name)
    return frozenset(found)
