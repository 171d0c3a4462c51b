"""The tool without a model: from a picture's bytes to a report, handed on as a file, and no place for a released model."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from toolmaking import blob_model

from cloister.applications.crystals.factories import SEED_LIKE
from cloister.applications.crystals.synthesis import synthesise
from cloister.foundation.errors import BadInput
from cloister.tools import types as t
from cloister.tools.builtin import BUILTIN, builtin_tool, with_models
from cloister.tools.package import Package, pack, unpack
from cloister.tools.released import install_release
from cloister.tools.run import run_tool
from cloister.tools.steps.base import Context
from cloister.tools.steps.classical import FindClassical, classical


@pytest.fixture(scope="module")
def tool():
    return builtin_tool("crystals-classical")


@pytest.fixture(scope="module")
def picture():
    return synthesise(SEED_LIKE, (870_000, 0))


def test_it_has_no_model_and_says_that_it_is_a_baseline(tool):
    assert dict(tool.models) == {}
    assert tool.load() == {}
    assert any("baseline" in line for line in tool.manifest.limits)


def test_a_picture_becomes_table_report_and_outlines(tool, picture, tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(picture.image).save(path)
    (result,) = run_tool(tool, [path], out=tmp_path / "out", threads=1)
    true = len(picture.crystals)
    assert abs(result.count - true) <= 0.5 * true
    told = json.loads((tmp_path / "out" / "a.result.json").read_text())
    assert told["figures"]["count"] == result.count
    assert (tmp_path / "out" / "a.report.html").is_file()


def test_the_settings_do_what_they_say(picture):
    from cloister.data.normalise import normalise_micrograph

    field = t.Field(normalise_micrograph(picture.image)[:, :, None])

    def found(**parameters):
        return len(classical(Context(), FindClassical(**parameters), field=field).stars)

    assert found(sensitivity=0.2) < found()
    assert found(split=0.0) <= found() <= found(split=1.0)
    assert found(smallest=30.0) < found()
    assert found(bubbles=True) >= found()


def test_on_a_smaller_copy_places_are_those_of_the_picture(picture):
    from cloister.data.normalise import normalise_micrograph

    values = normalise_micrograph(picture.image)[:, :, None]
    plain = classical(Context(), FindClassical(), field=t.Field(values))
    double = classical(Context(), FindClassical(), field=t.Field(values, 2.0))
    assert (double.height, double.width) == (2 * plain.height, 2 * plain.width)
    assert double.stars.x == pytest.approx(2 * plain.stars.x + 0.5)
    assert double.stars.rays == pytest.approx(2 * plain.stars.rays)


def test_a_field_of_two_channels_is_refused():
    with pytest.raises(BadInput):
        classical(Context(), FindClassical(), field=t.Field(np.zeros((20, 20, 2), np.float32)))


def test_a_tool_without_models_is_packed_and_read_again(tool):
    package = unpack(pack(Package(tool)), "The file")
    assert package.tool == tool


def test_a_released_model_has_no_place_in_it(tmp_path):
    assert with_models() == ("crystals",)
    assert set(with_models()) < set(BUILTIN)
    with pytest.raises(BadInput, match="has no model"):
        install_release("crystals-classical", b"", {"certificate": {}, "cards": []}, tmp_path)


def test_a_released_model_that_answers_otherwise_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(BadInput) as caught:
        install_release("crystals", blob_model(), {"certificate": {}, "cards": []}, tmp_path)
    assert "cannot take the place" in caught.value.what
    assert "2 output channels" in caught.value.why
    assert "cloister ask train --tool crystals" in caught.value.remedy
