"""The rules of `identity.directory`, one by one."""

from __future__ import annotations

import contextlib
import functools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from identity_parties import DAY, NOW, genesis, keys, known

from cloister.foundation.errors import BadInput, NotFound, NotTrusted
from cloister.identity import cards
from cloister.identity.cards import CARD_TYPE, Card
from cloister.identity.directory import Directory
from cloister.identity.envelopes import (
    Envelope,
    EnvelopeSignature,
    KeyDirectory,
    sign,
    verify,
    with_signatures,
)
from cloister.identity.keys import SecretKeys, grouped

KIND = "application/vnd.cloister.test+json"


def refused(directory: Directory, envelope: Envelope, now: int = NOW) -> str:
    with pytest.raises(NotTrusted) as caught:
        directory.accept(envelope, now)
    return caught.value.clause


@functools.lru_cache(maxsize=16)
def document(party: str, signer: SecretKeys) -> Envelope:
    return sign(KIND, {"a": 1}, party, signer)


def holds(view: KeyDirectory, party: str, signer: SecretKeys) -> bool:
    try:
        verify(document(party, signer), KIND, [party], view)
    except NotTrusted:
        return False
    return True


def rotated() -> tuple[Directory, Card, Card]:
    directory, card = known()
    new = directory.accept(cards.succeed(card, keys("plant-2"), NOW + 100, current=keys("plant")), NOW + 100)
    return directory, card, new


def test_a_party_is_known_by_its_first_card_and_the_same_card_again_changes_nothing() -> None:
    directory, card = known()
    before = directory.changes
    assert directory.accept(genesis(), NOW) == card
    assert directory.changes == before
    assert list(directory) == [card.party]
    assert directory.current(card.party, NOW) == card
    assert len(directory.chain(card.party)) == 1


def test_an_unknown_party_is_refused() -> None:
    directory = Directory()
    with pytest.raises(NotTrusted) as caught:
        directory.current("a" * 52, NOW)
    assert caught.value.clause == "party-unknown"
    with pytest.raises(NotTrusted):
        directory.keys("a" * 52, "0" * 32)
    with pytest.raises(NotFound):
        directory.card("a" * 52)


def test_a_rolled_back_card_is_refused() -> None:
    directory, _, new = rotated()
    assert refused(directory, genesis()) == "card-rolled-back"
    newest = directory.accept(cards.succeed(new, keys("plant-2"), NOW + 200), NOW + 200)
    middle = cards.succeed(
        directory.record(new.party).cards[0], keys("plant-2"), NOW + 100, current=keys("plant")
    )
    assert middle.digest == new.digest
    assert refused(directory, middle, NOW + 200) == "card-rolled-back"
    with pytest.raises(NotTrusted) as caught:
        directory.accept_chain(directory.chain(new.party)[:2], NOW + 200)
    assert caught.value.clause == "card-rolled-back"
    assert directory.current(new.party, NOW + 200) == newest


def test_a_gap_is_refused_and_the_whole_chain_closes_it() -> None:
    source, _, new = rotated()
    source.accept(cards.succeed(new, keys("plant-2"), NOW + 200), NOW + 200)
    chain = source.chain(new.party)
    directory, _ = known()
    assert refused(directory, chain[2], NOW + 200) == "card-gap"
    assert refused(Directory(), chain[2], NOW + 200) == "card-gap"
    assert directory.accept_chain(chain, NOW + 200).sequence == 2
    assert directory.accept_chain(chain, NOW + 200).sequence == 2


