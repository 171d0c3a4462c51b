"""Everything that `cloister model check FILE` says about a model, as JSON: contents, sizes, whether it can be trained, refusals."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from cloister.foundation.digests import digest
from cloister.models.errors import ModelRefused
from cloister.models.execute import Model, load_model
from cloister.models.graph import Graph, Limits, TensorType
from cloister.models.parse import DEFAULT_LIMITS, survey

RUNTIME_BYTES = 400 << 20
"""What a worker takes before any model: Python, JAX and its compiler."""


def check_model(data: bytes, limits: Limits = DEFAULT_LIMITS) -> dict[str, Any]:
    """What is in a model and what can be done with it here.

    Args:
        data: the file's content.
        limits: what it may ask of this machine; symbolic sizes are taken from there.

    Returns:
        `accepted`; `refusals`, each with `node`, `reason` and `remedy`; `digest`, `bytes`; and where accepted `opset`,
        `ir_version`, `inputs`, `outputs`, `operators` (name → how often), `parameters` (`name`, `shape`, `numbers`), `size`, `trainable`, `fixed`
        (float constants that are not trained, and why), `batch`, `operations`, `memory` (bytes: `weights`, `activations`,
        `inference`, `training`).

    Raises:
        ModelUnusable: the bytes are no ONNX model.
    """
    report: dict[str, Any] = {"digest": digest(data), "bytes": len(data)}
    refusals = survey(data, limits)
    model: Model | None = None
    if not refusals:
        try:
            model = load_model(data, limits)
        except ModelRefused as refusal:
            refusals = [refusal]
    report["accepted"] = model is not None
    report["refusals"] = [
        {"node": str(refusal.detail.get("node", "")), "reason": refusal.why, "remedy": refusal.remedy}
        for refusal in refusals
    ]
    return report if model is None else report | _contents(model)


def _contents(model: Model) -> dict[str, Any]:
    graph = model.graph
    cost = model.analyse()
    weights = sum(value.nbytes for value in graph.constants.values())
    trained = 4 * model.size
    return {
        "opset": graph.opset,
        "ir_version": graph.ir_version,
        "inputs": [_described(item) for item in graph.inputs],
        "outputs": [
            {**_described(item), "computed_shape": list(cost.outputs[item.name])} for item in graph.outputs
        ],
        "operators": dict(sorted(Counter(node.operator for node in graph.nodes).items())),
        "parameters": [
            {"name": name, "shape": list(shape), "numbers": math.prod(shape)}
            for name, shape in model.parameters.items()
        ],
        "size": model.size,
        "trainable": model.size > 0,
        "fixed": _fixed(graph),
        "batch": model.limits.batch,
        "operations": cost.operations,
        "memory": {
            "weights": weights,
            "activations": cost.activation_bytes,
            "inference": RUNTIME_BYTES + weights + 2 * cost.largest_bytes,
            # Forward values are kept for the backward pass, which makes about as many again; Adam keeps two numbers per weight.
            "training": RUNTIME_BYTES + weights + 4 * trained + 2 * cost.activation_bytes,
        },
    }


def _described(item: TensorType) -> dict[str, Any]:
    return {"name": item.name, "dtype": item.dtype, "shape": None if item.shape is None else list(item.shape)}


def _fixed(graph: Graph) -> list[dict[str, str]]:
    result = []
    for name, value in graph.constants.items():
        if value.dtype.kind == "f" and name not in graph.trainable:
            reason = "It must be known before running, or is a running statistic."
            if value.ndim == 0:
                reason = "It is a single number."
            elif value.dtype.name != "float32":
                reason = f"Its data type is {value.dtype.name}; only float32 is trained."
            result.append({"name": name, "reason": reason})
    return result
