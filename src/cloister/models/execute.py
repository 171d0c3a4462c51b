"""A parsed model as a pure function in JAX: `load_model(bytes)` gives a `Model` whose `function` can be jitted, mapped and
differentiated.

Sizes are worked out by tracing our own handlers on shapes alone (`analyse`), never taken from the file, and held to
`Limits` before anything is allocated. 64-bit values computed on data are held in 32 bits unless JAX's x64 mode is on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cloister.foundation.errors import CloisterError
from cloister.models.errors import ModelRefused, ModelUnusable, refuse
from cloister.models.graph import Array, Graph, Limits, Node, TensorType
from cloister.models.operators.catalogue import OPERATORS
from cloister.models.operators.registry import load
from cloister.models.parse import DEFAULT_LIMITS, parse

Watch = Callable[[Node, list[Array], list[Array]], None]
Tap = Callable[[int, Node, list[Array], list[Array]], list[Array]]
"""Sees a node's place in the graph, its inputs (None where left out) and its outputs; gives the outputs to go on with."""


@dataclass(frozen=True)
class Analysis:
    """What one forward pass at given input shapes costs.

    Attributes:
        outputs: name → shape.
        activation_bytes: all computed values together.
        largest_bytes: the largest of them.
        operations: estimated multiply-adds.
    """

    outputs: Mapping[str, tuple[int, ...]]
    activation_bytes: int
    largest_bytes: int
    operations: int


@dataclass
class _Meter:
    limits: Limits
    total: int = 0
    largest: int = 0
    operations: int = 0
    constants: int = 0

    def watch(self, node: Node, inputs: list[Array], outputs: list[Array]) -> None:
        """Counts what a node makes; refuses where a limit is passed."""
        limits = self.limits
        for value in outputs:
            size = math.prod(value.shape) * value.dtype.itemsize
            if len(value.shape) > limits.rank:
                raise refuse(
                    node.label,
                    f"It makes a value of {len(value.shape)} dimensions; the limit is {limits.rank}.",
                )
            if size > limits.tensor_bytes:
                raise refuse(
                    node.label, f"It would make a value of {size} bytes; the limit is {limits.tensor_bytes}."
                )
            self.total += size
            self.largest = max(self.largest, size)
        self.operations += _operations(node, inputs, outputs)
        if self.total > limits.activation_bytes:
            raise refuse(
                node.label,
                f"Up to here the model computes {self.total} bytes; the limit is {limits.activation_bytes}.",
            )
        if self.operations > limits.operations:
            raise refuse(
                node.label,
                f"Up to here the model needs {self.operations} operations; the limit is {limits.operations}.",
            )


def _elements(value: Array) -> int:
    return math.prod(int(size) for size in value.shape)


def _operations(node: Node, inputs: list[Array], outputs: list[Array]) -> int:
    made = sum(_elements(value) for value in outputs)
    if node.operator in ("Conv", "ConvInteger"):
        return made * _elements(inputs[1]) // max(int(inputs[1].shape[0]), 1)
    if node.operator == "ConvTranspose":
        return _elements(inputs[0]) * _elements(inputs[1]) // max(int(inputs[1].shape[0]), 1)
    if node.operator in ("MatMul", "Gemm"):
        return made * (
            int(inputs[0].shape[0 if node.attributes.get("transA", 0) else -1]) if inputs[0].ndim else 1
        )
    if node.operator == "Einsum":
        return math.prod(max(_elements(value), 1) for value in inputs)
    if node.operator == "Det":
        return _elements(inputs[0]) * int(inputs[0].shape[-1])
    if node.operator == "LRN":
        return made * int(node.attributes["size"])
    if "kernel_shape" in node.attributes:
        return made * math.prod(int(size) for size in node.attributes["kernel_shape"])
    return made


