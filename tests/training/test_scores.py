"""Scores of units kept apart: each between 0 and 1, and of its own unit alone."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
from building import unet

from cloister.foundation.errors import BadInput
from cloister.models.execute import load_model
from cloister.training.evaluate import evaluate, scores
from cloister.training.examples import ArrayExamples
from cloister.training.local import Trainer
from cloister.training.metrics import METRICS, PER_UNIT
from cloister.training.points import Picture, PointExamples
from cloister.training.recipe import PointsPreparation
from training.classifier import MODEL, recipe

TRAINER = Trainer(MODEL, recipe())
ROWS = np.random.default_rng(3).normal(size=(60, 4)).astype(np.float32)
CLASSES = np.random.default_rng(4).integers(0, 3, 60).astype(np.int32)


def kept(places, groups=None) -> ArrayExamples:
    rows = np.asarray(places, np.intp)
    part = {"input": ROWS[rows], "target": CLASSES[rows]}
    return ArrayExamples({name: values[:0] for name, values in part.items()}, part, None, groups)


@given(places=st.lists(st.integers(0, 59), max_size=20))
@settings(max_examples=30, deadline=None)
def test_a_unit_has_the_same_score_whoever_else_is_there(places: list[int]) -> None:
    alone = scores(TRAINER, kept(range(60)), MODEL.flatten())
    found = scores(TRAINER, kept(places), MODEL.flatten())
    np.testing.assert_array_equal(found, alone[places] if places else np.zeros(0))


def test_outputs_by_themselves_do_not_depend_on_others_in_their_last_digit() -> None:
    params = MODEL.unflatten(MODEL.flatten())
    together = TRAINER.singly(params, ROWS)
    for place in (0, 17, 59):
        np.testing.assert_array_equal(TRAINER.singly(params, ROWS[place : place + 1])[0], together[place])
    np.testing.assert_allclose(together, TRAINER.forward(params, ROWS), atol=1e-5)


def test_the_mean_of_the_scores_is_the_metric() -> None:
    data = kept(range(60))
    assert scores(TRAINER, data, MODEL.flatten()).mean() == pytest.approx(
        evaluate(TRAINER, data, MODEL.flatten())["value"]
    )


def test_a_customers_score_is_the_mean_of_its_rows() -> None:
    groups = [np.arange(0, 30), np.arange(30, 31), np.arange(31, 60)]
    each = scores(TRAINER, kept(range(60)), MODEL.flatten())
    found = scores(TRAINER, kept(range(60), groups), MODEL.flatten())
    np.testing.assert_allclose(found, [each[rows].mean() for rows in groups])


def test_a_pictures_score_is_its_own_and_bounded() -> None:
    plan = PointsPreparation(patch=32, multiple=4)
    model = load_model(unet(4, 1, norm="none"))
    trainer = Trainer(
        model,
        recipe(
            loss="binary-cross-entropy-per-pixel",
            preparation=plan,
            metric="count-accuracy",
            input=model.inputs[0].name,
            output=model.outputs[0].name,
        ),
    )
    rng = np.random.default_rng(0)
    pictures = [
        Picture(
            rng.normal(size=(48, 48)).astype(np.float16),
            rng.uniform(5, 40, (3, 2)).astype(np.float32),
            np.full(3, np.nan, np.float32),
        )
        for _ in range(4)
    ]
    every = scores(trainer, PointExamples(plan, [], pictures), model.flatten())
    assert every.shape == (4,)
    assert ((every >= 0) & (every <= 1)).all()
    for place in range(4):
        one = scores(trainer, PointExamples(plan, [], pictures[place : place + 1]), model.flatten())
        np.testing.assert_array_equal(one, every[place : place + 1])
    assert scores(trainer, PointExamples(plan, [], []), model.flatten()).shape == (0,)


@pytest.mark.parametrize("metric", sorted(set(METRICS) - {"accuracy"}))
def test_what_is_no_mean_of_units_scores_in_a_table_is_refused_by_name(metric: str) -> None:
    with pytest.raises(BadInput) as caught:
        scores(Trainer(MODEL, recipe(metric=metric)), kept(range(60)), MODEL.flatten())
    assert metric in caught.value.what
    assert set(PER_UNIT) < set(METRICS)
