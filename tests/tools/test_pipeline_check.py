"""Pipelines that cannot run are refused before anything runs, by the name of the step."""

from __future__ import annotations

import contextlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from toolmaking import blob_model, discs_tool, serialise

from cloister.foundation.digests import digest
from cloister.foundation.errors import BadInput, CloisterError, Tampered
from cloister.tools.check import check_pipeline
from cloister.tools.inference import OnnxModel
from cloister.tools.manifest import Manifest, parse_manifest
from cloister.tools.tool import Tool, with_model


@pytest.fixture(scope="module")
def tool():
    return discs_tool()


def altered(tool, change):
    content = json.loads(tool.manifest.canonical())
    change(content)
    return parse_manifest(json.dumps(content).encode())


def step(content, name):
    return next(use for use in content["pipeline"] if use["name"] == name)


def test_the_types_of_all_values_are_known_before_running(tool):
    types = check_pipeline(tool.manifest, tool.load())
    assert types["maps"].kind == "field"
    assert types["maps"].channels == 2
    assert types["objects"].columns[-2:] == ("strength", "brightness")


@pytest.mark.parametrize(
    ("change", "culprit", "told"),
    [
        (lambda c: step(c, "light").update(step="normalise@99"), "light", "no step normalise@99"),
        (lambda c: step(c, "light").update(step="execute@1"), "light", "no step execute@1"),
        (
            lambda c: step(c, "heat")["inputs"].update(field="picture"),
            "heat",
            "takes field; picture gives image",
        ),
        (lambda c: step(c, "heat")["inputs"].clear(), "heat", "'field' is missing"),
        (lambda c: step(c, "heat")["inputs"].update(colour="maps"), "heat", "no input 'colour'"),
        (lambda c: step(c, "heat")["parameters"].update(index=-1), "heat", "index"),
        (lambda c: step(c, "heat")["parameters"].update(code="import os"), "heat", "code"),
        (lambda c: step(c, "squares")["parameters"].update(size="big"), "squares", "size"),
        (lambda c: step(c, "answers")["parameters"].update(model="other"), "answers", "no model 'other'"),
        (lambda c: step(c, "figures")["parameters"].update(column="colour"), "figures", "no column 'colour'"),
        (lambda c: step(c, "overlay").update(inputs={"image": "picture"}), "overlay", "nothing to draw"),
        (lambda c: c["outputs"]["overlay"].update(kind="table"), "overlay", "declared as table"),
        (lambda c: c["adjustable"]["scale"].update(parameter="speed"), "sized", "'speed'"),
    ],
)
def test_a_pipeline_that_does_not_fit_is_refused_by_step_name(tool, change, culprit, told):
    with pytest.raises(BadInput) as caught:
        check_pipeline(altered(tool, change))
    assert caught.value.detail["step"] == culprit
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: step(c, "heat")["inputs"].update(field="body"),  # a later step
        lambda c: step(c, "heat").update(name="body"),
        lambda c: c["outputs"]["overlay"].update(source="nothing"),
        lambda c: c.update(pipeline=[]),
        lambda c: c.update(script="print(1)"),
        lambda c: c.update(version="1.0"),
        lambda c: c.update(name="../discs"),
    ],
)
def test_a_manifest_that_is_not_connected_or_has_more_than_it_may_is_refused(tool, change):
    with pytest.raises(BadInput):
        altered(tool, change)


def test_channels_and_columns_are_compared_with_the_models(tool):
    beyond = altered(tool, lambda c: step(c, "heat")["parameters"].update(index=2))
    check_pipeline(beyond)
    with pytest.raises(BadInput, match="'heat'"):
        check_pipeline(beyond, tool.load())
    colour = serialise(
        [helper.make_node("Conv", ["x", "w"], ["y"])],
        {"x": ["N", 3, "H", "W"]},
        {"y": ["N", 2, "H", "W"]},
        {"w": np.zeros((2, 3, 1, 1), np.float32)},
    )
    with pytest.raises(BadInput, match="'answers'"):
        with_model(tool, "objects", colour, version="1.1.0")


def test_a_model_takes_the_place_of_another_under_a_new_version(tool):
    other = blob_model(gain=9.0)
    made = with_model(tool, "objects", other, version="1.1.0", certificate="sha256:" + "0" * 64)
    assert made.manifest.models["objects"] == digest(other)
    assert made.manifest.version == "1.1.0"
    assert made.digest != tool.digest
    with pytest.raises(BadInput, match="no model"):
        with_model(tool, "none", other, version="1.1.0")


def test_a_tool_whose_model_is_not_the_named_one_does_not_exist(tool):
    with pytest.raises(Tampered):
        Tool(tool.manifest, {"objects": blob_model(gain=9.0)})
    with pytest.raises(BadInput):
        Tool(tool.manifest, {})


@pytest.mark.parametrize(
    "model",
    [
        b"not a model",
        serialise(
            [helper.make_node("Add", ["x", "z"], ["y"])],
            {"x": ["N", 1, "H", "W"], "z": ["N", 1, "H", "W"]},
            {"y": ["N", 1, "H", "W"]},
            {},
        ),
        serialise([helper.make_node("Relu", ["x"], ["y"])], {"x": ["N"]}, {"y": ["N"]}, {}),
        serialise(
            [helper.make_node("Evil", ["x"], ["y"], domain="com.example")],
            {"x": ["N", 1]},
            {"y": ["N", 1]},
            {},
        ),
    ],
)
def test_models_that_a_tool_cannot_use_are_refused(model):
    with pytest.raises(CloisterError):
        OnnxModel(model, "m")


def test_a_model_that_does_not_answer_for_every_pixel_is_refused_when_run(tmp_path):
    from toolmaking import discs, png

    from cloister.tools.run import run_tool

    halving = serialise(
        [
            helper.make_node("Conv", ["x", "w"], ["c"]),
            helper.make_node("MaxPool", ["c"], ["y"], kernel_shape=[2, 2], strides=[2, 2]),
        ],
        {"x": ["N", 1, "H", "W"]},
        {"y": ["N", 2, "H", "W"]},
        {"w": np.ones((2, 1, 1, 1), np.float32)},
    )
    path = tmp_path / "a.png"
    path.write_bytes(png(discs(100, 100, [(50, 50)])))
    (result,) = run_tool(discs_tool(halving), [path])
    assert "every pixel" in result.error.what


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_manifest_bytes_give_a_manifest_or_a_clear_error(tool, data):
    good = bytearray(tool.manifest.canonical())
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(32, 126))
    with contextlib.suppress(CloisterError):
        made = parse_manifest(bytes(good))
        assert isinstance(made, Manifest)
        check_pipeline(made)