def test_a_fork_is_refused_kept_and_ends_all_trust_in_the_party() -> None:
    directory, card, new = rotated()
    directory.pin(card.party, card.party)
    other = cards.succeed(card, keys("thief"), NOW + 150, current=keys("plant"))
    assert refused(directory, other, NOW + 150) == "card-forked"
    assert directory.record(card.party).fork == other
    for attempt in (
        lambda: directory.current(card.party, NOW + 150),
        lambda: directory.keys(card.party, new.keys.keyset),
        lambda: directory.live(NOW + 150).keys(card.party, new.keys.keyset),
        lambda: directory.as_of(NOW + 50).keys(card.party, card.keys.keyset),
    ):
        with pytest.raises(NotTrusted) as caught:
            attempt()
        assert caught.value.clause == "card-forked"
    assert not directory.trusted(card.party, NOW + 150)
    further = cards.succeed(new, keys("plant-2"), NOW + 200)
    assert refused(directory, further, NOW + 200) == "card-forked"


def test_a_forged_fork_harms_nobody() -> None:
    directory, card, _ = rotated()
    forged = cards.succeed(card, keys("thief"), NOW + 150)
    assert refused(directory, forged, NOW + 150) == "card-forged"
    assert directory.record(card.party).fork is None


def test_recovery_keys_end_a_fork_and_void_the_thiefs_keys() -> None:
    directory, card = known()
    stolen = cards.succeed(card, keys("thief"), NOW + 100, current=keys("plant"))
    directory.accept(stolen, NOW + 100)
    assert holds(directory.live(NOW + 100), card.party, keys("thief"))
    recovered = cards.succeed(
        card, keys("plant-2"), NOW + 200, recovery=keys("plant-recovery"), compromised_since=NOW + 50
    )
    assert directory.accept(recovered, NOW + 200).sequence == 1
    assert holds(directory.live(NOW + 200), card.party, keys("plant-2"))
    for view in (directory.live(NOW + 200), directory, directory.as_of(NOW + 150)):
        assert not holds(view, card.party, keys("thief"))
    assert refused(directory, stolen, NOW + 200) == "card-rolled-back"
    assert directory.record(card.party).fork is None
    assert holds(directory.live(NOW + 200), card.party, keys("plant-2"))


def test_recovery_also_ends_a_recorded_fork() -> None:
    directory, card, new = rotated()
    refused(directory, cards.succeed(card, keys("thief"), NOW + 150, current=keys("plant")), NOW + 150)
    again = cards.succeed(new, keys("plant-3"), NOW + 200, recovery=keys("plant-recovery"))
    directory.accept(again, NOW + 200)
    assert directory.current(card.party, NOW + 200).keys == keys("plant-3").public


def test_two_stories_by_the_recovery_keys_are_a_fork_that_only_a_revocation_ends() -> None:
    directory, card = known()
    first = cards.succeed(card, keys("plant-2"), NOW + 100, recovery=keys("plant-recovery"))
    held = directory.accept(first, NOW + 100)
    second = cards.succeed(card, keys("plant-3"), NOW + 100, recovery=keys("plant-recovery"))
    assert refused(directory, second, NOW + 100) == "card-forked"
    with pytest.raises(NotTrusted):
        directory.current(card.party, NOW + 100)
    directory.accept(cards.revoke(held, NOW + 200, recovery=keys("plant-recovery")), NOW + 200)
    with pytest.raises(NotTrusted) as caught:
        directory.current(card.party, NOW + 200)
    assert caught.value.clause == "card-revoked"


def test_an_older_chain_does_not_undo_what_recovery_keys_settled() -> None:
    directory, card = known()
    directory.accept(
        cards.succeed(card, keys("plant-2"), NOW + 100, recovery=keys("plant-recovery")), NOW + 100
    )
    stolen = cards.succeed(card, keys("thief"), NOW + 100, current=keys("plant"))
    further = cards.succeed(cards.read(stolen), keys("thief"), NOW + 110)
    with pytest.raises(NotTrusted) as caught:
        directory.accept_chain([genesis(), stolen, further], NOW + 110)
    assert caught.value.clause == "card-rolled-back"
    directory.current(card.party, NOW + 110)


