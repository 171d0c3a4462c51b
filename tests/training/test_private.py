"""The private gradient: clipped unit by unit, sampled by secret coins, without validation records, always the same bytes."""

from __future__ import annotations

import sys
from pathlib import Path

import jax
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
from building import Builder, mlp

from cloister.foundation.errors import BadInput, Refused
from cloister.models.execute import load_model
from cloister.privacy.sampling import poisson_sample
from cloister.privacy.stream import NoiseStream
from cloister.training.clipping import MARGIN
from cloister.training.examples import ROWS_PER_UNIT, ArrayExamples
from cloister.training.local import Trainer
from cloister.training.private import SAMPLE_LABEL, PrivateGradient, trained_ranges
from cloister.training.recipe import Column, TabularPreparation, TrainingRecipe

TABLE = TabularPreparation(columns=(Column(name="a"),), label="y")
MODEL = load_model(mlp(4, (8,), 3, activation="Tanh"))
SECRET = bytes(range(32))


def recipe(**changes) -> TrainingRecipe:
    values = {"loss": "cross-entropy", "input": "x", "output": "y", "preparation": TABLE}
    return TrainingRecipe(**{**values, **changes})


def data(count: int = 40, groups=None, scale: float = 1.0) -> ArrayExamples:
    rng = np.random.default_rng(0)
    x = (scale * rng.normal(size=(count, 4))).astype(np.float32)
    y = rng.integers(0, 3, count).astype(np.int32)
    return ArrayExamples({"input": x, "target": y}, {"input": x[:0], "target": y[:0]}, groups)


def by_hand(
    trainer: Trainer, weights: np.ndarray, units: list[dict[str, np.ndarray]], clip: float
) -> np.ndarray:
    """Σ of each unit's clipped gradient, one after the other, with norms and sums in float64."""
    frozen = trainer.model.unflatten(weights)
    params = {name: frozen.pop(name) for name in trainer.trained}
    total = np.zeros(sum(value.size for value in params.values()))
    for unit in units:
        gradient = jax.grad(lambda p, u=unit: trainer.losses({**frozen, **p}, u).mean())(params)
        flat = np.concatenate([np.asarray(gradient[name], np.float64).ravel() for name in trainer.trained])
        norm = np.linalg.norm(flat)
        if np.isfinite(norm):
            total += flat * min(1.0, clip * (1 - MARGIN) / max(norm, 1e-30))
    return total


def rows(examples: ArrayExamples, *places) -> dict[str, np.ndarray]:
    return {name: values[list(places)] for name, values in examples.train.items()}


@pytest.mark.parametrize("clip", [1e-3, 0.7, 100.0])
def test_the_sum_is_of_each_drawn_units_clipped_gradient(clip: float) -> None:
    examples, trainer = data(), Trainer(MODEL, recipe())
    drawn = poisson_sample(NoiseStream(SECRET, SAMPLE_LABEL), 40, 0.5)
    total, figures = PrivateGradient(trainer).sum(
        examples, MODEL.flatten(), clip=clip, rate=0.5, capacity=40, secret=SECRET
    )
    want = by_hand(trainer, MODEL.flatten(), [rows(examples, unit) for unit in drawn], clip)
    np.testing.assert_allclose(total, want, atol=1e-5 * clip)
    assert total.dtype == np.float32
    assert (figures["sampled"], figures["left_out"]) == (len(drawn), 0)
    assert figures["clipped"] == pytest.approx(1.0 if clip == 1e-3 else 0.0 if clip == 100 else 0.5, abs=0.5)


def test_the_same_inputs_give_the_same_bytes_and_another_secret_another_sample() -> None:
    examples, trainer = data(), Trainer(MODEL, recipe())

    def go(gradient: PrivateGradient, secret: bytes) -> bytes:
        return gradient.sum(examples, MODEL.flatten(), clip=1.0, rate=0.5, capacity=24, secret=secret)[
            0
        ].tobytes()

    first = PrivateGradient(trainer)
    assert go(first, SECRET) == go(first, SECRET) == go(PrivateGradient(trainer), SECRET)
    assert go(first, SECRET) != go(first, bytes(32))


