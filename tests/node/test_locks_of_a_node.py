"""The threads of a node hold locks and wait for others: never in a circle, and what enforces never behind what asks."""

from __future__ import annotations

import threading

import pytest

from cloister.foundation.errors import NotTrusted
from cloister.identity.cards import CARD_TYPE
from cloister.node.chores import Chores
from cloister.node.rotation import rotate_keys
from cloister.transport.interface import Presence
from node.town import LAB, PAIR, UNLOCK, Town, town
from simulators.lock_order import Order

SECONDS = 30


@pytest.fixture
def here(tmp_path):
    with town(tmp_path, names=PAIR) as made:
        yield made


def rotated(here: Town):
    """The chain of Ash, which has new keys that the lab does not know."""
    here.start()
    here.meet()
    here.stop("Ash")
    rotate_keys(here.root / "Ash", UNLOCK, here.clock)
    here.start("Ash")
    return here["Ash"].parties.chain(here.party["Ash"])


def test_a_new_card_and_a_thing_that_is_counted_do_not_wait_for_each_other(here, monkeypatch):
    """A quota asks, within its transaction, who is trusted; a card holds the parties while it waits for the database."""
    chain = rotated(here)
    lab, ash = here[LAB], here.party["Ash"]
    parties, held, opened = lab.parties, threading.Event(), threading.Event()
    save, trusted = parties._save, parties.trusted

    def saving():
        held.set()  # the parties are held
        assert opened.wait(SECONDS)
        save()

    def asking(party):
        opened.set()  # the transaction is open
        return trusted(party)

    monkeypatch.setattr(parties, "_save", saving)
    monkeypatch.setattr(parties, "trusted", asking)

    def count():
        assert held.wait(SECONDS)
        with lab.durable.database.transaction() as tx:
            lab.quotas.take("catalogue entries", ash, "an entry", 100, tx=tx)

    threads = [
        threading.Thread(target=work, daemon=True) for work in (lambda: parties.accept(chain[-1]), count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert not any(thread.is_alive() for thread in threads)
    assert parties.holds(chain[-1].digest)


def test_locks_that_are_taken_both_ways_round_are_found_before_anybody_waits():
    order = Order()

    def take(*names):
        for name in names:
            order.taken(name, waits=True)
        for name in names:
            order.left(name)

    take("a", "b")
    take("b", "c")
    take("a", "c")
    take("b", "b")  # a lock that is taken again by who holds it
    assert order.circles() == []
    take("c", "a")
    assert len(order.circles()) > 0
    assert all("a after c" in circle for circle in order.circles())


def test_a_lock_that_is_only_tried_is_no_wait():
    order = Order()
    for first, second in (("a", "b"), ("b", "a")):
        order.taken(first, waits=True)
        order.taken(second, waits=False)
        order.left(second)
        order.left(first)
    assert order.circles() == []


def test_who_comes_is_noticed_and_cards_are_fetched_while_a_chore_waits_for_an_answer(tmp_path, monkeypatch):
    """Rule 3 of `chores`."""
    waiting, ended, met = threading.Event(), threading.Event(), threading.Semaphore(0)

    def waits(_chores):
        waiting.set()
        ended.wait(SECONDS)

    monkeypatch.setattr(Chores, "_show_log", waits)
    monkeypatch.setattr(Chores, "_meet_hub", lambda _chores: met.release())
    with town(tmp_path, names=PAIR) as here:
        here.start(LAB)
        try:
            assert waiting.wait(SECONDS)
            while met.acquire(blocking=False):
                pass
            here[LAB].link.transport._events.append(Presence(here.party["Ash"], here=True))
            assert met.acquire(timeout=SECONDS)
            assert not ended.is_set()
        finally:
            ended.set()


class EmptyRelay:
    """A relay that has no documents; counts from which number on they were asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def documents(self, since, kind):
        assert kind == CARD_TYPE
        self.asked.append(since)
        return []

    def submit_checkpoint(self, note, old_size, proof):
        raise AssertionError("the log is not what is looked at here")


def test_a_relay_that_comes_anew_is_asked_from_the_beginning(here, monkeypatch):
    """Also where it comes while its answer is being read: the reading must not put back what was forgotten."""
    here.start(LAB)
    node, relay = here[LAB], EmptyRelay()
    node.steward.close()
    monkeypatch.setattr("cloister.node.chores.HubClient", lambda *_given, **_named: relay)
    monkeypatch.setattr(Chores, "_publish", lambda *_given: None)
    hub, transport = "h" * 52, node.link.transport
    node.link = type(node.link)(transport, hub)
    node.chores._cards_seen = 7
    node.chores._meet_hub()
    transport._events.append(Presence(hub, here=True))
    node.chores._presence()
    node.chores._cards_seen = 9  # an answer that was on its way
    node.chores._meet_hub()
    assert relay.asked == [7, 0]


def test_a_relay_that_will_not_witness_is_asked_for_cards_at_the_usual_pace(here, monkeypatch):
    """Rule 3 of `chores`: a chore that fails again and again rests longer, so fetching cards must not fail by the log."""
    here.start(LAB)
    node, relay = here[LAB], EmptyRelay()
    node.steward.close()

    def refuses(*_given):
        raise NotTrusted("The log was seen to be longer.", clause="witness-stale")

    monkeypatch.setattr("cloister.node.chores.HubClient", lambda *_given, **_named: relay)
    monkeypatch.setattr(Chores, "_publish", lambda *_given: None)
    monkeypatch.setattr(node.ledger, "ask_witness", refuses)
    node.link = type(node.link)(node.link.transport, "h" * 52)
    node.chores._meet_hub()
    assert relay.asked == [0]
    with pytest.raises(NotTrusted):
        node.chores._show_log_to_hub()
