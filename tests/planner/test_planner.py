"""The planner: never below a floor, never swayed by order or by a weaker alternative, and it says why."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning import LAB, NOW, OWNERS, FakeProtection, agreement, claim, facts, offer, request

from cloister.agreements.clauses import Floor
from cloister.agreements.terms import Terms
from cloister.claims.offers import Computation, Cost, Declined, Facts
from cloister.claims.strength import at_least_as_strong, stronger
from cloister.claims.vocabulary import (
    Adversary,
    Artefact,
    Claim,
    Claims,
    DifferentiallyPrivate,
    Disclosed,
    Hidden,
    Threshold,
)
from cloister.foundation.canonical import canonical
from cloister.foundation.errors import BadInput, Refused, TaskFailed
from cloister.planner.cost import WEIGHTS, in_words, score
from cloister.planner.explain import explain, sections, starting_point
from cloister.planner.planner import make_plan

NONCE = "0" * 32


def planned(protections, *, terms=None, **wishes):
    terms = terms or agreement()
    return make_plan(request(terms, preferences=wishes), facts(terms), protections, now=NOW, nonce=NONCE)


def test_the_only_offer_is_the_plan():
    plan = planned([FakeProtection("one", offer("one"))])
    assert plan.offer.protection == "one"
    assert plan.alternatives == ()
    assert plan.request.requester == LAB


def test_the_cheapest_of_equally_strong_offers_is_taken():
    plan = planned(
        [FakeProtection("one", offer("one", seconds=50.0)), FakeProtection("two", offer("two", seconds=5.0))]
    )
    assert plan.offer.protection == "two"
    (lost,) = plan.alternatives
    assert (lost.protection, "costs more" in lost.reason) == ("one", True)


def test_seconds_bytes_and_budget_are_weighed_by_public_constants():
    assert score(Cost(seconds=1, bytes_up=0, bytes_down=0)) == WEIGHTS.second
    assert score(Cost(seconds=0, bytes_up=10**7, bytes_down=0)) == pytest.approx(1.0)
    assert score(Cost(seconds=0, bytes_up=0, bytes_down=0, epsilon=1.0)) == WEIGHTS.epsilon


def test_an_offer_below_the_floor_is_dropped_with_the_reason():
    weak = offer("weak", claims=Claims(guarantees=()), seconds=0.1)
    plan = planned([FakeProtection("weak", weak), FakeProtection("good", offer("good"))])
    assert plan.offer.protection == "good"
    (lost,) = plan.alternatives
    assert "asks for more than the plan gives" in lost.reason


def test_one_party_s_floor_is_enough_to_drop_an_offer():
    own = Floor(party=OWNERS[1], claims=(claim(Artefact.UPDATE, Hidden(), "owner"),))
    terms = agreement(own)
    with pytest.raises(Refused) as caught:
        planned([FakeProtection("one", offer("one"))], terms=terms)
    assert caught.value.clause == "claims"
    assert "South" in caught.value.why


def test_a_method_that_was_not_agreed_is_dropped():
    plan = planned(
        [FakeProtection("secret", offer("secret", seconds=0.1)), FakeProtection("good", offer("good"))]
    )
    assert plan.offer.protection == "good"
    assert "was not agreed" in plan.alternatives[0].reason


def test_an_experimental_method_is_dropped_where_the_agreement_does_not_name_it():
    plan = planned(
        [
            FakeProtection("one", offer("one", maturity="experimental"), maturity="experimental"),
            FakeProtection("good", offer("good")),
        ]
    )
    assert plan.offer.protection == "good"
    assert "experimental" in plan.alternatives[0].reason


def test_a_cheaper_but_weaker_offer_is_not_taken():
    strong = offer(
        "one",
        claims=Claims(
            guarantees=(*offer("one").claims.guarantees, claim(Artefact.UPDATE, Hidden(), "owner"))
        ),
    )
    plan = planned([FakeProtection("one", strong), FakeProtection("two", offer("two", seconds=0.1))])
    assert plan.offer.protection == "one"
    assert "promises less than one" in plan.alternatives[0].reason


def test_a_person_can_ask_for_another_acceptable_method():
    protections = [FakeProtection("one", offer("one", seconds=50.0)), FakeProtection("two", offer("two"))]
    assert planned(protections, protection="one").offer.protection == "one"
    with pytest.raises(Refused) as caught:
        planned(protections, protection="three")
    assert caught.value.clause == "preference"


def test_a_deadline_drops_what_takes_longer():
    protections = [FakeProtection("one", offer("one", seconds=50.0))]
    assert planned(protections, deadline=60).offer.protection == "one"
    with pytest.raises(Refused, match="No privacy method"):
        planned(protections, deadline=20.5)
    with pytest.raises(BadInput):
        planned(protections, deadline="soon")


def test_a_protection_that_declines_is_listed_with_its_reason():
    declined = Declined(protection="no", reason="It trains nothing.", remedy="Ask for a query.")
    plan = planned([FakeProtection("no", declined), FakeProtection("good", offer("good"))])
    assert plan.alternatives == (declined,)


def test_an_error_while_offering_is_that_protection_s_reason():
    plan = planned([FakeProtection("no", TaskFailed("It broke.")), FakeProtection("good", offer("good"))])
    assert plan.alternatives == (Declined(protection="no", reason="It broke."),)


def test_a_protection_cannot_answer_in_another_s_name():
    plan = planned(
        [FakeProtection("liar", offer("good", seconds=0.1)), FakeProtection("good", offer("good"))]
    )
    assert plan.offer.cost.seconds == 10.0
    assert plan.alternatives[0].protection == "liar"


def test_nothing_acceptable_is_refused_with_every_reason():
    declined = Declined(protection="no", reason="It trains nothing.", remedy="Ask for a query.")
    with pytest.raises(Refused) as caught:
        planned([FakeProtection("no", declined), FakeProtection("secret", offer("secret"))])
    assert [item["protection"] for item in caught.value.detail["alternatives"]] == ["no", "secret"]
    assert "It trains nothing." in caught.value.why
    with pytest.raises(Refused, match="No privacy method"):
        planned([])


def test_a_request_that_the_agreement_refuses_is_refused_by_its_clause():
    terms = agreement()
    asked = request(terms).model_copy(update={"purpose": "marketing"})
    with pytest.raises(Refused) as caught:
        make_plan(asked, facts(terms), [FakeProtection("one", offer("one"))], now=NOW, nonce=NONCE)
    assert caught.value.clause == "purpose"


def test_a_request_under_another_agreement_is_refused():
    terms = agreement()
    other = Facts(agreement=agreement(title="Another").to_odrl())
    with pytest.raises(Refused) as caught:
        make_plan(request(terms), other, [FakeProtection("one", offer("one"))], now=NOW, nonce=NONCE)
    assert caught.value.clause == "agreement"


def test_two_protections_of_one_name_are_refused():
    with pytest.raises(BadInput):
        planned([FakeProtection("one", offer("one")), FakeProtection("one", offer("one"))])


# -- properties -------------------------------------------------------------------------------------------------------

NAMES = ("alpha", "beta", "gamma", "delta-one")
reached = st.one_of(
    st.just(Hidden()),
    st.builds(Threshold, k=st.integers(1, 2)),
    st.builds(
        DifferentiallyPrivate,
        epsilon=st.sampled_from([0.5, 1.0]),
        delta=st.just(1e-9),
        unit=st.just("record"),
        mechanism=st.just("gaussian"),
    ),
    st.just(Disclosed(what="its size")),
)
some_claims = st.builds(
    Claim,
    artefact=st.sampled_from([Artefact.UPDATE, Artefact.RESULT]),
    against=st.builds(
        Adversary, seats=st.sampled_from([("owner",), ("owner", "coordinator"), ("recipient",)])
    ),
    reached=reached,
)
base = offer("one").claims.guarantees


@st.composite
def protections(draw, names=NAMES):
    found = []
    for name in draw(st.lists(st.sampled_from(names), unique=True, min_size=1)):
        answers = [
            offer(
                name,
                claims=Claims(
                    guarantees=(
                        *base[: draw(st.integers(0, len(base)))],
                        *draw(st.lists(some_claims, max_size=2)),
                    )
                ),
                seconds=draw(st.sampled_from([1.0, 2.0, 30.0])),
                epsilon=draw(st.sampled_from([0.0, 0.0, 0.5])),
            )
            for _ in range(draw(st.integers(1, 2)))
        ]
        found.append(FakeProtection(name, *answers))
    return found


floors = st.lists(
    st.builds(lambda need, party: Floor(party=party, claims=(need,)), some_claims, st.sampled_from(OWNERS)),
    max_size=1,
)


def outcome(terms, installed, order=None):
    asked, known = request(terms), facts(terms)
    if order is not None:
        installed = list(installed)
        order.shuffle(installed)
        datasets, recipients = list(asked.datasets.items()), list(asked.recipients)
        order.shuffle(datasets)
        order.shuffle(recipients)
        asked = asked.model_copy(update={"datasets": dict(datasets), "recipients": tuple(recipients)})
        known = known.model_copy(update={"catalogue": dict(reversed(known.catalogue.items()))})
        for item in installed:
            order.shuffle(item.answers)
    try:
        return make_plan(asked, known, installed, now=NOW, nonce=NONCE)
    except Refused as error:
        return error


@given(protections(), floors)
@settings(max_examples=150, deadline=None)
def test_no_plan_is_ever_below_any_party_s_floor(installed, own):
    terms = agreement(*own)
    plan = outcome(terms, installed)
    if not isinstance(plan, Refused):
        assert terms.below_floor(plan.offer.claims) == ()
        for floor in terms.floors:
            assert plan.offer.claims.below(floor.claims, frozenset(floor.accepted)) == ()


@given(protections(), floors, st.integers(0, 10**6))
@settings(max_examples=150, deadline=None)
def test_the_same_inputs_in_another_order_give_the_same_plan(installed, own, seed):
    terms = agreement(*own)
    first = outcome(terms, installed)
    second = outcome(terms, installed, random.Random(seed))
    if isinstance(first, Refused):
        assert first.problem() == second.problem()
    else:
        assert canonical(first.model_dump(mode="json")) == canonical(second.model_dump(mode="json"))


@given(protections(NAMES[:3]), floors, st.data())
@settings(max_examples=150, deadline=None)
def test_adding_a_weaker_protection_never_changes_the_choice(installed, own, data):
    terms = agreement(*own)
    before = outcome(terms, installed)
    if isinstance(before, Refused):
        return
    kept = (
        data.draw(st.lists(st.sampled_from(before.offer.claims.guarantees), max_size=3))
        if before.offer.claims.guarantees
        else []
    )
    weaker = Claims(guarantees=tuple(item for item in kept if not isinstance(item.reached, Disclosed)))
    if not stronger(before.offer.claims, weaker):
        return
    added = FakeProtection(
        NAMES[3], offer(NAMES[3], claims=weaker, seconds=data.draw(st.sampled_from([0.0, 1.0, 100.0])))
    )
    after = outcome(terms, [*installed, added])
    assert after.offer == before.offer


@given(protections(), floors)
@settings(max_examples=100, deadline=None)
def test_no_acceptable_alternative_is_stronger_than_the_choice(installed, own):
    terms = agreement(*own)
    plan = outcome(terms, installed)
    if isinstance(plan, Refused):
        return
    for item in installed:
        for answer in item.answers:
            if isinstance(outcome(terms, [FakeProtection(item.name, answer)]), Refused):
                continue
            assert not stronger(answer.claims, plan.offer.claims)
            if at_least_as_strong(answer.claims, plan.offer.claims):
                assert score(answer.cost) >= score(plan.offer.cost)


def test_where_nothing_is_left_each_method_says_why_on_a_line_of_its_own_and_what_would_help():
    declined = [
        FakeProtection(
            name, Declined(protection=name, reason=f"Not by {name}.", remedy=f"Wish for less {name}.")
        )
        for name in ("alpha", "beta")
    ]
    with pytest.raises(Refused) as caught:
        planned(declined)
    assert caught.value.why.splitlines() == [
        "alpha: Not by alpha. Wish for less alpha.",
        "beta: Not by beta. Wish for less beta.",
    ]


# -- in words ---------------------------------------------------------------------------------------------------------


def test_a_plan_in_words_says_who_learns_what_what_holds_and_what_does_not():
    names = {LAB: "Lab", **dict(zip(OWNERS, ("North", "South", "West"), strict=True))}
    plan = planned([FakeProtection("one", offer("one", seconds=50.0)), FakeProtection("two", offer("two"))])
    text = explain(plan, names)
    assert [section.title for section in sections(plan, names)] == [
        "What will be done",
        "Who does what",
        "What each one learns on the way",
        "What is guaranteed",
        "What is not protected",
        "What it costs",
        "Why not another way",
    ]
    for part in (
        "North, South and West",
        "the sum of updates",
        "sealed",
        "Owners may lie.",
        "10 seconds",
        "costs more",
    ):
        assert part in " ".join(text.split())
    assert plan.digest in text
    assert max(len(line) for line in text.splitlines()) <= 100


def test_a_plan_names_the_model_that_training_starts_from_and_that_everybody_gets_it():
    settings = {"trainable": ["head.", "up1."]}
    computation = Computation(kind="training", contents={"model": "sha256:" + "9" * 64}, settings=settings)
    terms = agreement()
    one = offer("one").model_copy(update={"parameters": {"parameters": 226_738, "trained": 34}})
    plan = make_plan(
        request(terms, computation=computation),
        facts(terms),
        [FakeProtection("one", one)],
        now=NOW,
        nonce=NONCE,
    )
    model = "sha256:" + "9" * 64
    text = explain(plan, width=300)
    assert "It starts from the model whose digest begins with sha256:9999999999999999." in text
    assert "it counts as public" in text
    assert (
        "Of its 226,738 numbers 34 are trained: the weights whose names begin with “head.” and “up1.”."
        in text
    )
    assert "It starts from the count (sha256:9999999999999999…)." in explain(
        plan, models={model: "the count"}
    )
    assert starting_point(plan, {model: "the count"}) == {
        "model": model, "name": "the count", "public": True,
        "parameters": 226_738, "trained": 34, "trainable": ["head.", "up1."],
    }  # fmt: skip
    whole = planned(
        [FakeProtection("one", one.model_copy(update={"parameters": {"parameters": 7, "trained": 7}}))]
    )
    assert "All of its 7 numbers are trained." in explain(whole, width=300)


def test_a_plans_costs_say_what_was_counted_and_what_is_a_guess():
    text = explain(planned([FakeProtection("one", offer("one"))]), width=200)
    assert "Model updates of about" in text
    assert "with signatures, votes and certificates at least 0.5 MB per server." in text
    assert "The time is a guess for an idle machine." in text


def test_a_party_without_a_name_is_shown_by_its_fingerprint():
    assert LAB[:8] + "…" in explain(planned([FakeProtection("one", offer("one"))]))


def test_costs_read_as_people_say_them():
    assert in_words(Cost(seconds=1.0, bytes_up=10, bytes_down=2)) == (
        "about 1 second, updates of 12 bytes, no privacy budget"
    )
    large = Cost(seconds=7200.0, bytes_up=3 * 10**9, bytes_down=0, epsilon=0.5)
    assert in_words(large) == "about 2 hours, updates of 3 GB, epsilon 0.5 of the privacy budget"


def test_the_agreement_in_the_tests_is_one():
    assert Terms.from_odrl(agreement().to_odrl()) == agreement()
