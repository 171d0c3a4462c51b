"""What the cards of parties whom nobody here has compared may cost this node (`peers.parties`)."""

from __future__ import annotations

import contextlib
import json
import time

import pytest

from cloister.foundation.clock import SystemClock
from cloister.foundation.errors import Refused
from cloister.identity import cards
from cloister.identity.envelopes import EnvelopeSignature, with_signatures
from cloister.identity.keys import SecretKeys
from cloister.node.peers import parties
from cloister.node.peers.parties import Parties
from cloister.storage.database import Database
from cloister.storage.settings import Settings


class Someone:
    def __init__(self, name):
        self.keys, self.recovery = SecretKeys.generate(), SecretKeys.generate()
        self.first = cards.genesis(name, ["owner"], self.keys, self.recovery.public, int(time.time()) - 10)
        self.card = cards.read(self.first)
        self.party = self.card.party

    def revoked(self):
        return cards.revoke(self.card, int(time.time()), current=self.keys)


@pytest.fixture
def database(tmp_path):
    with contextlib.closing(Database.open(tmp_path)) as made:
        yield made


def stored(database):
    with database.read() as tx:
        return len(json.dumps(Settings(tx).get("directory")))


def test_a_strangers_card_with_entries_that_do_not_count_is_kept_without_them(database):
    own, stranger = Someone("Own"), Someone("Stranger")
    held = Parties(database, SystemClock(), [own.first])
    before = stored(database)
    junk = tuple(EnvelopeSignature(keyid=f"{stranger.party}/{n}", sig="A" * 8192) for n in range(62))
    held.accept(with_signatures(stranger.first, (*stranger.first.signatures, *junk)))
    assert held.chain(stranger.party) == (stranger.first,)
    assert stored(database) - before < 2 * len(stranger.first.encode())


def test_strangers_cards_have_a_room_of_their_own_and_take_none_of_a_trusted_partys(database, monkeypatch):
    own, friend, first, second = (Someone(name) for name in ("Own", "Friend", "First", "Second"))
    held = Parties(database, SystemClock(), [own.first])
    held.accept(friend.first)
    held.pin(friend.party, friend.party)
    monkeypatch.setattr(parties, "MAX_STRANGERS", len(first.first.encode()) + 1000)
    held.accept(first.first)
    for offered in (held.accept, lambda card: held.accept_chain([card])):
        with pytest.raises(Refused) as caught:
            offered(second.first)
        assert caught.value.clause == "quota"
    held.accept(first.first)  # it is held already
    now = int(time.time())
    renewed = cards.succeed(friend.card, SecretKeys.generate(), now, current=friend.keys)
    held.accept(renewed)
    assert held.chain(friend.party)[-1] == renewed
    # A revocation is taken from anybody who is known.
    held.accept(first.revoked())
    with pytest.raises(Refused):
        held.accept(second.first)