@functools.cache
def two_stories() -> tuple[Card, dict[str, list[Envelope]], list[Envelope]]:
    """A first card; what its owner and a thief of its keys tell; the chain in which the recovery keys end it."""
    first = genesis()
    card = cards.read(first)
    owner = cards.succeed(card, keys("plant-2"), NOW + 10, current=keys("plant"))
    renewed = cards.succeed(cards.read(owner), keys("plant-2"), NOW + 20)
    thief = cards.succeed(card, keys("thief"), NOW + 15, current=keys("plant"))
    thief_renewed = cards.succeed(cards.read(thief), keys("thief"), NOW + 20)
    chains = {
        "owner": [first, owner],
        "owner-renewed": [first, owner, renewed],
        "thief": [first, thief],
        "thief-renewed": [first, thief, thief_renewed],
    }
    recovery = cards.succeed(
        cards.read(renewed),
        keys("plant-3"),
        NOW + 50,
        recovery=keys("plant-recovery"),
        compromised_since=NOW + 12,
    )
    return card, chains, [first, owner, renewed, recovery]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.sampled_from(["owner", "owner-renewed", "thief", "thief-renewed"]), max_size=8))
def test_whatever_was_heard_before_and_in_whatever_order_the_recovered_chain_settles_it(
    heard: list[str],
) -> None:
    card, chains, recovered = two_stories()
    directory, _ = known()
    sides = set()
    for name in heard:
        with contextlib.suppress(NotTrusted):
            directory.accept_chain(chains[name], NOW + 20)
        sides.add(name.split("-")[0])
    if len(sides) == 2:
        assert directory.record(card.party).fork is not None
        assert not holds(directory.live(NOW + 20), card.party, keys("thief"))
        assert not holds(directory.live(NOW + 20), card.party, keys("plant-2"))
    settled = directory.accept_chain(recovered, NOW + 50)
    assert directory.current(card.party, NOW + 50) == settled
    assert holds(directory.live(NOW + 50), card.party, keys("plant-3"))
    for view in (directory, directory.live(NOW + 50), directory.as_of(NOW + 30), directory.as_of(NOW + 60)):
        assert not holds(view, card.party, keys("thief"))
    for chain in chains.values():
        with pytest.raises(NotTrusted):
            directory.accept_chain(chain, NOW + 50)
    assert directory.current(card.party, NOW + 50) == settled
    assert Directory.load(directory.export(), NOW + 50).export() == directory.export()


def test_keys_called_compromised_can_make_no_fork() -> None:
    directory, card = known()
    moved = cards.succeed(card, keys("plant-2"), NOW + 100, current=keys("plant"), compromised_since=NOW + 50)
    directory.accept(moved, NOW + 100)
    other = cards.succeed(card, keys("thief"), NOW + 90, current=keys("plant"))
    assert refused(directory, other, NOW + 100) == "card-rolled-back"
    directory.current(card.party, NOW + 100)


def test_nothing_follows_a_revocation() -> None:
    directory, card = known()
    directory.accept(cards.revoke(card, NOW + 10, current=keys("plant")), NOW + 10)
    for envelope in (
        cards.succeed(card, keys("plant-2"), NOW + 20, recovery=keys("plant-recovery")),
        cards.succeed(card, keys("plant-2"), NOW + 20, current=keys("plant")),
        genesis(),
    ):
        assert refused(directory, envelope, NOW + 20) == "card-revoked"


def test_a_forked_party_can_still_revoke() -> None:
    directory, card, new = rotated()
    refused(directory, cards.succeed(card, keys("thief"), NOW + 150, current=keys("plant")), NOW + 150)
    directory.accept(cards.revoke(new, NOW + 160, current=keys("plant-2")), NOW + 160)
    with pytest.raises(NotTrusted) as caught:
        directory.current(card.party, NOW + 160)
    assert caught.value.clause == "card-revoked"


