"""Layer by layer equals the definition, on random graphs; and what is not proved to keep examples apart is refused."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
from building import Builder, cnn, mlp, unet

from cloister.models.adapters import PREFIX, adapt
from cloister.models.execute import load_model
from cloister.training.definition import Definition
from cloister.training.layers import Layers
from cloister.training.local import Trainer
from cloister.training.mixing import RULES, Apart, Mixes, examine
from cloister.training.recipe import Column, TabularPreparation, TrainingRecipe

TABLE = TabularPreparation(columns=(Column(name="a"),), label="y")
CLIP = 0.3


def trainer(data: bytes, **changes) -> Trainer:
    values = {"loss": "cross-entropy", "input": "x", "output": "y", "preparation": TABLE, **changes}
    return Trainer(load_model(data), TrainingRecipe(**values))


def both(how: Trainer, x: np.ndarray, target: np.ndarray, share: np.ndarray | None = None):
    """What the definition and the layers give for units of one example, or of several: x (B, K, ...)."""
    if share is None:
        share = np.full(x.shape[:2], 1 / x.shape[1], np.float32)
    frozen = how.model.unflatten(how.model.flatten())
    params = {name: frozen.pop(name) for name in how.trained}
    ways = (Definition(how), Layers(how))
    return [
        jax.jit(way.block)(params, frozen, {"input": x, "target": target}, share, np.float32(CLIP))
        for way in ways
    ]


def assert_equal(how: Trainer, x: np.ndarray, target: np.ndarray, share: np.ndarray | None = None) -> None:
    assert isinstance(Layers(how).proof((x.shape[0] * x.shape[1], *x.shape[2:])), Apart)
    want, got = both(how, x, target, share)
    np.testing.assert_allclose(got.norms, want.norms, rtol=1e-5)
    np.testing.assert_allclose(got.losses, want.losses, rtol=1e-5, atol=1e-6)
    assert set(got.total) == set(want.total)
    for name, value in want.total.items():
        np.testing.assert_allclose(got.total[name], value, atol=1e-5 * CLIP, err_msg=name)


def inputs(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def classes(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 3, shape).astype(np.int32)


# Random graphs


@st.composite
def perceptrons(draw: st.DrawFn) -> bytes:
    """Dense layers in the forms that exporters write, some sharing weights, some with weights computed from others."""
    b = Builder(seed=draw(st.integers(0, 99)))
    width = draw(st.sampled_from([3, 5]))
    x = b.node("Gemm", "x", b.weight(width, 4), b.weight(width), transB=1)
    shared = b.weight(width, width)
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(
            st.sampled_from(
                ["gemm", "alpha", "matmul", "shared", "turned", "residual", "norm", "scale", "pair"]
            )
        )
        if kind == "gemm":
            x = b.node("Gemm", x, b.weight(width, width), b.weight(width))
        elif kind == "alpha":
            x = b.node("Gemm", x, b.weight(width, width), b.weight(1, width), alpha=0.7, beta=1.3, transB=1)
        elif kind == "matmul":
            x = b.node("Add", b.node("MatMul", x, b.weight(width, width)), b.weight(width))
        elif kind == "shared":
            x = b.node("MatMul", x, shared)
        elif kind == "turned":
            x = b.node("MatMul", x, b.node("Transpose", b.node("Mul", shared, b.weight(width))))
        elif kind == "residual":
            x = b.node("Add", x, b.node("Tanh", x))
        elif kind == "norm":
            x = b.node("LayerNormalization", x, b.weight(width), b.weight(width))
        elif kind == "scale":
            x = b.node("Sub", b.node("Mul", x, b.weight(1, width)), b.weight(width))
        else:
            x = b.node(
                "Flatten",
                b.node("MatMul", b.node("Unsqueeze", x, b.constant(np.asarray([2]))), b.weight(1, 2)),
            )
            x = b.node("Gemm", x, b.weight(width, 2 * width), "", transB=1)
        x = b.node(draw(st.sampled_from(["Relu", "Tanh", "Identity", "Sigmoid", "Elu"])), x)
    b.node("Gemm", x, b.weight(3, width), b.weight(3), transB=1)
    b.nodes[-1].output[0] = "y"
    return b.bytes({"x": ["batch", 4]}, ["y"])


@st.composite
def convolutions(draw: st.DrawFn) -> bytes:
    """Convolutions with strides, groups and dilations, transposed ones, norms, pools, shared filters."""
    b = Builder(seed=draw(st.integers(0, 99)))
    x, shared = b.node("Relu", b.conv("x", 1, 4)), b.weight(4, 4, 3, 3)
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(
            st.sampled_from(
                [
                    "conv",
                    "groups",
                    "dilated",
                    "stride",
                    "transposed",
                    "shared",
                    "group",
                    "instance",
                    "batch",
                    "slope",
                    "pool",
                ]
            )
        )
        if kind == "conv":
            x = b.conv(x, 4, 4)
        elif kind == "groups":
            x = b.conv(x, 4, 4, group=2)
        elif kind == "dilated":
            x = b.conv(x, 4, 4, dilations=[2, 2], pads=[2] * 4)
        elif kind == "stride":
            x = b.conv(x, 4, 4, strides=[2, 1])
        elif kind == "transposed":
            x = b.node("ConvTranspose", x, b.weight(4, 4, 2, 2), b.weight(4), kernel_shape=[2, 2], group=1)
        elif kind == "shared":
            x = b.node("Conv", x, shared, kernel_shape=[3, 3], pads=[1] * 4)
        elif kind == "group":
            x = b.group_norm(x, 4, 2)
        elif kind == "instance":
            x = b.node("InstanceNormalization", x, b.weight(4), b.weight(4))
        elif kind == "batch":
            moments = b.constant(inputs((4,))), b.constant(np.abs(inputs((4,), 1)) + np.float32(0.5))
            x = b.node("BatchNormalization", x, b.weight(4), b.weight(4), *moments)
        elif kind == "slope":
            x = b.node("PRelu", x, b.weight(4, 1, 1))
        else:
            x = b.node("AveragePool", x, kernel_shape=[2, 2], pads=[0, 0, 1, 1])
        x = b.node(draw(st.sampled_from(["Relu", "Tanh", "Identity"])), x)
    x = b.node("Flatten", b.node("GlobalAveragePool", x))
    b.node("Gemm", x, b.weight(3, 4), b.weight(3), transB=1)
    b.nodes[-1].output[0] = "y"
    return b.bytes({"x": ["batch", 1, 8, 8]}, ["y"])


SMALL_UNETS = st.builds(
    unet,
    width=st.just(2),
    levels=st.just(1),
    up=st.sampled_from(["nearest", "linear", "transpose"]),
    norm=st.sampled_from(["group", "instance", "none"]),
    seed=st.integers(0, 99),
)
PLACES = st.sampled_from([1, 1, 3])


@pytest.mark.slow
@given(data=perceptrons(), places=PLACES)
@settings(max_examples=5, deadline=None)
def test_random_dense_networks_give_the_same_layer_by_layer(data: bytes, places: int) -> None:
    assert_equal(trainer(data), inputs((5, places, 4)), classes((5, places)))


@pytest.mark.slow
@given(data=convolutions(), places=PLACES)
@settings(max_examples=4, deadline=None)
def test_random_convolutional_networks_give_the_same_layer_by_layer(data: bytes, places: int) -> None:
    assert_equal(trainer(data), inputs((3, places, 1, 8, 8)), classes((3, places)))


@pytest.mark.slow
@given(data=SMALL_UNETS)
@settings(max_examples=2, deadline=None)
def test_random_unets_give_the_same_layer_by_layer(data: bytes) -> None:
    x, target = inputs((3, 1, 1, 4, 4)), np.abs(inputs((3, 1, 1, 4, 4), 1))
    assert_equal(trainer(data, loss="mean-squared-error-per-pixel"), x, target)


def test_layers_give_the_same_where_only_some_are_trained_and_places_are_not_used() -> None:
    model = cnn()
    names = list(load_model(model).parameters)
    share = np.asarray([[1.0], [0.0], [1.0], [0.0]], np.float32)
    for chosen in ((names[0],), (names[-1],), tuple(names[1:3])):
        assert_equal(trainer(model, trainable=chosen), inputs((4, 1, 1, 8, 8)), classes((4, 1)), share)


def test_adapters_alone_are_trained_alike() -> None:
    data = adapt(mlp(4, (8, 8), 3), ("w",), 2)
    how = trainer(data, trainable=(PREFIX,))
    assert how.trained
    assert all(name.startswith(PREFIX) for name in how.trained)
    assert_equal(how, inputs((4, 1, 4)), classes((4, 1)))


def test_a_row_that_is_not_finite_is_zero_and_leaves_the_others_alone_in_both_ways() -> None:
    how, x = trainer(mlp(4, (8,), 3)), inputs((5, 1, 4))
    x[1], x[3] = np.nan, np.inf
    want, got = both(how, x, classes((5, 1)))
    share = np.asarray([[1.0], [0.0], [1.0], [0.0], [1.0]], np.float32)
    clean, _ = both(how, np.nan_to_num(x, posinf=0, neginf=0), classes((5, 1)), share)
    for name in want.total:
        np.testing.assert_allclose(want.total[name], clean.total[name], atol=1e-5 * CLIP)
        np.testing.assert_allclose(got.total[name], clean.total[name], atol=1e-5 * CLIP)


@pytest.mark.parametrize(("small", "large"), [(1e-22, 1e20), (1e-30, 1e30), (1e20, 1e-22)])
def test_norms_of_outer_products_hold_where_squares_leave_float32(small: float, large: float) -> None:
    """Rule 1 of clipping would break if a factor's square became zero: a long gradient would pass for a short one."""
    b = Builder()
    b.node("MatMul", "x", b.constant(np.full((1, 1), 0.0, np.float32), "w"))
    b.nodes[-1].output[0] = "y"
    how = trainer(b.bytes({"x": ["batch", 1]}, ["y"]), loss="mean-squared-error")
    _, got = both(how, np.full((1, 1, 1), small, np.float32), np.full((1, 1, 1), -large / 2, np.float32))
    length = float(np.abs(got.total["w"]).sum())
    assert length <= CLIP * (1 + 1e-6)
    if small * large > CLIP and np.isfinite(got.norms).all():
        assert length == pytest.approx(CLIP, rel=1e-4)


