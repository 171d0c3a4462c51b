"""The older forms of operators, which ONNX no longer ships cases for, agree with ONNX Runtime."""

from __future__ import annotations

import jax
import numpy as np
import onnxruntime as ort
import pytest
from building import Builder
from onnx import helper

from cloister.models.execute import load_model

SCALES = {"scales": np.asarray([1, 1, 2, 3], np.float32)}
FORMS = [
    ("Softmax", 11, {"axis": 1}, {}),
    ("LogSoftmax", 9, {"axis": 2}, {}),
    ("Hardmax", 11, {"axis": 1}, {}),
    ("ReduceSum", 11, {"axes": [1, 3], "keepdims": 0}, {}),
    ("ReduceMean", 11, {"axes": [-1]}, {}),
    ("ReduceMean", 17, {"axes": [2, 3]}, {}),
    ("ReduceMax", 11, {}, {}),
    ("ReduceL2", 13, {"axes": [1]}, {}),
    ("Unsqueeze", 11, {"axes": [0, 5]}, {}),
    ("Slice", 9, {"starts": [1, -3], "ends": [9, 100], "axes": [1, 3]}, {}),
    ("Pad", 9, {"pads": [0, 1, 0, 2, 0, 0, 1, 0], "value": 0.5}, {}),
    ("Pad", 9, {"pads": [0, 0, 1, 1, 0, 0, 1, 2], "mode": "reflect"}, {}),
    ("Clip", 9, {"min": -0.5, "max": 0.25}, {}),
    ("Dropout", 9, {"ratio": 0.9}, {}),
    ("Flatten", 9, {"axis": 2}, {}),
    ("Upsample", 9, {"mode": "nearest"}, SCALES),
    ("Upsample", 9, {"mode": "linear"}, {"scales": np.asarray([1, 1, 2, 2], np.float32)}),
    ("Resize", 10, {"mode": "nearest"}, SCALES),
    ("Resize", 11, {"mode": "linear", "coordinate_transformation_mode": "align_corners"}, {"roi": np.zeros(0, np.float32), **SCALES}),
    ("Cast", 9, {"to": 1}, {}),
    ("Gather", 11, {"axis": 2}, {"indices": np.asarray([1, -1, 0], np.int64)}),
    ("ArgMax", 11, {"axis": 1, "keepdims": 0}, {}),
    ("LRN", 9, {"size": 3}, {}),
    ("LpNormalization", 11, {"axis": 1, "p": 2}, {}),
    ("InstanceNormalization", 9, {}, {"s": np.asarray([1, 2, 0.5], np.float32), "b": np.asarray([0, 1, 2], np.float32)}),
    ("BatchNormalization", 9, {}, {n: np.asarray([1, 2, 0.5], np.float32) for n in ("s", "b", "m", "v")}),
    ("AveragePool", 10, {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1, "pads": [0, 1, 0, 1]}, {}),
    ("MaxPool", 10, {"kernel_shape": [3, 2], "strides": [2, 2], "ceil_mode": 1}, {}),
    ("MaxPool", 11, {"kernel_shape": [3, 3], "auto_pad": "SAME_LOWER"}, {}),
    ("GlobalLpPool", 9, {"p": 2}, {}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "opset", "attributes", "constants"),
    FORMS,
    ids=[f"{f[0]}-{f[1]}-{i}" for i, f in enumerate(FORMS)],
)
def test_an_older_form_agrees_with_onnx_runtime(
    kind: str, opset: int, attributes: dict, constants: dict
) -> None:
    b = Builder(opset)
    names = ["x", *(b.constant(value, name) for name, value in constants.items())]
    b.nodes.append(helper.make_node(kind, names, ["z"], **attributes))
    b.nodes.append(helper.make_node("Cast", ["z"], ["y"], to=1))
    data = b.bytes({"x": [2, 3, 5, 7]}, ["y"])
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 7)).astype(np.float32)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    theirs = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
    ours = np.asarray(jax.jit(load_model(data).function)({}, {"x": x})["y"])
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
