"""The rules of `identity.cards`, one by one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from identity_parties import DAY, NOW, genesis, keys

from cloister.foundation.canonical import canonical
from cloister.foundation.clock import rfc3339
from cloister.foundation.errors import BadInput, CloisterError, NotTrusted
from cloister.identity import cards
from cloister.identity.cards import CARD_TYPE, Card, check_genesis, check_next
from cloister.identity.envelopes import Envelope, cosign, sign
from cloister.identity.keys import SecretKeys


def first(label: str = "plant") -> Card:
    return check_genesis(genesis(label), NOW)


def forged(base: Card, *signers: SecretKeys, **changes: Any) -> Envelope:
    """A card with any fields changed, signed by whoever is asked to."""
    document = {**base.model_dump(mode="json"), **changes}
    envelope = sign(CARD_TYPE, document, document["party"], signers[0])
    for signer in signers[1:]:
        envelope = cosign(envelope, document["party"], signer)
    return envelope


def clause_of(envelope: Envelope, previous: Card | None = None, now: int = NOW) -> str:
    with pytest.raises(NotTrusted) as caught:
        check_genesis(envelope, now) if previous is None else check_next(previous, envelope, now)
    return caught.value.clause


def test_a_first_card_makes_the_fingerprint_that_its_keys_prove() -> None:
    card = first()
    assert card.sequence == 0
    assert len(card.party) == 52
    assert card.digest == genesis().digest
    card.usable(NOW)


def test_a_first_card_with_other_keys_or_recovery_keys_than_its_fingerprint_is_forged() -> None:
    card, thief = first(), keys("thief")
    assert clause_of(forged(card, thief, keys=thief.public.model_dump())) == "card-forged"
    other = cards.recovery_digest(thief.public)
    assert clause_of(forged(card, keys("plant"), recovery=other)) == "card-forged"


def test_a_first_card_signed_by_others_or_changed_afterwards_is_forged() -> None:
    card = first()
    assert clause_of(forged(card, keys("thief"))) == "card-forged"
    envelope = genesis()
    changed = canonical({**card.model_dump(mode="json"), "name": "Other"})
    from cloister.identity.keys import b64

    assert clause_of(envelope.model_copy(update={"payload": b64(changed)})) == "card-forged"


def test_a_card_with_one_of_the_two_signatures_broken_is_forged() -> None:
    from cloister.identity.keys import b64, unb64

    envelope = genesis()
    good = unb64(envelope.signatures[0].sig)
    for position in (3, 64 + 100):
        bad = bytearray(good)
        bad[position] ^= 1
        signature = envelope.signatures[0].model_copy(update={"sig": b64(bytes(bad))})
        assert clause_of(envelope.model_copy(update={"signatures": (signature,)})) == "card-forged"


def test_a_later_card_does_not_pass_for_a_first_one() -> None:
    card = first()
    following = cards.succeed(card, keys("plant"), NOW + 1)
    assert clause_of(following, now=NOW + 1) == "card-gap"


def test_another_kind_of_document_is_no_card() -> None:
    envelope = sign("application/json", first().model_dump(mode="json"), first().party, keys("plant"))
    assert clause_of(envelope) == "payload-type"


def test_a_rotation_is_signed_by_old_and_new_keys() -> None:
    card, new = first(), keys("plant-2")
    good = cards.succeed(card, new, NOW + 5, current=keys("plant"))
    assert check_next(card, good, NOW + 5).keys == new.public
    only_new = cards.succeed(card, new, NOW + 5)
    assert clause_of(only_new, card, NOW + 5) == "card-forged"
    base = check_next(card, good, NOW + 5)
    assert clause_of(forged(base, keys("plant")), card, NOW + 5) == "card-forged"
    assert clause_of(forged(base, new, keys("thief")), card, NOW + 5) == "card-forged"


def test_recovery_keys_replace_lost_keys_and_only_the_partys_own_do() -> None:
    card, new, recovery = first(), keys("plant-2"), keys("plant-recovery")
    good = cards.succeed(card, new, NOW + 5, recovery=recovery, compromised_since=NOW + 1)
    after = check_next(card, good, NOW + 5)
    assert after.recovered
    assert after.compromised_since == rfc3339(NOW + 1)
    bad = cards.succeed(card, new, NOW + 5, recovery=keys("thief"))
    assert clause_of(bad, card, NOW + 5) == "card-forged"
    named_only = forged(after, new)
    assert clause_of(named_only, card, NOW + 5) == "card-forged"


def test_a_renewal_keeps_keys_and_moves_the_expiry_and_may_change_the_name() -> None:
    card = first()
    renewed = check_next(card, cards.succeed(card, keys("plant"), NOW + DAY, name="New name"), NOW + DAY)
    assert renewed.keys == card.keys
    assert renewed.expires_at == card.expires_at + DAY
    assert renewed.name == "New name"


@pytest.mark.parametrize(
    "changes",
    [
        {"sequence": 2},
        {"sequence": 0},
        {"previous": "sha256:" + "0" * 64},
        {"previous": None},
    ],
)
def test_a_card_that_does_not_follow_the_one_held_is_refused(changes: dict[str, Any]) -> None:
    card = first()
    base = check_next(card, cards.succeed(card, keys("plant"), NOW + 1), NOW + 1)
    assert clause_of(forged(base, keys("plant"), **changes), card, NOW + 1) == "card-chain"


def test_a_card_of_another_party_or_other_recovery_keys_does_not_follow() -> None:
    card, other = first(), first("other")
    base = check_next(card, cards.succeed(card, keys("plant"), NOW + 1), NOW + 1)
    assert clause_of(forged(base, keys("plant"), party=other.party), card, NOW + 1) == "card-forged"
    digest = cards.recovery_digest(keys("thief").public)
    assert clause_of(forged(base, keys("plant"), recovery=digest), card, NOW + 1) == "card-forged"


def test_a_revocation_is_final() -> None:
    card = first()
    for signer in ({"current": keys("plant")}, {"recovery": keys("plant-recovery")}):
        revoked = check_next(card, cards.revoke(card, NOW + 1, **signer), NOW + 1)
        with pytest.raises(NotTrusted) as caught:
            revoked.usable(NOW + 1)
        assert caught.value.clause == "card-revoked"
        for more in (
            cards.succeed(revoked, keys("plant"), NOW + 2),
            cards.succeed(revoked, keys("plant-2"), NOW + 2, recovery=keys("plant-recovery")),
        ):
            assert clause_of(more, revoked, NOW + 2) == "card-revoked"


def test_a_revocation_by_others_or_with_new_keys_is_forged() -> None:
    card = first()
    base = check_next(card, cards.revoke(card, NOW + 1, current=keys("plant")), NOW + 1)
    assert clause_of(forged(base, keys("thief")), card, NOW + 1) == "card-forged"
    new = keys("thief").public.model_dump()
    assert clause_of(forged(base, keys("plant"), keys("thief"), keys=new), card, NOW + 1) == "card-forged"


def test_times_are_checked() -> None:
    card = first()
    assert clause_of(genesis(now=NOW + 301)) == "card-not-yet-valid"
    check_genesis(genesis(now=NOW + 300), NOW)
    base = check_next(card, cards.succeed(card, keys("plant"), NOW + 1), NOW + 1)
    earlier = forged(base, keys("plant"), issued=rfc3339(NOW - 1))
    assert clause_of(earlier, card, NOW + 1) == "card-chain"
    forever = forged(base, keys("plant"), expires=rfc3339(NOW + 5000 * DAY))
    assert clause_of(forever, card, NOW + 1) == "card-lifetime"
    backwards = forged(base, keys("plant"), expires=rfc3339(NOW))
    assert clause_of(backwards, card, NOW + 1) == "card-lifetime"


def test_an_expired_card_speaks_for_nobody_but_can_be_followed() -> None:
    card = first()
    late = card.expires_at
    card.usable(late - 1)
    with pytest.raises(NotTrusted) as caught:
        card.usable(late)
    assert caught.value.clause == "card-expired"
    check_next(card, cards.succeed(card, keys("plant"), late), late).usable(late)


def test_a_card_does_not_call_its_own_keys_compromised() -> None:
    card = first()
    bad = cards.succeed(card, keys("plant"), NOW + 5, compromised_since=NOW + 1)
    assert clause_of(bad, card, NOW + 5) == "card-forged"
    future = cards.succeed(card, keys("plant-2"), NOW + 5, current=keys("plant"), compromised_since=NOW + 9)
    assert clause_of(future, card, NOW + 5) == "card-forged"


@pytest.mark.parametrize("name", ["", " x", "x\n", "a\u202eb", "a\x1b[31m", "x" * 81, "e\u0301"])
def test_a_name_that_could_deceive_a_reader_is_refused(name: str) -> None:
    with pytest.raises(BadInput):
        cards.genesis(name, ["owner"], keys("plant"), keys("plant-recovery").public, NOW)


def test_unknown_fields_roles_and_orders_are_refused() -> None:
    card = first()
    for changes in (
        {"extra": 1},
        {"roles": ["king"]},
        {"roles": []},
        {"roles": ["user", "owner"]},
        {"sequence": True},
    ):
        with pytest.raises(BadInput):
            check_genesis(forged(card, keys("plant"), **changes), NOW)


def test_the_chain_cannot_be_changed_by_hand() -> None:
    with pytest.raises(BadInput):
        cards.succeed(first(), keys("plant"), NOW + 1, sequence=7)
    with pytest.raises(BadInput):
        cards.revoke(first(), NOW + 1)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_card_with_any_byte_flipped_is_refused(data: st.DataObject) -> None:
    good = genesis().encode()
    position = data.draw(st.integers(0, len(good) - 1))
    bad = bytearray(good)
    bad[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CloisterError):
        check_genesis(Envelope.decode(bytes(bad)), NOW)