def test_draws_beyond_the_capacity_are_left_out_and_unused_places_add_nothing() -> None:
    examples, trainer = data(), Trainer(MODEL, recipe())
    drawn = poisson_sample(NoiseStream(SECRET, SAMPLE_LABEL), 40, 0.5)
    few, figures = PrivateGradient(trainer).sum(
        examples, MODEL.flatten(), clip=0.1, rate=0.5, capacity=7, secret=SECRET
    )
    assert figures["left_out"] == len(drawn) - 7
    units = [rows(examples, unit) for unit in drawn[:7]]
    np.testing.assert_allclose(few, by_hand(trainer, MODEL.flatten(), units, 0.1), atol=1e-6)
    roomy, _ = PrivateGradient(trainer).sum(
        examples, MODEL.flatten(), clip=0.1, rate=0.5, capacity=101, secret=SECRET
    )
    everything = [rows(examples, unit) for unit in drawn]
    np.testing.assert_allclose(roomy, by_hand(trainer, MODEL.flatten(), everything, 0.1), atol=1e-6)
    nothing, figures = PrivateGradient(trainer).sum(
        data(0), MODEL.flatten(), clip=0.1, rate=0.5, capacity=5, secret=SECRET
    )
    assert not nothing.any()
    assert figures["loss"] is None


def test_more_units_than_the_plan_provides_for_are_refused() -> None:
    gradient = PrivateGradient(Trainer(MODEL, recipe()))
    values = {"clip": 1.0, "rate": 0.5, "capacity": 40, "secret": SECRET}
    gradient.sum(data(), MODEL.flatten(), **values, units=40)
    with pytest.raises(Refused) as caught:
        gradient.sum(data(), MODEL.flatten(), **values, units=39)
    assert caught.value.clause == "units-bound"


def test_a_unit_of_several_rows_gives_the_gradient_of_its_mean_loss_clipped_once() -> None:
    groups = [np.arange(0, 3), np.arange(3, 4), np.arange(4, 11)]
    examples, trainer = data(11, groups), Trainer(MODEL, recipe())
    total, figures = PrivateGradient(trainer).sum(
        examples, MODEL.flatten(), clip=0.3, rate=1.0, capacity=4, secret=SECRET
    )
    want = by_hand(trainer, MODEL.flatten(), [rows(examples, *unit) for unit in groups], 0.3)
    np.testing.assert_allclose(total, want, atol=3e-6)
    assert figures["sampled"] == 3


def test_what_a_large_unit_gives_does_not_depend_on_the_others() -> None:
    large = np.arange(0, ROWS_PER_UNIT + 10)
    examples = data(len(large) + 5, [large, np.arange(len(large), len(large) + 5)])
    batch = examples.unit_batch(np.random.default_rng(1), np.asarray([0, 1]), 3)
    assert batch.share.shape == (3, ROWS_PER_UNIT)
    np.testing.assert_allclose(batch.share.sum(1), [1, 1, 0], rtol=1e-6)
    alone = examples.unit_batch(np.random.default_rng(1), np.asarray([0]), 3)
    np.testing.assert_array_equal(alone.examples["input"][0], batch.examples["input"][0])


def test_a_gradient_that_is_not_finite_becomes_zero_and_leaves_the_others_alone() -> None:
    examples, trainer = data(6), Trainer(MODEL, recipe())
    broken = {name: values.copy() for name, values in examples.train.items()}
    broken["input"][2] = np.nan
    broken["input"][4] = np.inf
    total, figures = PrivateGradient(trainer).sum(
        ArrayExamples(broken, examples.kept), MODEL.flatten(), clip=1.0, rate=1.0, capacity=6, secret=SECRET
    )
    want = by_hand(trainer, MODEL.flatten(), [rows(examples, unit) for unit in (0, 1, 3, 5)], 1.0)
    np.testing.assert_allclose(total, want, atol=1e-5)
    assert figures["zeroed"] == 2
    assert figures["loss"] is not None


