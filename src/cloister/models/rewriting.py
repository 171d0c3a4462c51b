"""Putting nodes in front of a graph that make other values of some of its weights: what adapters and directions have in common."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from cloister.models.graph import Limits
from cloister.models.parse import parse


class Rewriting:
    """An ONNX model while it is changed.

    Args:
        data: the model, parsed before.
    """

    def __init__(self, data: bytes) -> None:
        self._proto = onnx.ModelProto()
        self._proto.ParseFromString(data)
        self.initial = frozenset(item.name for item in self._proto.graph.initializer)
        """The names of its initial values, before any was added."""

    def constant(self, name: str, array: np.ndarray) -> str:
        """Adds an initial value; returns its name."""
        self._proto.graph.initializer.append(numpy_helper.from_array(array, name))
        return name

    def use(self, value: str, *, instead_of: str) -> None:
        """Has every node of the model read one value instead of another."""
        for node in self._proto.graph.node:
            node.input[:] = [value if item == instead_of else item for item in node.input]

    def finish(self, nodes: Iterable[Any], limits: Limits) -> bytes:
        """The model with these nodes before its own, parsed again within the limits. Raises `ModelRefused`."""
        rest = list(self._proto.graph.node)
        del self._proto.graph.node[:]
        self._proto.graph.node.extend([*nodes, *rest])
        # Before version 4 every constant was listed among the inputs as well.
        self._proto.ir_version = max(self._proto.ir_version, 4)
        made = bytes(self._proto.SerializeToString(deterministic=True))
        parse(made, limits)
        return made
