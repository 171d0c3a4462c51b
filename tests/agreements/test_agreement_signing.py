"""Signing: everybody, the same bytes, both algorithms; anything else is refused."""

from __future__ import annotations

import pytest
from agreement_cases import NOW, OWNERS, People, terms

from cloister.agreements.clauses import UsableDataset
from cloister.agreements.signing import (
    AGREEMENT_TYPE,
    amend,
    check_amendment,
    cosign_agreement,
    open_agreement,
    read_terms,
    sign_terms,
    view,
)
from cloister.agreements.terms import Terms
from cloister.foundation.canonical import canonical, parse
from cloister.foundation.errors import BadInput, NotTrusted, Refused
from cloister.identity import envelopes
from cloister.identity.envelopes import Envelope
from cloister.identity.keys import b64


@pytest.fixture(scope="module")
def people():
    return People(6)


@pytest.fixture(scope="module")
def agreement(people):
    """The usual terms between parties with real keys."""
    text = terms().model_dump_json()
    for member, party in zip(terms().members, people.ids, strict=False):
        text = text.replace(member.party, party)
    return Terms.model_validate_json(text)


@pytest.fixture(scope="module")
def signed(people, agreement):
    envelope = sign_terms(agreement, people.ids[0], people.secret[0])
    for party, keys in list(zip(people.ids, people.secret, strict=True))[1:5]:
        envelope = cosign_agreement(envelope, party, keys, NOW)
    return envelope


def test_an_agreement_signed_by_every_party_opens(people, agreement, signed):
    opened = open_agreement(Envelope.decode(signed.encode()), people, NOW)
    assert opened.terms == agreement
    assert opened.complete
    assert opened.digest == agreement.digest == signed.digest


@pytest.mark.parametrize("kept", range(5))
def test_a_half_signed_agreement_is_refused(people, signed, kept):
    half = signed.model_copy(update={"signatures": signed.signatures[:kept]})
    with pytest.raises(NotTrusted) as caught:
        open_agreement(half, people, NOW)
    assert caught.value.clause == "signatures"
    assert "Visitor" in caught.value.why
    assert len(view(half, people).missing) == 5 - kept


def test_an_unsigned_agreement_is_refused(people, signed):
    with pytest.raises(NotTrusted):
        open_agreement(signed.model_copy(update={"signatures": ()}), people, NOW)


def test_an_agreement_changed_after_signing_is_refused(people, signed):
    document = parse(signed.content)
    document["cloister:title"] = "Wear of pumps and more"
    changed = signed.model_copy(update={"payload": b64(canonical(document))})
    with pytest.raises(NotTrusted) as caught:
        open_agreement(changed, people, NOW)
    assert caught.value.clause == "signatures"
    assert "changed after signing" in caught.value.why


def test_one_algorithm_s_signature_alone_does_not_count(people, signed):
    first = signed.signatures[0]
    half = first.model_copy(update={"sig": b64(b"\x00" * 64 + bytes(3309))})
    forged = signed.model_copy(update={"signatures": (half, *signed.signatures[1:])})
    with pytest.raises(NotTrusted):
        open_agreement(forged, people, NOW)


def test_a_signature_by_another_party_s_keys_does_not_count(people, signed):
    stolen = signed.signatures[1].model_copy(update={"keyid": signed.signatures[0].keyid})
    forged = signed.model_copy(update={"signatures": (stolen, *signed.signatures[1:])})
    with pytest.raises(NotTrusted):
        open_agreement(forged, people, NOW)


def test_an_expired_agreement_is_neither_signed_nor_opened(people, signed):
    with pytest.raises(Refused) as caught:
        open_agreement(signed, people, NOW + 1000)
    assert caught.value.clause == "validity"
    with pytest.raises(Refused):
        cosign_agreement(signed, people.ids[0], people.secret[0], NOW + 1000)
    assert open_agreement(signed, people).complete  # for looking at, without a time


def test_only_parties_sign(people, agreement, signed):
    with pytest.raises(Refused) as caught:
        cosign_agreement(signed, people.ids[5], people.secret[5], NOW)
    assert caught.value.clause == "parties"
    with pytest.raises(Refused):
        sign_terms(agreement, people.ids[5], people.secret[5])


def test_a_stranger_s_signature_does_not_make_it_complete(people, signed):
    with_stranger = envelopes.cosign(
        signed.model_copy(update={"signatures": signed.signatures[:4]}), people.ids[5], people.secret[5]
    )
    assert len(view(with_stranger, people).signed_by) == 4


def test_another_kind_of_document_is_no_agreement(people, signed):
    with pytest.raises(NotTrusted):
        read_terms(signed.model_copy(update={"payloadType": "application/vnd.cloister.plan+json"}))
    assert signed.payloadType == AGREEMENT_TYPE


def test_an_amendment_names_the_version_before(people, agreement, signed):
    opened = open_agreement(signed, people, NOW)
    new = amend(agreement, {"dropouts": 0, "purposes": ("research",)})
    check_amendment(opened, new)
    assert (new.version, new.previous, new.uid) == (2, agreement.digest, agreement.uid)
    assert new.purposes == ("research",)
    assert Terms.from_odrl(new.to_odrl()) == new
    with pytest.raises(Refused):
        check_amendment(opened, amend(new, {}))
    with pytest.raises(Refused):
        check_amendment(opened, agreement)


def test_an_amendment_takes_models_and_refuses_contradictions():
    datasets = tuple(UsableDataset(owner=owner, name="pumps") for owner in OWNERS)
    assert amend(terms(), {"datasets": datasets}).datasets == datasets
    with pytest.raises(BadInput, match="amended agreement"):
        amend(terms(), {"dropouts": 9})
