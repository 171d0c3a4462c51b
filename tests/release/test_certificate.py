"""The certificate, and every way in which one does not hold."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from release_world import ADMISSIONS, KEYS

from cloister.claims.vocabulary import Adversary, Artefact, Claim, Claims, Disclosed
from cloister.foundation.canonical import canonical
from cloister.foundation.digests import digest
from cloister.foundation.errors import BadInput, CloisterError, NotTrusted
from cloister.identity import envelopes
from cloister.identity.envelopes import Envelope
from cloister.planner.explain import sections as plan_in_words
from cloister.protections.federated.offers import PAIR_WARNING
from cloister.release import CHECKS, Expectations, verify_certificate
from cloister.release.certificate import PAYLOAD_TYPE, in_words, read_statement, statement, verify_statement
from protections import federation as f

TERMS = f.terms(duties=[{"action": "attribute", "text": "Made by three factories"}])
PLAN = f.plan(TERMS)
CONTENT = b"a model"
OWNERS = PLAN.offer.seats["owner"]


def document(**changes):
    fields = {
        "kind": "model",
        "content_digest": digest(CONTENT),
        "size": len(CONTENT),
        "facts": {"rounds": 3},
        "created": f.NOW,
        "admissions": ADMISSIONS,
        "checks": CHECKS,
    }
    return statement(PLAN, TERMS, **(fields | changes))


def signed(said=None, by=OWNERS[:2], kind=PAYLOAD_TYPE):
    said = document() if said is None else said
    envelope = envelopes.sign(kind, said, by[0], KEYS.secret[by[0]])
    for name in by[1:]:
        envelope = envelopes.cosign(envelope, name, KEYS.secret[name])
    return envelope


GOOD = signed()
EXPECTED = Expectations.of(TERMS, PLAN, f.NOW)


def fails(check, envelope=GOOD, content=CONTENT, expected=EXPECTED):
    with pytest.raises(NotTrusted) as caught:
        verify_certificate(envelope, content, KEYS, expected)
    assert caught.value.clause == f"certificate-{check}"


def test_a_certificate_with_a_quorum_holds_and_says_what_was_done():
    found = verify_certificate(GOOD, CONTENT, KEYS, EXPECTED)
    assert found.signed_by == frozenset(OWNERS[:2])
    assert found.predicate.gates.checks == CHECKS
    assert found.predicate.claims == PLAN.offer.claims
    assert (found.predicate.charges, found.predicate.audits) == ((), ())
    assert found.predicate.card.attribution == ("Made by three factories",)
    again = Envelope.decode(GOOD.encode())
    assert verify_certificate(again, CONTENT, KEYS, EXPECTED).content_digest == digest(CONTENT)


def test_it_is_an_in_toto_statement():
    said = GOOD.document()
    assert GOOD.payloadType == "application/vnd.in-toto+json"
    assert said["_type"] == "https://in-toto.io/Statement/v1"
    assert said["predicateType"] == "https://cloister.example/attestations/release/v1"
    assert said["subject"] == [{"name": "model", "digest": {"sha256": digest(CONTENT)[7:]}}]


def test_the_same_documents_make_the_same_bytes():
    assert canonical(document()) == canonical(document())


def test_a_person_can_read_it():
    text = in_words(verify_certificate(GOOD, CONTENT, KEYS, EXPECTED), {OWNERS[0]: "Northern works"})
    for part in (
        "Counting together",
        "Count better",
        "2 of 3",
        "Northern works",
        "may contain input records",
    ):
        assert part in text
    assert "accuracy at least 0.5" in text


def test_it_says_all_that_the_plan_says_is_not_protected():
    """Also what the plan discloses: where two answers make a round, that each owner can work out the other's update."""
    terms = f.terms(dropouts=1)
    plan = f.plan(terms)
    said = statement(
        plan, terms, kind="model", content_digest=digest(CONTENT), size=len(CONTENT), facts={}, created=f.NOW,
        admissions=ADMISSIONS, checks=CHECKS,
    )  # fmt: skip
    (shown,) = [section for section in plan_in_words(plan) if section.title == "What is not protected"]
    limits = said["predicate"]["card"]["limits"]
    assert limits == [sentence.text for sentence in shown.sentences]
    assert any(PAIR_WARNING in limit for limit in limits)
    text = in_words(verify_statement(signed(said), KEYS, Expectations.of(terms, plan, f.NOW)))
    assert all(f"  - {limit}" in text for limit in limits)


def test_the_longest_claims_fit_into_a_certificate():
    seats = tuple(f"{number:02}{'s' * 38}" for number in range(32))
    longest = Claim(
        artefact=Artefact.RESULT,
        against=Adversary(seats=seats, colluding=1000),
        reached=Disclosed(what="w" * 400),
    )
    claims = Claims(guarantees=(longest,) * 64, not_protected=("n" * 400,) * 64)
    plan = PLAN.model_copy(update={"offer": PLAN.offer.model_copy(update={"claims": claims})})
    said = statement(
        plan, TERMS, kind="model", content_digest=digest(CONTENT), size=len(CONTENT), facts={}, created=f.NOW,
        admissions=ADMISSIONS, checks=CHECKS,
    )  # fmt: skip
    assert len(said["predicate"]["card"]["limits"]) == 128
    assert read_statement(signed(said)).predicate.claims == claims


