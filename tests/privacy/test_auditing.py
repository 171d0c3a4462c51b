"""Canaries: the right noise passes, half of it is found; and the bounds themselves are right."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cloister.foundation.errors import BadInput
from cloister.privacy import accounting, auditing
from cloister.privacy.accounting import Run
from cloister.privacy.mechanisms import Mechanism, mechanism_for

SECRET = bytes(range(32))
CANARIES = 40_000
DELTA = 1e-8


def planned(*, distributed: bool) -> Mechanism:
    return mechanism_for(
        dimension=CANARIES,
        clip=1.0,
        noise_multiplier=1.0,
        largest=1.0,
        nodes=5 if distributed else 1,
        distributed=distributed,
        dropouts=1 if distributed else 0,
        colluders=2 if distributed else 0,
    )


def audited(mechanism: Mechanism, used: Mechanism) -> float:
    """The best lower bound of epsilon that canaries give, one on each axis, from what the adversary sees.

    `used` makes the noise, of the shares of those who neither drop out nor collude; `mechanism` is what was planned.
    """
    coins = np.random.default_rng(5).integers(0, 2, CANARIES)
    seen = np.zeros(CANARIES)
    for share in range(mechanism.honest):
        vector = coins.astype(float) if share == 0 else np.zeros(CANARIES)
        seen += used.read(used.noisy(vector, SECRET, f"audit/{share}"))
    order = np.argsort(seen)
    bounds = []
    # Each number of guesses is an audit of its own: what may be wrong is divided among them.
    tried = (100, 400, 1600)
    for half in tried:
        guesses = np.concatenate([coins[order[:half]] == 0, coins[order[-half:]] == 1])
        bounds.append(auditing.one_run(CANARIES, 2 * half, int(guesses.sum()), DELTA, 1 - 0.01 / len(tried)))
    return max(bounds)


@pytest.mark.parametrize("distributed", [False, True])
def test_the_right_noise_passes_and_a_planted_halving_is_found(*, distributed: bool) -> None:
    mechanism = planned(distributed=distributed)
    accounted = accounting.epsilon(Run(mechanism.noise_multiplier, 1.0, 1), DELTA)
    right = audited(mechanism, mechanism)
    halved = mechanism.model_copy(update={"variance": mechanism.variance // 4})
    found = audited(mechanism, halved)
    assert 0.3 * accounted < right <= accounted < found


def test_a_share_of_nearly_no_noise_is_found() -> None:
    mechanism = planned(distributed=True)
    accounted = accounting.epsilon(Run(mechanism.noise_multiplier, 1.0, 1), DELTA)
    # Each thinks that all five contribute, so that three times a fifth of the noise is all that hides a unit.
    wrong = mechanism.model_copy(update={"variance": mechanism.variance * 2 // 10})
    assert audited(mechanism, wrong) > accounted


def test_one_run_bounds_hold_for_randomised_response() -> None:
    """Rule 1: over many audits of a mechanism whose epsilon is known, too high a bound is rarer than stated."""
    generator, epsilon, wrong = np.random.default_rng(6), 1.5, 0
    p = 1 / (1 + math.exp(-epsilon))
    for _ in range(200):
        wrong += auditing.one_run(300, 300, int(generator.binomial(300, p)), 0.0, 0.9) > epsilon
    assert wrong <= 32  # 20 expected at most; 32 has a chance below 0.005
    assert auditing.one_run(10_000, 10_000, round(10_000 * p), 0.0, 0.95) == pytest.approx(epsilon, abs=0.06)


def test_bounds_from_many_runs_hold_and_are_near() -> None:
    """The Gaussian mechanism alone, one canary, many runs, a threshold; Clopper and Pearson."""
    generator, z, runs = np.random.default_rng(7), 1.0, 20_000
    for noise, finds in ((z, False), (z / 2, True)):
        hits = int((1 + noise * generator.normal(size=runs) > 1.9).sum())
        alarms = int((noise * generator.normal(size=runs) > 1.9).sum())
        found = auditing.many_runs(runs, hits, runs, alarms, 1e-5, 0.99)
        accounted = accounting.epsilon(Run(z, 1.0, 1), 0.05)
        assert (found > accounted) == finds
        assert found > 1


def test_clopper_and_pearson_are_those_of_the_beta_distribution() -> None:
    from scipy import stats

    for successes, trials in ((1, 10), (7, 10), (10, 10), (300, 1000)):
        exact = stats.beta.ppf(0.05, successes, trials - successes + 1)
        assert auditing.rate_at_least(successes, trials, 0.05) == pytest.approx(exact, rel=1e-6)
    assert auditing.rate_at_least(0, 10, 0.05) == 0.0


def test_the_chance_of_delta_weakens_the_bound() -> None:
    bounds = [auditing.one_run(1000, 100, 99, delta) for delta in (0.0, 1e-6, 1e-4, 1e-2)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[0] > bounds[-1] >= 0.0


def test_figures_that_do_not_add_up_are_refused() -> None:
    for values in (
        (10, 11, 5, 0.0),
        (10, 5, 6, 0.0),
        (10, 0, 0, 0.0),
        (10, 5, 5, -1.0),
        (10, 5, 5, 0.0, 1.0),
    ):
        with pytest.raises(BadInput):
            auditing.one_run(*values)  # type: ignore[arg-type]
    for values in ((0, 0, 10, 5, 0.0), (10, 11, 10, 5, 0.0), (10, 5, 10, 5, 2.0)):
        with pytest.raises(BadInput):
            auditing.many_runs(*values)  # type: ignore[arg-type]
