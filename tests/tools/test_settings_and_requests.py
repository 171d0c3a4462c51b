"""Settings that reach several steps, and outputs that are made only where somebody asks: what they do, and that older manifests stay."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cloister.data.cleaning import NOT_FOR_MEASUREMENT
from cloister.foundation.canonical import canonical
from cloister.foundation.errors import BadInput
from cloister.tools.builtin import builtin_tool
from cloister.tools.check import adjusted
from cloister.tools.manifest import parse_manifest
from cloister.tools.run import run_tool
from cloister.tools.steps.cleaned import CLEANED
from cloister.tools.tool import Tool
from tools.toolmaking import png


@pytest.fixture(scope="module")
def tool():
    return builtin_tool("crystals")


def test_the_threshold_reaches_every_look(tool):
    looks = {use.name for use in tool.manifest.pipeline if use.step == "stars@1"}
    assert len(looks) > 1
    assert adjusted(tool.manifest, {"threshold": 0.9}) == {look: {"threshold": 0.9} for look in looks}
    with pytest.raises(BadInput, match="threshold"):
        adjusted(tool.manifest, {"threshold": 1.5})


def test_parameters_that_one_setting_reaches_begin_alike(tool):
    content = json.loads(tool.manifest.canonical())
    next(use for use in content["pipeline"] if use["name"] == "far")["parameters"]["threshold"] = 0.1
    with pytest.raises(BadInput, match="differ without it"):
        Tool(parse_manifest(canonical(content)), tool.models)


def test_a_manifest_without_them_is_written_as_before():
    """Certificates name a manifest's digest."""
    manifest = builtin_tool("crystals-classical").manifest
    text = manifest.canonical().decode()
    assert "on_request" not in text
    assert '"also"' not in text
    assert parse_manifest(text.encode()).digest() == manifest.digest()


def test_what_is_made_on_request_is_made_then_only(tool, tmp_path):
    picture = tmp_path / "a.png"
    picture.write_bytes(png(np.full((96, 128), 170, np.uint8)))
    steps: list[str] = []
    (plain,) = run_tool(tool, [picture], progress=lambda _name, step, _share: steps.append(step))
    assert not {"litter", "cleaned"} & set(steps)
    assert CLEANED not in plain.outputs
    (asked,) = run_tool(tool, [picture], tmp_path / "out", asked=[CLEANED])
    assert NOT_FOR_MEASUREMENT.encode() in (tmp_path / "out" / f"a.{CLEANED}.png").read_bytes()
    assert asked.figures == plain.figures, "sizes are those of the picture as it came"
    with pytest.raises(BadInput, match="on request"):
        run_tool(tool, [picture], asked=["overlay"])
