"""Agreements in words: every clause is told, in plain sentences, each beside the machine's form."""

from __future__ import annotations

import pytest
from agreement_cases import COMPUTATIONS, LAB, NORTH, OWNERS, any_terms, fake_party, sha, terms
from hypothesis import given, settings

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
from cloister.agreements.places import resolve
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
        "It holds from 15 Jan 2027 07:43:20 UTC until",
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


def resolved(agreement):
    document = agreement.to_odrl()
    return [
        (pointer, resolve(document, pointer))
        for section in sections(agreement)
        for sentence in section.sentences
        for pointer in sentence.pointers
    ]


@given(any_terms())
@settings(max_examples=80, deadline=None)
def test_every_sentence_points_at_a_clause_that_is_there(agreement):
    assert all(value is not None for _, value in resolved(agreement))


@given(any_terms())
@settings(max_examples=80, deadline=None)
def test_every_clause_of_the_machine_form_has_a_sentence_that_points_at_it_or_into_it(agreement):
    pointed = {pointer for pointer, _ in resolved(agreement)}
    document = agreement.to_odrl()
    places = [f"/cloister:parties/{n}" for n in range(len(document["cloister:parties"]))]
    for key in ("target", "action", "constraint"):
        places += [f"/permission/0/{key}/{n}" for n in range(len(document["permission"][0][key]))]
    for key in ("prohibition", "obligation"):
        places += [f"/{key}/{n}" for n in range(len(document[key]))]
    unsaid = [place for place in places if not any(p == place or p.startswith(f"{place}/") for p in pointed)]
    assert unsaid == []


def test_what_is_not_protected_is_marked():
    cared = {s.clause for section in sections(FULL) for s in section.sentences if s.weight == "care"}
    assert cared == {"experimental", "records", "claims"}
    bare = terms(budgets=(), witnesses=None)
    assert {"budget", "witnesses"} <= {
        s.clause for section in sections(bare) for s in section.sentences if s.weight == "care"
    }


def test_the_words_do_not_depend_on_more_than_the_terms():
    assert describe(terms()) == describe(terms())
    assert COMPUTATIONS["query"].digest[7:23] in told(terms())
    assert len(OWNERS) == 3
