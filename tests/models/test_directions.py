"""Directions: nothing changes until the coefficients move; then all weights move as far along them as they say."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
from building import cnn, mlp

from cloister.foundation.errors import BadInput
from cloister.models.directions import COEFFICIENTS, steer
from cloister.models.execute import load_model
from cloister.models.export import export

X = np.random.default_rng(0).normal(size=(3, 1, 8, 8)).astype(np.float32)
COUNT = 5


def drawn(data: bytes, rank: int | None = None) -> dict[str, np.ndarray]:
    """Random directions of every parameter; with `rank`, of matrices that have so many rows in common."""
    rng, found = np.random.default_rng(1), {}
    for name, value in load_model(data).initial().items():
        values = rng.normal(size=(COUNT, *value.shape))
        if rank is not None and value.ndim > 1:
            rows = rng.normal(size=(rank, value[0].size))
            values = (rng.normal(size=(COUNT, len(value), rank)) @ rows).reshape(COUNT, *value.shape)
        found[name] = values
    return found


def outputs(data: bytes) -> np.ndarray:
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    x = X if len(session.get_inputs()[0].shape) == 4 else X[:, 0, 0, :4]
    return np.asarray(session.run(None, {"x": x})[0])


@pytest.mark.parametrize("data", [mlp(4, (8, 8), 3), cnn()], ids=["mlp", "cnn"])
def test_a_steered_model_begins_as_it_was(data: bytes) -> None:
    steered = steer(data, drawn(data), 2)
    np.testing.assert_allclose(outputs(steered), outputs(data), rtol=1e-5, atol=1e-5)
    assert steer(data, drawn(data), 2) == steered


@pytest.mark.parametrize("data", [mlp(4, (8, 8), 3), cnn()], ids=["mlp", "cnn"])
@pytest.mark.parametrize("rank", [2, 1000])
def test_weights_move_along_the_directions_as_far_as_the_coefficients_say(data: bytes, rank: int) -> None:
    directions = drawn(data, min(rank, 2))
    steered, plain = load_model(steer(data, directions, rank)), load_model(data)
    far = np.random.default_rng(2).normal(size=COUNT)
    start = {name: np.asarray(value) for name, value in steered.initial().items()}
    assert start[COEFFICIENTS].shape == (1, COUNT)
    moved = export(steered, steered.flatten({**start, COEFFICIENTS: far[None].astype(np.float32)}))
    by_hand = {
        name: (np.asarray(value) + np.tensordot(far, directions[name], 1)).astype(np.float32)
        for name, value in plain.initial().items()
    }
    wanted = outputs(export(plain, plain.flatten(by_hand)))
    np.testing.assert_allclose(outputs(moved), wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())


def test_directions_that_do_not_fit_are_refused() -> None:
    data = mlp(4, (8,), 3)
    good = drawn(data)
    name = next(iter(good))
    for bad in (
        {},
        {"nothing": np.zeros((2, 3))},
        {name: good[name][:, :1]},
        {name: np.full_like(good[name], np.nan)},
        good | {name: good[name][:2]},
        {name: good[name][:0]},
    ):
        with pytest.raises(BadInput):
            steer(data, bad, 2)
    with pytest.raises(BadInput):
        steer(data, good, 0)
    steered = steer(data, good, 2)
    with pytest.raises(BadInput):
        steer(steered, good, 2)
