from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from identity_parties import NOW, genesis, keys, known

from cloister.foundation.canonical import canonical
from cloister.foundation.digests import digest
from cloister.foundation.errors import BadInput, CloisterError, NotTrusted
from cloister.identity import envelopes
from cloister.identity.envelopes import (
    Envelope,
    EnvelopeSignature,
    cosign,
    holding,
    pae,
    sign,
    signers,
    verify,
    verify_with_keys,
    with_signatures,
)
from cloister.identity.keys import SecretKeys, Signature, b64, grouped, party_id, unb64
from cloister.identity.sealing import OVERHEAD, seal, unseal

KIND = "application/vnd.cloister.test+json"


def test_keys_survive_encoding_and_never_print_themselves() -> None:
    secret = keys("plant")
    assert SecretKeys.decode(secret.encode()).public == secret.public
    assert len(secret.encode()) == 160
    assert repr(secret) == f"SecretKeys(keyset={secret.public.keyset})"
    with pytest.raises(BadInput):
        SecretKeys.decode(b"short")


def test_a_signature_needs_both_algorithms() -> None:
    secret, other = keys("plant"), keys("other")
    good = secret.sign(b"message")
    secret.public.verify(b"message", good)
    mixed = other.sign(b"message")
    for bad in (Signature(good.ed25519, mixed.mldsa65), Signature(mixed.ed25519, good.mldsa65)):
        with pytest.raises(NotTrusted):
            secret.public.verify(b"message", bad)
    with pytest.raises(NotTrusted):
        secret.public.verify(b"other message", good)


def test_a_fingerprint_binds_keys_and_recovery_keys() -> None:
    first = party_id(keys("plant").public, "sha256:" + "0" * 64)
    assert len(first) == 52
    assert first != party_id(keys("other").public, "sha256:" + "0" * 64)
    assert first != party_id(keys("plant").public, "sha256:" + "1" * 64)
    assert len(grouped(first).split()) == 13


@pytest.mark.parametrize("text", ["a", "====", "YQ", "YQ=", "YR==", "YQ==\n", "é", "Y Q=="])
def test_base64_has_one_form(text: str) -> None:
    with pytest.raises(BadInput):
        unb64(text)


def test_the_pre_authentication_encoding_is_that_of_the_dsse_protocol() -> None:
    # The example of DSSE's protocol.md.
    assert (
        pae("http://example.com/HelloWorld", b"hello world")
        == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_a_document_needs_every_signer_that_the_verifier_names() -> None:
    directory, card = known()
    other = directory.accept(genesis("other"), NOW)
    envelope = sign(KIND, {"a": 1}, card.party, keys("plant"))
    assert verify(envelope, KIND, [card.party], directory) == {"a": 1}
    with pytest.raises(NotTrusted) as caught:
        verify(envelope, KIND, [card.party, other.party], directory)
    assert caught.value.detail["missing"] == [other.party]
    both = cosign(envelope, other.party, keys("other"))
    assert verify(both, KIND, [card.party, other.party], directory) == {"a": 1}
    assert signers(both, KIND, directory) == {card.party, other.party}
    with pytest.raises(NotTrusted):
        verify(both, KIND, [], directory)


def test_a_signature_over_one_kind_does_not_count_for_another() -> None:
    directory, card = known()
    envelope = sign(KIND, {"a": 1}, card.party, keys("plant"))
    with pytest.raises(NotTrusted) as caught:
        verify(envelope, "application/vnd.cloister.other+json", [card.party], directory)
    assert caught.value.clause == "payload-type"
    relabelled = envelope.model_copy(update={"payloadType": "application/vnd.cloister.other+json"})
    with pytest.raises(NotTrusted):
        verify(relabelled, "application/vnd.cloister.other+json", [card.party], directory)


def test_one_party_cannot_sign_in_anothers_name() -> None:
    directory, card = known()
    directory.accept(genesis("other"), NOW)
    with pytest.raises(NotTrusted):
        verify(sign(KIND, {"a": 1}, card.party, keys("other")), KIND, [card.party], directory)
    with pytest.raises(NotTrusted):
        verify_with_keys(
            sign(KIND, {"a": 1}, card.party, keys("other")), KIND, card.party, keys("plant").public
        )


def test_a_signed_payload_that_is_not_canonical_is_refused() -> None:
    directory, card = known()
    payload = b'{ "a": 1 }'
    signature = keys("plant").sign(pae(KIND, payload))
    envelope = Envelope.from_json(
        {
            "payloadType": KIND,
            "payload": b64(payload),
            "signatures": [{"keyid": card.keyid, "sig": b64(signature.encode())}],
        }
    )
    with pytest.raises(BadInput):
        verify(envelope, KIND, [card.party], directory)


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=300)
    | st.recursive(
        st.none() | st.integers(0, 9) | st.text(max_size=5),
        lambda x: (
            st.lists(x, max_size=3)
            | st.dictionaries(
                st.sampled_from(["payload", "payloadType", "signatures", "keyid", "sig", "x"]), x, max_size=4
            )
        ),
        max_leaves=12,
    ).map(canonical)
)
def test_any_bytes_are_an_envelope_or_refused(data: bytes) -> None:
    try:
        envelope = Envelope.decode(data)
    except CloisterError:
        return
    assert Envelope.decode(envelope.encode()) == envelope


