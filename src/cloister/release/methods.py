"""What a model worker does for releases, by name: `initial` reads a model's weights, `export` writes new ones into it.

Called through `cloister.engines`, because a model from another party is parsed in a sandboxed worker only. `METHODS` is
the whole table of a worker that trains and releases models.

| method | arguments | arrays | gives |
|---|---|---|---|
| initial | | model (bytes as uint8) | weights: float32, in the model's order |
| export | | model, weights | model: ONNX bytes as uint8 |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cloister.foundation.errors import BadInput

METHODS: Mapping[str, str] = {
    "train": "cloister.training.methods:train",
    "evaluate": "cloister.training.methods:evaluate",
    "check": "cloister.training.methods:check",
    "initial": "cloister.release.methods:initial",
    "export": "cloister.release.methods:export",
}
"""Method → function, for the engine that nodes call `jax`."""


def initial(
    _arguments: Mapping[str, Any], arrays: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The trainable weights that a model file has, as one vector."""
    from cloister.models.execute import load_model

    model = load_model(_bytes(arrays))
    return {"parameters": model.size}, {"weights": model.flatten()}


def export(_arguments: Mapping[str, Any], arrays: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The model file with other weights; the same inputs give the same bytes."""
    from cloister.models.execute import load_model
    from cloister.models.export import export as write

    weights = arrays.get("weights")
    if weights is None or weights.dtype != np.float32 or weights.ndim != 1:
        raise BadInput("The call has no weights.", "They are passed as a float32 vector.", "Pass them.")
    return {}, {"model": np.frombuffer(write(load_model(_bytes(arrays)), weights), dtype=np.uint8)}


def _bytes(arrays: Mapping[str, Any]) -> bytes:
    model = arrays.get("model")
    if model is None or model.dtype != np.uint8 or model.ndim != 1:
        raise BadInput("The call has no model.", "It is passed as bytes in the array `model`.", "Pass it.")
    return bytes(model.tobytes())
