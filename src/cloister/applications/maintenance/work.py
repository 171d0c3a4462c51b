"""The work itself, all of it documents: windows over rows, a small network, a recipe, and the description of the tool.

Nearly every feature is compared with the same machine's own beginning, so that neither the foundation, nor the climate, nor how
a gauge is set, matters to the model. The constants that scale features are public and chosen by hand.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from cloister.applications.maintenance.faults import STATES
from cloister.applications.maintenance.plants import UNITS

LENGTH, STRIDE, RECENT = 24, 8, 3
"""Rows in a window, rows between windows, and windows whose mean counts: a day, a third of a day, and the last day and a half,
where a row is kept every hour."""

_FEATURES: tuple[tuple[str, str, str, str, float], ...] = (
    ("vibration_rise", "vibration", "mean", "ratio", 0.4),
    ("rotation_rise", "rotation", "mean", "ratio", 0.4),
    ("high_band_rise", "high_band", "mean", "ratio", 0.4),
    ("high_band_bursts", "high_band", "deviation", "ratio", 0.6),
    ("vibration_bursts", "vibration", "deviation", "ratio", 0.6),
    ("temperature_rise", "temperature", "mean", "beginning", 8.0),
    ("pressure_change", "pressure", "mean", "beginning", 1.0),
    ("pressure_swing", "pressure", "band", "ratio", 0.6),
    ("current_swing", "current", "band", "ratio", 0.6),
    ("speed_change", "speed", "mean", "ratio", 0.1),
    ("current_change", "current", "mean", "ratio", 0.2),
    ("vibration_slope", "vibration", "slope", "nothing", 0.05),
)
"""Name, reading, statistic, what it is compared with, and what the difference is divided by."""
_FAST = 0.2
"""Cycles per row from which on a swing counts as fast: a load that wanders over the day is below."""

WINDOWS: dict[str, Any] = {
    "by": "machine",
    "length": LENGTH,
    "stride": STRIDE,
    "beginning": 20,
    "features": [
        {"name": name, "column": column, "statistic": statistic, "against": against}
        | ({"low": _FAST} if statistic == "band" else {})
        for name, column, statistic, against, _spread in _FEATURES
    ],
}
"""As `data.windows.Windows` reads it; the same in the recipe and in the tool."""


def network(seed: int = 0, hidden: tuple[int, int] = (24, 12)) -> bytes:
    """A multilayer perceptron over the features, one output for each of `STATES` (before softmax), as ONNX.

    Args:
        seed: of its first weights (He et al. 2015, section 2.2).
        hidden: neurons of its two hidden layers.
    """
    rng = np.random.default_rng(seed)
    sizes = (len(_FEATURES), *hidden, len(STATES))
    nodes, weights, last = [], [], "x"
    for layer, (wide, narrow) in enumerate(itertools.pairwise(sizes), 1):
        drawn = rng.normal(0, np.sqrt(2 / wide), (wide, narrow)).astype(np.float32)
        weights += [
            numpy_helper.from_array(drawn, f"w{layer}"),
            numpy_helper.from_array(np.zeros(narrow, np.float32), f"b{layer}"),
        ]
        end = "y" if layer == len(sizes) - 1 else f"h{layer}"
        nodes.append(helper.make_node("Gemm", [last, f"w{layer}", f"b{layer}"], [end]))
        if end != "y":
            nodes.append(helper.make_node("Relu", [end], [f"r{layer}"]))
        last = f"r{layer}"
    graph = helper.make_graph(
        nodes,
        "machines",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", sizes[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", sizes[-1]])],
        weights,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    return bytes(made.SerializeToString())


def recipe(**more: Any) -> dict[str, Any]:
    """How the network is trained, as docs/reference/recipes.md has it; `more` replaces fields."""
    return {
        "loss": "cross-entropy",
        "input": "x",
        "output": "y",
        "optimiser": {"name": "adam", "learning_rate": 0.005},
        "steps": 60,
        "batch": 64,
        "metric": "accuracy",
        "preparation": {
            "name": "tabular",
            "windows": WINDOWS,
            "columns": [{"name": name, "spread": spread, "limit": 6.0} for name, *_, spread in _FEATURES],
            "label": "state",
            "classes": list(STATES),
        },
        **more,
    }


def description(version: str = "1.0.0") -> dict[str, Any]:
    """The tool's description, as `tools.making` takes it: rows in, machines in order of need out."""
    faults = [{"column": state, "what": "mean"} for state in STATES]
    last = [{"column": name, "what": "last"} for name in ("time", "vibration", "temperature")]
    scaled = [
        {"column": name, "divisor": spread, "missing": 0.0, "limit": 6.0, "into": f"scaled {name}"}
        for name, *_, spread in _FEATURES
    ]
    return {
        "type": "cloister/tool@1",
        "name": "pumps",
        "version": version,
        "title": "Pumps that need attention",
        "description": "Reads rows of sensors of many pumps and says which of them are no longer as they were, and why.",
        "intended_use": "Pumps with an accelerometer, a thermometer, a gauge and a current meter; a row every hour or two.",
        "limits": [
            "It compares each machine with its own first week: rows should begin when the machine was sound.",
            "It was trained on drawn pumps with three faults; it has never seen rows of a real one.",
            "It names bearing wear, imbalance and cavitation. Another fault may look like one of them, or like none.",
            "A protection system that stops machines is not replaced by it.",
        ],
        "licence": "Apache-2.0",
        "inputs": {"rows": {"kind": "table", "columns": ["time", "machine", *UNITS]}},
        "pipeline": [
            _use("windows", "windows@1", {"table": "rows"}, WINDOWS),
            _use("scaled", "scale@1", {"table": "windows"}, {"columns": scaled}),
            _use(
                "scored",
                "score@1",
                {"table": "scaled"},
                {
                    "model": "states",
                    "columns": [entry["into"] for entry in scaled],
                    "outputs": list(STATES),
                    "activation": "softmax",
                },
            ),
            _use(
                "course",
                "plot@1",
                {"table": "scored"},
                {
                    "column": "sound",
                    "by": "machine",
                    "title": "How sound each machine looks, window by window",
                    "lowest_first": True,
                    "mark": 0.5,
                    "form": "png",
                },
            ),
            _use(
                "now",
                "group@1",
                {"table": "scored"},
                {"by": "machine", "columns": [*faults, *last], "recent": RECENT},
            ),
            _use("machines", "sort@1", {"table": "now"}, {"column": "sound"}),
            _use(
                "attention",
                "filter@1",
                {"table": "machines"},
                {"where": [{"column": "sound", "comparison": "<", "value": 0.5}]},
            ),
            _use("figures", "aggregate@1", {"table": "attention"}, {}),
            _use(
                "report",
                "report@1",
                {"figures": "figures", "table": "machines", "overlay": "course"},
                {"counted": "machines need attention"},
            ),
        ],
        "outputs": {
            "course": {"source": "course", "kind": "picture"},
            "figures": {"source": "figures", "kind": "figures"},
            "machines": {"source": "machines", "kind": "table"},
            "report": {"source": "report", "kind": "report"},
        },
    }


def _use(name: str, step: str, inputs: dict[str, str], parameters: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "step": step, "inputs": inputs, "parameters": parameters}
