"""A round of local training: it learns, keeps what is frozen, obeys FedProx and clipping, refuses what is not finite."""

from __future__ import annotations

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import ValidationError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
from building import mlp

from cloister.foundation.canonical import canonical
from cloister.foundation.errors import BadInput, Refused
from cloister.models.execute import load_model
from cloister.training.evaluate import evaluate
from cloister.training.examples import ArrayExamples
from cloister.training.local import Trainer
from cloister.training.metrics import METRICS
from cloister.training.optimiser import learning_rate, optimiser
from cloister.training.recipe import OptimiserRecipe, TrainingRecipe
from training.classifier import MODEL, recipe


def data(seed: int = 0, count: int = 200) -> ArrayExamples:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 4)).astype(np.float32)
    y = (x @ np.asarray([[1, -1, 0], [0, 1, -1], [1, 1, 1], [-1, 0, 1]])).argmax(1).astype(np.int32)
    train, kept = range(count // 5, count), range(count // 5)
    return ArrayExamples({"input": x[train], "target": y[train]}, {"input": x[kept], "target": y[kept]})


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


@pytest.mark.parametrize(
    "how",
    [
        OptimiserRecipe(name="sgd", learning_rate=0.1),
        OptimiserRecipe(name="adam", learning_rate=0.02),
        OptimiserRecipe(name="adamw", learning_rate=0.05, weight_decay=0.01, schedule="cosine", warmup=5),
    ],
    ids=lambda how: how.name,
)
def test_a_round_learns(how: OptimiserRecipe) -> None:
    trainer = Trainer(MODEL, recipe(optimiser=how))
    weights, figures = trainer.round(data(), MODEL.flatten(), rng=rng())
    before, after = (evaluate(trainer, data(), w)["value"] for w in (MODEL.flatten(), weights))
    assert after > max(before, 0.8)
    assert figures["loss_last"] < figures["loss_first"]
    assert (weights.dtype, weights.shape) == (np.float32, (MODEL.size,))


def test_the_same_seed_gives_the_same_weights_and_another_gives_others() -> None:
    trainer = Trainer(MODEL, recipe(steps=5))
    first, again = (trainer.round(data(), MODEL.flatten(), rng=np.random.default_rng(3))[0] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, trainer.round(data(), MODEL.flatten(), rng=np.random.default_rng(4))[0])


def test_only_parameters_with_a_chosen_prefix_change() -> None:
    first = next(iter(MODEL.parameters))
    weights, _ = Trainer(MODEL, recipe(steps=3, trainable=(first,))).round(data(), MODEL.flatten(), rng=rng())
    moved = {
        name
        for name, value in MODEL.unflatten(weights).items()
        if not np.array_equal(value, MODEL.initial()[name])
    }
    assert moved == {name for name in MODEL.parameters if name.startswith(first)}


def test_the_proximal_term_keeps_weights_near_the_rounds_start() -> None:
    def distance(mu: float) -> float:
        how = recipe(proximal=mu, optimiser=OptimiserRecipe(learning_rate=0.05, momentum=0.0))
        return Trainer(MODEL, how).round(data(), MODEL.flatten(), rng=rng())[1]["update_norm"]

    assert distance(5.0) < 0.5 * distance(0.0)


def test_the_proximal_term_is_mu_times_the_distance_from_the_reference() -> None:
    how = OptimiserRecipe(learning_rate=0.1, momentum=0.0)
    start = MODEL.flatten()
    reference = start + np.float32(1)
    plain, _ = Trainer(MODEL, recipe(steps=1, optimiser=how)).round(data(), start, reference, rng=rng())
    pulled, _ = Trainer(MODEL, recipe(steps=1, optimiser=how, proximal=0.5)).round(
        data(), start, reference, rng=rng()
    )
    np.testing.assert_allclose(pulled - plain, 0.1 * 0.5 * np.ones_like(start), rtol=1e-3)


def test_a_clipped_step_has_at_most_the_norm_times_the_rate() -> None:
    how = recipe(steps=1, clip=0.01, optimiser=OptimiserRecipe(learning_rate=1.0, momentum=0.0))
    _, figures = Trainer(MODEL, how).round(data(), MODEL.flatten(), rng=rng())
    assert figures["gradient_norm"] > 0.01
    assert figures["update_norm"] == pytest.approx(0.01, rel=1e-3)


def test_numbers_that_are_not_finite_are_refused_before_and_after() -> None:
    broken = MODEL.flatten()
    broken[0] = np.inf
    wild = recipe(optimiser=OptimiserRecipe(learning_rate=1e6), loss="mean-squared-error")
    x = np.full((20, 4), 1e18, np.float32)
    huge = ArrayExamples(
        {"input": x, "target": np.zeros((20, 3), np.float32)}, {"input": x[:0], "target": x[:0]}
    )
    relu = load_model(mlp(4, (8,), 3, activation="Relu"))
    for model, how, examples, weights in (
        (MODEL, recipe(), data(), broken),
        (relu, wild, huge, relu.flatten()),
    ):
        with pytest.raises(Refused) as caught:
            Trainer(model, how).round(examples, weights, rng=rng())
        assert caught.value.clause == "finite-weights"


@pytest.mark.parametrize(
    "changes", [{"input": "z"}, {"output": "z"}, {"trainable": ("nothing",)}, {"loss": "hinge"}]
)
def test_recipes_that_do_not_fit_the_model_are_refused(changes: dict) -> None:
    with pytest.raises(BadInput):
        Trainer(MODEL, recipe(**changes)).round(data(), MODEL.flatten(), rng=rng())


def test_adam_follows_its_paper_step_by_step() -> None:
    how = OptimiserRecipe(name="adam", learning_rate=0.1)
    start, update = optimiser(how)
    params = {"w": jnp.asarray([1.0, -2.0])}
    state = start(params)
    m = v = np.zeros(2)
    w = np.asarray([1.0, -2.0])
    for t in range(1, 4):
        g = 2 * w
        params, state = update({"w": 2 * params["w"]}, state, params, 0.1)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        w = w - 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        np.testing.assert_allclose(params["w"], w, rtol=1e-5)


def test_the_cosine_schedule_warms_up_and_ends_near_zero() -> None:
    how = OptimiserRecipe(learning_rate=1.0, schedule="cosine", warmup=10)
    rates = [float(learning_rate(how, np.float32(i), np.float32(100))) for i in range(100)]
    assert rates[0] == pytest.approx(0.1, rel=1e-2)
    assert max(rates) <= 1.0
    assert rates[-1] < 0.01


@pytest.mark.parametrize("metric", sorted(set(METRICS) - {"count-accuracy"}))
def test_metrics_of_a_perfect_and_a_useless_model(metric: str) -> None:
    perfect = load_model(mlp(2, (), 2))
    identity = np.concatenate([np.eye(2).reshape(-1), np.zeros(2)]).astype(np.float32)
    x = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    classes = metric == "accuracy"
    target = x.argmax(1).astype(np.int32) if classes else x
    examples = ArrayExamples({"input": x, "target": target}, {"input": x, "target": target})
    trainer = Trainer(
        perfect, recipe(metric=metric, loss="cross-entropy" if classes else "mean-squared-error")
    )
    good, bad = (evaluate(trainer, examples, w)["value"] for w in (identity, -identity))
    best = {"accuracy": 1.0, "r2": 1.0, "loss": 0.0, "mean-absolute-error": 0.0}[metric]
    assert good == pytest.approx(best, abs=1e-6)
    assert (good > bad) == METRICS[metric]


def test_an_unknown_metric_and_nothing_to_evaluate_on_are_refused() -> None:
    nothing = ArrayExamples(data().train, {name: value[:0] for name, value in data().train.items()})
    for how, examples in ((recipe(metric="beauty"), data()), (recipe(), nothing)):
        with pytest.raises(BadInput):
            evaluate(Trainer(MODEL, how), examples, MODEL.flatten())


def test_a_recipe_survives_its_canonical_form_and_refuses_what_it_does_not_know() -> None:
    how = recipe(clip=1.0, seed=7)
    document = how.model_dump(mode="json")
    assert TrainingRecipe.model_validate_json(canonical(document)) == how
    assert how.digest() == TrainingRecipe.model_validate_json(canonical(document)).digest()
    for wrong in (
        {"extra": 1},
        {"steps": 0},
        {"steps": "20"},
        {"validation": 1.0},
        {"clip": float("inf")},
        {"kind": "cloister/training-recipe/2"},
    ):
        with pytest.raises(ValidationError):
            TrainingRecipe.model_validate({**document, **wrong})


def test_the_loss_of_a_batch_is_the_mean_of_its_examples_losses() -> None:
    trainer = Trainer(MODEL, recipe())
    batch = data().batch(rng(), 6)
    each = trainer.losses(MODEL.initial(), batch)
    one = [
        trainer.losses(MODEL.initial(), jax.tree_util.tree_map(lambda a, i=i: a[i : i + 1], batch))[0]
        for i in range(6)
    ]
    np.testing.assert_allclose(each, one, rtol=1e-5)