# What is proved and what is not

Build = Callable[[Builder], str]


def _static(b: Builder, *numbers: int) -> str:
    return b.constant(np.asarray(numbers, np.int64))


APART: dict[str, Build] = {
    "softmax over features": lambda b: b.node("Softmax", "x", axis=1),
    "sum over features": lambda b: b.node("Add", "x", b.node("ReduceSum", "x", _static(b, 1), keepdims=1)),
    "reshape of rows": lambda b: b.node(
        "Reshape", b.node("Reshape", "x", _static(b, 0, 2, 3)), _static(b, -1, 6)
    ),
    "transpose inside": lambda b: b.node(
        "Flatten", b.node("Transpose", b.node("Reshape", "x", _static(b, -1, 2, 3)), perm=[0, 2, 1])
    ),
    "attention of a row with itself": lambda b: b.node(
        "Flatten",
        b.node(
            "MatMul",
            b.node("Reshape", "x", _static(b, -1, 2, 3)),
            b.node("Transpose", b.node("Reshape", "x", _static(b, -1, 2, 3)), perm=[0, 2, 1]),
        ),
    ),
    "slice of features": lambda b: b.node("Slice", "x", _static(b, 1), _static(b, 4), _static(b, 1)),
    "gathered features": lambda b: b.node("Gather", "x", _static(b, 3, 0, 1), axis=1),
    "concatenated features": lambda b: b.node("Concat", "x", b.node("Tanh", "x"), axis=1),
    "padded features": lambda b: b.node("Pad", "x", _static(b, 0, 1, 0, 1)),
    "best features": lambda b: b.node("TopK", "x", _static(b, 2), axis=1),
    "shape of itself": lambda b: b.node("Reshape", "x", b.node("Shape", "x")),
    "enlarged pictures": lambda b: b.node(
        "Flatten",
        b.node(
            "Resize",
            b.node("Reshape", "x", _static(b, -1, 1, 2, 3)),
            "",
            b.constant(np.asarray([1, 1, 2, 1.5], np.float32)),
            mode="linear",
        ),
    ),
}
MIXING: dict[str, Build] = {
    "mean over the batch": lambda b: b.node("Sub", "x", b.node("ReduceMean", "x", axes=[0], keepdims=1)),
    "sum of everything": lambda b: b.node("Div", "x", b.node("ReduceSum", "x", keepdims=1)),
    "softmax over the batch": lambda b: b.node("Softmax", "x", axis=0),
    "running sum over the batch": lambda b: b.node("CumSum", "x", b.constant(np.asarray(0))),
    "reshape across rows": lambda b: b.node(
        "Reshape", b.node("Reshape", "x", _static(b, 3, -1)), _static(b, -1, 6)
    ),
    "transpose and back": lambda b: b.node(
        "Transpose", b.node("Softmax", b.node("Transpose", "x", perm=[1, 0]), axis=1), perm=[1, 0]
    ),
    "best of the batch": lambda b: b.node("Mul", "x", b.node("TopK", "x", _static(b, 1), axis=0)),
    "first row for all": lambda b: b.node("Sub", "x", b.node("Gather", "x", _static(b, 0), axis=0)),
    "rows turned round": lambda b: b.node(
        "Slice", "x", _static(b, -1), _static(b, -100), _static(b, 0), _static(b, -1)
    ),
    "rows against rows": lambda b: b.node(
        "MatMul", b.node("MatMul", "x", b.node("Transpose", "x", perm=[1, 0])), "x"
    ),
    "statistics over the batch": lambda b: b.node("MeanVarianceNormalization", "x", axes=[0, 1]),
    "a number for each row": lambda b: b.node("Add", "x", b.weight(4, 1)),
    "divided by the batch's size": lambda b: b.node(
        "Div", "x", b.node("Cast", b.node("Slice", b.node("Shape", "x"), _static(b, 0), _static(b, 1)), to=1)
    ),
    "rows joined to a picture": lambda b: b.node(
        "Reshape",
        b.node(
            "Conv",
            b.node("Reshape", "x", _static(b, 1, 1, -1, 6)),
            b.weight(1, 1, 3, 3),
            kernel_shape=[3, 3],
            pads=[1] * 4,
        ),
        _static(b, -1, 6),
    ),
    "a normalisation over rows too": lambda b: b.node("LayerNormalization", "x", b.weight(6), axis=0),
    "a little resampling of the batch": lambda b: b.node(
        "Flatten",
        b.node(
            "Resize",
            b.node("Reshape", "x", _static(b, -1, 1, 2, 3)),
            "",
            b.constant(np.asarray([1.1, 1, 1, 1], np.float32)),
            mode="linear",
        ),
    ),
}


