"""Differences of two versions: every changed field is named, and whether more is permitted afterwards, or less."""

from __future__ import annotations

from collections import Counter

import pytest
from agreement_cases import LAB, NORTH, SOUTH, VISITOR, any_terms, fake_party, sha, terms
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.agreements.changes import opposite
from cloister.agreements.clauses import (
    Duty,
    Floor,
    Member,
    QualityFloor,
    ReleaseTerms,
    Witness,
    Witnesses,
)
from cloister.agreements.differences import differences
from cloister.agreements.signing import amend
from cloister.agreements.terms import Terms
from cloister.claims.vocabulary import Adversary, Artefact, Assumption, Claim, Hidden

HEADER = {"uid", "version", "previous"}
HIDDEN = Claim(artefact=Artefact.UPDATE, against=Adversary(seats=("coordinator",)), reached=Hidden())


def changed(**changes):
    return differences(terms(), amend(terms(), changes))


def first(items, **changes):
    return (items[0].model_copy(update=changes), *items[1:])


@given(any_terms())
@settings(max_examples=60, deadline=None)
def test_equal_terms_have_no_differences_and_a_new_number_alone_is_none(agreement):
    assert differences(agreement, agreement) == ()
    assert differences(agreement, amend(agreement, {})) == ()


@given(any_terms(), any_terms())
@settings(max_examples=150, deadline=None)
def test_every_field_that_differs_is_named_and_no_other(old, new):
    named = {item.field.partition(".")[0] for item in differences(old, new)}
    differing = {name for name in Terms.model_fields if getattr(old, name) != getattr(new, name)}
    assert named == differing - HEADER


@given(any_terms(), st.data())
@settings(max_examples=150, deadline=None)
def test_every_single_field_that_is_changed_is_named(old, data):
    other = data.draw(any_terms())
    for name in set(Terms.model_fields) - HEADER:
        new = old.model_copy(update={name: getattr(other, name)})  # unchecked: also what nobody could sign
        named = {item.field.partition(".")[0] for item in differences(old, new)}
        assert named == ({name} if getattr(old, name) != getattr(new, name) else set())


@given(any_terms(), any_terms())
@settings(max_examples=150, deadline=None)
def test_the_change_back_means_the_reverse(old, new):
    there = Counter((item.field, opposite(item.effect)) for item in differences(old, new))
    assert there == Counter((item.field, item.effect) for item in differences(new, old))


BASE = terms()
RELEASE = BASE.release.model_dump()
MORE = {
    "epsilon raised": {"budgets": first(BASE.budgets, epsilon=40.0)},
    "delta raised": {"budgets": first(BASE.budgets, delta=0.1)},
    "no budget": {"budgets": ()},
    "a purpose": {"purposes": (*BASE.purposes, "advertising")},
    "a recipient": {"recipients": tuple(dict.fromkeys((*BASE.recipients, NORTH)))},
    "all columns": {"datasets": first(BASE.datasets, columns=None)},
    "personal data": {"datasets": first(BASE.datasets, sensitivity="personal")},
    "any version": {"datasets": first(BASE.datasets, commitment=None)},
    "an asker": {
        "members": (
            *BASE.members,
            Member(party=fake_party(8), name="Newcomer", roles=("researcher",), seats=()),
        )
    },
    "with records": {"computations": first(BASE.computations, records="owner-accepts")},
    "a method": {"computations": first(BASE.computations, protections=("fake", "trial", "third"))},
    "no floor": {"floors": ()},
    "an assumption": {"floors": first(BASE.floors, accepted=(*BASE.floors[0].accepted, Assumption.HARDWARE))},
    "fewer owners": {"minimum_parties": 1},
    "smaller groups": {"minimum_group": 2},
    "fewer colluders": {"colluders": 1},
    "anywhere": {"residency": ()},
    "quorum": {"release": ReleaseTerms(**(RELEASE | {"quorum": 1}))},
    "attempts": {"release": ReleaseTerms(**(RELEASE | {"attempts": 50}))},
    "size": {"release": ReleaseTerms(**(RELEASE | {"max_bytes": 1 << 40}))},
    "longer": {"valid_until": "2037-02-01T00:00:00Z"},
    "earlier": {"valid_from": "2007-02-01T00:00:00Z"},
    "no duties": {"duties": ()},
}


