"""Our execution agrees with ONNX Runtime, and its gradients with finite differences."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime as ort
import pytest
from building import Builder, cnn, mlp, unet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloister.models.execute import load_model

FEW = settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def runtime(data: bytes, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"]).run(None, inputs)


def agree(data: bytes, x: np.ndarray) -> None:
    ours = jax.jit(load_model(data).function)({}, {"x": x})["y"]
    np.testing.assert_allclose(np.asarray(ours), runtime(data, {"x": x})[0], rtol=1e-4, atol=1e-4)


@FEW
@given(
    seed=st.integers(0, 99),
    hidden=st.lists(st.integers(1, 9), max_size=3),
    activation=st.sampled_from(
        ["Relu", "Tanh", "Sigmoid", "Elu", "Softplus", "LeakyRelu", "Selu", "HardSigmoid", "Softsign"]
    ),
    opset=st.sampled_from([9, 11, 13, 17, 21]),
    batch=st.integers(1, 5),
)
def test_multilayer_perceptrons_agree_with_onnx_runtime(seed, hidden, activation, opset, batch) -> None:
    x = np.random.default_rng(seed).normal(size=(batch, 4)).astype(np.float32)
    agree(mlp(4, tuple(hidden), activation=activation, opset=opset, seed=seed), x)


@FEW
@given(
    seed=st.integers(0, 99),
    channels=st.integers(1, 3),
    width=st.integers(1, 5),
    pool=st.sampled_from(["MaxPool", "AveragePool"]),
    opset=st.sampled_from([9, 11, 13, 17, 21]),
    side=st.integers(4, 11),
)
def test_convolutional_networks_agree_with_onnx_runtime(seed, channels, width, pool, opset, side) -> None:
    x = np.random.default_rng(seed).normal(size=(2, channels, side, side)).astype(np.float32)
    agree(cnn(channels, width, pool=pool, opset=opset, seed=seed, side=side), x)


@FEW
@given(
    seed=st.integers(0, 99),
    up=st.sampled_from(["nearest", "linear", "cubic", "transpose"]),
    norm=st.sampled_from(["group", "instance", "none", "GroupNormalization"]),
    rows=st.integers(1, 3),
    levels=st.integers(1, 2),
)
def test_unets_agree_with_onnx_runtime(seed, up, norm, rows, levels) -> None:
    x = np.random.default_rng(seed).normal(size=(1, 1, rows * 2**levels, 8)).astype(np.float32)
    agree(unet(4, levels, 2, up, seed=seed, norm=norm, opset=21 if norm == "GroupNormalization" else 17), x)


@FEW
@given(
    seed=st.integers(0, 99),
    mode=st.sampled_from(["nearest", "linear", "cubic"]),
    coordinates=st.sampled_from(["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]),
    rounding=st.sampled_from(["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"]),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
def test_resizing_to_any_size_agrees_with_onnx_runtime(seed, mode, coordinates, rounding, size) -> None:
    b = Builder(19, seed)
    out = b.node(
        "Resize", "x", "", "", b.constant(np.asarray([1, 2, *size], np.int64)),
        mode=mode, coordinate_transformation_mode=coordinates, nearest_mode=rounding,
    )  # fmt: skip
    b.nodes[-1].output[0] = "y"
    assert out
    x = np.random.default_rng(seed).normal(size=(1, 2, 5, 4)).astype(np.float32)
    agree(b.bytes({"x": [1, 2, 5, 4]}, ["y"]), x)


@FEW
@given(
    seed=st.integers(0, 99),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
    group=st.sampled_from([1, 2]),
    pads=st.lists(st.integers(0, 2), min_size=4, max_size=4),
    transposed=st.booleans(),
)
def test_convolutions_of_all_kinds_agree_with_onnx_runtime(
    seed, stride, dilation, group, pads, transposed
) -> None:
    b = Builder(17, seed)
    b.node(
        "ConvTranspose" if transposed else "Conv", "x",
        b.weight(4, 3 if transposed else 4 // group, 3, 2), b.weight(3 * group if transposed else 4),
        strides=[stride, 1], dilations=[dilation, 1], group=group, pads=pads,
    )  # fmt: skip
    b.nodes[-1].output[0] = "y"
    agree(
        b.bytes({"x": [2, 4, 9, 8]}, ["y"]),
        np.random.default_rng(seed).normal(size=(2, 4, 9, 8)).astype(np.float32),
    )


@pytest.mark.parametrize(
    "data",
    [
        mlp(3, (4,), activation="Softplus"),
        cnn(1, 2, pool="AveragePool", side=6),
        unet(2, 1, 1, "linear"),
        unet(2, 1, 1, "transpose", norm="instance"),
    ],
    ids=["mlp", "cnn", "unet-group", "unet-transposed"],
)
def test_gradients_agree_with_finite_differences(data: bytes) -> None:
    model = load_model(data)
    shape = {2: (3, 3), 4: (2, 1, 6, 6)}[len(model.inputs[0].shape)]
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape).astype(np.float32)
    with jax.enable_x64(True):
        weights = jnp.asarray(model.flatten(), jnp.float64)
        wanted = jnp.asarray(x, jnp.float64)

        def value(vector):
            # float64 throughout, so that differences measure the slope rather than rounding
            return jnp.sum(jnp.sin(model.function(model.unflatten(vector), {"x": wanted})["y"]))

        call = jax.jit(value)
        gradient = jax.jit(jax.grad(value))(weights)
        direction = jnp.asarray(rng.normal(size=weights.shape))
        direction = direction / jnp.linalg.norm(direction)
        step = 1e-6
        slope = (call(weights + step * direction) - call(weights - step * direction)) / (2 * step)
        assert float(jnp.vdot(gradient, direction)) == pytest.approx(float(slope), rel=1e-3, abs=1e-5)


def test_per_example_gradients_by_vmap_sum_to_the_batch_gradient() -> None:
    model = load_model(unet(2, 1, 1, norm="instance"))
    x = np.random.default_rng(0).normal(size=(3, 1, 4, 4)).astype(np.float32)
    params = {name: jnp.asarray(value) for name, value in model.initial().items()}

    def loss(params, x):
        return jnp.sum(model.function(params, {"x": x})["y"] ** 2)

    whole = jax.jit(jax.grad(loss))(params, x)
    each = jax.jit(jax.vmap(jax.grad(loss), (None, 0)))(params, x[:, None])
    for name, gradient in whole.items():
        np.testing.assert_allclose(np.asarray(each[name]).sum(0), np.asarray(gradient), rtol=1e-3, atol=1e-4)
