"""Agreements in words: every clause is told, in plain sentences, and a change reads as what it changes."""

from __future__ import annotations

import pytest
from agreement_cases import COMPUTATIONS, LAB, NORTH, OWNERS, VISITOR, any_terms, fake_party, sha, terms
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.agreements.clauses import (
    AllowedComputation,
    Duty,
    Floor,
    QualityFloor,
    ReleaseTerms,
    Witness,
    Witnesses,
)
from cloister.agreements.decision import RULES
from cloister.agreements.differences import differences
from cloister.agreements.signing import amend
from cloister.agreements.words import describe, sections
from cloister.claims.vocabulary import Adversary, Artefact, Claim, Disclosed, Hidden

FULL = terms(
    computations=(
        AllowedComputation(
            kind="training",
            protections=("fake", "trial"),
            experimental=("trial",),
            digests=(sha(1),),
            records="owner-accepts",
            digests_with_records=(sha(1),),
        ),
        *terms().computations[1:],
    ),
    forbidden=(sha(5),),
    owners_per_unit=1,
    release=ReleaseTerms(quorum=2, quality=QualityFloor(metric="accuracy", minimum=0.8)),
    witnesses=Witnesses(parties=(Witness(party=fake_party(9), name="Notary"),), threshold=1),
    duties=(
        Duty(action="delete", days=30),
        Duty(action="inform", days=1),
        Duty(action="attribute", text="Made with the pumps of three plants"),
        Duty(action="report", days=90, by=NORTH),
    ),
)


def flat(agreement, names=None, width=100):
    return " ".join(describe(agreement, names, width).replace("\n", " ").split())


def told(agreement):
    return " ".join(sentence.text for section in sections(agreement) for sentence in section.sentences)


@pytest.mark.parametrize(
    "part",
    [
        "North gives data to work on",
        "Lab may ask for work to be done and may use results",
        "“pumps” of North",
        "Only these columns: hours, wear",
        "train a model on it, by the privacy method fake and trial",
        "Accepted although experimental: trial",
        "may contain input records",
        "Only for: maintenance; research",
        "Everything else is forbidden",
        "hidden from the relay and outsiders, even if they cheat",
        "at least 2 owners",
        "fewer than 10",
        "withstand 2 of them",
        "Up to 1 owner may drop out",
        "kept in DE and FR",
        "at no more than 1 of the owners",
        "epsilon 4 and delta 1e-05",
        "At least 2 of 3 owners must sign",
        "accuracy, measured there on its own check data, is at least 0.8",
        "at most 3 times",
        "at most 256 MiB",
        "It goes to Lab and Visitor",
        "Notary countersign",
        "within 30 days",
        "within 1 day.",
        "“Made with the pumps of three plants”",
        "North's server writes a summary of what was done every 90 days",
        "It holds from 2027-01-15 07:43:20 UTC until",
        "Any party can suspend it, or end it for good",
        "Nobody can check that an owner's data is true",
    ],
)
def test_every_clause_is_told_in_plain_words(part):
    assert part in told(FULL)


def test_witnesses_of_whom_none_is_independent_are_said_to_be_a_weaker_watch():
    says = "nobody else notices it"
    own = Witnesses(
        parties=tuple(Witness(party=party, name=name) for party, name in ((NORTH, "North"), (LAB, "Lab"))),
        threshold=2,
    )
    assert says in told(FULL.model_copy(update={"witnesses": own}))
    notary = Witness(party=fake_party(9), name="Notary")
    apart = own.model_copy(update={"parties": (*own.parties, notary)})
    assert says not in told(FULL.model_copy(update={"witnesses": apart}))
    assert says not in told(FULL)
    # Who does nothing but watch is independent, also where it signs.
    watcher = FULL.members[0].model_copy(
        update={"party": notary.party, "name": "Notary", "roles": ("witness",)}
    )
    alone = Witnesses(parties=(notary,), threshold=1)
    agreement = FULL.model_copy(update={"witnesses": alone, "members": (*FULL.members, watcher)})
    assert says not in told(agreement)


