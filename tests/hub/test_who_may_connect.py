"""Whom the relay lets through is what its members say, whatever comes at once or is in the way."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest

from cloister.foundation.clock import SystemClock
from cloister.foundation.errors import Conflict
from cloister.hub import router as routers
from cloister.hub.router import Router
from cloister.hub.state import Members
from cloister.identity import cards
from cloister.storage.database import Database
from cloister.transport.zenoh_settings import Credentials

SECONDS = 30


@pytest.fixture
def database(tmp_path):
    with contextlib.closing(Database.open(tmp_path)) as made:
        yield made


def test_what_is_told_last_holds(database, people):
    """Rule 2 of `state`: a party is dropped while it is still being told that another one was enrolled.

    The older list was told last, and the relay let the dropped party through until the next change.
    """
    anna, bert = people["anna"], people["bert"]
    members = Members(database, SystemClock())
    members.enrol(bert.party, bert.chain, None)
    told: list[frozenset[str]] = []
    enrolling, newer = threading.Event(), threading.Event()

    def changed(now: frozenset[str]) -> None:
        if not enrolling.is_set():
            enrolling.set()
            newer.wait(0.5)  # in vain: the change after this one waits
        else:
            newer.set()
        told.append(now)

    members.changed = changed
    first = threading.Thread(target=members.enrol, args=(anna.party, anna.chain, None), daemon=True)
    first.start()
    assert enrolling.wait(SECONDS)
    members.drop(bert.party)
    first.join(SECONDS)
    assert told == [{anna.party, bert.party}, {anna.party}]


def test_what_could_not_be_told_is_told_with_the_next_change(database, people):
    members = Members(database, SystemClock())
    told = []

    def changed(now):
        told.append(now)
        if len(told) == 1:
            raise OSError

    members.changed = changed
    with pytest.raises(OSError):
        members.enrol(people["anna"].party, people["anna"].chain, None)
    members.enrol(people["anna"].party, people["anna"].chain, None)
    assert told == [{people["anna"].party}] * 2


def test_a_relay_whose_port_is_taken_for_a_while_can_be_opened_again(monkeypatch):
    class Session:
        def zid(self) -> str:
            return "a router"

        def close(self) -> None:
            pass

    taken = [False]

    def opening(self) -> None:
        if taken[0]:
            raise Conflict("The port is taken.")
        self._session = Session()

    monkeypatch.setattr(Router, "_open", opening)
    monkeypatch.setattr(routers.time, "sleep", lambda _: None)
    router = Router("127.0.0.1", 0, Credentials(b"", b"", b""))
    router.start()
    taken[0] = True
    router.reopen()
    assert not router.status().running
    assert not router.status().settled
    taken[0] = False
    router.reopen()
    assert router.status().running
    router.close()
    assert not router.status().running
    router.reopen()
    assert not router.status().running


def test_a_card_that_is_held_already_is_not_written_again(database, people, monkeypatch):
    """The directory is written whole: showing a card again and again cost the hub as much each time."""
    anna = people["anna"]
    members = Members(database, SystemClock())
    members.enrol(anna.party, anna.chain, None)
    written = []
    monkeypatch.setattr(members, "_save", lambda: written.append(1))
    members.accept(anna.card)
    assert not written
    members.accept(cards.revoke(cards.read(anna.card), int(time.time()), current=anna.keys))
    assert written
