"""Filters: what they permit is worth no more than their limit, and what they count is exact."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import losses
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.foundation.errors import BadInput
from cloister.privacy import accounting, renyi
from cloister.privacy.accounting import Run, least_multiplier
from cloister.privacy.filters import (
    CAP,
    DELTA_GRAIN,
    EPSILON_GRAIN,
    ORDERS,
    Limit,
    Loss,
    best_order,
    of_run,
    pair,
    pure,
)

RUNS = st.builds(Run, st.floats(2.0, 40), st.floats(0.01, 1.0), st.integers(1, 20))


@settings(max_examples=40, deadline=None)
@given(st.lists(RUNS, max_size=12), st.floats(0.5, 10), st.sampled_from([1e-6, 1e-5, 1e-3]))
def test_what_the_renyi_filter_permits_is_worth_no_more_than_the_limit(
    runs: list[Run], target: float, delta: float
) -> None:
    """Against the plain composition of what was permitted, which is at most as large."""
    limit, spent, permitted = Limit(target, delta, "renyi"), Loss(), []
    for run in runs:
        loss = of_run(run, delta, "renyi")
        if limit.permits(spent, loss):
            spent, permitted = spent + loss, [*permitted, run]
    if permitted:
        curve = {order: sum(run.renyi_curve()[order] for run in permitted) for order in renyi.ORDERS}
        assert renyi.epsilon_of(curve, delta)[0] <= target * (1 + 1e-8)
        assert limit.spent(spent)[0] <= target * (1 + 1e-8)
        assert limit.spent(spent)[1] <= delta


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 1e-5)), max_size=30))
def test_what_the_sums_filter_permits_adds_up_to_no_more_than_the_limit(
    amounts: list[tuple[float, float]],
) -> None:
    limit, spent, epsilon, delta = Limit(8.0, 1e-5), Loss(), 0.0, 0.0
    for item in amounts:
        if limit.permits(spent, pair(*item)):
            spent += pair(*item)
            epsilon, delta = epsilon + item[0], delta + item[1]
    assert epsilon <= 8.0 * (1 + 1e-8)
    assert delta <= 1e-5 * (1 + 1e-8)


@settings(max_examples=30, deadline=None)
@given(st.lists(RUNS, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_sums_of_losses_are_exact_whatever_their_order(runs: list[Run], generator: random.Random) -> None:
    """Rule 2."""
    found = [of_run(run, 1e-6, "renyi") for run in runs]
    total = sum(found, Loss())
    generator.shuffle(found)
    assert sum(found, Loss()) == total
    assert total.epsilon == sum(loss.epsilon for loss in found)


@settings(max_examples=40, deadline=None)
@given(st.lists(RUNS, min_size=1, max_size=8), RUNS)
def test_spending_more_never_permits_more(runs: list[Run], last: Run) -> None:
    """Rule 3."""
    loss = of_run(last, 1e-6, "renyi")
    for limit in (Limit(4.0, 1e-5, "renyi"), Limit(4.0, 1e-5)):
        answers, spent = [], Loss()
        for run in runs:
            answers.append(limit.permits(spent, loss))
            spent += of_run(run, 1e-6, "renyi")
        assert answers == sorted(answers, reverse=True)


@settings(max_examples=40, deadline=None)
@given(RUNS, st.floats(0.1, 10), st.floats(1.0, 5))
def test_a_higher_limit_permits_what_a_lower_one_did(run: Run, target: float, more: float) -> None:
    loss = of_run(run, 1e-6, "renyi")
    for method in ("sums", "renyi"):
        low = Limit(target, 1e-5, method)
        high = low.raised(target * more, 1e-5 * more)
        assert high.anchor == low.anchor
        if low.permits(Loss(), loss):
            assert high.permits(Loss(), loss)


def test_decisions_depend_on_public_constants_only() -> None:
    """Rule 1: a loss is a function of a run's constants, a decision of limit, spent and loss."""
    run = Run(3.0, 0.1, 50, 1e-12)
    assert of_run(run, 1e-6) == of_run(Run(3.0, 0.1, 50, 1e-12), 1e-6)
    limit = Limit(4.0, 1e-5, "renyi")
    assert len({limit.permits(pair(0.3, 1e-9), of_run(run, 1e-6)) for _ in range(5)}) == 1


