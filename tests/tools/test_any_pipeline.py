"""What passes the check runs: pipelines put together at random never fail by a type, whatever they compute."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import numpy as np
from hypothesis import event, given, settings
from hypothesis import strategies as st
from toolmaking import blob_model, discs, png

import cloister.data
import cloister.tools
from cloister.applications.crystals.star_network import build_star_model
from cloister.data.normalise import NORMALISATION_VERSION
from cloister.foundation.canonical import canonical
from cloister.foundation.digests import digest
from cloister.foundation.errors import BadInput
from cloister.tools import types as t
from cloister.tools.manifest import parse_manifest
from cloister.tools.pipeline import run_pipeline
from cloister.tools.steps import STEPS
from cloister.tools.steps.base import Context
from cloister.tools.tool import Tool

MODEL = blob_model()
OUTLINER = build_star_model()
PICTURE = png(np.repeat(discs(90, 70, [(30, 30), (60, 40)])[:, :, None], 3, axis=2))
CONDITION = {"column": "area", "comparison": ">", "value": 20.0}
PARAMETERS = {
    "decode@1": [{}],
    "rescale@1": [{}, {"factor": 0.5}, {"factor": 2.0}, {"longest_side": 64}],
    f"normalise@{NORMALISATION_VERSION}": [{}],
    "channel@1": [{"index": 0}, {"index": 1}],
    "tile@1": [{"size": 32, "overlap": 16}, {"size": 64, "overlap": 0, "multiple": 1, "beyond": "mirror"}],
    "model@1": [
        {"model": "m"},
        {"model": "m", "activation": "sigmoid"},
        {"model": "m", "activation": "softmax"},
    ],
    "stitch@1": [{}],
    "threshold@1": [{"above": 0.2}, {"above": -9.0, "minimum_area": 5}],
    "peaks@1": [{"threshold": 0.5, "min_distance": 4}],
    "watershed@1": [{"above": 0.5}, {"above": 0.0, "core": 0}],
    "measure@1": [{}],
    "fit_scale@1": [
        {"model": "o", "typical": 20.0, "threshold": 0.01},
        {"model": "o", "typical": 9.0, "factor": 0.5},
    ],
    "classical@1": [{}, {"sensitivity": 2.0}],
    "stars@1": [
        {"model": "o", "threshold": 0.02},
        {"model": "o", "threshold": 0.9, "overlap": 0.1, "edge": 0.4},
    ],
    "merge_outlines@1": [{"boundary": 12.0}],
    "litter@1": [{"model": "o"}],
    "clean_picture@1": [{}, {"margin": 0, "speck": 0.0, "certain": 0.9}],
    "measure_outlines@1": [{}],
    "size_figures@1": [{}, {"reach": 0.2, "recall": 0.9, "error": 0.05, "bins": 5}],
    "windows@1": [
        {
            "by": "number",
            "length": 2,
            "stride": 1,
            "features": [{"name": "high", "column": "area", "statistic": "mean"}],
        },
    ],
    "group@1": [
        {"by": "number", "columns": [{"column": "area", "what": "mean"}]},
        {"by": "border", "columns": [{"column": "area", "what": "last"}], "recent": 2, "rows": "seen"},
    ],
    "sort@1": [{"column": "area"}, {"column": "diameter", "descending": True}],
    "select@1": [{"columns": ["number", "area"]}],
    "plot@1": [
        {"column": "area", "by": "border"},
        {"column": "area", "by": "number", "form": "png", "mark": 20.0},
    ],
    "filter@1": [{"where": [CONDITION]}],
    "scale@1": [{"columns": [{"column": "area", "offset": 1.0, "divisor": 2.0}]}],
    "score@1": [{"model": "m", "columns": ["area"], "outputs": ["score"]}],
    "aggregate@1": [
        {},
        {"column": "diameter"},
        {"column": "area", "weighted_by_volume": True, "measured_where": [CONDITION]},
    ],
    "overlay@1": [{}, {"numbers": False, "thickness": 3}],
    "chart@1": [{"column": "diameter"}, {"column": "area", "form": "png"}],
    "report@1": [{}, {"rows": 1, "preview": 100}],
}


# One value of every kind to begin with, so that rare steps are reached.
BASE = [
    ("b0", "decode@1", {"file": "photo"}),
    ("b1", f"normalise@{NORMALISATION_VERSION}", {"image": "b0"}),
    ("b2", "tile@1", {"field": "b1"}),
    ("b3", "model@1", {"tiles": "b2"}),
    ("b4", "stitch@1", {"tiles": "b3"}),
    ("b5", "channel@1", {"field": "b4"}),
    ("b6", "peaks@1", {"field": "b5"}),
    ("b7", "watershed@1", {"field": "b5", "points": "b6"}),
    ("b8", "measure@1", {"regions": "b7"}),
    ("b9", "aggregate@1", {"table": "b8"}),
    ("c0", "tile@1", {"field": "b1"}),
    ("c1", "stars@1", {"tiles": "c0"}),
    ("c2", "measure_outlines@1", {"outlines": "c1"}),
]


@st.composite
def pipelines(draw):
    """A manifest whose steps are picked among those that the values so far allow."""
    kinds = {"photo": "file"}
    uses = []
    for name, key, inputs in BASE[: draw(st.sampled_from([0, 5, len(BASE) - 3, len(BASE)]))]:
        uses.append(
            {
                "name": name,
                "step": key,
                "inputs": inputs,
                "parameters": draw(st.sampled_from(PARAMETERS[key])),
            }
        )
        kinds[name] = STEPS[key].output
    for number in range(draw(st.integers(1, 6))):
        possible = sorted(
            key
            for key, step in STEPS.items()
            if all(slot.optional or slot.kind in kinds.values() for slot in step.inputs.values())
        )
        key = draw(st.sampled_from(possible))
        inputs = {}
        for name, slot in STEPS[key].inputs.items():
            sources = sorted(source for source, kind in kinds.items() if kind == slot.kind)
            if sources and (not slot.optional or draw(st.booleans())):
                inputs[name] = draw(st.sampled_from(sources))
        use = {
            "name": f"s{number}",
            "step": key,
            "inputs": inputs,
            "parameters": draw(st.sampled_from(PARAMETERS[key])),
        }
        uses.append(use)
        kinds[use["name"]] = STEPS[key].output
    last = uses[-1]["name"]
    return {
        "type": "cloister/tool@1",
        "name": "any",
        "version": "1.0.0",
        "title": "Any",
        "licence": "Apache-2.0",
        "inputs": {"photo": {"kind": "file", "columns": []}},
        "models": {"m": digest(MODEL), "o": digest(OUTLINER)},
        "pipeline": uses,
        "outputs": {"out": {"source": last, "kind": kinds[last]}},
    }


def test_every_step_is_tried():
    assert set(PARAMETERS) == set(STEPS)


@settings(max_examples=60, deadline=None)
@given(pipelines())
def test_a_pipeline_that_passes_the_check_gives_a_value_of_its_declared_kind(content):
    try:
        tool = Tool(parse_manifest(canonical(content)), {"m": MODEL, "o": OUTLINER})
        models = tool.load(threads=1)
    except BadInput:
        event("refused before running")
        return
    event("run")
    made = run_pipeline(
        tool, models, {"photo": t.File(PICTURE, "a.png")}, Context(models), lambda _name, _share: None
    )
    assert type(made["out"]).__name__.lower() == content["outputs"]["out"]["kind"]


def test_importing_data_and_tools_loads_nothing_heavy():
    names = [
        f"{package.__name__}.{module.name}"
        for package in (cloister.data, cloister.tools)
        for module in pkgutil.iter_modules(package.__path__)
    ]
    program = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "print(sorted({'jax', 'onnxruntime', 'skimage', 'scipy', 'pyarrow', 'PIL'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, *names], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