def test_an_expired_card_speaks_for_nobody() -> None:
    directory, card = known()
    late = card.expires_at
    with pytest.raises(NotTrusted) as caught:
        directory.current(card.party, late)
    assert caught.value.clause == "card-expired"
    assert not holds(directory.live(late), card.party, keys("plant"))
    assert holds(directory, card.party, keys("plant"))


def test_old_keys_verify_old_documents_but_no_messages() -> None:
    directory, card, _ = rotated()
    assert holds(directory, card.party, keys("plant"))
    assert holds(directory, card.party, keys("plant-2"))
    assert not holds(directory.live(NOW + 100), card.party, keys("plant"))
    assert holds(directory.live(NOW + 100), card.party, keys("plant-2"))


def test_with_proof_of_time_each_keyset_counts_for_its_own_time() -> None:
    directory, card, _ = rotated()
    assert holds(directory.as_of(NOW + 99), card.party, keys("plant"))
    assert not holds(directory.as_of(NOW + 100), card.party, keys("plant"))
    assert not holds(directory.as_of(NOW + 99), card.party, keys("plant-2"))
    assert holds(directory.as_of(NOW + 100), card.party, keys("plant-2"))
    assert not holds(directory.as_of(NOW - 1), card.party, keys("plant"))
    assert not holds(directory.as_of(NOW + 400 * DAY), card.party, keys("plant-2"))


def test_renewed_keys_go_on_counting() -> None:
    directory, card = known()
    directory.accept(cards.succeed(card, keys("plant"), NOW + 300 * DAY), NOW + 300 * DAY)
    for seen in (NOW, NOW + 299 * DAY, NOW + 300 * DAY, NOW + 600 * DAY):
        assert holds(directory.as_of(seen), card.party, keys("plant"))
    assert holds(directory, card.party, keys("plant"))


def test_compromised_keys_count_only_for_what_was_seen_before() -> None:
    directory, card = known()
    moved = cards.succeed(card, keys("plant-2"), NOW + 100, current=keys("plant"), compromised_since=NOW + 50)
    directory.accept(moved, NOW + 100)
    assert not holds(directory, card.party, keys("plant"))
    assert holds(directory.as_of(NOW + 49), card.party, keys("plant"))
    assert not holds(directory.as_of(NOW + 50), card.party, keys("plant"))


@pytest.mark.parametrize(("since", "limit"), [(None, NOW + 100), (NOW + 50, NOW + 50)])
def test_a_revoked_partys_signatures_count_only_where_they_were_seen_before(
    since: int | None, limit: int
) -> None:
    directory, card = known()
    directory.accept(cards.revoke(card, NOW + 100, current=keys("plant"), compromised_since=since), NOW + 100)
    assert not holds(directory, card.party, keys("plant"))
    assert not holds(directory.live(NOW + 100), card.party, keys("plant"))
    assert holds(directory.as_of(limit - 1), card.party, keys("plant"))
    assert not holds(directory.as_of(limit), card.party, keys("plant"))


def test_only_a_compared_fingerprint_makes_a_known_party_trusted() -> None:
    directory, card = known()
    assert directory.trust(card.party) == "unpinned"
    assert not directory.trusted(card.party, NOW)
    with pytest.raises(NotTrusted) as caught:
        directory.pin(card.party, "b" * 52)
    assert caught.value.clause == "fingerprint"
    assert not directory.trusted(card.party, NOW)
    directory.pin(card.party, f" {grouped(card.party).upper()}\n")
    assert directory.trusted(card.party, NOW)
    directory.accept(cards.succeed(card, keys("plant-2"), NOW + 1, current=keys("plant")), NOW + 1)
    assert directory.trusted(card.party, NOW + 1)
    directory.unpin(card.party)
    assert directory.trust(card.party) == "unpinned"


