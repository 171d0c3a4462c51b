"""What a parsed model is: nodes in order, constants, typed inputs and outputs, and the limits it was held to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = Any
"""A numpy array (known before running) or a JAX array (computed on data)."""

DTYPES = frozenset(
    {
        "float16",
        "float32",
        "float64",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "bool",
    }
)


@dataclass(frozen=True)
class Limits:
    """What a foreign model may at most ask of this machine.

    Attributes:
        file_bytes: size of the ONNX file.
        nodes: operators in the graph.
        depth: operators on the longest path.
        tensor_bytes: one constant of the file, or one value computed while running.
        activation_bytes: all values computed in one forward pass together, at the batch that is run.
        operations: estimated multiply-adds of one forward pass.
        constant_elements: elements of one value that is computed before running (shapes and the like).
        rank: dimensions of a tensor.
        batch: the size assumed for a symbolic first dimension when a model is checked.
        symbol: the size assumed for any other symbolic dimension when a model is checked.
    """

    file_bytes: int = 256 << 20
    nodes: int = 2000
    depth: int = 1000
    tensor_bytes: int = 512 << 20
    activation_bytes: int = 2 << 30
    operations: int = 10**12
    constant_elements: int = 1 << 20
    rank: int = 8
    batch: int = 8
    symbol: int = 128


@dataclass(frozen=True)
class TensorType:
    """The declared type of an input or output. A dimension is a number, or a name when it may vary."""

    name: str
    dtype: str
    shape: tuple[int | str, ...] | None


@dataclass(frozen=True)
class Node:
    """One operator of the graph.

    `version` is the opset version in which this form of the operator was introduced (ONNX's "since version").
    """

    name: str
    operator: str
    version: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """How errors name this node; the file's own text is foreign, so it is shortened and escaped."""
        name = self.name or (self.outputs[0] if self.outputs else "")
        return f"{self.operator} {name[:80]!a}"


@dataclass(frozen=True)
class Graph:
    """A model that passed `parse`: every operator is known, every constant is inside the limits."""

    nodes: tuple[Node, ...]
    inputs: tuple[TensorType, ...]
    outputs: tuple[TensorType, ...]
    constants: Mapping[str, np.ndarray]
    trainable: tuple[str, ...]
    opset: int
    ir_version: int


def attribute_text(value: Any) -> str:
    """An attribute that ONNX stores as bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
