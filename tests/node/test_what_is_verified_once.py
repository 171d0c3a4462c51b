"""Documents that hold are remembered, as long as nothing that they rest on changes (`peers.verified`)."""

from __future__ import annotations

import contextlib
import time

import pytest

from cloister.foundation.clock import SystemClock
from cloister.foundation.errors import NotTrusted
from cloister.identity import cards
from cloister.identity.directory import Directory
from cloister.identity.envelopes import sign, verify
from cloister.identity.keys import SecretKeys
from cloister.node.peers.parties import Parties
from cloister.node.peers.verified import Verified
from cloister.storage.database import Database

KIND = "application/vnd.cloister.test+json"


class Someone:
    def __init__(self, name):
        self.keys = SecretKeys.generate()
        self.card = cards.genesis(
            name, ["owner"], self.keys, SecretKeys.generate().public, int(time.time()) - 10
        )
        self.party = cards.read(self.card).party

    def says(self, **content):
        return sign(KIND, content, self.party, self.keys)

    def revoked(self):
        return cards.revoke(cards.read(self.card), int(time.time()), current=self.keys)


class Counting:
    """Verifies, and counts how often."""

    def __init__(self, party):
        self.party, self.times = party, 0

    def __call__(self, envelope, directory):
        self.times += 1
        verify(envelope, KIND, [self.party], directory)
        return self.times


@pytest.fixture
def held(tmp_path):
    with contextlib.closing(Database.open(tmp_path)) as database:
        yield Parties(database, SystemClock(), [Someone("Own").card])


def test_a_document_is_verified_once_until_any_card_changes(held):
    """Rules 1 and 2."""
    anna, bert = Someone("Anna"), Someone("Bert")
    held.accept(anna.card)
    verified, check, said = Verified(held), Counting(anna.party), anna.says(n=1)
    assert [verified.get(said, check) for _ in range(3)] == [1, 1, 1]
    held.accept(anna.card)  # held already
    assert verified.get(said, check) == 1
    held.accept(bert.card)
    assert verified.get(said, check) == 2
    held.pin(bert.party, bert.party)
    assert verified.get(said, check) == 3


def test_a_revoked_key_counts_for_nothing_also_while_the_directory_is_being_written(held, monkeypatch):
    """Rule 2: a large directory takes a while to be written, and what was remembered counted until then."""
    anna = Someone("Anna")
    held.accept(anna.card)
    verified, check, said = Verified(held), Counting(anna.party), anna.says(n=1)
    verified.get(said, check)
    export, meanwhile = Directory.export, []

    def exporting(self):
        with pytest.raises(NotTrusted):
            verified.get(said, check)
        meanwhile.append(check.times)
        return export(self)

    monkeypatch.setattr(Directory, "export", exporting)
    held.accept(anna.revoked())
    assert meanwhile == [2]


def test_what_does_not_hold_is_not_remembered(held):
    """Rule 3."""
    anna = Someone("Anna")
    verified, check, said = Verified(held), Counting(anna.party), anna.says(n=1)
    for _ in range(2):
        with pytest.raises(NotTrusted):
            verified.get(said, check)
    held.accept(anna.card)
    assert verified.get(said, check) == 3


@pytest.mark.parametrize("bounds", [(2, 1 << 20), (100, None)], ids=["entries", "bytes"])
def test_what_was_not_looked_at_for_longest_makes_room(held, bounds):
    """Rule 4."""
    anna = Someone("Anna")
    held.accept(anna.card)
    check, said = Counting(anna.party), [anna.says(n=n) for n in range(3)]
    keep, size = bounds
    verified = Verified(held, keep, size or 2 * len(said[0].encode()))
    assert [verified.get(said[n], check) for n in (0, 1, 0, 2)] == [1, 2, 1, 3]
    assert [verified.get(said[n], check) for n in (0, 2, 1)] == [1, 3, 4]


def test_what_is_larger_than_all_room_is_verified_each_time(held):
    anna = Someone("Anna")
    held.accept(anna.card)
    verified, check = Verified(held, keep_bytes=10), Counting(anna.party)
    assert [verified.get(anna.says(n=1), check) for _ in range(2)] == [1, 2]