def test_the_directory_survives_storage_and_is_checked_when_loaded() -> None:
    directory, card, new = rotated()
    directory.accept(genesis("other"), NOW)
    directory.pin(card.party, card.party)
    refused(directory, cards.succeed(card, keys("thief"), NOW + 150, current=keys("plant")), NOW + 150)
    stored = json.loads(json.dumps(directory.export()))
    loaded = Directory.load(stored, NOW + 200)
    assert loaded.export() == directory.export()
    assert loaded.trust(card.party) == "pinned"
    assert loaded.record(card.party).fork is not None
    assert loaded.card(card.party) == new
    stored["parties"][0]["cards"][0]["payload"] = stored["parties"][1]["cards"][0]["payload"]
    with pytest.raises(NotTrusted):
        Directory.load(stored, NOW + 200)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"type": "x"},
        {"type": "cloister/directory@1", "parties": [{}]},
        {"type": "cloister/directory@1", "parties": 3},
    ],
)
def test_a_malformed_stored_directory_is_refused(value: object) -> None:
    with pytest.raises(BadInput):
        Directory.load(value, NOW)


def test_a_chain_of_two_parties_or_of_none_is_refused() -> None:
    with pytest.raises(NotTrusted):
        Directory().accept_chain([genesis(), genesis("other")], NOW)
    with pytest.raises(BadInput):
        Directory().accept_chain([], NOW)


def test_a_second_first_card_of_the_same_keys_is_refused() -> None:
    directory, card = known()
    assert (
        refused(
            directory, cards.genesis("Renamed", ["owner"], keys("plant"), keys("plant-recovery").public, NOW)
        )
        == "card-rolled-back"
    )
    assert directory.current(card.party, NOW) == card
    assert genesis().payloadType == CARD_TYPE


def junk(party: str, number: int) -> tuple[EnvelopeSignature, ...]:
    return tuple(EnvelopeSignature(keyid=f"{party}/{n}", sig="A" * 8192) for n in range(number))


def test_a_card_is_kept_with_the_signatures_that_count_only() -> None:
    """Rule 8."""
    first = genesis("plant")
    card = cards.read(first)
    directory = Directory()
    directory.accept(with_signatures(first, (*junk(card.party, 62), *first.signatures)), NOW)
    assert directory.chain(card.party) == (first,)
    # The previous keys', the new ones' and the recovery keys' signatures all count.
    second = cards.succeed(
        card, keys("plant-2"), NOW + 1, current=keys("plant"), recovery=keys("plant-recovery")
    )
    padded = with_signatures(second, (*second.signatures, *junk(card.party, 10), *second.signatures))
    directory.accept(padded, NOW + 1)
    assert directory.chain(card.party) == (first, second)


def test_a_card_that_is_held_keeps_its_signatures_when_it_comes_again_without_them() -> None:
    """Rule 8: what is held can be loaded again, whatever a relay hands out later."""
    first = genesis("plant")
    card = cards.read(first)
    directory = Directory()
    directory.accept(first, NOW)
    second = cards.succeed(card, keys("plant-2"), NOW + 1, current=keys("plant"))
    directory.accept_chain([with_signatures(first, junk(card.party, 3)), second], NOW + 1)
    assert directory.chain(card.party) == (first, second)
    assert Directory.load(directory.export(), NOW + 1).card(card.party).sequence == 1


def test_whatever_changes_is_counted_and_whatever_does_not_is_not() -> None:
    directory, card = known()
    counts = [directory.changes]

    def count() -> bool:
        counts.append(directory.changes)
        return counts[-1] > counts[-2]

    directory.pin(card.party, card.party)
    assert count()
    directory.pin(card.party, card.party)
    assert not count()
    directory.unpin(card.party)
    assert count()
    stories = [
        cards.succeed(card, keys(name), NOW + 100, current=keys("plant")) for name in ("plant-2", "thief")
    ]
    directory.accept(stories[0], NOW + 100)
    assert count()
    for again in (False, True):
        assert refused(directory, stories[1], NOW + 100) == "card-forked"  # kept as evidence, once
        assert count() != again
