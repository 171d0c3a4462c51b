"""The order of claims: a preorder, and no claim passes for a stronger one."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.claims.statements import ARTEFACTS, ASSUMPTIONS, BEHAVIOURS, against, statement, statements
from cloister.claims.strength import at_least_as_strong, stronger
from cloister.claims.vocabulary import (
    Adversary,
    Artefact,
    Assumption,
    Behaviour,
    Claim,
    Claims,
    DifferentiallyPrivate,
    Disclosed,
    Hidden,
    Sealed,
    Signed,
    Threshold,
)

NONE: frozenset[Assumption] = frozenset()

# Few values each, so that related claims are drawn often.
adversaries = st.builds(
    Adversary,
    seats=st.sets(st.sampled_from(["hub", "owner", "coordinator"]), min_size=1).map(tuple),
    colluding=st.integers(1, 2),
    behaviour=st.sampled_from(Behaviour),
)
reached = st.one_of(
    st.just(Hidden()),
    st.builds(Threshold, k=st.integers(1, 2)),
    st.builds(
        DifferentiallyPrivate,
        epsilon=st.sampled_from([1.0, 2.0]),
        delta=st.sampled_from([0.0, 1e-6]),
        unit=st.sampled_from(["row", "image"]),
        mechanism=st.just("gaussian"),
    ),
    st.just(Signed()),
    st.builds(Sealed, quantum_safe=st.booleans()),
    st.builds(Disclosed, what=st.sampled_from(["its size", "everything"])),
)
some_claims = st.builds(
    Claim,
    artefact=st.sampled_from([Artefact.INPUT, Artefact.RESULT]),
    against=adversaries,
    reached=reached,
    assumption=st.sampled_from([Assumption.NONE, Assumption.HARDWARE]),
)
claim_sets = st.lists(some_claims, max_size=4).map(lambda found: Claims(guarantees=tuple(found)))


@given(some_claims, st.frozensets(st.sampled_from(Assumption)))
def test_every_claim_satisfies_itself(claim, accepted):
    assert claim.satisfies(claim, accepted)


def _at_least(claim):
    """Claims that are close to `claim`, so that chains of three are not rare."""
    return st.builds(
        lambda other, keep: claim.model_copy(update={name: getattr(other, name) for name in keep}),
        some_claims,
        st.sets(st.sampled_from(["against", "reached", "assumption"]), max_size=2),
    )


@given(st.data(), some_claims)
@settings(max_examples=400, deadline=None)
def test_satisfying_is_transitive(data, first):
    second = data.draw(_at_least(first))
    third = data.draw(_at_least(second))
    if first.satisfies(second, NONE) and second.satisfies(third, NONE):
        assert first.satisfies(third, NONE)


@given(some_claims, some_claims)
@settings(max_examples=200)
def test_claims_about_different_artefacts_are_incomparable(first, second):
    if first.artefact != second.artefact:
        assert not first.satisfies(second, frozenset(Assumption))


HIDDEN = Claim(artefact=Artefact.INPUT, against=Adversary(seats=("hub",)), reached=Hidden())


@pytest.mark.parametrize(
    ("weaker", "name"),
    [
        ({"against": Adversary(seats=("hub", "owner"))}, "a larger adversary"),
        ({"against": Adversary(seats=("hub",), colluding=2)}, "more colluders"),
        ({"against": Adversary(seats=("hub",), behaviour=Behaviour.MALICIOUS)}, "a cheating adversary"),
        ({"artefact": Artefact.UPDATE}, "another artefact"),
        ({"reached": Signed()}, "another kind of promise"),
    ],
)
def test_a_claim_does_not_satisfy_a_floor_that_asks_for_more(weaker, name):
    assert not HIDDEN.satisfies(HIDDEN.model_copy(update=weaker), NONE), name


def test_an_assumption_counts_only_where_it_is_accepted():
    with_hardware = HIDDEN.model_copy(update={"assumption": Assumption.HARDWARE})
    assert not with_hardware.satisfies(HIDDEN, NONE)
    assert with_hardware.satisfies(HIDDEN, frozenset({Assumption.HARDWARE}))
    assert not with_hardware.satisfies(HIDDEN, frozenset({Assumption.HONEST_MAJORITY}))
    assert HIDDEN.satisfies(with_hardware, NONE)


@pytest.mark.parametrize("wanted", [Hidden(), Threshold(k=1), Signed(), Sealed()])
def test_something_disclosed_satisfies_no_promise(wanted):
    told = HIDDEN.model_copy(update={"reached": Disclosed(what="everything")})
    assert not told.satisfies(HIDDEN.model_copy(update={"reached": wanted}), frozenset(Assumption))


def test_smaller_epsilon_and_delta_are_stronger():
    def dp(epsilon, delta, unit="row"):
        made = DifferentiallyPrivate(epsilon=epsilon, delta=delta, unit=unit, mechanism="gaussian")
        return HIDDEN.model_copy(update={"reached": made})

    assert dp(1.0, 0.0).satisfies(dp(2.0, 1e-6), NONE)
    assert not dp(2.0, 0.0).satisfies(dp(1.0, 1e-6), NONE)
    assert not dp(1.0, 1e-5).satisfies(dp(1.0, 1e-6), NONE)
    assert not dp(1.0, 0.0, "image").satisfies(dp(1.0, 0.0), NONE)


def test_a_floor_is_met_claim_by_claim():
    other = HIDDEN.model_copy(update={"artefact": Artefact.UPDATE})
    assert Claims(guarantees=(HIDDEN,)).below((HIDDEN, other), NONE) == (other,)
    assert Claims(guarantees=(other, HIDDEN)).below((HIDDEN, other), NONE) == ()


@given(claim_sets)
def test_a_set_of_claims_is_as_strong_as_itself_and_not_stronger(claims):
    assert at_least_as_strong(claims, claims)
    assert not stronger(claims, claims)


@given(st.data(), claim_sets)
@settings(max_examples=300, deadline=None)
def test_being_as_strong_is_transitive(data, first):
    def part(claims):
        kept = (
            data.draw(st.lists(st.sampled_from(claims.guarantees), max_size=3)) if claims.guarantees else []
        )
        added = data.draw(st.lists(some_claims, max_size=1))
        return Claims(guarantees=(*kept, *added))

    second = part(first)
    third = part(second)
    if at_least_as_strong(first, second) and at_least_as_strong(second, third):
        assert at_least_as_strong(first, third)


def test_disclosing_more_is_not_as_strong():
    told = HIDDEN.model_copy(update={"reached": Disclosed(what="its size")})
    silent, open_ = Claims(guarantees=(HIDDEN,)), Claims(guarantees=(HIDDEN, told))
    assert stronger(silent, open_)
    assert not at_least_as_strong(open_, silent)


@given(some_claims)
@settings(max_examples=150)
def test_every_claim_has_one_sentence(claim):
    text = statement(claim)
    assert text.endswith(".")
    assert text.count(". ") == 0
    assert text[0].isupper()
    assert against(claim.against, claim.artefact) in text


@given(some_claims, some_claims)
@settings(max_examples=200)
def test_claims_that_say_different_things_read_differently(first, second):
    if statement(first) == statement(second):
        same = ("artefact", "assumption")
        if isinstance(first.reached, Disclosed):
            same = ()
        assert all(getattr(first, name) == getattr(second, name) for name in same)
        assert first.reached == second.reached
        assert first.against.seats == second.against.seats


def test_what_is_disclosed_stands_among_what_is_not_protected():
    told = HIDDEN.model_copy(update={"reached": Disclosed(what="its size")})
    promised, open_ = statements(Claims(guarantees=(told, HIDDEN), not_protected=("Owners may lie.",)))
    assert promised == (statement(HIDDEN),)
    assert open_ == ("Not hidden from the relay: its size.", "Owners may lie.")


def test_every_word_of_the_vocabulary_has_its_sentence():
    assert set(ARTEFACTS) == set(Artefact)
    assert set(ASSUMPTIONS) == set(Assumption)
    assert set(BEHAVIOURS) == set(Behaviour)


@pytest.mark.parametrize(
    ("epsilon", "delta", "percent"),
    [
        (math.log(3), 0.0, "75"),
        (1e-9, 0.0, "50.1"),
        (1.0, 0.0, "73.2"),
        (8.0, 1e-6, "99.967"),
        (40.0, 0.0, "100"),
    ],
)
def test_an_epsilon_is_told_as_what_a_guess_can_reach_never_less(epsilon, delta, percent):
    """Kairouz, Oh, Viswanath 2015: at most (exp(epsilon) + delta) / (exp(epsilon) + 1), rounded up."""
    made = DifferentiallyPrivate(epsilon=epsilon, delta=delta, unit="image", mechanism="noise")
    text = statement(HIDDEN.model_copy(update={"reached": made}))
    assert f"right in at most {percent} % of cases" in text
    assert float(percent) >= 100 * (math.exp(epsilon) + delta) / (math.exp(epsilon) + 1) - 1e-9


def test_a_unit_that_may_be_at_several_owners_is_told_as_such():
    made = DifferentiallyPrivate(epsilon=1.0, delta=0.0, unit="image", mechanism="noise", occurrences=3)
    assert "(at up to 3 owners at once)" in statement(HIDDEN.model_copy(update={"reached": made}))


def test_protecting_a_unit_at_fewer_owners_is_weaker():
    three = DifferentiallyPrivate(epsilon=1.0, delta=0.0, unit="row", mechanism="x", occurrences=3)
    one = three.model_copy(update={"occurrences": 1})
    assert HIDDEN.model_copy(update={"reached": three}).satisfies(
        HIDDEN.model_copy(update={"reached": one}), NONE
    )
    assert not HIDDEN.model_copy(update={"reached": one}).satisfies(
        HIDDEN.model_copy(update={"reached": three}), NONE
    )
