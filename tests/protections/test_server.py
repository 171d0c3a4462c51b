"""The server's optimiser: FedAvg, FedAvgM, FedAdam."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cloister.foundation.errors import BadInput
from cloister.protections.federated import averaging, server
from cloister.training.recipe import ServerRecipe

VECTOR = hnp.arrays(np.float32, 5, elements=st.floats(-100, 100, width=32))


def play(recipe, start, updates):
    """All rounds."""
    weights, moments = start, server.start(recipe, len(start))
    for number, update in enumerate(updates, 1):
        weights, moments = server.advance(recipe, number, len(updates), weights, update, moments)
    return weights


@given(VECTOR, VECTOR)
@settings(max_examples=40)
def test_federated_averaging_moves_by_the_average_update_and_nothing_else(start, update):
    wide = update.astype(np.float64)
    weights, moments = server.advance(
        ServerRecipe(), 1, 3, start, wide, server.start(ServerRecipe(), len(start))
    )
    np.testing.assert_array_equal(weights, (start.astype(np.float64) + wide).astype(np.float32))
    assert moments.size == 0
    assert weights.dtype == np.float32


def test_one_gradient_step_per_round_is_centralised_gradient_descent():
    """McMahan et al. 2017, section 2: FedSGD with equal owners is descent on the pooled loss."""
    rng = np.random.default_rng(1)
    data = {name: (rng.normal(size=(20, 3)), rng.normal(size=20)) for name in "abc"}
    weights, moments, pooled = np.zeros(3, np.float32), np.zeros(0, np.float32), np.zeros(3)
    x = np.concatenate([item[0] for item in data.values()])
    y = np.concatenate([item[1] for item in data.values()])
    for number in range(1, 21):
        updates = {
            name: (-0.1 * a.T @ (a @ weights - b) / len(b)).astype(np.float32)
            for name, (a, b) in data.items()
        }
        mean = averaging.mean(updates, dict.fromkeys("abc", 1.0))
        weights, moments = server.advance(ServerRecipe(), number, 20, weights, mean, moments)
        pooled = pooled - 0.1 * x.T @ (x @ pooled - y) / len(y)
    np.testing.assert_allclose(weights, pooled, atol=1e-5)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_adam_at_the_server_is_the_adam_that_owners_use(schedule):
    """With the update turned round as gradient, step by step as in `training.optimiser`, within float32's rounding."""
    jnp = pytest.importorskip("jax.numpy")
    from cloister.training.optimiser import learning_rate, optimiser
    from cloister.training.recipe import OptimiserRecipe

    rng = np.random.default_rng(3)
    start, updates = rng.normal(size=6).astype(np.float32), rng.normal(size=(12, 6))
    mine = ServerRecipe(name="adam", learning_rate=0.03, second_moment=0.99, schedule=schedule, warmup=4)
    theirs = OptimiserRecipe(name="adam", learning_rate=0.03, second_moment=0.99, schedule=schedule, warmup=4)
    begin, change = optimiser(theirs)
    params = {"w": jnp.asarray(start)}
    state = begin(params)
    for index, update in enumerate(updates):
        gradient = {"w": jnp.asarray(-update, jnp.float32)}
        params, state = change(gradient, state, params, learning_rate(theirs, np.float32(index), 12))
    np.testing.assert_allclose(play(mine, start, updates), params["w"], atol=2e-5)


def test_momentum_keeps_going_in_the_direction_of_earlier_rounds():
    recipe = ServerRecipe(name="momentum", learning_rate=0.5, first_moment=0.5)
    step = np.ones(2)
    # 0.5 (1), then 0.5 (0.5 + 1), then 0.5 (0.75 + 0): Polyak's recursion by hand.
    found = play(recipe, np.zeros(2, np.float32), [step, step, 0 * step])
    np.testing.assert_allclose(found, 0.5 * (1 + 1.5 + 0.75))


def test_without_any_change_at_the_owners_adam_moves_nothing():
    start = np.arange(3, dtype=np.float32)
    recipe = ServerRecipe(name="adam", learning_rate=0.1)
    np.testing.assert_array_equal(play(recipe, start, [np.zeros(3)] * 4), start)


@pytest.mark.parametrize("name", ["average", "momentum", "adam"])
def test_weights_that_leave_the_finite_numbers_are_refused(name):
    recipe = ServerRecipe(name=name, learning_rate=1e6)
    start = np.full(2, 3e38, np.float32)
    with pytest.raises(BadInput):
        play(recipe, start, [np.full(2, 3e38)] * 2)


@pytest.mark.parametrize("name", ["average", "momentum", "adam"])
def test_going_through_the_weights_in_blocks_changes_no_bit(name):
    """Against the formulas of whole vectors (Algorithm 2, and `server`'s docstring)."""
    length, number = averaging.BLOCK + 5, 3
    rng = np.random.default_rng(8)
    weights = rng.normal(size=length).astype(np.float32)
    update = rng.normal(size=length)
    moments = np.abs(rng.normal(size=length * server.MOMENTS[name])).astype(np.float32)
    recipe = ServerRecipe(name=name, learning_rate=0.3)
    wide, b1, b2 = moments.astype(np.float64), recipe.first_moment, recipe.second_moment
    step, kept = update, wide
    if name == "momentum":
        step = kept = b1 * wide + update
    if name == "adam":
        first = b1 * wide[:length] + (1 - b1) * update
        second = b2 * wide[length:] + (1 - b2) * update * update
        step = (first / (1 - b1**number)) / (np.sqrt(second / (1 - b2**number)) + recipe.epsilon)
        kept = np.concatenate([first, second])
    moved, new = server.advance(recipe, number, 9, weights, update, moments)
    expected = (weights.astype(np.float64) + server.rate(recipe, number, 9) * step).astype(np.float32)
    assert moved.tobytes() == expected.tobytes()
    assert new.tobytes() == kept.astype(np.float32).tobytes()
