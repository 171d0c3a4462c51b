"""Votes on bounded scores: how often they err, and that a private run's charge covers them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from cloister.foundation.errors import BadInput
from cloister.privacy import accounting, renyi
from cloister.privacy.filters import ORDERS, of_run, pair
from cloister.privacy.runs import PrivateRun, private_run
from cloister.privacy.threshold import deviation, needed, noise, weigh

FALSE_ALARM = 1e-6


def planned(**changes: object) -> PrivateRun:
    values: dict[str, object] = {
        "epsilon": 4.0, "delta": 1e-5, "dimension": 50, "clip": 1.0, "units": 200, "rate": 1.0, "steps": 4,
        "nodes": 3, "distributed": True, "colluders": 1, "accountant": "renyi",
    }  # fmt: skip
    return private_run(**{**values, **changes})  # type: ignore[arg-type]


ALL_AT_ONCE = planned(steps=2)
SAMPLED = planned(rate=0.25, steps=6)


def secret(number: int) -> bytes:
    return number.to_bytes(32, "big")


def reached(run: PrivateRun, floor: float, scores: np.ndarray, count: int) -> int:
    return sum(weigh(run, floor, scores, secret(number)).reached for number in range(count))


def agrees(found: int, count: int, chance: float) -> bool:
    """Whether so many of `count` are believable, at one false alarm in a million for both sides together."""
    low, high = stats.binom.interval(1 - FALSE_ALARM, count, chance)
    return bool(low <= found <= high)


# How often a vote is yes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("above", [-1.0, 0.0, 1.0])
def test_near_the_floor_votes_pass_as_often_as_gaussian_noise_lets_them(above: float) -> None:
    """Without sampling: the sum is `above` standard deviations over zero, so a normal variable decides."""
    floor, count = 0.4, 600
    spread = deviation(ALL_AT_ONCE, floor)
    # Ten units, whose sum of (score - floor) is above · spread.
    scores = np.full(10, floor + above * spread / 10)
    assert agrees(reached(ALL_AT_ONCE, floor, scores, count), count, float(stats.norm.cdf(above)))


@pytest.mark.parametrize("above", [-1.0, 1.0])
def test_with_sampling_the_noise_of_sampling_comes_besides(above: float) -> None:
    floor, count, units = 0.5, 600, 40
    scores = np.where(np.arange(units) % 2, 1.0, 0.0)
    run = SAMPLED
    sampled = 0.25 * units * (1 - run.rate) / (run.rate * run.mechanism.steps)
    spread = math.hypot(deviation(run, floor), math.sqrt(sampled))
    scores = scores + above * spread / units
    # Scores over 1 and below 0 are brought back: take them from the middle instead.
    scores = np.clip(scores, 0, 1)
    total = float((scores - floor).sum())
    sampled = float(((scores - floor) ** 2).sum()) * (1 - run.rate) / (run.rate * run.mechanism.steps)
    chance = float(stats.norm.cdf(total / math.hypot(deviation(run, floor), math.sqrt(sampled))))
    found = reached(run, floor, scores, count)
    # The sum over a sample is binomial, not normal; a hundredth of room covers what that makes.
    assert any(agrees(found, count, min(max(chance + room, 0.0), 1.0)) for room in (-0.01, 0.0, 0.01))


def test_no_scores_at_all_leave_the_vote_to_the_noise() -> None:
    """An owner with nothing kept apart votes by the toss of a coin: an error would tell that there is nothing."""
    count = 600
    assert agrees(reached(ALL_AT_ONCE, 0.3, np.zeros(0), count), count, 0.5)
    assert math.isnan(weigh(ALL_AT_ONCE, 0.3, np.zeros(0), secret(0)).mean)


def test_far_from_the_floor_votes_are_right() -> None:
    """A hundred units, 0.3 from it: over ten standard deviations."""
    assert 30 / deviation(ALL_AT_ONCE, 0.5) > 10
    assert reached(ALL_AT_ONCE, 0.5, np.full(100, 0.8), 50) == 50
    assert reached(ALL_AT_ONCE, 0.5, np.full(100, 0.2), 50) == 0


def test_rule_4_the_same_secret_gives_the_same_answer_and_another_another() -> None:
    scores = np.full(10, 0.5)
    found = [weigh(ALL_AT_ONCE, 0.5, scores, secret(7)) for _ in range(3)]
    assert found[0] == found[1] == found[2]
    assert len({weigh(ALL_AT_ONCE, 0.5, scores, secret(number)).noisy for number in range(20)}) == 20


def test_from_as_many_units_as_are_said_to_be_needed_the_mean_is_as_near_as_said() -> None:
    for run, floor in ((ALL_AT_ONCE, 0.2), (SAMPLED, 0.5)):
        units = needed(run, floor, 0.05)
        scores = np.full(units, floor)
        scores[: units // 2] = 1.0
        means = np.array([weigh(run, floor, scores, secret(number)).noisy for number in range(200)])
        # A sample of 200 strays from its deviation by more than a quarter with a chance below one in a million.
        assert means.std() < 0.05 * 1.27


# What one unit changes -------------------------------------------------------------------------------------------------


@given(
    floor=st.floats(0, 1),
    scores=st.lists(st.floats(0, 1), max_size=6),
    one=st.floats(allow_nan=True, allow_infinity=True),
)
@settings(max_examples=60, deadline=None)
def test_rule_3_one_unit_changes_the_sum_by_no_more_than_the_noise_is_made_for(
    floor: float, scores: list[float], one: float
) -> None:
    run = planned(steps=1)
    mechanism = noise(run, floor)
    # With the same secret and no sampling the noise is the same, so the difference is the unit's.
    with_it, without = (weigh(run, floor, np.array(listed), secret(1)) for listed in ([*scores, one], scores))
    sums = [(item.noisy - floor) * item.units if item.units else None for item in (with_it, without)]
    if sums[1] is not None and sums[0] is not None:
        assert abs(sums[0] - sums[1]) <= mechanism.clip * (1 + 1e-9)
    assert max(floor, 1 - floor) <= mechanism.clip <= max(floor, 1 - floor) + 2.0**-13
    assert mechanism.noise_multiplier >= run.run.noise_multiplier * math.sqrt(run.mechanism.occurrences)


def test_a_floor_or_a_run_out_of_range_is_refused() -> None:
    for floor in (-0.1, 1.1, math.nan):
        with pytest.raises(BadInput):
            noise(ALL_AT_ONCE, floor)


# What was charged covers it --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [1.0, 0.25, 0.01])
@pytest.mark.parametrize("occurrences", [1, 2, 3])
def test_the_loss_that_is_charged_dominates_run_and_votes(rate: float, occurrences: int) -> None:
    """A unit that all its owners check on costs no more than one that all train on: epsilon, delta, every Rényi order."""
    run = planned(rate=rate, steps=20, occurrences=occurrences, units=1000)
    charged = run.loss("renyi")
    vote = noise(run, 0.3)
    # As `occurrences` votes, each with that noise, sampled at the run's own rate.
    once = accounting.Run(vote.noise_multiplier, run.rate, run.mechanism.steps)
    votes = [occurrences * bound for bound in of_run(once, run.delta, "renyi").curve]
    slack = 20 * occurrences  # each bound is rounded up to whole grains
    assert all(mine <= theirs * (1 + 1e-6) + slack for mine, theirs in zip(votes, charged.curve, strict=True))
    together = {order: occurrences * bound for order, bound in once.renyi_curve().items()}
    alone = renyi.epsilon_of(run.run.renyi_curve(), run.delta)[0]
    assert renyi.epsilon_of(together, run.delta)[0] <= alone * (1 + 1e-6)
    if occurrences == 1:
        assert accounting.epsilon(once, run.delta, "renyi") <= run.epsilon("renyi") * (1 + 1e-6)
    # Nothing near it would be dominated for nothing: noise for epsilon alone would cost more at some order.
    bold = pair(run.epsilon("renyi"), 0.0).curve
    assert any(more > theirs for more, theirs in zip(bold, charged.curve, strict=True))


@given(
    occurrences=st.integers(1, 5),
    rate=st.floats(0.05, 1.0),
    multiplier=st.floats(0.4, 5.0),
    data=st.data(),
)
@settings(max_examples=25, deadline=None)
def test_a_unit_that_some_owners_train_on_and_others_check_on_is_covered_too(
    occurrences: int, rate: float, multiplier: float, data: st.DataObject
) -> None:
    """Proof, step 3: one step's mixture in the plane of (trained, checked), by its Rényi divergence on whole orders."""
    trained = data.draw(st.integers(0, occurrences))
    checked = data.draw(st.integers(0, occurrences - trained))
    recorded = 1 - (1 - rate) ** occurrences
    for order in (2, 3, 8, 32):
        bound = renyi.sampled_gaussian(order, multiplier, recorded)
        assert mixed(order, multiplier, rate, occurrences, trained, checked) <= bound * (1 + 1e-6) + 1e-12