def _around(build: Build, batch: int | str = "batch") -> bytes:
    """A model with the operators between two dense layers; batches of 4."""
    b = Builder()
    b.opset = 17
    made = build(b)
    b.node("ReduceMean", b.node("Mul", made, b.constant(np.asarray(1, np.float32))), axes=[1], keepdims=1)
    b.nodes[-1].output[0] = "mean"
    b.node("Gemm", "mean", b.weight(3, 1), b.weight(3), transB=1)
    b.nodes[-1].output[0] = "y"
    return b.bytes({"x": [batch, 6]}, ["y"])


def _proof(data: bytes, batch: int = 4) -> Apart | Mixes:
    model = load_model(data)
    return examine(model, tuple(model.parameters), "y", (batch, 6))


@pytest.mark.parametrize("name", APART)
def test_operators_inside_rows_are_proved_and_rows_stay_apart(name: str) -> None:
    data = _around(APART[name])
    assert isinstance(_proof(data), Apart), _proof(data)
    model, x = load_model(data), inputs((4, 6))
    before = model.function(model.initial(), {"x": x})["y"]
    for row in range(4):
        other = x.copy()
        other[row] = inputs((6,), 9)
        changed = np.asarray(model.function(model.initial(), {"x": other})["y"] != before).any(1)
        assert not changed[np.arange(4) != row].any()