def test_a_sealed_body_opens_only_for_its_recipient_under_its_header() -> None:
    sealed = seal(b"secret", keys("plant").public, b"header")
    assert len(sealed) == 6 + OVERHEAD
    assert unseal(sealed, keys("plant"), b"header") == b"secret"
    for reader, header in ((keys("other"), b"header"), (keys("plant"), b"other")):
        with pytest.raises(NotTrusted):
            unseal(sealed, reader, header)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_sealed_body_with_any_bit_flipped_does_not_open(data: st.DataObject) -> None:
    sealed = bytearray(seal(b"secret", keys("plant").public, b"header"))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(NotTrusted):
        unseal(bytes(sealed), keys("plant"), b"header")


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=1300))
def test_any_bytes_are_refused_by_unsealing(data: bytes) -> None:
    with pytest.raises(NotTrusted):
        unseal(data, keys("plant"), b"header")


def test_the_entries_that_hold_are_told_one_by_one_whatever_stands_beside_them() -> None:
    """Rule 5: an entry that names a party counts for nothing beside that party's good one."""
    directory, card = known()
    good = sign(KIND, {"a": 1}, card.party, keys("plant"))
    (entry,) = good.signatures
    other = sign(KIND, {"a": 2}, card.party, keys("plant")).signatures[0]
    junk = [
        EnvelopeSignature(keyid=f"{card.party}/junk", sig="AAAA"),
        EnvelopeSignature(keyid=f"{card.party}/{'0' * 32}", sig="AAAA"),
        other,  # the same keys, another document
    ]
    mixed = with_signatures(good, (*junk, entry, entry, *junk))
    assert holding(mixed, KIND, directory) == (entry,)
    assert signers(mixed, KIND, directory) == {card.party}


def test_an_envelope_that_is_put_together_can_be_read_again(monkeypatch) -> None:
    """Rule 5: what is made of several envelopes keeps to the limits of what is read."""
    envelope = sign(KIND, {"a": 1}, "a" * 52, keys("plant"))
    (entry,) = envelope.signatures
    many = [EnvelopeSignature(keyid=str(n), sig=entry.sig) for n in range(65)]
    with pytest.raises(BadInput):
        with_signatures(envelope, many)
    full = with_signatures(envelope, many[:64])
    assert Envelope.decode(full.encode()) == full
    with pytest.raises(BadInput):
        cosign(full, "a" * 52, keys("other"))
    monkeypatch.setattr(envelopes, "MAX_ENVELOPE_BYTES", len(full.encode()) - 1)
    with pytest.raises(BadInput):
        with_signatures(envelope, many[:64])


def test_a_changed_copy_of_an_envelope_remembers_nothing_of_what_it_was_made_from() -> None:
    envelope = sign(KIND, {"a": 1}, known()[1].party, keys("plant"))
    assert envelope.digest == digest(envelope.content)
    assert envelope.encoded
    changed = envelope.model_copy(update={"payload": b64(canonical({"other": 1}))})
    assert changed.content == canonical({"other": 1})
    assert changed.digest == digest(changed.content) != envelope.digest
    assert changed.encode() != envelope.encode()
    assert Envelope.decode(changed.encode()) == changed
    assert Envelope.decode(envelope.encode()) == envelope


@pytest.mark.parametrize("name", ["payload", "signatures", "content", "digest", "encoded", "other"])
def test_nothing_of_an_envelope_can_be_set(name: str) -> None:
    envelope = Envelope.stored(sign(KIND, {"a": 1}, known()[1].party, keys("plant")).encode())
    assert envelope.encoded
    with pytest.raises(TypeError):
        setattr(envelope, name, b"forged")
    assert Envelope.stored(envelope.encode()) == envelope
