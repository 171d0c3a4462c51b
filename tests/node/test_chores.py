"""What a node does by itself: cards that cannot be learned yet, a second node with one's own identity."""

from __future__ import annotations

import pytest

from cloister.foundation.errors import CloisterError, Conflict, NotFound, Refused, Unreachable
from cloister.identity.cards import CARD_TYPE, genesis
from cloister.identity.keys import SecretKeys
from cloister.node import chores
from cloister.node.peers import reception
from cloister.node.peers.unlearned import ATTEMPTS, KEPT, Unlearned
from cloister.node.tasks.service import PROPOSE
from cloister.transport.hub_client import Listed
from node.town import LAB, PAIR, signed_plan, town


class Relay:
    """A relay's client that fails for some cards."""

    def __init__(self, cards):
        self.cards, self.fails, self.asked = list(cards), {}, []

    def documents(self, since, kind):
        assert kind == CARD_TYPE
        return [Listed(n, card.digest, kind) for n, card in enumerate(self.cards) if n >= since]

    def fetch(self, digest):
        self.asked.append(digest)
        if digest in self.fails:
            raise self.fails[digest]
        return next(card for card in self.cards if card.digest == digest)

    def cards_of(self, party):
        return [[card for card in self.cards if card.document()["party"] == party]]

    def __getattr__(self, name):
        raise AssertionError(name)


@pytest.fixture(scope="module")
def strangers():
    return [
        genesis(name, ["owner"], SecretKeys.generate(), SecretKeys.generate().public, 1_790_000_000)
        for name in ("Dogwood", "Elm")
    ]


@pytest.fixture
def ash(tmp_path):
    with town(tmp_path, names=PAIR) as here:
        here.start("Ash")
        yield here["Ash"]


def test_a_card_that_could_not_be_learned_holds_up_no_other_and_is_tried_again(ash, strangers, monkeypatch):
    """Rules 1 and 2 of `unlearned`."""
    now = [1000.0]
    monkeypatch.setattr(chores.time, "monotonic", lambda: now[0])
    bad, good = strangers
    relay = Relay(strangers)
    relay.fails[bad.digest] = NotFound("The relay does not keep this document.", "", "")
    ash.chores._fetch_cards(relay)
    assert ash.parties.holds(good.digest)
    (told,) = ash.status()["cards_not_learned"]
    assert told["card"] == bad.digest
    assert "does not keep" in told["reason"]
    assert (told["attempts"], told["given_up"]) == (1, False)
    relay.asked.clear()
    ash.chores._fetch_cards(relay)
    assert relay.asked == []  # not due yet
    relay.fails.clear()
    now[0] += 20
    ash.chores._fetch_cards(relay)
    assert ash.parties.holds(bad.digest)
    assert ash.status()["cards_not_learned"] == []


def test_while_the_relay_is_away_nothing_is_passed_over(ash, strangers):
    relay = Relay(strangers)
    relay.fails[strangers[1].digest] = Unreachable("The relay is away.", "", "")
    with pytest.raises(Unreachable):
        ash.chores._fetch_cards(relay)
    relay.fails.clear()
    ash.chores._fetch_cards(relay)
    assert all(ash.parties.holds(card.digest) for card in strangers)
    assert ash.status()["cards_not_learned"] == []


def test_attempts_are_bounded_and_what_was_given_up_stays_visible():
    """Rule 2 of `unlearned`."""
    book, now, tries = Unlearned(), 0.0, 1
    book.failed("card", "It is forged.", now)
    for _ in range(100):
        now += 2000
        for card in book.due(now):
            tries += 1
            book.failed(card, "It is forged.", now)
    assert tries == ATTEMPTS
    assert book.report() == [
        {"card": "card", "reason": "It is forged.", "attempts": ATTEMPTS, "given_up": True}
    ]
    book.anew()
    assert book.report() == []


def test_a_relay_that_lists_junk_without_end_costs_no_memory():
    """Rule 3 of `unlearned`."""
    book = Unlearned()
    for number in range(KEPT):
        assert book.room()
        book.failed(f"card {number}", "junk", 0.0)
    assert not book.room()


def test_a_second_node_with_this_identity_is_noticed_while_running_and_stops_admissions(
    tmp_path, monkeypatch
):
    """Rule 5 of `admitting`, rule 2 of `reception`: trouble, not a decision; it goes on when one is gone."""
    with town(tmp_path, names=PAIR) as here:
        agreement = here.ready(template="one-researcher-one-owner", quality=None)
        ash = here["Ash"]
        plan = here.plan(agreement)
        envelope = signed_plan(here, plan)
        here[LAB].tasks.records.keep_plan(envelope, plan)
        ash.chores._look_for_twin()
        assert ash.status()["twin"] is False
        monkeypatch.setattr(chores, "another_instance", lambda *_: True)
        ash.chores._look_for_twin()
        assert ash.status()["twin"] is True
        with pytest.raises(CloisterError) as caught:
            here[LAB].call(here.party["Ash"], PROPOSE, envelope.encode(), 20)
        assert not isinstance(caught.value, Refused)
        assert "identity" in caught.value.what
        assert not ash.tasks.records.over(plan.digest)
        monkeypatch.setattr(chores, "another_instance", lambda *_: False)
        ash.chores._look_for_twin()
        assert b"person at this server" in here[LAB].call(here.party["Ash"], PROPOSE, envelope.encode(), 20)


def test_a_second_node_that_reaches_the_relay_late_refuses_to_start_too(tmp_path, monkeypatch):
    """While the relay is not reached nobody can be seen; it is looked once more when it has been met."""
    seen = iter([False, True])
    monkeypatch.setattr(reception, "another_instance", lambda *_: next(seen))
    with town(tmp_path, names=PAIR) as here:
        second = here.make(LAB)
        here.nodes[LAB] = second
        with pytest.raises(Conflict) as caught:
            second.start()
        assert caught.value.detail["clause"] == "one-node"
        assert second.link is None


def test_an_answer_of_another_instance_is_another_node_and_ones_own_is_not(ash):
    from cloister.node.peers.reception import another_instance

    transport = ash.link.transport
    assert not another_instance(ash, transport)
    before, ash.instance = ash.instance, "somebody else's"
    transport.serve("node.instance", lambda _call: before.encode())
    assert another_instance(ash, transport)
