"""The allow-list: which ONNX operators exist here, from which version on, and what each needs to know before running.

A handler is a function of the node and its inputs. Inputs are numpy arrays where they are known before running (constants,
shapes and what is computed from them) and JAX arrays otherwise. A handler whose inputs are all known and that is marked
`fold` runs in numpy, so that shapes stay numbers under `jit`, `vmap` and `grad`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cloister.models.graph import Node

Handler = Callable[..., Any]
OPERATORS: dict[str, Operator] = {}
LATEST_OPSET = 28
EARLIEST_OPSET = 1
_FAMILIES = (
    "activations",
    "arithmetic",
    "convolution",
    "indexing",
    "linear",
    "mathematics",
    "normalisation",
    "pooling",
    "reduction",
    "resize",
    "shapes",
)


@dataclass(frozen=True)
class Operator:
    """One allowed operator.

    Attributes:
        name: ONNX's name, domain `ai.onnx`.
        run: the handler.
        since: the oldest "since version" that the handler understands.
        static: positions of inputs that must be known before running; they can't be trained or computed on data.
        buffers: positions of inputs that are state rather than weights (running statistics): constant, not trained.
        fold: whether known inputs give a known output.
        refuses: tells why a particular use is not supported, or None.
    """

    name: str
    run: Handler
    since: int
    static: frozenset[int]
    buffers: frozenset[int]
    fold: bool
    refuses: Callable[[Node], str | None]


def _allows(_node: Node) -> str | None:
    return None


def operator(
    name: str,
    since: int,
    *,
    static: tuple[int, ...] = (),
    buffers: tuple[int, ...] = (),
    fold: bool = False,
    refuses: Callable[[Node], str | None] = _allows,
) -> Callable[[Handler], Handler]:
    """Registers a handler under ONNX's operator name; see `Operator` for the arguments."""

    def register(run: Handler) -> Handler:
        OPERATORS[name] = Operator(name, run, since, frozenset(static), frozenset(buffers), fold, refuses)
        return run

    return register


def load() -> dict[str, Operator]:
    """All allowed operators by name."""
    if len(OPERATORS) == 0 or "Conv" not in OPERATORS:
        for family in _FAMILIES:
            importlib.import_module(f"cloister.models.operators.{family}")
    return OPERATORS