def test_the_clauses_names_are_those_that_refusals_use():
    named = {sentence.clause for section in sections(FULL) for sentence in section.sentences}
    rules = {name for name, _ in RULES}
    told_of = {
        "validity", "parties", "purpose", "forbidden", "computation", "experimental", "datasets", "residency",
        "minimum-parties", "dropouts", "colluders", "minimum-group", "recipients", "claims", "approval", "records",
        "budget", "signatures", "state", "attempts",
    }  # fmt: skip
    assert told_of <= named
    assert told_of <= rules


UPDATES_SEEN = (
    "The coordinator of a training sees each owner's model update, which may contain input records."
)


def not_promised(agreement):
    (found,) = [section for section in sections(agreement) if section.title == "What is not promised"]
    return [sentence.text for sentence in found.sentences]


def hidden_update(*seats, reached=None):
    claim = Claim(artefact=Artefact.UPDATE, against=Adversary(seats=seats), reached=reached or Hidden())
    return terms(floors=(*terms().floors, Floor(party=NORTH, claims=(claim,))))


def test_who_reads_only_the_agreement_learns_that_the_coordinator_sees_the_updates():
    for agreement in (
        FULL,
        terms(floors=()),
        hidden_update("owner", "hub"),
        hidden_update("coordinator", reached=Disclosed(what="updates")),
    ):
        assert UPDATES_SEEN in not_promised(agreement)


def test_that_updates_are_seen_is_not_said_where_it_is_asked_that_they_are_hidden_or_nothing_is_trained_so():
    assert UPDATES_SEEN not in not_promised(hidden_update("coordinator"))
    noised = tuple(item.model_copy(update={"records": "refused"}) for item in terms().computations)
    assert UPDATES_SEEN not in not_promised(terms(computations=noised))


@pytest.mark.parametrize("width", [40, 71, 72, 100, 160])
def test_the_text_keeps_to_the_terminal_s_width(width):
    text = describe(FULL, {}, width)
    longest = max(text.splitlines()[3:-2], key=len)
    assert len(longest) <= max(width, 60), longest
    assert "[recipients]" in text


def test_the_reader_s_own_name_for_a_party_stands_beside_the_printed_one():
    text = flat(terms(), {NORTH: "Northern pumps", LAB: "Lab"})
    assert "North (you call it Northern pumps)" in text
    assert "Lab (you call it" not in text


@given(any_terms())
@settings(max_examples=60, deadline=None)
def test_any_agreement_can_be_described(agreement):
    text = describe(agreement)
    assert agreement.title in text
    assert agreement.digest in text
    words = " ".join(text.split())
    for member in agreement.members:
        assert " ".join(member.name.split()) in words


CHANGES = {
    "title": "Another title",
    "forbidden": ("sha256:" + "6" * 64,),
    "purposes": ("maintenance",),
    "floors": (),
    "budgets": (),
    "dropouts": 0,
    "colluders": 1,
    "minimum_parties": 1,
    "minimum_group": 11,
    "owners_per_unit": None,
    "residency": (),
    "recipients": (VISITOR,),
    "release": ReleaseTerms(quorum=3),
    "witnesses": None,
    "valid_until": "2027-02-01T00:00:00Z",
    "valid_from": "2027-01-01T00:00:00Z",
    "duties": (),
    "computations": FULL.computations[:1],
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_clause_is_told_as_a_difference(name):
    found = differences(FULL, amend(FULL, {name: CHANGES[name]}))
    assert found
    assert not all(text.startswith("Changed:") for text in found)


@given(any_terms(), st.data())
@settings(max_examples=40, deadline=None)
def test_there_are_no_differences_only_between_equal_terms(agreement, data):
    assert differences(agreement, agreement) == ()
    other = data.draw(any_terms())
    assert bool(differences(agreement, other)) == (
        agreement.model_dump(exclude={"uid", "version", "previous"})
        != other.model_dump(exclude={"uid", "version", "previous"})
    )


def test_a_change_that_alters_no_sentence_is_named_beside_those_that_do():
    changed = terms(members=terms().members[::-1], dropouts=0)
    found = differences(terms(), changed)
    assert "Changed: members." in found
    assert len(found) == 3


def test_a_changed_order_is_named_by_its_field():
    assert differences(terms(), terms(members=terms().members[::-1])) == ("Changed: members.",)


def test_the_words_do_not_depend_on_more_than_the_terms():
    assert describe(terms()) == describe(terms())
    assert COMPUTATIONS["query"].digest[7:23] in told(terms())
    assert len(OWNERS) == 3