def test_parts_of_a_limit_add_up_to_it() -> None:
    """Rule 4, and one run may be worth the whole limit."""
    for parts in (1, 3, 7, 10):
        limit, spent = Limit(1.0, 1e-5), Loss()
        for _ in range(parts):
            loss = pair(1.0 / parts, 1e-5 / parts)
            assert limit.permits(spent, loss)
            spent += loss
        assert not limit.permits(spent, pair(1e-6, 0.0))
        assert not limit.permits(spent, pair(0.0, 1e-11))
        assert limit.left(spent) == pytest.approx((0.0, 0.0), abs=1e-8)


@settings(max_examples=30, deadline=None)
@given(st.lists(RUNS, min_size=1, max_size=6), st.floats(1.0, 8.0))
def test_where_renyi_bounds_are_added_up_no_runs_own_epsilon_counts(runs: list[Run], target: float) -> None:
    """A loss distribution is nearly exact, and of one run: what it proves must not enter a choice made as one goes."""
    limit, spent, blind = Limit(target, 1e-5, "renyi"), Loss(), Loss()
    for run in runs:
        loss = of_run(run, 1e-6, "renyi")
        bare = replace(loss, epsilon=0, delta=0)
        assert limit.permits(spent, loss) == limit.permits(blind, bare)
        spent, blind = spent + loss, blind + bare
        assert limit.left(spent) == limit.left(blind)


def test_many_small_losses_fit_into_renyi_that_sums_refuses() -> None:
    fits = {}
    for method in ("sums", "renyi"):
        limit, spent, loss = Limit(4.0, 1e-5, method), Loss(), of_run(Run(40.0, 1.0, 1), 1e-9)
        fits[method] = 0
        while limit.permits(spent, loss) and fits[method] < 5000:
            spent, fits[method] = spent + loss, fits[method] + 1
    assert fits["renyi"] > 20 * fits["sums"] > 0
    # What the best composition of Gaussians would permit: the filter gives up little for being adaptive.
    best = fits["renyi"]
    while accounting.epsilon(Run(40.0, 1.0, best + 1), 1e-5) <= 4.0:
        best += 1
    assert fits["renyi"] > 0.75 * best


def test_a_planner_finds_the_noise_that_a_filter_still_permits() -> None:
    limit, spent = Limit(4.0, 1e-5, "renyi"), of_run(Run(10.0, 0.1, 200), 1e-6, "renyi")

    def fits(multiplier: float) -> bool:
        return limit.permits(spent, of_run(Run(multiplier, 0.1, 100), 1e-6, "renyi"))

    found = least_multiplier(fits)
    assert fits(found)
    assert not fits(found * 0.99)


def test_delta_is_divided_among_the_orders_and_the_rest() -> None:
    """docs/proofs/filters.md: the orders' shares and what is set aside make up delta, no more."""
    from cloister.privacy import filters

    for anchor in ORDERS:
        weights = filters._weights(anchor)
        assert math.fsum(weights) == pytest.approx(1.0, abs=1e-12)
        assert weights[ORDERS.index(anchor)] == 0.5
    limit = Limit(3.0, 1e-5, "renyi")
    share = 1e-5 * 15 / 16
    for order, room in zip(ORDERS, filters._rooms(3.0, 1e-5, limit.anchor), strict=True):
        if room > 0:
            weight = filters._weights(limit.anchor)[ORDERS.index(order)]
            at = 3.0 * (1 + 2.0**-30)
            assert renyi.delta_of({order: room * EPSILON_GRAIN}, at) <= share * weight * (1 + 1e-8)
    slip = Loss(slip=math.floor(1e-5 / 16 / DELTA_GRAIN))
    assert limit.permits(Loss(), slip)
    assert not limit.permits(slip, Loss(slip=1000))
    failing = Loss(failure=math.floor(1e-5 / 16 / (1 + math.exp(3.0)) / DELTA_GRAIN))
    assert limit.permits(Loss(), failing)
    assert not limit.permits(failing, Loss(failure=1000))


def test_an_order_that_has_overspent_can_still_be_replaced_by_one_that_has_not() -> None:
    limit = Limit(4.0, 1e-5, "renyi")
    low = Loss(curve=tuple(0 if order <= 8 else CAP for order in ORDERS))
    assert limit.permits(Loss(), low)
    assert not limit.permits(low, Loss(curve=tuple(CAP if order <= 8 else 0 for order in ORDERS)))