def run(
    graph: Graph, values: Mapping[str, Array], watch: Watch | None = None, tap: Tap | None = None
) -> dict[str, Array]:
    """Evaluates the graph; `values` has every input and every constant by name. Returns the outputs by name."""
    handlers = load()
    environment: dict[str, Array] = dict(values)
    last_use = {name: i for i, node in enumerate(graph.nodes) for name in node.inputs}
    wanted = {output.name for output in graph.outputs}
    for i, node in enumerate(graph.nodes):
        operator = OPERATORS[node.operator]
        inputs = [environment[name] if name else None for name in node.inputs]
        known = all(isinstance(value, np.ndarray) for value in inputs if value is not None)
        try:
            if not (known and operator.fold):
                inputs = [
                    value
                    if value is None or slot in operator.static or node.operator in ("Shape", "Size")
                    else jnp.asarray(value)
                    for slot, value in enumerate(inputs)
                ]
            result = handlers[node.operator](node, *inputs)
            outputs = [
                np.asarray(value) if isinstance(value, (np.ndarray, np.generic)) else value
                for value in (result if isinstance(result, tuple) else (result,))
            ]
        except CloisterError:
            raise
        except Exception as error:
            message = str(error).splitlines()[0][:160] if str(error) else ""
            raise refuse(
                node.label, f"It cannot be applied to its inputs ({type(error).__name__}: {message})."
            ) from None
        if watch is not None:
            watch(node, [value for value in inputs if value is not None], outputs)
        if tap is not None:
            outputs = tap(i, node, inputs, outputs)
        environment.update({name: value for name, value in zip(node.outputs, outputs, strict=False) if name})
        for name in node.inputs:
            if last_use.get(name) == i and name not in wanted:
                environment.pop(name, None)
    missing = [name for name in wanted if name not in environment]
    if missing:
        raise ModelRefused(
            "The model is refused.",
            f"Its output {missing[0][:80]!a} is never made.",
            "Export the model again.",
        )
    return {output.name: jnp.asarray(environment[output.name]) for output in graph.outputs}