@pytest.mark.parametrize("name", MORE)
def test_what_permits_more_is_said_to_protect_less_and_the_way_back_to_protect_more(name):
    found = changed(**MORE[name])
    if name == "with records":
        base = terms(computations=first(BASE.computations, records="refused"))
        found = differences(base, amend(base, MORE[name]))
    if name == "no duties":
        base = terms(duties=(Duty(action="delete", days=30), Duty(action="report", days=9)))
        found = differences(base, amend(base, {"duties": ()}))
    if name == "any version":
        base = terms(datasets=first(BASE.datasets, commitment=sha(44)))
        found = differences(base, amend(base, {"datasets": first(BASE.datasets, commitment=None)}))
    assert found
    assert {item.effect for item in found} == {"more"}
    assert all(item.meaning.startswith("weaker protection for ") for item in found)


def test_it_is_said_whose_protection_a_larger_budget_weakens():
    (found,) = changed(budgets=first(BASE.budgets, epsilon=40.0))
    owner = BASE.name_of(BASE.budgets[0].owner)
    assert found.text == f"The epsilon that may be spent of “pumps” of {owner} was 4 and is 40."
    assert found.meaning == f"weaker protection for {owner}"


def test_numbers_that_print_alike_are_told_apart():
    (found,) = changed(budgets=first(BASE.budgets, epsilon=4.000000001))
    assert "4.000000001" in found.text


def test_a_stricter_floor_of_one_party_is_its_own():
    (found,) = changed(floors=(*BASE.floors, Floor(party=SOUTH, claims=(HIDDEN,))))
    assert (found.kind, found.effect, found.whom) == ("added", "less", "South")
    assert found.text.startswith("South asks now: ")


def test_other_witnesses_are_neither_more_nor_less():
    one = terms(witnesses=Witnesses(parties=(Witness(party=fake_party(9), name="Notary"),), threshold=1))
    two = Witnesses(parties=(Witness(party=fake_party(8), name="Other"),), threshold=1)
    (found,) = differences(one, amend(one, {"witnesses": two}))
    assert found.effect == "other"
    assert found.meaning == ""
    assert "Notary" in found.text
    assert "Other" in found.text


def test_a_better_quality_lets_less_out_and_another_metric_is_just_another():
    base = terms(release=ReleaseTerms(quorum=2, quality=QualityFloor(metric="r2", minimum=0.5)))
    better = ReleaseTerms(quorum=2, quality=QualityFloor(metric="r2", minimum=0.9))
    other = ReleaseTerms(quorum=2, quality=QualityFloor(metric="accuracy", minimum=0.5))
    assert [item.effect for item in differences(base, amend(base, {"release": better}))] == ["less"]
    assert [item.effect for item in differences(base, amend(base, {"release": other}))] == ["other"]


def test_a_changed_order_is_named_by_its_field():
    (found,) = differences(terms(), terms(members=terms().members[::-1]))
    assert (found.field, found.effect) == ("members", "other")
    assert "order" in found.text


def test_a_change_that_alters_only_an_order_is_named_beside_those_that_alter_more():
    found = differences(terms(), terms(members=terms().members[::-1], dropouts=0))
    assert {item.field for item in found} == {"members", "dropouts"}


def test_a_party_that_leaves_is_called_by_its_name_in_the_earlier_version():
    base = terms(recipients=(LAB,))
    without = amend(base, {"members": tuple(m for m in base.members if m.party != VISITOR)})
    (found,) = differences(base, without)
    assert found.text.startswith("Visitor no longer takes part")


def test_the_reader_s_own_names_are_used():
    (found,) = differences(
        BASE, amend(BASE, {"budgets": first(BASE.budgets, epsilon=40.0)}), {NORTH: "Northern pumps"}
    )
    assert "North (you call it Northern pumps)" in found.text
