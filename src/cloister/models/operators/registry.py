"""Our handlers by operator, filled when `load` imports all families.

A handler is a function of the node and its inputs. Inputs are numpy arrays where they are known before running (constants,
shapes and what is computed from them) and JAX arrays otherwise. A handler whose inputs are all known and whose operator is
marked `fold` in the catalogue runs in numpy, so that shapes stay numbers under `jit`, `vmap` and `grad`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

Handler = Callable[..., Any]
_HANDLERS: dict[str, Handler] = {}
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


def operator(name: str) -> Callable[[Handler], Handler]:
    """Registers a handler under ONNX's operator name; the catalogue says what the operator may and needs."""

    def register(run: Handler) -> Handler:
        _HANDLERS[name] = run
        return run

    return register


def load() -> dict[str, Handler]:
    """All handlers by operator name."""
    if "Conv" not in _HANDLERS or "Trilu" not in _HANDLERS:
        for family in _FAMILIES:
            importlib.import_module(f"cloister.models.operators.{family}")
    return _HANDLERS