@pytest.mark.parametrize("scale", [1e-18, 1e-6, 1.0, 1e6, 1e18])
def test_no_unit_moves_the_sum_by_more_than_the_clipping_norm(scale: float) -> None:
    trainer = Trainer(MODEL, recipe())
    for clip in (1e-6, 1.0, 1e4):
        alone, _ = PrivateGradient(trainer).sum(
            data(1, scale=scale), MODEL.flatten(), clip=clip, rate=1.0, capacity=1, secret=SECRET
        )
        assert np.linalg.norm(alone.astype(np.float64)) <= clip


def test_only_trained_parameters_are_in_the_sum_and_their_places_are_told() -> None:
    names = list(MODEL.parameters)
    chosen = (names[0], names[3])
    trainer = Trainer(MODEL, recipe(trainable=chosen))
    total, _ = PrivateGradient(trainer).sum(
        data(), MODEL.flatten(), clip=0.1, rate=1.0, capacity=40, secret=SECRET
    )
    want = by_hand(trainer, MODEL.flatten(), [rows(data(), unit) for unit in range(40)], 0.1)
    np.testing.assert_allclose(total, want, atol=1e-6)
    ranges = trained_ranges(trainer)
    assert ranges == [[0, 32], [64, 67]]
    assert sum(stop - start for start, stop in ranges) == len(total)
    assert trained_ranges(Trainer(MODEL, recipe())) == [[0, MODEL.size]]


def test_a_model_that_mixes_examples_is_differentiated_example_by_example() -> None:
    b = Builder()
    x = b.node("Gemm", "x", b.weight(4, 4), b.weight(4), transB=1)
    x = b.node("Sub", x, b.node("ReduceMean", x, axes=[0], keepdims=1))
    b.node("Gemm", b.node("Add", x, "x"), b.weight(3, 4), b.weight(3), transB=1)
    b.nodes[-1].output[0] = "y"
    model = load_model(b.bytes({"x": ["batch", 4]}, ["y"]))
    trainer = Trainer(model, recipe())
    total, _ = PrivateGradient(trainer).sum(
        data(6), model.flatten(), clip=0.3, rate=1.0, capacity=6, secret=SECRET
    )
    want = by_hand(trainer, model.flatten(), [rows(data(6), unit) for unit in range(6)], 0.3)
    np.testing.assert_allclose(total, want, atol=3e-6)


def test_a_model_that_makes_no_single_example_of_a_single_example_is_refused() -> None:
    b = Builder()
    x = b.node("Gemm", "x", b.weight(6, 4), b.weight(6), transB=1)
    b.node("Reshape", x, b.constant(np.asarray([-1, 3], np.int64)))
    b.nodes[-1].output[0] = "y"
    model = load_model(b.bytes({"x": ["batch", 4]}, ["y"]))
    with pytest.raises(BadInput):
        PrivateGradient(Trainer(model, recipe())).sum(
            data(6), model.flatten(), clip=0.3, rate=1.0, capacity=6, secret=SECRET
        )


@pytest.mark.parametrize(
    "changes", [{"clip": 0.0}, {"clip": float("inf")}, {"rate": 0.0}, {"rate": 1.5}, {"capacity": 0}]
)
def test_numbers_out_of_range_are_refused(changes: dict) -> None:
    values = {"clip": 1.0, "rate": 0.5, "capacity": 4, "secret": SECRET, **changes}
    with pytest.raises(BadInput):
        PrivateGradient(Trainer(MODEL, recipe())).sum(data(), MODEL.flatten(), **values)
    broken = MODEL.flatten()
    broken[3] = np.nan
    with pytest.raises(Refused):
        PrivateGradient(Trainer(MODEL, recipe())).sum(
            data(), broken, **{**values, "clip": 1.0, "rate": 0.5, "capacity": 4}
        )