def changed(path, value):
    said = copy.deepcopy(document())
    place = said
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return signed(said)


def test_certificate_form_another_payload_type_is_refused():
    fails("form", signed(kind="application/vnd.cloister.plan+json"))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["_type"], "https://in-toto.io/Statement/v0.1"),
        (["predicateType"], "https://slsa.dev/provenance/v1"),
        (["subject"], []),
        (["subject"], [{"name": "a", "digest": {"sha256": "0" * 64}}] * 2),
        (["subject", 0, "digest"], {"md5": "0" * 32}),
        (["predicate", "extra"], 1),
        (["predicate", "gates", "quorum"], 0),
        (["predicate"], []),
    ],
)
def test_certificate_form_other_statements_and_unknown_fields_are_refused(path, value):
    fails("form", changed(path, value))


@pytest.mark.parametrize("content", [b"", b"a modeL", b"a model "])
def test_certificate_content_that_was_not_signed_is_refused(content):
    fails("content", content=content)


def test_certificate_agreement_and_task_other_than_expected_are_refused():
    fails("agreement", expected=replace(EXPECTED, agreement=digest(b"another")))
    fails("task", expected=replace(EXPECTED, task=digest(b"another")))


def test_certificate_quorum_too_few_owners_are_refused():
    fails("quorum", signed(by=OWNERS[:1]))


def test_certificate_quorum_the_envelope_is_not_asked_who_the_owners_are():
    """A certificate that names its own friends as owners, with a quorum of them, is worth nothing."""
    said = document()
    said["predicate"]["gates"] |= {"owners": sorted([f.LAB, f.USER]), "quorum": 1}
    fails("quorum", signed(said, by=(f.LAB, f.USER)))


def test_certificate_quorum_two_signatures_of_one_owner_count_once():
    twice = GOOD.model_copy(update={"signatures": (GOOD.signatures[0], GOOD.signatures[0])})
    fails("quorum", twice)


def test_certificate_quorum_of_nobody_is_refused():
    fails("quorum", expected=replace(EXPECTED, quorum=0, owners=frozenset()))


def test_certificate_time_in_the_future_outside_the_agreement_or_past_its_expiry_is_refused():
    fails("time", signed(document(created=f.NOW + 7200)))
    fails("time", signed(document(created=TERMS.valid.start - 1)))
    fails("time", changed(["predicate", "expires"], "2027-01-15T08:00:00Z"))
    late = changed(["predicate", "expires"], "2027-01-15T08:00:01Z")
    assert verify_certificate(late, CONTENT, KEYS, EXPECTED)


def test_certificate_time_a_certificate_outlives_its_agreement():
    later = replace(EXPECTED, now=TERMS.valid.stop + 1)
    assert verify_certificate(GOOD, CONTENT, KEYS, later)


def test_certificate_revoked_a_result_that_was_taken_back_is_refused():
    fails("revoked", expected=replace(EXPECTED, revoked=frozenset({(PLAN.digest, digest(CONTENT))})))


@pytest.mark.parametrize(
    ("task", "release"),
    [
        (digest(b"another task"), digest(CONTENT)),
        (digest(b"another task"), TERMS.digest),
        (digest(b"another task"), PLAN.digest),
        (PLAN.digest, TERMS.digest),
        (PLAN.digest, PLAN.digest),
    ],
)
def test_certificate_revoked_what_another_task_or_another_digest_revokes_counts_for_nothing_here(
    task, release
):
    expected = replace(EXPECTED, revoked=frozenset({(task, release)}))
    assert verify_certificate(GOOD, CONTENT, KEYS, expected)


def test_a_statement_alone_is_checked_but_for_its_content():
    assert verify_statement(GOOD, KEYS, EXPECTED).content_digest == digest(CONTENT)
    with pytest.raises(NotTrusted):
        verify_statement(signed(by=OWNERS[:1]), KEYS, EXPECTED)


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_a_payload_with_one_byte_changed_is_never_accepted(data):
    payload = bytearray(GOOD.content)
    place = data.draw(st.integers(0, len(payload) - 1))
    payload[place] ^= data.draw(st.integers(1, 255))
    forged = GOOD.model_copy(update={"payload": envelopes.b64(bytes(payload))})
    with pytest.raises(NotTrusted):
        verify_certificate(forged, CONTENT, KEYS, EXPECTED)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=8,
    )
)
@settings(max_examples=60)
def test_any_other_document_is_refused_by_its_form(said):
    envelope = Envelope(payloadType=PAYLOAD_TYPE, payload=envelopes.b64(canonical(said)), signatures=())
    with pytest.raises(CloisterError):
        read_statement(envelope)


def test_a_statement_that_cannot_be_made_is_an_error_with_advice():
    with pytest.raises(BadInput):
        document(size=0)
    with pytest.raises(BadInput):
        statement(
            PLAN,
            TERMS,
            kind="model",
            content_digest=digest(CONTENT),
            size=1,
            facts={},
            created=f.NOW,
            admissions={},
            checkpoints=("x" * 70_000,),
            checks=CHECKS,
        )
