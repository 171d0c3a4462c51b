"""Cards, enrolments and logs come to a hub at the same time, in threads that hold locks: none waits for another for ever."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest
from hub_town import Someone

from cloister.foundation.clock import SystemClock
from cloister.hub.logbook import Logbook
from cloister.hub.registry import Registry
from cloister.hub.state import Members
from cloister.identity import cards
from cloister.identity.keys import SecretKeys
from cloister.ledger import checkpoints
from cloister.ledger.checkpoints import Checkpoint
from cloister.ledger.tree import MemoryNodes, Tree
from cloister.storage.database import Database

SECONDS = 30


@pytest.fixture
def database(tmp_path):
    with contextlib.closing(Database.open(tmp_path)) as made:
        yield made


def rotated(someone: Someone):
    """The party's next card, by new keys."""
    now = int(time.time())
    return cards.succeed(cards.read(someone.card), SecretKeys.generate(), now, current=someone.keys)


def head(someone: Someone) -> bytes:
    """The party's own log, as it shows it to a witness."""
    tree = Tree(MemoryNodes())
    tree.append(b"an entry")
    made = Checkpoint(checkpoints.ledger_origin(someone.party), tree.size, tree.root())
    return checkpoints.sign_checkpoint(made, someone.keys).encode()


@pytest.mark.parametrize("by", ["publishing", "enrolling"])
def test_a_new_card_and_a_log_that_is_shown_do_not_wait_for_each_other(database, people, monkeypatch, by):
    """Rule 1 of `state`: the log's transaction needs keys while the card, which holds the members, needs the database.

    They did wait for each other, and then every message to the hub for both, until somebody ended the hub.
    """
    anna, bert = people["anna"], people["bert"]
    members = Members(database, SystemClock())
    for someone in (anna, bert):
        members.enrol(someone.party, someone.chain, None)
    book = Logbook(database, "h" * 52, anna.keys, members, SystemClock())
    registry = Registry(database, members, SystemClock())
    card = rotated(anna)
    held, opened, save, keys_for = threading.Event(), threading.Event(), members._save, members.keys_for

    def saving(**changes):
        held.set()  # the members are held
        assert opened.wait(SECONDS)
        save(**changes)

    def looking(party):
        opened.set()  # the log's transaction is open
        return keys_for(party)

    monkeypatch.setattr(members, "_save", saving)
    monkeypatch.setattr(members, "keys_for", looking)

    def change():
        if by == "publishing":
            registry.publish(anna.party, card.encode())
        else:
            members.enrol(anna.party, [anna.card, card], None)

    def show():
        assert held.wait(SECONDS)
        book.witness(bert.party, head(bert), 0, [])

    threads = [threading.Thread(target=work, daemon=True) for work in (change, show)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert not any(thread.is_alive() for thread in threads)
    assert members.chains(anna.party)[0][-1].digest == card.digest
    assert bert.party in book.heads()
