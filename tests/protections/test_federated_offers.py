"""What federated training offers: four ways, each with the claims that its protocol supports, or the reason why not."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.claims.offers import Declined, Offer
from cloister.claims.vocabulary import (
    Artefact,
    Assumption,
    Behaviour,
    DifferentiallyPrivate,
    Disclosed,
    Hidden,
)
from cloister.foundation.canonical import canonical
from cloister.foundation.errors import Refused
from cloister.privacy.charging import due
from cloister.protections.federated import FederatedAveraging
from cloister.protections.federated.offers import VARIANTS, offers
from cloister.protections.federated.promises import ANSWERS, DIGESTS
from cloister.protections.federated.settings import epsilon, loss_of, read_settings
from cloister.protections.federated.wishes import Wishes
from protections import federation as f
from protections.test_federated_under_agreement import entry

QUICK = {"rounds": 2, "units": 100, "batch": 100}
"""Without sampling the noise is found by a formula."""


def asked(terms, **wishes):
    return f.request(terms, preferences=wishes)


def found(terms, wishes=None, **facts):
    """Variant → what is offered, or why not."""
    answers = offers(asked(terms, **(wishes or {})), f.facts(terms, **facts), VARIANTS)
    return dict(zip(VARIANTS, answers, strict=True)) if len(answers) == len(VARIANTS) else {"": answers[0]}


def private_terms(owners=3, **changes):
    return f.terms(owners, **({"budgets": f.budgets(owners), "owners_per_unit": 1} | changes))


def offered(terms, variant, **wishes):
    answer = found(terms, wishes)[variant]
    assert isinstance(answer, Offer), answer
    return answer


def why(terms, variant, **wishes):
    answers = found(terms, wishes)
    answer = answers.get(variant, answers.get(""))
    assert isinstance(answer, Declined), answer
    assert answer.remedy
    return answer.reason


def about(offer, artefact, kind=None):
    return [
        claim
        for claim in offer.claims.guarantees
        if claim.artefact is artefact and (kind is None or isinstance(claim.reached, kind))
    ]


# Which ways ------------------------------------------------------------------------------------------------------------


def test_without_budgets_exact_ways_are_offered_and_with_budgets_noise():
    """Rule 4 of the offers."""
    open_ = found(f.terms(), QUICK)
    assert [isinstance(open_[name], Offer) for name in VARIANTS] == [True, True, False, False]
    assert "No privacy budget is agreed" in open_["private"].reason
    bound = found(private_terms(), QUICK)
    assert [isinstance(bound[name], Offer) for name in VARIANTS] == [False, False, True, False]
    assert "void the guarantee" in bound["plain"].reason


def test_noise_alone_is_offered_where_there_can_be_no_secure_sum_or_none_is_wished():
    """Rule 6."""
    assert "less noise" in why(private_terms(), "private", **QUICK)
    assert offered(private_terms(), "private", aggregation="none", **QUICK).holder == "coordinator"
    assert offered(private_terms(2, dropouts=0), "private", **QUICK).holder == "coordinator"
    assert "may collude" in why(private_terms(2, dropouts=0), "secure-private", **QUICK)


@pytest.mark.parametrize(
    ("wishes", "left"),
    [
        ({"aggregation": "none"}, {"plain"}),
        ({"aggregation": "secure-sum"}, {"secure"}),
        ({"noise": "none"}, {"plain", "secure"}),
        ({"noise": "private-steps"}, set()),
    ],
)
def test_a_way_can_be_asked_for(wishes, left):
    answers = found(f.terms(), wishes)
    assert {name for name in VARIANTS if isinstance(answers[name], Offer)} == left


def test_every_seat_runs_what_is_offered_and_nothing_that_boasts():
    for terms, variant, wishes in (
        (f.terms(), "secure", {}),
        (private_terms(), "secure-private", QUICK),
        (private_terms(), "private", {**QUICK, "aggregation": "none"}),
    ):
        offer, request = offered(terms, variant, **wishes), asked(terms, **wishes)
        for seat in ("coordinator", "owner"):
            assert FederatedAveraging().program(offer, request, seat).phases
            for changes in ({"variant": "with everything"}, {"holder": "nobody"}, {"prediction": None}):
                if changes == {"prediction": offer.prediction}:
                    continue
                with pytest.raises(Refused) as caught:
                    FederatedAveraging().program(offer.model_copy(update=changes), request, seat)
                assert caught.value.clause == "plan-claims"


def test_the_reason_is_one_where_it_is_the_same_for_all():
    terms = f.terms()
    (answer,) = offers(asked(terms, rounds=0), f.facts(terms), VARIANTS)
    assert isinstance(answer, Declined)
    assert "`rounds`" in answer.reason


# Secure sums -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("colluders", [1, 2])
def test_with_secure_sums_single_contributions_are_hidden_from_everybody_up_to_the_colluders(colluders):
    """Claim 1 of docs/proofs/secure-aggregation.md."""
    offer = offered(f.terms(5, dropouts=0, colluders=colluders), "secure")
    (claim,) = about(offer, Artefact.UPDATE)
    assert isinstance(claim.reached, Hidden)
    assert set(claim.against.seats) == {"coordinator", "hub", "outsider", "owner"}
    assert (claim.against.colluding, claim.against.behaviour) == (colluders, Behaviour.MALICIOUS)
    assert claim.assumption is Assumption.NONE


def test_with_secure_sums_coordinator_and_relay_see_no_sum_and_owners_do():
    """Claim 2, and what it leaves open."""
    offer = offered(f.terms(), "secure")
    hidden, told = about(offer, Artefact.AGGREGATE)
    assert isinstance(hidden.reached, Hidden)
    assert set(hidden.against.seats) == {"coordinator", "hub", "outsider"}
    assert isinstance(told.reached, Disclosed)
    assert told.against.seats == ("owner",)
    (result,) = about(offer, Artefact.RESULT)
    assert "may contain input records" in result.reached.what
    assert offer.holder == "owner"
    assert set(offer.discloses["coordinator"]) == {ANSWERS, DIGESTS}


@pytest.mark.parametrize(("first", "hidden"), [(8, False), (2, True)])
def test_an_owner_that_outweighs_the_others_is_not_hidden_by_a_sum(first, hidden):
    weights = {f.OWNERS[0]: first, f.OWNERS[1]: 1, f.OWNERS[2]: 1}
    offer = offered(f.terms(dropouts=0), "secure", weights=weights)
    claims = {isinstance(claim.reached, Hidden): claim for claim in about(offer, Artefact.UPDATE)}
    assert ("owner" in claims[True].against.seats) == hidden
    assert (False in claims) == (not hidden)
    assert {"coordinator", "hub"} <= set(claims[True].against.seats)
    assert any("outweighs" in item for item in offer.discloses["owner"]) == (not hidden)


def test_the_longest_unit_has_room_in_every_sentence():
    terms = private_terms(5, budgets=f.budgets(5, unit="x" * 60), owners_per_unit=3)
    for variant, wishes in (("secure-private", {}), ("private", {"aggregation": "none"})):
        assert offered(terms, variant, **QUICK, **wishes).prediction.sentences


def test_secure_sums_are_stronger_than_the_coordinator_s_eyes():
    from cloister.claims.strength import stronger

    answers = found(f.terms(dropouts=0))
    assert stronger(answers["secure"].claims, answers["plain"].claims)


def test_fewer_may_be_missing_rather_than_there_being_no_secure_sum():
    """Rule 5: of three, nobody may be missing; who wishes for one missing is told why not."""
    offer = offered(f.terms(3, dropouts=1), "secure")
    assert (offer.parameters["dropouts"], offer.parameters["minimum_answers"]) == (0, 3)
    assert any("All 3 owners have to answer" in gap for gap in offer.claims.not_protected)
    assert offered(f.terms(3, dropouts=1), "plain").parameters["dropouts"] == 1
    assert "would let two different sums be opened" in why(f.terms(3, dropouts=1), "secure", dropouts=1)
    five = offered(f.terms(5, dropouts=2), "secure")
    assert five.parameters["dropouts"] == 1
    assert any("side by side" in gap for gap in five.claims.not_protected)


def test_as_many_colluders_as_agreed_or_more():
    terms = f.terms(5, dropouts=0, colluders=2)
    assert offered(terms, "secure").parameters["aggregation"]["colluders"] == 2
    assert offered(terms, "secure", colluders=3).parameters["aggregation"]["colluders"] == 3
    assert "fewer are wished for" in why(terms, "secure", colluders=1)


# Noise -----------------------------------------------------------------------------------------------------------------


def test_the_epsilon_that_is_claimed_is_the_one_that_is_charged():
    for terms, variant, wishes in (
        (private_terms(), "secure-private", QUICK),
        (private_terms(), "private", {**QUICK, "aggregation": "none"}),
    ):
        offer = offered(terms, variant, **wishes)
        of = read_settings(offer.parameters, offer.seats["owner"])
        charged = due(loss_of(of.private).encode(), offer, "record")
        claimed = [c.reached for c in offer.claims.guarantees if isinstance(c.reached, DifferentiallyPrivate)]
        assert claimed
        for item in claimed:
            assert item.epsilon == offer.cost.epsilon == epsilon(of) == math.ldexp(charged.epsilon, -32)
            assert item.delta == of.private.run.delta
            assert 7.9 < item.epsilon <= 8.0
        (result,) = about(offer, Artefact.RESULT)
        assert set(result.against.seats) >= {"recipient", "owner", "coordinator", "hub", "outsider"}


def test_shared_noise_holds_against_the_agreed_colluders_as_long_as_the_others_add_theirs():
    """Rule 2 of the promises."""
    offer = offered(private_terms(5, dropouts=0, colluders=2), "secure-private", **QUICK)
    sums = [c for c in about(offer, Artefact.AGGREGATE, DifferentiallyPrivate) if "owner" in c.against.seats]
    assert [c.against.colluding for c in sums] == [2]
    assert {c.assumption for c in sums} == {Assumption.HONEST_OWNERS}
    (gap,) = [item for item in offer.claims.not_protected if "its own share only" in item]
    alone = float(gap.rpartition("about ")[2].rstrip("."))
    assert alone > offer.cost.epsilon


def test_noise_of_one_s_own_holds_whatever_the_others_do():
    offer = offered(private_terms(5), "private", aggregation="none", **QUICK)
    (own,) = about(offer, Artefact.UPDATE, DifferentiallyPrivate)
    assert own.against.colluding == 4
    assert {"coordinator", "owner"} <= set(own.against.seats)


def test_where_the_agreement_says_nothing_a_unit_is_taken_to_be_at_every_owner():
    """Rule 3 of the promises: nothing is assumed, and more noise is added."""
    stated = offered(private_terms(), "private", aggregation="none", **QUICK)
    silent = offered(private_terms(owners_per_unit=None), "private", aggregation="none", **QUICK)
    (one,), (three,) = (
        about(stated, Artefact.UPDATE, DifferentiallyPrivate),
        about(silent, Artefact.UPDATE, DifferentiallyPrivate),
    )
    assert (one.reached.occurrences, one.assumption) == (1, Assumption.HONEST_OWNERS)
    assert (three.reached.occurrences, three.assumption) == (3, Assumption.NONE)
    assert silent.prediction.noise > 2.5 * stated.prediction.noise
    assert any("nobody can check it" in gap for gap in stated.claims.not_protected)


def test_with_noise_a_round_is_one_step_and_all_owners_count_the_same():
    parameters = offered(private_terms(), "secure-private", **QUICK).parameters
    assert (parameters["local_steps"], parameters["weighting"]) == (1, {"rule": "equal"})
    assert parameters["noise"]["run"]["mechanism"]["steps"] == parameters["rounds"] == 2
    assert "one step" in why(private_terms(), "secure-private", local_steps=5, **QUICK)
    assert "counts the same" in why(private_terms(), "secure-private", weights={}, **QUICK)


def test_only_what_is_trained_gets_noise():
    terms = private_terms()
    answer = found(terms, QUICK, trained=2)["secure-private"]
    assert answer.parameters["trained"] == answer.parameters["noise"]["run"]["mechanism"]["dimension"] == 2


def test_what_is_spent_is_the_least_budget_and_a_delta_far_below_one_in_the_units():
    budgets = [item | {"epsilon": 3.0 + number} for number, item in enumerate(f.budgets())]
    offer = offered(private_terms(budgets=budgets), "secure-private", rounds=2, units=1000, batch=1000)
    assert 2.97 < offer.cost.epsilon <= 3.0
    assert offer.parameters["noise"]["run"]["delta"] == 1e-5
    loose = private_terms(budgets=f.budgets(delta=0.1))
    many = offered(loose, "secure-private", rounds=1, units=1000, batch=1000)
    assert many.parameters["noise"]["run"]["delta"] == pytest.approx(1e-4)
    less = offered(private_terms(), "secure-private", epsilon=1.5, delta=1e-8, **QUICK)
    assert 1.48 < less.cost.epsilon <= 1.5


def test_more_than_single_precision_can_add_is_declined():
    assert "precision" in why(private_terms(), "secure-private", rounds=1, units=5000, batch=5000)


@pytest.mark.parametrize(("band", "units"), [("under 100", 100), ("100 to 1000", 1000), (None, 1000)])
def test_units_are_bounded_by_the_size_that_the_catalogue_tells(band, units):
    described = {
        commitment: {**entry(owner, commitment).model_dump(mode="json"), "size_band": band}
        for owner, commitment in f.request(f.terms()).datasets.items()
    }
    answer = found(
        private_terms(budgets=f.budgets(unit="image")), {"rounds": 1, "batch": units}, catalogue=described
    )["secure-private"]
    assert answer.parameters["noise"]["run"]["units"] == units


CLAUSES = {
    "a budget is missing": ({"budgets": f.budgets(2)}, {}, "No privacy budget is agreed"),
    "units differ": (
        {"budgets": [*f.budgets(2), f.budgets(3, unit="customer")[2]]},
        {},
        "different units: customer, record",
    ),
    "a unit of many words": ({"budgets": f.budgets(unit="x" * 61)}, {}, "too long a name"),
    "no delta": ({"budgets": f.budgets(delta=0.0)}, {}, "delta is zero"),
    "more epsilon than agreed": ({}, {"epsilon": 8.5}, "than was agreed"),
    "more delta than agreed": ({}, {"delta": 1e-4}, "than was agreed"),
    "a sample of more than all": ({}, {"batch": 101}, "more than the 100 units"),
    "a norm for updates": ({}, {"update_norm": 1.0}, "gradients that are shortened"),
    "single updates": ({}, {"combining": "median"}, "needs to see each owner's update"),
    "no epsilon": ({}, {"epsilon": 0}, "`epsilon`"),
    "words for numbers": ({}, {"clip": "small"}, "`clip`"),
    "truth for a number": ({}, {"units": True}, "`units`"),
    "an endless clip": ({}, {"clip": 1e9}, "`clip`"),
    "a tiny delta": ({}, {"delta": 1e-30}, "`delta`"),
    "two wishes that differ": ({}, {"dropouts": 1, "minimum_answers": 3}, "contradict each other"),
    "too many missing": ({}, {"dropouts": 2}, "`dropouts`"),
}


@pytest.mark.parametrize("name", CLAUSES)
def test_noise_is_declined_with_a_reason(name):
    changes, wishes, reason = CLAUSES[name]
    assert reason in why(private_terms(**changes), "secure-private", **(QUICK | wishes))


@pytest.mark.parametrize("unit", ["patient", "picture", "record"])
def test_noise_for_one_unit_is_not_offered_for_data_that_counts_another(unit):
    described = {
        commitment: entry(owner, commitment).model_dump(mode="json")
        for owner, commitment in f.request(f.terms()).datasets.items()
    }
    answer = found(private_terms(budgets=f.budgets(unit=unit)), QUICK, catalogue=described)
    assert f"protects each {unit}" in answer["secure-private"].reason
    assert "counts each image" in answer["secure-private"].reason


def test_a_dataset_of_any_size_needs_a_bound():
    described = {
        commitment: {**entry(owner, commitment).model_dump(mode="json"), "size_band": "over 1000000"}
        for owner, commitment in f.request(f.terms()).datasets.items()
    }
    answer = found(private_terms(budgets=f.budgets(unit="image")), {"rounds": 1}, catalogue=described)[
        "secure-private"
    ]
    assert "`units`" in answer.remedy


# Rules that look at single updates -------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["median", "trimmed-mean", "multi-krum"])
def test_a_rule_that_picks_updates_shows_owners_single_ones(rule):
    offer = offered(f.terms(5, dropouts=0), "plain", combining=rule)
    (told,) = [claim for claim in about(offer, Artefact.UPDATE) if claim.against.seats == ("owner",)]
    assert isinstance(told.reached, Disclosed)
    assert rule in offer.variant
    assert isinstance(found(f.terms(5, dropouts=0), {"combining": rule})["secure"], Declined)


def test_a_rule_that_makes_a_result_of_fewer_owners_than_agreed_is_not_offered():
    assert "1 of 5 owners' updates" in why(f.terms(5, dropouts=0), "plain", combining="krum")


def test_a_rule_needs_enough_answers_and_no_weights():
    assert "at least 5 answers" in why(f.terms(3, dropouts=0), "plain", combining="krum")
    weights = dict.fromkeys(f.OWNERS[:5], 2)
    assert "weighted" in why(f.terms(5, dropouts=0), "plain", combining="median", weights=weights)


# Properties ------------------------------------------------------------------------------------------------------------

EPSILONS = st.sampled_from([0.25, 0.5, 1.0, 2.0, 4.0, 8.0])
TERMS = {owners: private_terms(owners, dropouts=0) for owners in (3, 5, 8)}


def noisy(owners=3, **wishes):
    return offered(TERMS[owners], "secure-private", **(QUICK | wishes))


@given(EPSILONS, EPSILONS, st.sampled_from([1, 3, 20]))
@settings(max_examples=25, deadline=None)
def test_a_lower_epsilon_never_gets_less_noise(one, other, rounds):
    low, high = sorted((one, other))
    strict, loose = noisy(epsilon=low, rounds=rounds), noisy(epsilon=high, rounds=rounds)
    assert strict.prediction.noise >= loose.prediction.noise
    variances = [item.parameters["noise"]["run"]["mechanism"] for item in (strict, loose)]
    first, second = (math.ldexp(item["variance"], -2 * item["exponent"]) for item in variances)
    assert first >= second
    assert strict.cost.epsilon <= loose.cost.epsilon


@given(st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=25, deadline=None)
def test_more_rounds_cost_no_less(one, other):
    few, many = sorted((one, other))
    terms = f.terms()
    for variant in ("plain", "secure"):
        short, long = (offered(terms, variant, rounds=rounds).cost for rounds in (few, many))
        assert short.seconds <= long.seconds
        assert short.bytes_up <= long.bytes_up
        assert short.bytes_down <= long.bytes_down


@given(st.integers(1, 15), st.integers(1, 15))
@settings(max_examples=10, deadline=None)
def test_more_units_leave_no_more_noise_beside_them(one, other):
    """Without sampling, twice the units halve the noise beside them."""
    few, many = sorted((one, other))
    small, large = (
        noisy(units=100 * size, batch=100 * size, delta=1e-6).prediction.noise for size in (few, many)
    )
    assert small >= large


@given(st.randoms())
@settings(max_examples=20, deadline=None)
def test_the_same_in_another_order_is_the_same_offer(chance):
    terms = private_terms()
    request = asked(terms, **QUICK)
    datasets, wishes = list(request.datasets.items()), list(request.preferences.items())
    chance.shuffle(datasets)
    chance.shuffle(wishes)
    again = request.model_copy(update={"datasets": dict(datasets), "preferences": dict(wishes)})
    first, second = (
        [canonical(item.model_dump(mode="json")) for item in offers(one, f.facts(terms), VARIANTS)]
        for one in (request, again)
    )
    assert first == second


def test_bytes_of_a_secure_round_are_those_of_its_ring_and_a_little():
    terms = f.terms(dropouts=0)
    answer = found(terms, {"rounds": 1}, parameters=10**6)["secure"]
    per_value = answer.cost.bytes_up / 3 / 1e6
    assert 4.0 < per_value < 4.1


def test_the_owners_measured_figures_are_used():
    terms = f.terms()
    slow = found(terms, bench={"seconds_per_step": 5.0})["plain"].cost.seconds
    fast = found(terms, bench={"seconds_per_step": 0.05})["plain"].cost.seconds
    assert slow > 20 * fast


def test_the_reference_names_every_wish():
    told = (Path(__file__).parents[2] / "docs" / "reference" / "preferences.md").read_text("utf-8")
    assert not [name for name in Wishes.model_fields if f"`{name}`" not in told]
