from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from cloister.applications.crystals.factories import PUBLIC
from cloister.applications.crystals.network import CHANNELS, CONTEXT, INPUT, MULTIPLE, OUTPUT, build_model
from cloister.applications.crystals.pipeline import crystals_parameters, shipped_model
from cloister.applications.crystals.predict import runner
from cloister.applications.crystals.synthesis import synthesise
from cloister.data.normalise import normalise_micrograph
from cloister.foundation.canonical import canonical


def _input(height: int, width: int, batch: int = 1) -> np.ndarray:
    return np.random.default_rng(3).normal(0, 0.3, (batch, 1, height, width)).astype(np.float32)


def test_the_file_is_small_valid_and_readable_by_common_runtimes() -> None:
    model = onnx.load_from_string(build_model(1))
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version <= 10
    assert model.opset_import[0].version <= 21
    assert 150_000 < sum(int(np.prod(value.dims)) for value in model.graph.initializer) < 300_000
    assert {node.op_type for node in model.graph.node} == {"Conv", "Relu", "MaxPool", "Resize", "Concat"}


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert build_model(4) == build_model(4)
    assert build_model(4) != build_model(5)


@pytest.mark.parametrize(("height", "width"), [(MULTIPLE, MULTIPLE), (64, 96), (128, 80)])
def test_any_multiple_of_sixteen_is_a_size(height: int, width: int) -> None:
    answer = runner(build_model(1))(_input(height, width))
    assert answer.shape == (1, len(CHANNELS), height, width)


def test_jax_and_onnx_runtime_agree() -> None:
    from cloister.models.execute import load_model

    data = build_model(2)
    model = load_model(data)
    values = _input(64, 80, batch=2)
    ours = np.asarray(model.function(model.initial(), {INPUT: values})[OUTPUT])
    theirs = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"]).run(
        [OUTPUT], {INPUT: values}
    )[0]
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_a_tile_with_its_context_answers_as_the_whole_picture() -> None:
    run = runner(shipped_model())
    values = normalise_micrograph(synthesise(PUBLIC, 7_000_001).image)[None, None, :384, :384]
    whole = run(values)[0]
    tile = run(values[:, :, 64:320, 64:320])[0]
    inner = slice(CONTEXT, 256 - CONTEXT)
    outer = slice(64 + CONTEXT, 320 - CONTEXT)
    near, far = (1 / (1 + np.exp(-logits)) for logits in (tile[:, inner, inner], whole[:, outer, outer]))
    assert np.abs(near - far).max() < 0.02


def test_the_parameters_are_a_json_document() -> None:
    assert canonical(crystals_parameters())  # type: ignore[arg-type]
    assert crystals_parameters()["multiple"] == MULTIPLE
