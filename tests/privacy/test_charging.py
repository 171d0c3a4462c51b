"""What a task charges, rule by rule."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.claims.offers import Cost, Offer
from cloister.claims.vocabulary import Adversary, Artefact, Claim, Claims, DifferentiallyPrivate, Hidden
from cloister.foundation.errors import Conflict, Refused
from cloister.privacy import charging
from cloister.privacy.accounting import Run
from cloister.privacy.filters import DELTA_GRAIN, EPSILON_GRAIN, Loss, of_run, pair
from cloister.privacy.runs import PrivateRun, private_run

LOSS = of_run(Run(1.3, 0.1, 40), 1e-5)
EPSILON, DELTA = LOSS.epsilon * EPSILON_GRAIN, LOSS.delta * DELTA_GRAIN


def claim(epsilon: float, delta: float, artefact: Artefact = Artefact.RESULT, unit: str = "image") -> Claim:
    return Claim(
        artefact=artefact,
        against=Adversary(seats=("recipient",)),
        reached=DifferentiallyPrivate(epsilon=epsilon, delta=delta, unit=unit, mechanism="Gaussian"),
    )


def offer(*claims: Claim, epsilon: float = 0.0, parameters: dict | None = None) -> Offer:
    return Offer(
        protection="fake",
        parameters=parameters or {},
        seats={},
        discloses={},
        claims=Claims(guarantees=claims),
        cost=Cost(seconds=1.0, bytes_up=0, bytes_down=0, epsilon=epsilon),
    )


HONEST = offer(claim(EPSILON, DELTA))


def clause(loss: Loss, made: Offer = HONEST) -> str:
    with pytest.raises(Refused) as caught:
        charging.due(loss.encode(), made, "image")
    assert caught.value.what
    assert caught.value.why
    assert caught.value.remedy
    return caught.value.clause


def test_rule_1_the_price_is_the_most_that_any_part_of_the_plan_says():
    hidden = Claim(artefact=Artefact.INPUT, against=Adversary(seats=("hub",)), reached=Hidden())
    made = offer(claim(1.0, 1e-5), hidden, claim(2.0, 1e-7, Artefact.AGGREGATE), epsilon=1.5)
    assert charging.price(made, "image") == charging.Price(2.0, 1e-5)
    assert charging.price(offer(claim(1.0, 0.0), epsilon=3.0)).epsilon == 3.0
    assert charging.price(offer(hidden)).nothing
    assert not charging.price(offer(epsilon=0.1)).nothing
    with pytest.raises(Refused) as caught:
        charging.price(offer(claim(1.0, 1e-5), claim(1.0, 1e-5, unit="plant")), "image")
    assert caught.value.clause == "budget-unit"


@pytest.mark.parametrize(
    "mistaken",
    [
        Loss(),
        replace(LOSS, epsilon=LOSS.epsilon // 2),
        replace(LOSS, epsilon=LOSS.epsilon - LOSS.epsilon // 500),
        replace(LOSS, delta=0),
        replace(LOSS, delta=LOSS.delta // 2),
        replace(LOSS, curve=(0,) * len(LOSS.curve)),
        replace(LOSS, curve=tuple(item // 2 for item in LOSS.curve)),
        replace(LOSS, curve=(*LOSS.curve[:-1], 0)),
        of_run(Run(2.6, 0.1, 40), 1e-5),  # noise that is planted to be half of what is said
    ],
)
def test_rule_2_a_loss_below_the_price_is_refused(mistaken):
    assert clause(mistaken) == "budget-claim"


@pytest.mark.parametrize(
    "false", [of_run(Run(1.0, 0.1, 40), 1e-5), replace(LOSS, delta=LOSS.delta * 2), LOSS + LOSS]
)
def test_rule_3_a_loss_above_the_price_is_refused_and_so_is_any_without_a_claim(false):
    assert clause(false) == "budget-claim"
    assert clause(LOSS, offer()) == "budget-claim"


def test_what_cannot_be_read_is_refused():
    for data in (b"", b"x", LOSS.encode()[:-1], b"\x02" + LOSS.encode()[1:]):
        with pytest.raises(Refused) as caught:
            charging.due(data, HONEST, "image")
        assert caught.value.clause == "budget-claim"


@settings(max_examples=60, deadline=None)
@given(st.floats(0.02, 200), st.floats(0, 1e-3), st.floats(0, 9e-4))
def test_rule_4_a_rounded_claim_is_charged_as_claimed_and_never_less(epsilon, delta, rounded):
    loss = pair(epsilon, delta)
    claimed = offer(claim(max(epsilon, epsilon * (1 + rounded)), delta * (1 + rounded)))
    due = charging.due(loss.encode(), claimed, "image")
    agreed = charging.price(claimed)
    assert due.epsilon * EPSILON_GRAIN >= agreed.epsilon
    assert due.delta * DELTA_GRAIN >= agreed.delta
    assert due.epsilon >= loss.epsilon
    assert due.delta >= loss.delta
    assert due.epsilon * EPSILON_GRAIN <= agreed.epsilon * (1 + 1e-8) + EPSILON_GRAIN


@pytest.mark.parametrize(("noise", "rate"), [(0.7, 1.0), (1.5, 0.1), (5.0, 0.1), (5.0, 1.0), (40.0, 0.003)])
def test_an_honest_loss_is_charged_as_it_is(noise, rate):
    """Also its Rényi bounds, which are compared with a figure that another accountant made."""
    loss = of_run(Run(noise, rate, 30), 1e-6)
    made = offer(claim(loss.epsilon * EPSILON_GRAIN, loss.delta * DELTA_GRAIN))
    assert charging.due(loss.encode(), made, "image") == loss
    assert charging.curve_epsilon(loss, 1e-6) > 0


def test_rule_4_the_bounds_of_the_run_that_the_plan_states_are_the_least():
    run = private_run(
        epsilon=3.0, delta=1e-5, dimension=10, clip=1.0, units=100, rate=0.2, steps=5, nodes=1,
        distributed=False, accountant="renyi",
    )  # fmt: skip
    loss = run.loss("renyi")
    parameters = {"rounds": 5, "noise": {"name": "private-steps", "run": run.model_dump(mode="json")}}
    made = offer(claim(loss.epsilon * EPSILON_GRAIN, loss.delta * DELTA_GRAIN), parameters=parameters)
    assert charging.stated(parameters) == run
    assert charging.foreseen(made) == loss
    assert charging.due(loss.encode(), made, "image") == loss
    shrunk = replace(loss, curve=tuple(item - item // 50 for item in loss.curve), failure=0)
    assert charging.due(shrunk.encode(), made, "image") == loss
    # Without it: the bounds of anything of that price, so that filters rather refuse.
    plain = charging.foreseen(offer(claim(1.0, 1e-5)))
    assert plain == pair(1.0, 1e-5)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"noise": {"run": {"mechanism": 1, "rate": 2, "units": 3, "capacity": 4, "bits": 5, "delta": 6}}},
        {"a": {"b": {"c": {"d": {"e": {"f": {"g": {}}}}}}}},
        {"run": [1, 2]},
    ],
)
def test_parameters_without_a_run_that_can_be_read_state_none(parameters):
    assert charging.stated(parameters) is None


@settings(max_examples=60, deadline=None)
@given(
    st.floats(0, allow_nan=False, allow_infinity=False),
    st.floats(1e-300, 1000),
    st.floats(0, 1, exclude_max=True),
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: st.dictionaries(
            st.sampled_from([*PrivateRun.model_fields, "noise", "x"]), inner, max_size=7
        ),
        max_leaves=12,
    ),
    st.binary(max_size=300),
)
def test_whatever_a_plan_and_a_step_say_is_charged_or_refused(declared, epsilon, delta, parameters, data):
    made = offer(claim(epsilon, delta), epsilon=declared, parameters={"given": parameters})
    assert charging.foreseen(made).epsilon >= min(declared / EPSILON_GRAIN, 1 << 62) * 0.999
    with pytest.raises(Refused):
        charging.due(data, made, "image")


def test_rule_5_a_second_charge_of_an_attempt_is_refused():
    charging.require_first([], 3)
    charging.require_first([3], 3)
    with pytest.raises(Conflict) as caught:
        charging.require_first([2], 3)
    assert caught.value.detail["clause"] == "charge-once"


def test_rule_6_a_step_with_data_ends_only_after_a_charge():
    charging.require_charged([0])
    with pytest.raises(Refused) as caught:
        charging.require_charged([])
    assert caught.value.clause == "budget-charged"
    assert caught.value.remedy


def test_bounds_that_leave_out_all_of_delta_say_nothing():
    assert charging.curve_epsilon(pair(1.0, 1e-5), 1e-5) == math.inf
