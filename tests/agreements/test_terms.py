"""Terms: their written form is lossless and unique, and what contradicts itself is refused."""

from __future__ import annotations

import pytest
from agreement_cases import LAB, NORTH, NOW, OWNERS, STRANGER, any_terms, entry, sha, terms
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from cloister.agreements.clauses import AllowedComputation, Budget, Duty, Member, ReleaseTerms, UsableDataset
from cloister.agreements.enforceable import check_enforceable
from cloister.agreements.profile import PROFILE
from cloister.agreements.terms import Terms
from cloister.foundation.canonical import canonical, parse, parse_canonical
from cloister.foundation.clock import rfc3339
from cloister.foundation.errors import BadInput, CloisterError


@given(any_terms())
@settings(max_examples=80, deadline=None)
def test_the_written_form_is_lossless_both_ways(agreement):
    document = agreement.to_odrl()
    sent = parse_canonical(canonical(document))
    assert check_enforceable(sent) == []
    read = Terms.from_odrl(sent)
    assert read == agreement
    assert canonical(read.to_odrl()) == canonical(document)
    assert read.digest == agreement.digest


@given(any_terms(), any_terms())
@settings(max_examples=40, deadline=None)
def test_different_terms_have_different_digests(first, second):
    assert (first == second) == (first.digest == second.digest)


def test_the_document_is_shaped_as_odrl_asks():
    document = terms().to_odrl()
    assert document["@type"] == "Agreement"
    assert document["profile"] == PROFILE
    assert document["uid"].startswith("urn:uuid:")
    (permission,) = document["permission"]
    assert permission["assigner"] == [f"urn:cloister:party:{party}" for party in OWNERS]
    assert permission["assignee"] == [f"urn:cloister:party:{LAB}"]
    assert {item["rdf:value"]["@id"] for item in permission["action"]} == {
        "cloister:training",
        "cloister:query",
    }
    for rule in (*document["permission"], *document["prohibition"]):
        assert {"assigner", "assignee", "target", "action"} <= set(rule)
    for constraint in permission["constraint"]:
        assert set(constraint) == {"leftOperand", "operator", "rightOperand"}


def _paths(value, path=()):
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from _paths(value[key], (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _paths(item, (*path, number))


def _replaced(document, path, new):
    copy = parse(canonical(document))
    if not path:
        return new
    place = copy
    for part in path[:-1]:
        place = place[part]
    if new is _GONE:
        del place[path[-1]]
    else:
        place[path[-1]] = new
    return copy


_GONE = object()
junk = st.one_of(
    st.just(_GONE), st.none(), st.booleans(), st.integers(-5, 5), st.text(max_size=5), st.lists(st.integers(), max_size=2),
    st.dictionaries(st.sampled_from(["and", "@value", "uid", "x"]), st.integers(), max_size=2),
)  # fmt: skip


@given(any_terms(), st.data())
@settings(max_examples=150, deadline=None)
def test_a_document_that_was_changed_anywhere_is_refused_or_means_something_else(agreement, data):
    document = agreement.to_odrl()
    path = data.draw(st.sampled_from(list(_paths(document))))
    changed = _replaced(document, path, data.draw(junk))
    try:
        read = Terms.from_odrl(changed)
    except CloisterError:
        return
    assert canonical(read.to_odrl()) == canonical(changed)
    assert (read == agreement) == (canonical(changed) == canonical(document))


def test_another_order_of_the_same_constraints_is_not_the_one_written_form():
    document = terms().to_odrl()
    document["permission"][0]["constraint"].reverse()
    with pytest.raises(BadInput) as caught:
        Terms.from_odrl(document)
    assert "permission" in caught.value.why


def test_a_repeated_constraint_is_refused():
    document = terms().to_odrl()
    document["permission"][0]["constraint"].append(document["permission"][0]["constraint"][0])
    with pytest.raises(BadInput):
        Terms.from_odrl(document)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"minimum_parties": 3, "dropouts": 1}, "minimum parties"),
        ({"release": ReleaseTerms(quorum=4)}, "quorum"),
        ({"colluders": 6}, "colluders"),
        ({"recipients": (STRANGER,)}, "recipient"),
        ({"recipients": (LAB, LAB)}, "twice"),
        ({"valid_until": rfc3339(NOW - 2000)}, "ends before"),
        ({"valid_from": "2026-13-01T00:00:00Z"}, "time"),
        ({"previous": sha(1)}, "version"),
        ({"datasets": (UsableDataset(owner=STRANGER, name="pumps"),)}, "owner"),
        ({"datasets": (UsableDataset(owner=NORTH, name="pumps"),)}, "budget"),
        (
            {
                "budgets": (
                    Budget(owner=NORTH, dataset="other", population="p", unit="row", epsilon=1.0, delta=0.0),
                )
            },
            "budget",
        ),
        ({"title": "Wear\u202eof pumps"}, "cannot be seen"),
        ({"title": "Wear\x1b[2J"}, "cannot be seen"),
        ({"duties": (Duty(action="delete", days=3, by=STRANGER),)}, "duty"),
    ],
)
def test_terms_that_contradict_themselves_are_refused(changes, why):
    with pytest.raises(ValidationError, match=why):
        terms(**changes)


def test_two_parties_with_one_name_are_refused():
    members = tuple(
        Member(party=item.party, name="Same", roles=item.roles, seats=item.seats) for item in terms().members
    )
    with pytest.raises(ValidationError, match="name is named twice"):
        terms(members=members)


@pytest.mark.parametrize(
    "changes",
    [
        {"approval": "listed"},
        {"experimental": ("other",)},
        {"digests_with_records": (sha(1),)},
        {"kind": "query", "records": "owner-accepts"},
    ],
)
def test_a_permission_that_contradicts_itself_is_refused(changes):
    with pytest.raises(ValidationError):
        AllowedComputation(**({"kind": "training", "protections": ("fake",)} | changes))


def test_a_dataset_without_a_commitment_is_the_owner_s_of_that_name():
    agreement = terms(datasets=tuple(UsableDataset(owner=p, name="pumps") for p in OWNERS))
    assert agreement.dataset(NORTH, sha(99)) is not None
    assert agreement.dataset(NORTH, sha(99), entry(NORTH, commitment=sha(99))) is not None
    assert agreement.dataset(NORTH, sha(99), entry(NORTH, name="others")) is None


def test_a_dataset_with_a_commitment_is_exactly_that_version():
    assert terms().dataset(NORTH, sha(1)) is not None
    assert terms().dataset(NORTH, sha(2)) is None
    assert terms().dataset(LAB, sha(1)) is None


def test_names_are_those_printed():
    assert terms().name_of(NORTH) == "North"
    assert terms().name_of(STRANGER).endswith("…")
