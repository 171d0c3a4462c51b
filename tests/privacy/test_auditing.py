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


def planned(*, distributed: bool, canaries: int) -> Mechanism:
    return mechanism_for(
        dimension=canaries,
        clip=1.0,
        noise_multiplier=2.0,
        largest=1.0,
        nodes=5 if distributed else 1,
        distributed=distributed,
        dropouts=1 if distributed else 0,
        colluders=2 if distributed else 0,
    )


def published(mechanism: Mechanism) -> tuple[np.ndarray, np.ndarray]:
    """Coins, and what the adversary sees of canaries of full norm, one on each axis, that are in where coins say.

    It sees the shares of those only who neither drop out nor collude.
    """
    coins = np.random.default_rng(5).integers(0, 2, mechanism.dimension)
    seen = np.zeros(mechanism.dimension)
    for share in range(mechanism.honest):
        vector = coins.astype(float) if share == 0 else np.zeros(mechanism.dimension)
        seen += mechanism.read(mechanism.noisy(vector, SECRET, f"audit/{share}"))
    return coins, seen


def wrong_by(mechanism: Mechanism, factor: int) -> Mechanism:
    return mechanism.model_copy(update={"variance": mechanism.variance // factor**2})


@pytest.mark.parametrize("distributed", [False, True])
def test_the_right_noise_passes_and_a_planted_halving_is_found(*, distributed: bool) -> None:
    """Each axis is a run of its own with or without its canary: the mechanism treats them independently."""
    mechanism, delta = planned(distributed=distributed, canaries=400_000), 1e-5
    accounted = accounting.epsilon(Run(mechanism.noise_multiplier, 1.0, 1), delta)

    def bound(used: Mechanism) -> float:
        coins, seen = published(used)
        said = seen > 3.5
        inside, outside = int(coins.sum()), int((1 - coins).sum())
        hits, alarms = int((said & (coins == 1)).sum()), int((said & (coins == 0)).sum())
        return auditing.many_runs(inside, hits, outside, alarms, delta, 0.999)

    assert accounted / 3 < bound(mechanism) <= accounted < bound(wrong_by(mechanism, 2))


@pytest.mark.parametrize(("runs", "threshold"), [(199_000, 3.5), (100_000, 3.0)])
def test_a_halving_is_missed_and_right_noise_accused_with_a_chance_below_one_in_a_million(
    runs: int, threshold: float
) -> None:
    """Not of one drawing, but of all: the audit's verdict at the millionth part of its counts that speaks against it."""
    from scipy import stats

    accounted, tail = accounting.epsilon(Run(2.0, 1.0, 1), 1e-5), 5e-7

    def counts(noise: float) -> tuple[tuple[int, int], tuple[int, int]]:
        rates = (stats.norm.sf((threshold - moved) / noise) for moved in (1, 0))
        hits, alarms = (
            (int(stats.binom.ppf(tail, runs, p)), int(stats.binom.isf(tail, runs, p))) for p in rates
        )
        return hits, alarms

    (fewest, _), (_, most) = counts(1.0)
    assert auditing.many_runs(runs, fewest, runs, most, 1e-5, 0.999) > accounted
    (_, most), (fewest, _) = counts(2.0)
    assert auditing.many_runs(runs, most, runs, fewest, 1e-5, 0.999) < accounted


def test_one_run_finds_noise_that_is_a_third() -> None:
    mechanism, delta = planned(distributed=True, canaries=40_000), 1e-8
    accounted = accounting.epsilon(Run(mechanism.noise_multiplier, 1.0, 1), delta)

    def bound(used: Mechanism) -> float:
        coins, seen = published(used)
        order, half = np.argsort(seen), 400
        right = (coins[order[:half]] == 0).sum() + (coins[order[-half:]] == 1).sum()
        return auditing.one_run(len(coins), 2 * half, int(right), delta, 0.99)

    assert accounted / 3 < bound(mechanism) <= accounted < bound(wrong_by(mechanism, 3))


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
    generator, z, runs = np.random.default_rng(7), 2.0, 200_000
    accounted = accounting.epsilon(Run(z, 1.0, 1), 1e-5)
    for noise, finds in ((z, False), (z / 2, True)):
        hits = int((1 + noise * generator.normal(size=runs) > 3).sum())
        alarms = int((noise * generator.normal(size=runs) > 3).sum())
        found = auditing.many_runs(runs, hits, runs, alarms, 1e-5, 0.99)
        assert (found > accounted) == finds
        assert found > accounted / 4


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
