"""Low-rank adapters: nothing changes until they are trained, only they are trained, and merging gives the plain graph back."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

sys.path.insert(0, str(Path(__file__).resolve().parent))
from building import cnn, mlp, unet

from cloister.foundation.errors import BadInput
from cloister.models.adapters import PREFIX, adapt, merge
from cloister.models.execute import load_model
from cloister.models.export import export

X = np.random.default_rng(0).normal(size=(3, 1, 8, 8)).astype(np.float32)


def outputs(data: bytes, vector: np.ndarray | None = None) -> np.ndarray:
    model = load_model(data)
    params = model.initial() if vector is None else model.unflatten(vector)
    x = X if model.inputs[0].shape and len(model.inputs[0].shape) == 4 else X[:, 0, 0, :4]
    return np.asarray(model.function(params, {"x": x})["y"])


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
    np.testing.assert_allclose(outputs(plain), outputs(moved), rtol=1e-4, atol=1e-4)
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


@pytest.mark.parametrize(("prefixes", "rank"), [(("nobody",), 2), ((), 2), (("w",), 0), (("w",), 500)])
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
        down = next(item for item in proto.graph.initializer if item.name.endswith(".down"))
        if how == "wrong shape":
            down.CopyFrom(numpy_helper.from_array(np.zeros((3, 8), np.float32), down.name))
        else:
            down.name = "elsewhere"
            for node in proto.graph.node:
                node.input[:] = [item if not item.endswith(".down") else "elsewhere" for item in node.input]
    with pytest.raises(BadInput):
        merge(proto.SerializeToString())
