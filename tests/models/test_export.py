"""Weights go back into ONNX: checked by onnx, run by ONNX Runtime, the same bytes every time."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from building import cnn, mlp, unet

from cloister.foundation.errors import CloisterError, Refused
from cloister.models.execute import load_model
from cloister.models.export import IR_VERSION, export


@pytest.mark.parametrize("data", [mlp(opset=13), cnn(opset=21), unet(2, 1)], ids=["mlp", "cnn", "unet"])
def test_an_exported_model_passes_onnx_and_runs_in_onnx_runtime_with_the_new_weights(data: bytes) -> None:
    model = load_model(data)
    vector = model.flatten() + np.float32(0.01)
    made = export(model, vector, document="trained together")
    proto = onnx.load_from_string(made)
    onnx.checker.check_model(proto)
    assert proto.ir_version <= IR_VERSION
    assert [e.version for e in proto.opset_import] == [model.graph.opset]
    x = (
        np.random.default_rng(0)
        .normal(size=(2, 4) if len(model.inputs[0].shape) == 2 else (2, 1, 8, 8))
        .astype(np.float32)
    )
    theirs = ort.InferenceSession(made, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
    again = load_model(made)
    np.testing.assert_array_equal(again.flatten(), vector)
    np.testing.assert_allclose(np.asarray(again.function({}, {"x": x})["y"]), theirs, rtol=1e-4, atol=1e-4)


def test_an_export_is_the_same_bytes_every_time_and_carries_nothing_of_the_original_but_the_graph() -> None:
    proto = onnx.load_from_string(mlp())
    proto.metadata_props.add(key="author", value="somebody")
    proto.producer_name, proto.doc_string = "tool", "note"
    proto.graph.node[0].doc_string = "/home/somebody/train.py line 3"
    model = load_model(proto.SerializeToString())
    made = export(model, model.flatten())
    assert made == export(model, model.flatten())
    assert b"somebody" not in made
    assert b"note" not in made


def test_weights_that_are_not_finite_are_not_written() -> None:
    model = load_model(mlp())
    vector = model.flatten()
    vector[3] = np.nan
    with pytest.raises(Refused) as caught:
        export(model, vector)
    assert caught.value.clause == "finite-weights"


def test_flatten_and_unflatten_are_inverse_and_refuse_what_does_not_fit() -> None:
    model = load_model(unet(2, 1))
    vector = np.random.default_rng(0).normal(size=model.size).astype(np.float32)
    np.testing.assert_array_equal(model.flatten(model.unflatten(vector)), vector)
    assert list(model.parameters) == [
        n.name for n in onnx.load_from_string(unet(2, 1)).graph.initializer if n.name in model.parameters
    ]
    for wrong in (vector[:-1], vector[None]):
        with pytest.raises(CloisterError):
            model.unflatten(wrong)
    with pytest.raises(CloisterError):
        model.flatten({"other": vector})


def test_inputs_that_do_not_fit_are_refused_before_running() -> None:
    model = load_model(mlp())
    for wrong in (
        {"x": np.zeros((2, 5), np.float32)},
        {"x": np.zeros(4, np.float32)},
        {"z": np.zeros((2, 4), np.float32)},
    ):
        with pytest.raises(CloisterError):
            model.function({}, wrong)
    with pytest.raises(CloisterError):
        model.function({"w0": np.zeros((1, 1), np.float32)}, {"x": np.zeros((2, 4), np.float32)})
