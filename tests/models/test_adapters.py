"""Low-rank adapters: nothing changes until they are trained, only they are trained, and merging gives the plain graph back."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

sys.path.insert(0, str(Path(__file__).resolve().parent))
from building import cnn, mlp, unet

from cloister.foundation.errors import BadInput
from cloister.models.adapters import PREFIX, UP, adapt, merge, weights
from cloister.models.execute import load_model
from cloister.models.export import export

X = np.random.default_rng(0).normal(size=(3, 1, 8, 8)).astype(np.float32)


def outputs(data: bytes, vector: np.ndarray | None = None) -> np.ndarray:
    model = load_model(data)
    params = model.initial() if vector is None else model.unflatten(vector)
    x = X if model.inputs[0].shape and len(model.inputs[0].shape) == 4 else X[:, 0, 0, :4]
    return np.asarray(model.function(params, {"x": x})["y"])


def at_a_users(data: bytes) -> np.ndarray:
    """What ONNX Runtime makes of it, as users run a release."""
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    x = X if len(session.get_inputs()[0].shape) == 4 else X[:, 0, 0, :4]
    return np.asarray(session.run(None, {"x": x})[0])


def close(found: np.ndarray, wanted: np.ndarray) -> None:
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("data", [mlp(4, (8, 8), 3), cnn(), unet(norm="none")], ids=["mlp", "cnn", "unet"])
def test_an_adapted_model_begins_as_it_was_and_merging_gives_the_plain_graph_back(data: bytes) -> None:
    adapted = adapt(data, ("w",), 2)
    np.testing.assert_allclose(outputs(adapted), outputs(data), rtol=1e-6, atol=1e-6)
    model = load_model(adapted)
    factors = [name for name in model.parameters if name.startswith(PREFIX)]
    assert factors
    assert adapt(data, ("w",), 2) == adapted != adapt(data, ("w",), 2, seed=1)
    rng = np.random.default_rng(1)
    trained = model.flatten({
        name: rng.normal(size=value.shape).astype(np.float32) if name in factors else value
        for name, value in model.initial().items()
    })  # fmt: skip
    moved = export(model, trained)
    assert not np.allclose(outputs(moved), outputs(data), atol=1e-3)
    plain = merge(moved)
    close(outputs(plain), outputs(moved))
    close(at_a_users(plain), at_a_users(moved))
    before, after = load_model(data), load_model(plain)
    assert Counter(node.operator for node in after.graph.nodes) == Counter(
        node.operator for node in before.graph.nodes
    )
    assert after.parameters == before.parameters


def test_adapters_are_few_numbers() -> None:
    data = mlp(100, (256, 256), 10)
    model = load_model(adapt(data, ("w",), 4))
    few = sum(np.prod(shape) for name, shape in model.parameters.items() if name.startswith(PREFIX))
    assert few == 4 * (100 + 256 + 256 + 256 + 256 + 10)


def test_only_weights_that_an_adapter_makes_fewer_numbers_of_get_one() -> None:
    data = mlp(4, (8, 8), 3)
    told = {item.name: item for item in weights(data, rank=2)}
    assert {name: bool(item.numbers) for name, item in told.items()} == {
        "w0": True, "w1": False, "w2": True, "w3": False, "w4": True, "w5": False
    }  # fmt: skip
    assert told["w1"].reason == "no matrix"
    (last,) = weights(data, ("w4",), 3)
    assert (last.numbers, "33 numbers, no fewer" in last.reason) == (0, True)
    adapted = load_model(adapt(data, ("w0", "w4"), 2))
    made = {
        name: int(np.prod(shape)) for name, shape in adapted.parameters.items() if name.startswith(PREFIX)
    }
    assert sum(made.values()) == told["w0"].numbers + told["w4"].numbers
    assert sum(size for name, size in made.items() if name.startswith(UP)) == told["w0"].up + told["w4"].up


@pytest.mark.parametrize(
    ("prefixes", "rank"), [(("nobody",), 2), (("w", "nobody"), 2), ((), 0), (("w",), 500), (("w",), 8)]
)
def test_what_cannot_be_adapted_is_refused(prefixes: tuple[str, ...], rank: int) -> None:
    with pytest.raises(BadInput):
        adapt(mlp(4, (8, 8), 3), prefixes, rank)


def test_adapters_of_adapters_and_merging_without_any_are_refused() -> None:
    with pytest.raises(BadInput):
        adapt(adapt(mlp(4, (8, 8), 3), ("w",), 2), ("w",), 2)
    with pytest.raises(BadInput):
        merge(mlp(4, (8, 8), 3))


@pytest.mark.parametrize("how", ["rewired", "another operator", "used twice", "wrong shape", "not there"])
def test_a_graph_that_only_looks_adapted_is_refused(how: str) -> None:
    proto = onnx.ModelProto()
    proto.ParseFromString(adapt(mlp(4, (8, 8), 3), ("w",), 2))
    added = next(node for node in proto.graph.node if node.op_type == "Add")
    if how == "rewired":
        added.input[0], added.input[1] = added.input[1], added.input[0]
    elif how == "another operator":
        added.op_type = "Sub"
    elif how == "used twice":
        gemm = next(node for node in proto.graph.node if node.op_type == "Gemm")
        proto.graph.node.append(onnx.helper.make_node("Identity", [added.input[1]], ["more"]))
        proto.graph.output.append(onnx.helper.make_tensor_value_info("more", 1, None))
        assert gemm
    else:
        down = next(item for item in proto.graph.initializer if item.name.startswith("adapter.down."))
        if how == "wrong shape":
            down.CopyFrom(numpy_helper.from_array(np.zeros((3, 8), np.float32), down.name))
        else:
            down.name = "elsewhere"
            for node in proto.graph.node:
                node.input[:] = [
                    item if not item.startswith("adapter.down.") else "elsewhere" for item in node.input
                ]
    with pytest.raises(BadInput):
        merge(proto.SerializeToString())
