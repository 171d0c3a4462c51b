from __future__ import annotations

import numpy as np
import onnx
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.applications.crystals.star_network import (
    CONTEXT,
    INPUT,
    LAYERS,
    OUTPUT,
    build_star_model,
    initial_weights,
    read_weights,
)
from cloister.data.stars import CHANNELS, MULTIPLE
from cloister.models.execute import load_model
from cloister.tools.inference import OnnxModel


@given(st.integers(1, 4), st.integers(1, 4))
@settings(max_examples=6, deadline=None)
def test_the_network_answers_on_a_quarter_of_any_size_that_is_a_multiple(rows: int, columns: int) -> None:
    model = OnnxModel(build_star_model(), "crystals", threads=1)
    made = model(np.zeros((1, 1, rows * MULTIPLE, columns * MULTIPLE), np.float32))
    assert made.shape == (1, CHANNELS, rows * MULTIPLE // 4, columns * MULTIPLE // 4)


def test_jax_and_onnx_runtime_compute_the_same() -> None:
    """Trained through the main loop in JAX, used in ONNX Runtime: relative 1e-4 is what float32 sums in another order give."""
    model = build_star_model(seed=3)
    x = np.random.default_rng(0).normal(0, 0.3, (2, 1, 48, 64)).astype(np.float32)
    loaded = load_model(model)
    ours = np.asarray(loaded.function(loaded.initial(), {INPUT: x})[OUTPUT])
    theirs = OnnxModel(model, "crystals", threads=1)(x)
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4 * float(np.abs(theirs).max()))


def test_weights_come_back_as_they_were_written() -> None:
    weights = initial_weights(7)
    back = read_weights(build_star_model(weights))
    assert set(back) == set(weights)
    for name, value in weights.items():
        np.testing.assert_array_equal(back[name], value)


def test_the_table_of_layers_fits_together() -> None:
    model = onnx.load_from_string(build_star_model())
    onnx.checker.check_model(model, full_check=True)
    assert len({layer.name for layer in LAYERS}) == len(LAYERS)
    assert sum(v.size for v in initial_weights().values()) < 1_000_000


def test_beyond_its_context_a_picture_does_not_change_the_answer_by_more_than_a_trace() -> None:
    model = OnnxModel(build_star_model(seed=1), "crystals", threads=1)
    rng = np.random.default_rng(2)
    near = rng.normal(0, 0.3, (1, 1, 64 + 2 * CONTEXT, 64 + 2 * CONTEXT)).astype(np.float32)
    far = rng.normal(0, 0.3, (1, 1, 512, 512)).astype(np.float32)
    start = (512 - near.shape[2]) // 2 // MULTIPLE * MULTIPLE
    far[:, :, start : start + near.shape[2], start : start + near.shape[3]] = near
    inner = slice(CONTEXT // 4, CONTEXT // 4 + 16)
    alone = model(near)[:, :, inner, inner]
    shift = (start + CONTEXT) // 4
    within = model(far)[:, :, shift : shift + 16, shift : shift + 16]
    assert np.abs(alone - within).max() < 0.02 * np.abs(within).std()
