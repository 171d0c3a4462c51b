"""Means that may leave: rounded by what one picture can change, too few told nothing, noise as large as it is charged for."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.foundation.errors import Refused
from cloister.privacy.filters import EPSILON_GRAIN
from cloister.release.figures import LEAST_RECORDS, STEPS, exact, noisy, plan


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=300))
def test_exact_figures_are_the_mean_to_half_a_step_that_one_picture_cannot_exceed(values):
    scores = {"f1": np.array(values)}
    if len(values) < LEAST_RECORDS:
        with pytest.raises(Refused):
            exact(scores)
        return
    told = exact(scores)
    assert told.step in STEPS
    assert told.step >= 1 / len(values) or told.step == STEPS[-1]
    assert abs(told.figures["f1"] - np.mean(values)) <= told.step / 2 + 1e-9
    assert told.records % 10 == 0
    assert told.records <= len(values)


def test_the_noise_is_as_large_as_what_is_charged_says():
    """By its definition: for the Gaussian mechanism delta(epsilon) = Phi(1/2r - er) - exp(e) Phi(-1/2r - er), r = deviation / sensitivity (Balle and Wang 2018)."""
    epsilon, delta = 1.5, 1e-6
    mechanism, loss = plan(3, epsilon, delta)
    sensitivity = math.sqrt(4) / 2  # four coordinates, each changed by at most a half
    ratio = mechanism.deviation / sensitivity

    def normal(x: float) -> float:
        return 0.5 * math.erfc(-x / math.sqrt(2))

    found = normal(0.5 / ratio - epsilon * ratio) - math.exp(epsilon) * normal(-0.5 / ratio - epsilon * ratio)
    assert found <= delta * 1.0001
    assert found > delta / 2, "and not much larger"
    assert loss.epsilon * EPSILON_GRAIN == pytest.approx(epsilon, rel=2e-3)


def test_one_picture_moves_the_vector_by_no_more_than_the_noise_is_made_for():
    """The vector that noise is added to, worked out here a second time, for each extreme picture."""
    mechanism, _ = plan(3, 1.0, 1e-6)
    for scores in ([0, 0, 0], [1, 1, 1], [0, 1, 0.5]):
        change = np.array([*(np.array(scores) - 0.5), 0.5])
        assert np.linalg.norm(change) <= mechanism.clip + 1e-12


def test_noisy_figures_lie_where_the_noise_says_and_the_same_secret_gives_the_same():
    count, mean = 2000, 0.8
    scores = {name: np.full(count, mean) for name in ("count-accuracy", "f1", "d50-accuracy")}
    mechanism, _ = plan(3, 1.0, 1e-6)
    found = [noisy(scores, mechanism, bytes([seed]) * 32) for seed in range(60)]
    assert noisy(scores, mechanism, bytes([0]) * 32) == found[0]
    assert len({told.figures["f1"] for told in found}) > 1 or found[0].step >= 0.01
    errors = [told.figures["f1"] - mean for told in found]
    assert abs(np.mean(errors)) < 0.01
    assert np.std(errors) < 3 * mechanism.deviation / count + found[0].step


def test_with_a_few_pictures_noise_decides_whether_anything_is_told():
    mechanism, _ = plan(1, 0.1, 1e-6)
    told = refused = 0
    for seed in range(40):
        try:
            noisy({"f1": np.ones(12)}, mechanism, bytes([seed]) * 32)
            told += 1
        except Refused as error:
            refused += error.clause == "too-few-records"
    assert told
    assert refused