def test_losses_are_rounded_up() -> None:
    """Rule 2."""
    loss = pair(1 / 3, 1e-7)
    assert 0 <= loss.epsilon * EPSILON_GRAIN - 1 / 3 < EPSILON_GRAIN * 1.01
    assert 0 <= loss.delta * DELTA_GRAIN - 1e-7 < DELTA_GRAIN * 1.01
    run = Run(1.0, 0.01, 3)
    for used, order in zip(of_run(run, 1e-6, "renyi").curve, ORDERS, strict=True):
        assert used * EPSILON_GRAIN >= run.renyi_curve()[order]
    assert pure(0.5).curve[0] * EPSILON_GRAIN >= 2 * 0.5**2 / 2
    assert pure(900.0).curve[-1] * EPSILON_GRAIN == pytest.approx(900.0)


def test_a_loss_of_randomised_response_is_within_its_curve() -> None:
    """Bun and Steinke 2016, proposition 1.4, on the mechanism that is worst among epsilon-DP ones."""
    for epsilon in (0.1, 1.0, 5.0):
        p = 1 / (1 + math.exp(-epsilon))
        for used, order in zip(pure(epsilon).curve, ORDERS, strict=True):
            first, second = ([math.log(a), math.log(b)] for a, b in ((p, 1 - p), (1 - p, p)))
            assert used * EPSILON_GRAIN >= losses.renyi_of(order, np.array(first), np.array(second))


def test_losses_and_limits_come_back_as_they_were_kept() -> None:
    loss = of_run(Run(1.0, 0.1, 10, 1e-12), 1e-6, "renyi")
    assert Loss.decode(loss.encode()) == loss
    for data in (
        b"",
        loss.encode()[:-1],
        loss.encode() + b"x",
        b"\2" + loss.encode()[1:],
        b"\1" + b"\xff" * 192,
    ):
        with pytest.raises(BadInput):
            Loss.decode(data)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=400))
def test_bytes_that_are_no_loss_are_refused(data: bytes) -> None:
    try:
        assert Loss.decode(data).encode() == data
    except BadInput:
        pass


def test_impossible_limits_and_losses_are_refused() -> None:
    for values in (
        (0.0, 1e-5), (-1.0, 0.0), (1e6, 1e-5), (math.nan, 1e-5), (1.0, 1.0), (1.0, math.nan), (1.0, -1e-9),
        (1.0, 0.0, "renyi"), (1.0, 1e-5, "none"), (1.0, 1e-5, "renyi", 9), (1.0, 1e-5, "sums", 8),
    ):  # fmt: skip
        with pytest.raises(BadInput):
            Limit(*values)  # type: ignore[arg-type]
    for epsilon, delta in ((-1.0, 0.0), (math.inf, 0.0), (math.nan, 0.0), (1.0, 1.0), (1.0, -0.1)):
        with pytest.raises(BadInput):
            pair(epsilon, delta)
    for values in ((-1,), (0, -1), (0, 0, (0,)), (CAP + 1,)):
        with pytest.raises(BadInput):
            Loss(*values)  # type: ignore[arg-type]


def test_losses_beyond_all_bounds_stay_there() -> None:
    most = Loss(CAP, CAP, (CAP,) * len(ORDERS), CAP, CAP)
    assert most + most == most
    assert Loss.decode(most.encode()) == most
    for limit in (Limit(1000.0, 0.5), Limit(1000.0, 0.5, "renyi")):
        assert not limit.permits(most, Loss())
    assert of_run(Run(0.001, 1.0, 10**6), 1e-6, "renyi").curve == (CAP,) * len(ORDERS)


def test_the_anchor_is_the_best_order_for_one_gaussian() -> None:
    for epsilon, delta in ((1.0, 1e-6), (8.0, 1e-5), (0.1, 1e-9)):
        anchor = best_order(epsilon, delta)
        rho = {order: (epsilon - renyi.conversion(order, delta)) / order for order in ORDERS}
        assert rho[anchor] == max(rho.values())
        # A Gaussian mechanism of that size spends its whole order, and other orders would cost more.
        run = {order: order * rho[anchor] for order in ORDERS}
        assert renyi.epsilon_of(run, delta) == pytest.approx((epsilon, anchor), rel=1e-6)