@pytest.mark.parametrize("name", MIXING)
def test_operators_across_the_batch_are_not_proved(name: str) -> None:
    # Numbers for each row fit only one size of batches.
    data = _around(MIXING[name], 4 if "each row" in name else "batch")
    found = _proof(data)
    assert isinstance(found, Mixes)
    assert found.reason
    assert not isinstance(Layers(trainer(data)).proof((4, 6)), Apart)


def test_a_lookup_of_fixed_rows_is_proved_and_differentiated() -> None:
    b = Builder()
    rows = b.node("Gather", b.weight(5, 6, name="table"), b.node("Cast", b.node("Abs", "x"), to=7), axis=0)
    b.node("Gemm", b.node("ReduceMean", rows, axes=[1], keepdims=0), b.weight(3, 6), b.weight(3), transB=1)
    b.nodes[-1].output[0] = "y"
    how = trainer(b.bytes({"x": ["batch", 4]}, ["y"]))
    assert_equal(how, np.random.default_rng(0).integers(0, 5, (5, 1, 4)).astype(np.float32), classes((5, 1)))


def test_only_what_the_output_needs_counts() -> None:
    b = Builder()
    b.node("ReduceMean", "x", axes=[0])
    b.node("Gemm", "x", b.weight(3, 6), b.weight(3), transB=1)
    b.nodes[-1].output[0] = "y"
    assert isinstance(_proof(b.bytes({"x": ["batch", 6]}, ["y", "v0"])), Apart)


def test_every_rule_is_of_an_operator_that_exists() -> None:
    from cloister.models.operators.catalogue import OPERATORS

    assert set(RULES) <= set(OPERATORS)
