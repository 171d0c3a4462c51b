"""Runs as plans state them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.foundation.canonical import canonical, parse
from cloister.foundation.errors import BadInput, CloisterError, Refused
from cloister.privacy import accounting
from cloister.privacy.filters import CAP, DELTA_GRAIN, EPSILON_GRAIN, Limit, Loss
from cloister.privacy.runs import (
    CLAIM_ABOVE,
    PrivateRun,
    batch_capacity,
    claim_holds,
    claim_of,
    private_run,
)


def planned(**changes: object) -> PrivateRun:
    values: dict[str, object] = {
        "epsilon": 8.0, "delta": 1e-5, "dimension": 5000, "clip": 1.0, "units": 200, "rate": 0.2, "steps": 60,
        "nodes": 3, "distributed": True, "colluders": 1, "accountant": "renyi",
    }  # fmt: skip
    return private_run(**{**values, **changes})  # type: ignore[arg-type]


def test_epsilon_follows_from_the_document_alone() -> None:
    """Rule 1: it comes back from a plan as it was, and is the target but for a little."""
    run = planned()
    again = PrivateRun.model_validate(parse(canonical(run.model_dump(mode="json"))))
    assert again == run
    assert 8.0 * 0.99 < again.epsilon("renyi") <= 8.0
    assert again.epsilon() < again.epsilon("renyi")
    weaker = run.model_copy(update={"mechanism": run.mechanism.model_copy(update={"variance": 10**6})})
    assert weaker.epsilon("renyi") > 50


def test_a_run_planned_for_a_whole_budget_fits_into_it_once() -> None:
    run = planned()
    loss, limit = run.loss("renyi"), Limit(8.0, 1e-5)
    assert loss.epsilon * EPSILON_GRAIN == pytest.approx(run.epsilon("renyi"))
    assert loss.delta * DELTA_GRAIN == pytest.approx(1e-5)
    assert limit.permits(Loss(), loss)
    assert not limit.permits(loss, loss)


@pytest.mark.parametrize("target", [0.003, 0.3, 2.0, 8.0, 12.0])
@pytest.mark.parametrize("rate", [0.2, 1.0])
def test_a_claim_is_a_little_above_what_is_counted_and_keeps_the_target(target: float, rate: float) -> None:
    """Rule 1."""
    run = planned(epsilon=target, rate=rate)
    counted, claimed = run.loss("renyi").epsilon * EPSILON_GRAIN, run.claim("renyi")
    assert counted * (1 + 1e-7) < claimed <= target
    assert claimed >= target * (1 - 5e-3)
    assert claimed / EPSILON_GRAIN == int(claimed / EPSILON_GRAIN)


def test_a_node_stands_by_a_claim_that_is_not_below_what_it_counts_itself() -> None:
    """Rule 1: machines that differ in the last digits accept each other's claims, and no node accepts less than it counts."""
    counted = planned().loss("renyi").epsilon
    claimed = claim_of(counted)
    for elsewhere in (counted - 3000, counted - 1, counted, counted + 1, counted + 3000):
        assert claim_holds(claimed, elsewhere)
        assert claim_holds(claim_of(elsewhere), counted)
    assert not claim_holds(claimed, int(counted * (1 + 2 * CLAIM_ABOVE)))
    assert not claim_holds(counted * EPSILON_GRAIN * (1 - 1e-9), counted)
    assert not claim_holds(counted * EPSILON_GRAIN * 1.01, counted)
    assert claim_of(CAP) == math.inf


def test_what_may_fail_is_in_delta() -> None:
    """Rule 2: wraps, and overflow at any node in any step."""
    run = planned()
    overflow = accounting.overflow(200, 0.2, run.capacity, 60 * 3)
    assert run.run.failure == pytest.approx(2.0**-40 + overflow, rel=1e-9, abs=0)
    assert overflow * (1 + math.exp(8.0)) <= 1e-8
    with pytest.raises(BadInput):
        _ = run.model_copy(update={"capacity": 40}).run
    assert run.model_copy(update={"capacity": run.capacity - 8}).run.failure > run.run.failure


def test_the_slack_is_that_of_a_full_batch() -> None:
    """Rule 3."""
    run = planned()
    document = run.model_dump()
    with pytest.raises(ValueError, match="slack"):
        PrivateRun.model_validate({**document, "mechanism": {**document["mechanism"], "slack": 0.0}})
    with pytest.raises(ValueError, match="slack"):
        PrivateRun.model_validate({**document, "capacity": 500})


def test_the_smallest_capacity_is_found() -> None:
    for units, rate, failure in ((200, 0.2, 1e-9), (10_000, 0.01, 1e-12), (5, 0.9, 1e-9), (1, 0.5, 0.1)):
        found = batch_capacity(units, rate, 100, failure)
        assert accounting.overflow(units, rate, found, 100) <= failure
        assert found == 1 or accounting.overflow(units, rate, found - 1, 100) > failure


def test_more_dropouts_colluders_and_occurrences_need_more_noise_from_each() -> None:
    base = planned(nodes=6).mechanism.variance
    for change in (
        {"dropouts": 2},
        {"colluders": 3},
        {"occurrences": 2},
        {"distributed": False, "colluders": 0},
    ):
        assert planned(nodes=6, **change).mechanism.variance > 1.4 * base


def test_a_small_federation_needs_the_noise_that_is_known() -> None:
    run = planned(units=200, rate=1.0, steps=100, accountant="pld")
    assert 5.9 < run.mechanism.noise_multiplier < 6.6
    assert run.capacity == 200


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["epsilon", "delta", "dimension", "clip", "units", "rate", "steps", "nodes", "dropouts",
                         "colluders", "occurrences", "capacity", "bits"]),
        st.one_of(st.integers(-2, 10**7), st.floats(), st.sampled_from([0, 1, 0.5, 1e-9])),
        max_size=2,
    )
)  # fmt: skip
def test_impossible_runs_are_refused_in_words(changes: dict[str, object]) -> None:
    whole = {
        "dimension",
        "units",
        "steps",
        "nodes",
        "dropouts",
        "colluders",
        "occurrences",
        "capacity",
        "bits",
    }
    changes = {
        name: int(value) if name in whole and math.isfinite(value) else value  # type: ignore[call-overload,arg-type]
        for name, value in changes.items()
        if name not in whole or math.isfinite(value)  # type: ignore[arg-type]
    }
    try:
        found = planned(**changes)
    except CloisterError:
        return
    assert found.epsilon("renyi") <= float(changes.get("epsilon", 8.0)) * (1 + 1e-6)  # type: ignore[arg-type]


def test_too_few_nodes_are_refused_by_name() -> None:
    with pytest.raises(Refused) as caught:
        planned(nodes=3, dropouts=2, colluders=1)
    assert caught.value.clause == "noise-shares"
