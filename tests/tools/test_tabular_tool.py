"""A tool that is not about pictures: a table in, scored by a model, filtered, counted, charted, with no line of code."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from onnx import helper

from cloister.foundation.canonical import canonical
from cloister.foundation.digests import digest
from cloister.foundation.errors import BadInput
from cloister.tools.manifest import parse_manifest
from cloister.tools.run import run_tool
from cloister.tools.tool import Tool
from tools.toolmaking import serialise


def use(name, step, inputs, **parameters):
    return {"name": name, "step": step, "inputs": inputs, "parameters": parameters}


def wear_tool(columns=("vibration", "temperature")):
    weights = np.array([[2.0], [1.0]], np.float32)
    model = serialise(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"])],
        {"x": ["N", 2]},
        {"y": ["N", 1]},
        {"w": weights, "b": np.array([-1.0], np.float32)},
    )
    content = {
        "type": "cloister/tool@1",
        "name": "wear",
        "version": "1.0.0",
        "title": "Bearings that wear",
        "licence": "Apache-2.0",
        "inputs": {"readings": {"kind": "table", "columns": ["machine", "vibration", "temperature"]}},
        "models": {"wear": digest(model)},
        "pipeline": [
            use(
                "scaled",
                "scale@1",
                {"table": "readings"},
                columns=[
                    {"column": "vibration", "offset": 5.0, "divisor": 2.0, "missing": 5.0},
                    {"column": "temperature", "offset": 60.0, "divisor": 10.0},
                ],
            ),
            use(
                "scored",
                "score@1",
                {"table": "scaled"},
                model="wear",
                columns=list(columns),
                outputs=["risk"],
                activation="sigmoid",
            ),
            use(
                "worn",
                "filter@1",
                {"table": "scored"},
                where=[{"column": "risk", "comparison": ">=", "value": 0.5}],
            ),
            use("figures", "aggregate@1", {"table": "worn"}, column="risk", bins=4),
            use("chart", "chart@1", {"figures": "figures"}, column="risk"),
            use(
                "report",
                "report@1",
                {"figures": "figures", "table": "worn", "chart": "chart"},
                counted="machines to look at",
            ),
        ],
        "outputs": {
            "worn": {"source": "worn", "kind": "table"},
            "figures": {"source": "figures", "kind": "figures"},
            "report": {"source": "report", "kind": "report"},
        },
    }
    return Tool(parse_manifest(canonical(content)), {"wear": model})


READINGS = "machine,vibration,temperature,note\nA,5,60,fine\nB,9,80,loud\nC,,75,\nD,7,55,\n"


def test_a_tabular_tool_scores_filters_and_reports(tmp_path):
    path = tmp_path / "readings.csv"
    path.write_text(READINGS)
    (result,) = run_tool(wear_tool(), [path], tmp_path / "out")
    assert result.error is None
    # Logits: A -1; B 2*2+2-1=5; C 0+1.5-1=0.5; D 2-0.5-1=0.5.
    assert result.table.columns["machine"].tolist() == ["B", "C", "D"]
    assert result.table.columns["risk"] == pytest.approx(1 / (1 + np.exp([-5.0, -0.5, -0.5])), abs=1e-6)
    assert result.count == 3
    rows = list(
        csv.reader(io.StringIO((tmp_path / "out" / "readings.table.csv").read_text(encoding="utf-8")))
    )
    assert rows[0] == ["machine", "vibration", "temperature", "risk"]
    assert "machines to look at" in (tmp_path / "out" / "readings.report.html").read_text(encoding="utf-8")


def test_missing_columns_and_missing_values_are_told(tmp_path):
    path = tmp_path / "readings.csv"
    path.write_text("machine,vibration\nA,5\n")
    (result,) = run_tool(wear_tool(), [path])
    assert "'temperature'" in result.error.why
    path.write_text("machine,vibration,temperature\nA,5,60\nB,5,\n")
    (result,) = run_tool(wear_tool(), [path])
    assert "Column 'temperature' has missing values" in result.error.what
    assert "row 2" in result.error.why


def test_a_model_over_other_columns_is_refused_before_running():
    with pytest.raises(BadInput, match="'scored'"):
        wear_tool(columns=("vibration", "pressure"))
    with pytest.raises(BadInput, match="'scored'"):
        wear_tool(columns=("vibration",)).load()
