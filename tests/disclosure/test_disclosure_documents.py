"""Disclosures, withdrawals and receipts: who may sign what, and what cannot be written at all."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from cloister.disclosure.documents import (
    DAY,
    MAX_DAYS,
    RECEIPT_TYPE,
    TERMS,
    open_disclosure,
    open_receipt,
    open_unknown_withdrawal,
    open_withdrawal,
    sign_disclosure,
    sign_receipt,
    sign_withdrawal,
    subject,
)
from cloister.foundation.clock import rfc3339
from cloister.foundation.errors import BadInput, CloisterError, NotTrusted
from cloister.identity.envelopes import sign
from disclosure.disclosure_cases import NOW, directory, disclosure, keys, party

DOCUMENT, _ = disclosure()
SIGNED = sign_disclosure(DOCUMENT, keys("owner"))


@pytest.mark.parametrize(
    "change",
    [
        {"recipient": party("owner")},
        {"until": rfc3339(NOW)},
        {"until": rfc3339(NOW + (MAX_DAYS + 1) * DAY)},
        {"records": ()},
        {"records": DOCUMENT.records + DOCUMENT.records[:1]},
        {"records": ("../../x",)},
        {"terms": TERMS[:2]},
        {"terms": ()},
        {"purpose": ""},
        {"purpose": "Read \u202egnihtemos"},
        {"purpose": "x" * 201},
        {"deletion_days": -1},
        {"deletion_days": 31},
        {"agreements": ("sha256:" + "0" * 64,) * 17},
    ],
)
def test_a_disclosure_that_cannot_be_is_refused(change):
    with pytest.raises(ValidationError):
        disclosure(**change)


def test_the_owners_signature_makes_it_count():
    assert open_disclosure(SIGNED, directory(), NOW) == DOCUMENT
    with pytest.raises(NotTrusted):
        open_disclosure(sign_disclosure(DOCUMENT, keys("stranger")), directory(), NOW)


def test_only_the_owner_withdraws():
    good = sign_withdrawal(SIGNED.digest, party("owner"), NOW, keys("owner"), "No longer needed")
    assert open_withdrawal(good, SIGNED, directory()).reason == "No longer needed"
    assert subject(good) == SIGNED.digest
    for name, signer in (("researcher", "researcher"), ("stranger", "stranger"), ("owner", "stranger")):
        forged = sign_withdrawal(SIGNED.digest, party(name), NOW, keys(signer))
        with pytest.raises(NotTrusted):
            open_withdrawal(forged, SIGNED, directory())


def test_a_withdrawal_of_another_disclosure_withdraws_nothing():
    other = sign_disclosure(disclosure(purpose="Another")[0], keys("owner"))
    good = sign_withdrawal(other.digest, party("owner"), NOW, keys("owner"))
    with pytest.raises(BadInput):
        open_withdrawal(good, SIGNED, directory())


def test_a_withdrawal_of_an_unknown_disclosure_counts_for_its_signer_only():
    good = sign_withdrawal(SIGNED.digest, party("owner"), NOW, keys("owner"))
    assert open_unknown_withdrawal(good, party("owner"), directory()).owner == party("owner")
    with pytest.raises(NotTrusted):
        open_unknown_withdrawal(good, party("stranger"), directory())


def test_only_the_recipient_confirms_a_deletion():
    good = sign_receipt(
        SIGNED.digest,
        party("owner"),
        party("researcher"),
        keys("researcher"),
        NOW,
        what="deleted",
        reason="expired",
        records=2,
    )
    assert open_receipt(good, SIGNED, directory(), NOW).what == "deleted"
    for name, signer in (("owner", "owner"), ("researcher", "owner"), ("stranger", "stranger")):
        forged = sign_receipt(
            SIGNED.digest,
            party("owner"),
            party(name),
            keys(signer),
            NOW,
            what="deleted",
            reason="expired",
            records=2,
        )
        with pytest.raises(NotTrusted):
            open_receipt(forged, SIGNED, directory(), NOW)


@pytest.mark.parametrize(
    ("records", "at"), [(1, NOW), (3, NOW), (2, NOW - DAY)], ids=["fewer", "more", "before it was made"]
)
def test_a_receipt_that_does_not_fit_its_disclosure_is_refused(records, at):
    made = sign_receipt(
        SIGNED.digest,
        party("owner"),
        party("researcher"),
        keys("researcher"),
        at,
        what="deleted",
        reason="expired",
        records=records,
    )
    with pytest.raises(BadInput):
        open_receipt(made, SIGNED, directory(), NOW)


def test_a_receipt_for_somebody_else_says_nothing_to_the_owner():
    """A stranger that withdraws what is not known at the recipient's gets a receipt; it is no receipt for the owner."""
    made = sign_receipt(
        SIGNED.digest,
        party("stranger"),
        party("researcher"),
        keys("researcher"),
        NOW,
        what="deleted",
        reason="withdrawn",
        records=0,
    )
    with pytest.raises(NotTrusted):
        open_receipt(made, SIGNED, directory(), NOW)


def test_a_receipt_from_the_future_is_refused():
    made = sign_receipt(
        SIGNED.digest,
        party("owner"),
        party("researcher"),
        keys("researcher"),
        NOW + DAY,
        what="deleted",
        reason="expired",
        records=2,
    )
    with pytest.raises(NotTrusted):
        open_receipt(made, SIGNED, directory(), NOW)


def test_a_receipt_of_having_received_is_none_of_a_deletion():
    with pytest.raises(ValidationError):
        sign_receipt(
            SIGNED.digest,
            party("owner"),
            party("researcher"),
            keys("researcher"),
            NOW,
            what="received",
            reason="expired",
            records=2,
        )


def test_a_document_of_one_kind_is_not_taken_for_another():
    as_receipt = sign(RECEIPT_TYPE, SIGNED.document(), party("owner"), keys("owner"))
    with pytest.raises(CloisterError):
        open_receipt(as_receipt, SIGNED, directory(), NOW)
    with pytest.raises(CloisterError):
        open_disclosure(as_receipt, directory(), NOW)
    with pytest.raises(CloisterError):
        open_withdrawal(SIGNED, SIGNED, directory())


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
        max_leaves=8,
    )
)
def test_any_json_in_place_of_a_document_is_refused_and_never_crashes(value):
    for kind in (RECEIPT_TYPE, SIGNED.payloadType):
        envelope = sign(kind, value, party("owner"), keys("owner"))
        for look in (
            lambda e: open_disclosure(e, directory(), NOW),
            lambda e: open_receipt(e, SIGNED, directory(), NOW),
            lambda e: open_withdrawal(e, SIGNED, directory()),
            subject,
        ):
            with pytest.raises(CloisterError):
                look(envelope)
