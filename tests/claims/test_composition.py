"""Claims follow from claims by rules with a source, and never say more than their parts (`claims.composition`)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.claims.composition import assuming, in_parallel, post_processed, summed
from cloister.claims.vocabulary import (
    Adversary,
    Artefact,
    Assumption,
    Behaviour,
    Claim,
    DifferentiallyPrivate,
    Disclosed,
    Hidden,
)
from cloister.foundation.errors import BadInput

noises = st.builds(
    DifferentiallyPrivate,
    epsilon=st.sampled_from([0.5, 1.0, 8.0]),
    delta=st.sampled_from([0.0, 1e-6]),
    unit=st.just("image"),
    mechanism=st.just("gaussian"),
    occurrences=st.integers(1, 3),
)
adversaries = st.builds(
    Adversary,
    seats=st.lists(st.sampled_from(["coordinator", "hub", "owner"]), min_size=1).map(tuple),
    colluding=st.integers(1, 3),
    behaviour=st.sampled_from(Behaviour),
)
private = st.builds(
    Claim,
    artefact=st.just(Artefact.UPDATE),
    against=adversaries,
    reached=noises,
    assumption=st.sampled_from([Assumption.NONE, Assumption.HONEST_OWNERS]),
    citation=st.sampled_from(["", "somebody 2020"]),
)
NOISE = DifferentiallyPrivate(epsilon=1.0, delta=1e-6, unit="image", mechanism="gaussian")
UNSEEN = Claim(
    artefact=Artefact.UPDATE, against=Adversary(seats=("coordinator", "owner"), colluding=2), reached=Hidden()
)


@given(private)
def test_what_is_computed_from_it_is_as_private_against_the_same_and_against_who_sees_it(claim):
    """Post-processing."""
    found = post_processed(claim, Artefact.RESULT, "recipient")
    assert found.artefact is Artefact.RESULT
    assert found.reached == claim.reached
    assert set(found.against.seats) == {*claim.against.seats, "recipient"}
    assert (found.against.colluding, found.against.behaviour) == (
        claim.against.colluding,
        claim.against.behaviour,
    )
    assert found.assumption == claim.assumption
    assert "Dwork" in found.citation


@given(
    st.lists(private, min_size=1, max_size=4), st.sampled_from([Assumption.NONE, Assumption.HONEST_OWNERS])
)
@settings(max_examples=200)
def test_side_by_side_it_is_as_private_as_the_least_private_part(claims, stated):
    """Rules 1, 2 and 3: every part satisfies what is composed of them, but for the assumption that is stated."""
    seats = set.intersection(*(set(claim.against.seats) for claim in claims))
    if not seats:
        with pytest.raises(BadInput):
            in_parallel(claims, stated=stated)
        return
    found = in_parallel(claims, stated=stated)
    for claim in claims:
        assert claim.satisfies(found, frozenset(Assumption))
        assert found.assumption in (claim.assumption, Assumption.HONEST_OWNERS)
    if stated is not Assumption.NONE:
        assert found.assumption is stated


def test_side_by_side_of_other_units_or_of_nothing_there_is_no_claim():
    one = Claim(artefact=Artefact.UPDATE, against=Adversary(seats=("hub",)), reached=NOISE)
    other = one.model_copy(update={"reached": NOISE.model_copy(update={"unit": "row"})})
    for parts in ([one, other], [], [one, UNSEEN]):
        with pytest.raises(BadInput):
            in_parallel(parts)


@given(adversaries, noises)
def test_a_sum_of_hidden_parts_is_as_private_as_its_noise_against_whom_they_are_hidden_from(against, noise):
    hidden = Claim(artefact=Artefact.UPDATE, against=against, reached=Hidden())
    found = summed(hidden, noise, shared=Assumption.HONEST_OWNERS)
    assert (found.artefact, found.against, found.reached) == (Artefact.AGGREGATE, against, noise)
    assert found.assumption is Assumption.HONEST_OWNERS
    assert found.citation


@pytest.mark.parametrize(
    "seen",
    [
        UNSEEN.model_copy(update={"reached": Disclosed(what="everything")}),
        UNSEEN.model_copy(update={"artefact": Artefact.INPUT}),
        UNSEEN.model_copy(update={"reached": NOISE}),
    ],
)
def test_where_single_parts_are_seen_the_sum_s_noise_says_nothing(seen):
    with pytest.raises(BadInput):
        summed(seen, NOISE, shared=Assumption.HONEST_OWNERS)


def test_two_different_assumptions_are_no_claim():
    """Rule 2."""
    assert assuming() is Assumption.NONE
    assert assuming(Assumption.NONE, Assumption.HARDWARE, Assumption.HARDWARE) is Assumption.HARDWARE
    with pytest.raises(BadInput):
        assuming(Assumption.HARDWARE, Assumption.HONEST_OWNERS)


def test_only_noise_survives_being_computed_on():
    with pytest.raises(BadInput):
        post_processed(UNSEEN, Artefact.RESULT)