def mixed(order: int, z: float, rate: float, occurrences: int, trained: int, checked: int) -> float:
    """D_a of a step with trained and checked occurrences, by expanding the a-th moment over both kinds of draws.

    The vector of what is seen moves by j / (m z) along the sums' coordinate and by 1 / (√m z) along each of i checks'. A check
    that is not drawn moves nothing; checks are independent of each other and of the sums, so the moments multiply.
    """

    def moment(shifts: list[float], chances: list[float]) -> float:
        """log E_Q (Σ p_k exp(x s_k - s_k² / 2))^a for x ~ N(0, 1), by quadrature."""
        x = np.linspace(-40, 40 + order * max(shifts) * 2, 40_001)
        ratio = np.logaddexp.reduce(
            [np.log(p) + x * s - s * s / 2 for s, p in zip(shifts, chances, strict=True) if p > 0], axis=0
        )
        return float(np.logaddexp.reduce(order * ratio + stats.norm.logpdf(x)) + np.log(x[1] - x[0]))

    drawn = stats.binom.pmf(np.arange(trained + 1), trained, rate)
    total = moment([j / (occurrences * z) for j in range(trained + 1)], list(drawn))
    if checked:
        total += checked * moment([0.0, 1 / (math.sqrt(occurrences) * z)], [1 - rate, rate])
    return total / (order - 1)