@dataclass(frozen=True)
class Model:
    """An ONNX model, ready to be run and trained.

    Attributes:
        graph: the parsed graph.
        data: the bytes it came from.
        limits: what it is held to.
        parameters: name → shape of every trainable float32 constant, in the order of the file.
    """

    graph: Graph
    data: bytes = field(repr=False)
    limits: Limits
    parameters: Mapping[str, tuple[int, ...]]
    _seen: dict[Any, Analysis] = field(default_factory=dict, repr=False, compare=False)

    @property
    def inputs(self) -> tuple[TensorType, ...]:
        """The inputs that are given with the data."""
        return self.graph.inputs

    @property
    def outputs(self) -> tuple[TensorType, ...]:
        """The outputs as declared."""
        return self.graph.outputs

    @property
    def size(self) -> int:
        """The number of trainable numbers."""
        return sum(math.prod(shape) for shape in self.parameters.values())

    def initial(self) -> dict[str, np.ndarray]:
        """The trainable values as the file has them."""
        return {name: self.graph.constants[name] for name in self.parameters}

    def flatten(self, params: Mapping[str, Array] | None = None) -> np.ndarray:
        """The parameters as one float32 vector of length `size`, in the order of `parameters`; the file's if none given."""
        named = self.initial() if params is None else params
        if set(named) != set(self.parameters):
            raise ModelUnusable(
                "The weights do not fit the model.", "Their names differ.", "Use weights of this model."
            )
        parts = []
        for name, shape in self.parameters.items():
            value = np.asarray(named[name], np.float32)
            if value.shape != shape:
                raise ModelUnusable(
                    "The weights do not fit the model.",
                    f"The shape of {name[:80]!a} differs.",
                    "Use weights of this model.",
                )
            parts.append(value.reshape(-1))
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def unflatten(self, vector: Array) -> dict[str, Array]:
        """The named parameters in a vector of length `size`; JAX vectors (also traced) give JAX arrays."""
        if vector.ndim != 1 or vector.shape[0] != self.size:
            raise ModelUnusable(
                "The weights do not fit the model.",
                f"They have {vector.shape} numbers; the model has {self.size}.",
                "Use weights of this model.",
            )
        result, start = {}, 0
        for name, shape in self.parameters.items():
            end = start + math.prod(shape)
            result[name] = vector[start:end].reshape(shape)
            start = end
        return result

    def function(
        self, params: Mapping[str, Array], inputs: Mapping[str, Array], tap: Tap | None = None
    ) -> dict[str, Array]:
        """The model's outputs. Pure; differentiable in `params` (parameters left out keep the file's values) and inputs.

        Args:
            params: trainable values by name, shapes as in `parameters`.
            inputs: one array per input; symbolic dimensions may have any size that stays inside the limits.
            tap: sees and may change what each node makes.

        Raises:
            ModelUnusable: names or shapes do not fit.
            ModelRefused: at these sizes a limit is passed.
        """
        self._fit(params, inputs)
        self.analyse({name: tuple(value.shape) for name, value in inputs.items()})
        values: dict[str, Array] = dict(self.graph.constants)
        values.update({name: jnp.asarray(value) for name, value in params.items()})
        values.update({name: jnp.asarray(value) for name, value in inputs.items()})
        for name in self.parameters:
            values[name] = jnp.asarray(values[name])
        return run(self.graph, values, tap=tap)

    def _fit(self, params: Mapping[str, Array], inputs: Mapping[str, Array]) -> None:
        for name, value in params.items():
            if tuple(value.shape) != self.parameters.get(name):
                raise ModelUnusable(
                    "The weights do not fit the model.",
                    f"{name[:80]!a} is unknown or has another shape.",
                    "Use weights of this model.",
                )
        declared = {item.name: item for item in self.inputs}
        if set(declared) != set(inputs):
            raise ModelUnusable(
                "The values do not fit the model.",
                f"It takes the inputs {sorted(declared)}.",
                "Give exactly these.",
            )
        for name, value in inputs.items():
            shape = declared[name].shape or ()
            if len(shape) != len(value.shape) or any(
                isinstance(want, int) and want != got for want, got in zip(shape, value.shape, strict=True)
            ):
                raise ModelUnusable(
                    "The values do not fit the model.",
                    f"Input {name[:80]!a} has shape {tuple(value.shape)}; {shape} is declared.",
                    "Prepare the data for this model.",
                )

    def shapes(
        self, batch: int | None = None, sizes: Mapping[str, int] | None = None
    ) -> dict[str, tuple[int, ...]]:
        """Concrete input shapes: `batch` for a symbolic first dimension, `sizes` by symbol, the limits' defaults else."""
        sizes = sizes or {}
        result = {}
        for item in self.inputs:
            shape = []
            for i, dimension in enumerate(item.shape or ()):
                if isinstance(dimension, int):
                    shape.append(dimension)
                elif dimension in sizes:
                    shape.append(sizes[dimension])
                else:
                    shape.append((batch or self.limits.batch) if i == 0 else self.limits.symbol)
            result[item.name] = tuple(shape)
        return result

    def analyse(self, shapes: Mapping[str, tuple[int, ...]] | None = None) -> Analysis:
        """What a forward pass costs at these input shapes, by tracing on shapes alone; nothing is computed or allocated.

        Raises:
            ModelRefused: a limit is passed, or a node cannot be applied to its inputs.
        """
        chosen = dict(shapes) if shapes is not None else self.shapes()
        key = tuple(sorted(chosen.items()))
        if key in self._seen:
            return self._seen[key]
        meter = _Meter(self.limits)
        dtypes = {item.name: np.dtype(item.dtype) for item in self.inputs}
        for item in self.inputs:
            if math.prod(chosen[item.name]) * dtypes[item.name].itemsize > self.limits.tensor_bytes:
                raise refuse(f"input {item.name[:80]!a}", "It is too large.")

        def traced(values: dict[str, Array]) -> dict[str, Array]:
            return run(self.graph, {**self.graph.constants, **values}, meter.watch)

        abstract = {
            name: jax.ShapeDtypeStruct(shape, jax.dtypes.canonicalize_dtype(dtypes[name]))
            for name, shape in chosen.items()
        }
        abstract.update(
            {name: jax.ShapeDtypeStruct(shape, np.float32) for name, shape in self.parameters.items()}
        )
        outputs = jax.eval_shape(traced, abstract)
        analysis = Analysis(
            {name: tuple(value.shape) for name, value in outputs.items()},
            meter.total,
            meter.largest,
            meter.operations,
        )
        if len(self._seen) < 64:
            self._seen[key] = analysis
        return analysis


def load_model(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Model:
    """Parses, checks and sizes an ONNX model.

    Args:
        data: the file's content.
        limits: what it may ask of this machine.

    Raises:
        ModelUnusable: the bytes are no ONNX model.
        ModelRefused: the model breaks a rule or a limit; names the node and the reason.
    """
    graph = parse(data, limits)
    parameters = {name: tuple(graph.constants[name].shape) for name in graph.trainable}
    model = Model(graph, bytes(data), limits, parameters)
    model.analyse()
    return model
