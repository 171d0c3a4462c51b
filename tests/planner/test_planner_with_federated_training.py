"""The planner with a real method in all its ways: what it chooses is what every party's node would admit, and the strongest."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.agreements.decision import foresee
from cloister.claims.offers import Offer
from cloister.claims.strength import stronger
from cloister.claims.vocabulary import Artefact, DifferentiallyPrivate, Hidden
from cloister.foundation.canonical import canonical
from cloister.foundation.errors import Refused
from cloister.planner.explain import explain
from cloister.planner.planner import make_plan
from cloister.protections.federated.offers import NAME, VARIANTS, offers
from protections import federation as f

QUICK = {"rounds": 2, "units": 100, "batch": 100}
FLOORS = {
    "unseen": {"artefact": "update", "against": {"seats": ["coordinator"]}, "reached": {"how": "hidden"}},
    "apart": {"artefact": "update", "against": {"seats": ["owner"]}, "reached": {"how": "hidden"}},
    "pooled": {
        "artefact": "update",
        "against": {"seats": ["owner"], "colluding": 2},
        "reached": {"how": "hidden"},
    },
    "unsummed": {
        "artefact": "aggregate",
        "against": {"seats": ["coordinator"]},
        "reached": {"how": "hidden"},
    },
    "private": {
        "artefact": "result",
        "against": {"seats": ["recipient"]},
        "reached": {"how": "dp", "epsilon": 4.0, "delta": 1e-5, "unit": "record", "mechanism": "any"},
    },
}


class Federated:
    """The method with some of its ways, in some order."""

    name, maturity = NAME, "stable"

    def __init__(self, variants=VARIANTS):
        self.variants = variants

    def offers(self, request, facts):
        return offers(request, facts, tuple(self.variants))


def planned(terms, variants=VARIANTS, **wishes):
    asked = f.request(terms, preferences=QUICK | wishes)
    return make_plan(asked, f.facts(terms), [Federated(variants)], now=f.NOW, nonce="0" * 32)


@st.composite
def agreements(draw):
    owners = draw(st.sampled_from([2, 3, 5]))
    dropouts = draw(st.integers(0, min(2, owners - 1)))
    noise = draw(st.booleans())
    floors = draw(st.lists(st.sampled_from(sorted(FLOORS)), unique=True, max_size=2))
    accepted = draw(st.sampled_from([[], ["honest-owners"]]))
    return f.terms(
        owners,
        dropouts=dropouts,
        minimum_parties=1,
        colluders=draw(st.sampled_from([1, 2])),
        owners_per_unit=draw(st.sampled_from([None, 1, 2])),
        budgets=f.budgets(owners, epsilon=draw(st.sampled_from([2.0, 8.0]))) if noise else [],
        floors=[
            {"party": f.OWNERS[number], "claims": [FLOORS[name]], "accepted": accepted}
            for number, name in enumerate(floors)
        ],
    )


def outcome(terms, variants=VARIANTS, **wishes):
    try:
        return planned(terms, variants, **wishes)
    except Refused as error:
        return error


@given(agreements())
@settings(max_examples=60, deadline=None)
def test_no_plan_is_below_a_floor_or_refused_by_a_party(terms):
    plan = outcome(terms)
    if isinstance(plan, Refused):
        return
    assert terms.below_floor(plan.offer.claims) == ()
    assert foresee(terms, plan, {NAME: "stable"}, {}) is None


@given(agreements(), st.permutations(VARIANTS))
@settings(max_examples=40, deadline=None)
def test_the_ways_in_another_order_give_the_same_plan(terms, order):
    first, second = outcome(terms), outcome(terms, order)
    if isinstance(first, Refused):
        assert first.problem() == second.problem()
    else:
        assert canonical(first.model_dump(mode="json")) == canonical(second.model_dump(mode="json"))


@given(agreements(), st.sampled_from(VARIANTS))
@settings(max_examples=60, deadline=None)
def test_a_way_that_is_weaker_never_changes_the_choice(terms, added):
    before = outcome(terms, [name for name in VARIANTS if name != added])
    if isinstance(before, Refused):
        return
    (new,) = offers(f.request(terms, preferences=QUICK), f.facts(terms), (added,))
    if isinstance(new, Offer) and stronger(before.offer.claims, new.claims):
        assert outcome(terms).offer == before.offer


@given(st.integers(1, 30), st.integers(1, 30))
@settings(max_examples=15, deadline=None)
def test_what_a_plan_foretells_grows_with_the_rounds(one, other):
    few, many = sorted((one, other))
    terms = f.terms(budgets=f.budgets(), owners_per_unit=1)
    short, long = (planned(terms, rounds=rounds).offer for rounds in (few, many))
    assert short.cost.seconds <= long.cost.seconds
    assert short.cost.bytes_up <= long.cost.bytes_up


def test_secure_sums_are_chosen_where_they_can_be_and_a_person_can_ask_for_less():
    terms = f.terms(dropouts=0)
    plan = planned(terms)
    assert plan.offer.variant == "with secure sums"
    (lost,) = [item for item in plan.alternatives if "seen by the coordinator" in item.variant]
    assert "promises less than federated-averaging with secure sums" in lost.reason
    assert "`aggregation`" in lost.remedy
    assert planned(terms, aggregation="none").offer.holder == "coordinator"


def test_a_floor_under_everybody_s_own_update_leaves_secure_sums_alone():
    terms = f.terms(dropouts=0, floors=[{"claims": [FLOORS["unseen"], FLOORS["unsummed"]]}])
    assert planned(terms).offer.variant == "with secure sums"
    with pytest.raises(Refused) as caught:
        planned(terms, aggregation="none")
    assert "asks for more than the plan gives" in caught.value.why


def test_a_floor_of_four_needs_a_wish_or_a_budget_of_four():
    floor = [{"claims": [FLOORS["private"]], "accepted": ["honest-owners"]}]
    terms = f.terms(budgets=f.budgets(), owners_per_unit=1, floors=floor)
    with pytest.raises(Refused):
        planned(terms)
    plan = planned(terms, epsilon=4.0)
    (result,) = [c.reached for c in plan.offer.claims.guarantees if c.artefact is Artefact.RESULT]
    assert isinstance(result, DifferentiallyPrivate)
    assert result.epsilon <= 4.0


def test_a_plan_in_words_says_what_noise_does_and_who_sees_what():
    terms = f.terms(budgets=f.budgets(), owners_per_unit=1)
    text = " ".join(explain(planned(terms), width=500).split())
    for part in (
        "federated-averaging with secure sums and noise",
        "What noise does to the result",
        "times the clipping norm",
        "no promise",
        "is right in at most 99.9",
        "the model before it is released",
        "what all those of one owner have in common",
        "It takes epsilon 7.99",
    ):
        assert part in text, part


def test_without_noise_nothing_is_said_of_it():
    text = explain(planned(f.terms()))
    assert "What noise does" not in text
    hidden = [c for c in planned(f.terms()).offer.claims.guarantees if c.artefact is Artefact.UPDATE]
    assert [isinstance(c.reached, Hidden) for c in hidden] == [True]


def test_a_plan_that_takes_all_of_the_budget_because_nothing_was_asked_for_says_so():
    terms = f.terms(budgets=f.budgets(), owners_per_unit=1)
    says = "No epsilon was asked for"
    whole, part = planned(terms), planned(terms, epsilon=2.0)
    assert 7.9 < whole.offer.cost.epsilon <= 8.0
    assert says in " ".join(explain(whole, width=500).split())
    assert 1.98 < part.offer.cost.epsilon <= 2.0
    assert says not in " ".join(explain(part, width=500).split())
    assert says not in explain(planned(f.terms()), width=500)