def test_the_nearly_exact_accountant_finds_the_same() -> None:
    """One owner trains on the unit, the other checks on it: composed by dp-accounting from the two, not from the proof."""
    import dp_accounting
    from dp_accounting import pld

    z, rate, steps, delta = 1.1, 0.2, 8, 1e-5

    def steps_of(noise_multiplier: float, chance: float) -> dp_accounting.DpEvent:
        event = dp_accounting.PoissonSampledDpEvent(chance, dp_accounting.GaussianDpEvent(noise_multiplier))
        return dp_accounting.SelfComposedDpEvent(event, steps)

    def epsilon(*events: dp_accounting.DpEvent) -> float:
        accountant = pld.PLDAccountant(dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE)
        return float(accountant.compose(dp_accounting.ComposedDpEvent(list(events))).get_epsilon(delta))

    recorded = epsilon(steps_of(z, 1 - (1 - rate) ** 2))
    assert epsilon(steps_of(2 * z, rate), steps_of(math.sqrt(2) * z, rate)) <= recorded
    assert epsilon(steps_of(math.sqrt(2) * z, rate), steps_of(math.sqrt(2) * z, rate)) <= recorded


def test_votes_with_half_the_noise_would_not_be_covered() -> None:
    """The tests above can fail."""
    run = planned(rate=0.25, steps=20)
    half = accounting.Run(noise(run, 0.3).noise_multiplier / 2, run.rate, run.mechanism.steps)
    charged = run.loss("renyi").curve
    assert all(
        more > theirs for more, theirs in zip(of_run(half, run.delta, "renyi").curve, charged, strict=True)
    )
    assert half.renyi_curve()[2] > run.run.renyi_curve()[2]
    assert len(ORDERS) == len(charged)
